"""
How work spreads over nodes.
"""

from __future__ import annotations

from collections import Counter
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
        three = shares(cluster, ids, "clara")
        print("two nodes:", dict(two), "three nodes:", dict(three))

        assert set(two) == set(NAMES[:2])
        assert min(two.values()) >= two.total() / 4
        assert set(three) == set(NAMES)
        assert min(three.values()) >= three.total() / 4


def shares(cluster: Cluster, ids: list[str], joins: str = "anna") -> Counter[str]:
    """
    Return how many of four periods' runs each node did, from when all nodes were at work.
    """
    cluster.eventually(lambda: ran_on(cluster.said("start"), joins), what=f"{joins} works", within=20)
    everybody = {node.name for node in cluster.nodes}
    begin = len(cluster.said("start"))

    def all_at_work() -> int | None:
        # One whole round in which everybody took part: from here on they know each other.
        said = cluster.said("start")
        return len(said) if {one.node for one in said[begin:][-len(ids) :]} == everybody else None

    first = cluster.eventually(all_at_work, what="all at work", within=20)
    number = 4 * len(ids)
    cluster.eventually(lambda: len(cluster.said("start")) >= first + number, what="four rounds", within=20)
    return Counter(one.node for one in cluster.said("start")[first : first + number])


def ran_on(said: list[Said], name: str) -> bool:
    """
    Tell whether a node ran anything.
    """
    return any(one.node == name for one in said)
