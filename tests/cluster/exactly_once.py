"""
Three processes, ten thousand tasks: the same on every store that processes share.
"""

from __future__ import annotations

import time

from tests.cluster.checker import faults, reruns
from tests.cluster.nodes import Cluster, NodeProcess
from unomi_scheduler import TaskStatus

NUMBER = 10_000
NAMES = ("anna", "berta", "clara")
AHEAD = 8.0
"""Seconds from the scheduling of the tasks to their due time."""
LONG = "4s"
"""The lease: three busy processes and a store share what may be two cores."""


class ExactlyOnce:
    """
    The tests; a subclass stands where a fixture `cluster` gives the store.
    """

    def test_three_nodes_execute_each_task_exactly_once(self, cluster: Cluster) -> None:
        """
        By the executors' own log; each node takes part, and no document is left RUNNING.
        """
        cluster.start(*NAMES, lease=LONG)
        ids = fill(cluster)
        drain(cluster, ids)
        said = cluster.said()

        assert faults(ids, tasks=cluster.tasks(ids), said=said) == []
        assert reruns(said) == 0
        assert {one.node for one in said if one.event == "start"} == set(NAMES)
        assert counted(cluster, TaskStatus.RUNNING) == 0

    def test_nothing_is_lost_when_one_of_three_is_killed(self, cluster: Cluster) -> None:
        """
        What ran a second time was in flight on the dead node, and ran again later with a higher fence.
        """
        cluster.start(*NAMES, lease=LONG)
        ids = fill(cluster)
        victim = cluster.eventually(lambda: half_way(cluster), what="a node is half through its share", within=90)
        victim.kill()
        begun = len(cluster.said("start"))
        drain(cluster, ids)
        said = cluster.said()
        print(f"killed when {begun} runs had begun; {reruns(said)} ran again")

        assert faults(ids, tasks=cluster.tasks(ids), said=said, dead=cluster.dead()) == []
        assert begun < NUMBER
        assert counted(cluster, TaskStatus.RUNNING) == 0


def fill(cluster: Cluster) -> list[str]:
    """
    Schedule all tasks for one moment, by which the nodes know each other and the tasks; return their ids.
    """
    due = int((time.time() + AHEAD) * 1_000)
    ids = [f"plain-{number:05d}" for number in range(NUMBER)]
    return cluster.schedule("plain", *ids, next_scheduled_execution=due)


def half_way(cluster: Cluster) -> NodeProcess | None:
    """
    Return a node that has done half of a third of all runs, each of them two lines in its log.
    """
    return next((node for node in cluster.nodes if len(node.log.said()) > NUMBER // 3), None)


def drain(cluster: Cluster, ids: list[str]) -> None:
    """
    Return when every task was executed and no document is RUNNING or due.
    """
    wanted = set(ids)
    cluster.eventually(
        lambda: len({one.task for one in cluster.said("end")} & wanted) == len(wanted), what="all executed", within=150
    )

    def settled() -> bool:
        return counted(cluster, TaskStatus.COMPLETED) == len(wanted)

    cluster.eventually(settled, what="all COMPLETED", within=60)


def counted(cluster: Cluster, status: TaskStatus) -> int:
    """
    Return how many of the tasks are in this state.
    """
    cluster.store.refresh()
    return cluster.manager.find_tasks(task_type="plain", status=status, limit=1).total_size
