"""
Nodes that are told what to do by another process, and their memory tasks.
"""

from __future__ import annotations

import time

import pytest

from tests.cluster.nodes import LEASE, Cluster
from unomi_scheduler import NodeNotFound, NodeUnavailable, TaskNotFound, TaskStatus

NUMBER = 300
EVERY = 20
"""Milliseconds between two tasks."""
IN_TIME = LEASE / 3 + 2.0
"""Seconds in which a node obeys: it looks three times a lease."""


class TestExecutor:
    """
    Whether a node runs tasks.
    """

    def test_a_node_is_disabled_and_enabled_while_work_is_due(self, cluster: Cluster) -> None:
        """
        It begins nothing more from the answer on, the other node runs it all, and it takes part again.
        """
        anna, berta = cluster.start("anna", "berta")
        made = [
            cluster.manager.create_task("plain", id=f"plain-{number}", one_shot=True, initial_delay=number * EVERY)
            for number in range(NUMBER)
        ]
        cluster.manager.schedule_many(made)
        cluster.eventually(lambda: any(one.pid == anna.pid for one in cluster.said("start")), what="anna takes part")

        asked = time.monotonic()
        cluster.manager.set_executor_node("anna", enabled=False)
        disabled = time.monotonic()
        print(f"disabled after {disabled - asked:.2f} s")
        assert disabled - asked < IN_TIME
        # What it had claimed by then runs still.
        before = len(cluster.said("start"))
        cluster.eventually(lambda: len(cluster.said("start")) >= before + 100, what="the others go on")
        late = [one for one in cluster.said("start") if one.pid == anna.pid and one.at > disabled + 0.5]
        assert late == []
        cluster.eventually(
            lambda: (
                {one.node_id: one.executor_node for one in cluster.manager.nodes()} == {"anna": False, "berta": True}
            ),
            what="their heartbeats say so",
        )

        asked = time.monotonic()
        cluster.manager.set_executor_node("anna", enabled=True)
        print(f"enabled after {time.monotonic() - asked:.2f} s")
        cluster.schedule("plain", *(f"more-{number}" for number in range(NUMBER)))
        cluster.eventually(
            lambda: any(one.pid == anna.pid and one.at > asked for one in cluster.said("start")),
            what="anna takes part again",
        )
        ids = [*(task.id for task in made), *(f"more-{number}" for number in range(NUMBER))]
        cluster.eventually(
            lambda: all(task.status is TaskStatus.COMPLETED for task in cluster.tasks(ids)), what="all COMPLETED"
        )
        starts = [one.task for one in cluster.said("start") if one.task in set(ids)]
        assert sorted(ids) == sorted(starts)
        assert berta.running

    def test_an_order_to_a_paused_node_is_withdrawn_and_never_obeyed(self, cluster: Cluster) -> None:
        """
        Nor one to a node that is not there.
        """
        (anna,) = cluster.start("anna", lease="10s")
        anna.pause()
        with pytest.raises(NodeUnavailable, match=r"Node anna did not answer within 6 s; .* was withdrawn"):
            cluster.manager.set_executor_node("anna", enabled=False)
        anna.resume()
        began = time.monotonic()
        cluster.eventually(lambda: time.monotonic() > began + 5, what="some looks into the inbox")
        assert [True] == [one.executor_node for one in cluster.manager.nodes()]
        with pytest.raises(NodeNotFound, match="berta; there are: anna"):
            cluster.manager.set_executor_node("berta", enabled=False)

    def test_a_node_that_starts_again_goes_by_its_settings(self, cluster: Cluster) -> None:
        """
        What it was told, and what it was about to be told, ends with the process.
        """
        (anna,) = cluster.start("anna")
        cluster.manager.set_executor_node("anna", enabled=False)
        anna.kill()
        with pytest.raises((NodeUnavailable, NodeNotFound)):
            cluster.manager.set_executor_node("anna", enabled=False)
        cluster.start("anna")
        cluster.completed(cluster.schedule("plain", "later")[0])
        cluster.eventually(lambda: not cluster.store.notes("inbox"), what="the old inbox is removed")


class TestMemoryTasks:
    """
    The memory tasks of other processes.
    """

    def test_they_are_listed_and_cancelled(self, cluster: Cluster) -> None:
        """
        By a process that runs nothing; and the run in flight is told.
        """
        asked = time.monotonic()
        cluster.start("anna", memory={"kept-in-anna": 60.0})
        cluster.heard("start", task="kept-in-anna")
        task = cluster.eventually(
            lambda: next((one for one in cluster.manager.find_tasks().list if one.id == "kept-in-anna"), None),
            what="it is listed",
        )
        print(f"listed {time.monotonic() - asked:.2f} s after the start of the process")
        assert (task.status, task.executing_node_id, task.persistent) == (TaskStatus.RUNNING, "anna", False)
        assert cluster.manager.get_task("kept-in-anna").parameters == {"seconds": 60.0}

        asked = time.monotonic()
        assert cluster.manager.cancelled("kept-in-anna").task.status is TaskStatus.CANCELLED
        took = time.monotonic() - asked
        print(f"cancelled after {took:.2f} s")
        assert took < IN_TIME
        cluster.heard("told", task="kept-in-anna")
        cluster.manager.delete_task("kept-in-anna")
        with pytest.raises(TaskNotFound):
            cluster.manager.get_task("kept-in-anna")

    def test_those_of_a_dead_node_are_gone_with_it(self, cluster: Cluster) -> None:
        """
        Also from the store, with its orders.
        """
        (anna,) = cluster.start("anna", memory={"kept-in-anna": 60.0})
        cluster.start("berta")
        cluster.eventually(lambda: cluster.task("kept-in-anna"), what="it is listed")
        anna.kill()
        cluster.eventually(lambda: cluster.task("kept-in-anna") is None, what="it is not listed any more")
        cluster.eventually(lambda: not cluster.store.notes("memory"), what="its list is removed")
