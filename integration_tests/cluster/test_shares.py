"""
How work spreads over nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import count

from tests.cluster.nodes import Cluster, Said
from tests.factories import make_task
from unomi_scheduler.rules.placement import partition_of, share_of

NAMES = ("anna", "berta", "clara")


def owner_of(task_id: str, names: tuple[str, ...]) -> str:
    """
    Return the node whose share a task is in.
    """
    partition = partition_of(make_task(id=task_id))
    return next(name for name in names if partition in share_of(name, frozenset(names)))


def ids_of(name: str, number: int, names: tuple[str, ...]) -> list[str]:
    """
    Return ids in the share of one node.
    """
    found = (one for one in (f"dealt-{place}" for place in count()) if owner_of(one, names) == name)
    return [next(found) for _ in range(number)]


def dealt() -> list[str]:
    """
    Return 20 ids of which two nodes have 10 each, and three nodes 7, 7 and 6.
    """
    wanted = {
        ("anna", "anna"): 7, ("anna", "clara"): 3, ("berta", "berta"): 7, ("berta", "clara"): 3,
    }  # fmt: skip
    found: list[str] = []
    for task_id in (f"dealt-{place}" for place in count()):
        place = (owner_of(task_id, NAMES[:2]), owner_of(task_id, NAMES))
        if wanted.get(place):
            wanted[place] -= 1
            found.append(task_id)
        if not any(wanted.values()):
            break
    return found


class TestFullNode:
    """
    A node whose threads are all taken.
    """

    def test_what_is_due_starts_on_the_other_node(self, cluster: Cluster) -> None:
        """
        Within 1.5 s, though it is in the share of the full one.
        """
        cluster.start("anna", "berta", threads=8)
        naps = [f"nap-{number}" for number in range(8)]
        cluster.schedule("nap", *naps, on_nodes=("anna",), parameters={"seconds": 12})
        cluster.eventually(lambda: len(cluster.said("start")) == 8, what="eight long runs")
        waits = []
        for task_id in ids_of("anna", 4, NAMES[:2]):
            due = cluster.schedule_one("plain", task_id).next_scheduled_execution
            (run,) = cluster.heard("start", task=task_id)
            assert due is not None
            waits.append((run.node, round(run.wall - due)))
        print("node and ms from due to start:", waits)

        assert {node for node, _ in waits} == {"berta"}
        assert max(wait for _, wait in waits) <= 1_500
        assert len(cluster.said("end")) == 4


class TestEvenShares:
    """
    Twenty tasks that run each second.
    """

    def test_each_node_does_at_least_a_quarter(self, cluster: Cluster) -> None:
        """
        Of two nodes, and of three once another has joined.
        """
        cluster.start("anna", "berta")
        ids = dealt()
        cluster.schedule("plain", *ids, period=1_000)
        two = shares(cluster, ids)
        cluster.start("clara")
        three = shares(cluster, ids)
        print("two nodes:", dict(two), "three nodes:", dict(three))

        assert set(two) == set(NAMES[:2])
        assert min(two.values()) >= two.total() / 4
        assert set(three) == set(NAMES)
        assert min(three.values()) >= three.total() / 4


def shares(cluster: Cluster, ids: list[str]) -> Counter[str]:
    """
    Return how many of four periods' runs each node did, from when the nodes know each other.
    """
    names = tuple(node.name for node in cluster.nodes)
    owners = {one: owner_of(one, names) for one in ids}

    def settled() -> int | None:
        # One round in which nearly each task ran on the node that the hash gives it.
        said = [one for one in cluster.said("start") if one.task in owners]
        right = sum(one.node == owners[one.task] for one in said[-len(ids) :])
        return len(said) if right >= len(ids) - 2 else None

    first = cluster.eventually(settled, what="the nodes know each other", within=30)
    last = first + 4 * len(ids)
    runs = cluster.eventually(lambda: _runs(cluster, owners, last), what="four rounds", within=20)
    return Counter(one.node for one in runs[first:last])


def _runs(cluster: Cluster, ids: Collection[str], number: int) -> list[Said] | None:
    found = [one for one in cluster.said("start") if one.task in ids]
    return found if len(found) >= number else None
