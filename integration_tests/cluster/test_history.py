"""
The history of real nodes: no run without its row, whatever happens to the node or to the history's index.
"""

from __future__ import annotations

from collections import Counter

from elasticsearch import Elasticsearch

from tests.cluster.nodes import Cluster
from unomi_scheduler import TaskStatus
from unomi_scheduler.model import HistoryRow

NUMBER = 300


def block(admin: Elasticsearch, cluster: Cluster, *, on: bool) -> None:
    """
    Let the history's indices take writes, or not.
    """
    settings = {"index.blocks.write": True if on else None}
    admin.indices.put_settings(index=f"{cluster.prefix}-schedulerhistory-*", settings=settings)


def rows(admin: Elasticsearch, cluster: Cluster) -> Counter[str]:
    """
    Return how often each `plain` task is in the history as a success.
    """
    pattern = f"{cluster.prefix}-schedulerhistory-*"
    admin.indices.refresh(index=pattern)
    found = admin.search(index=pattern, query={"term": {"taskType": "plain"}}, size=10_000)
    return Counter(hit["_source"]["taskId"] for hit in found["hits"]["hits"] if hit["_source"]["status"] == "SUCCESS")


def ran(cluster: Cluster, ids: list[str]) -> None:
    """
    Return when each of these tasks has succeeded.
    """
    cluster.eventually(lambda: all(task.success_count for task in cluster.tasks(ids)), what="all runs", within=60)


class TestKill:
    """
    A node is killed between the ends of runs and their rows.
    """

    def test_a_peer_makes_the_rows(self, cluster: Cluster, admin: Elasticsearch) -> None:
        """
        From the documents, when the node is declared dead: each row once.
        """
        (anna,) = cluster.start("anna")
        cluster.succeeded("task-purge")
        cluster.eventually(lambda: cluster.manager.history("task-purge").total_size, what="a first row")
        ran(cluster, cluster.schedule("plain", "before"))
        cluster.eventually(lambda: rows(admin, cluster) == Counter(["before"]), what="its row")
        block(admin, cluster, on=True)
        ids = cluster.schedule("plain", *(f"plain-{number}" for number in range(NUMBER)))
        ran(cluster, ids)
        anna.kill()
        block(admin, cluster, on=False)
        assert rows(admin, cluster) == Counter(["before"])
        cluster.start("berta")
        wanted = Counter(["before", *ids])
        cluster.eventually(lambda: rows(admin, cluster) == wanted, what="the rows of the dead node", within=30)


class TestBlocked:
    """
    The history's index takes no writes.
    """

    def test_runs_go_on_and_their_rows_come_later(self, cluster: Cluster, admin: Elasticsearch) -> None:
        """
        Many more of one task than its document holds, and each row once.
        """
        cluster.start("anna")
        ran(cluster, cluster.schedule("plain", "before"))
        cluster.eventually(lambda: rows(admin, cluster) == Counter(["before"]), what="its row")
        block(admin, cluster, on=True)
        cluster.schedule("plain", "often", period=50)
        cluster.eventually(lambda: cluster.succeeded("often").success_count >= 30, what="30 runs")
        assert cluster.manager.history("often").total_size == 10
        cluster.manager.cancel_task("often")
        block(admin, cluster, on=False)
        runs = cluster.reached("often", TaskStatus.CANCELLED).success_count
        cluster.eventually(lambda: rows(admin, cluster)["often"] >= runs, what="a row of each run", within=20)
        shown = cluster.manager.history("often", limit=-1)

        assert runs == rows(admin, cluster)["often"]
        assert shown.total_size == len(shown.list) == len({row.id for row in shown.list})
        assert is_sorted(shown.list)

    def test_a_node_that_stops_leaves_them_to_the_others(self, cluster: Cluster, admin: Elasticsearch) -> None:
        """
        By the heartbeat that it leaves behind.
        """
        (anna,) = cluster.start("anna", by_command=True)
        ran(cluster, cluster.schedule("plain", "before"))
        cluster.eventually(lambda: rows(admin, cluster) == Counter(["before"]), what="its row")
        block(admin, cluster, on=True)
        ran(cluster, cluster.schedule("plain", "last"))
        anna.terminate()
        assert anna.ended(within=15) == 0
        block(admin, cluster, on=False)
        cluster.start("berta")

        cluster.eventually(lambda: rows(admin, cluster) == Counter(["before", "last"]), what="both rows", within=30)


def is_sorted(shown: tuple[HistoryRow, ...]) -> bool:
    """
    Tell whether the newest end comes first.
    """
    ends = [row.end for row in shown]
    return ends == sorted(ends, reverse=True)
