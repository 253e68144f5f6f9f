"""
Scenarios of exclusive types: S9, S22, X2, order, and what the tasks that wait show.
"""

from __future__ import annotations

import time
from itertools import pairwise
from threading import Event

from tests.scenarios.nodes import Nodes
from tests.waiting import eventually
from unomi_scheduler import TaskContext, TaskStatus

_S = TaskStatus


def _lasting(seconds: float) -> object:
    def body(context: TaskContext) -> None:
        context.wait_cancelled(seconds)

    return body


class ExclusiveScenarios:
    """
    The tests; a subclass gives the store by its fixture `nodes`.
    """

    def test_s9_a_long_exclusive_run_is_dispatched_once(self, nodes: Nodes) -> None:
        """
        It lasts several polls.
        """
        nodes.start("a", {"alone": _lasting(2.5)})  # type: ignore[dict-item]
        nodes.manager.new_task("alone").with_id("one").disallow_parallel_execution().as_one_shot().schedule()
        nodes.reached("one", _S.COMPLETED)

        assert 1 == len(nodes.journal.ran("one"))
        assert 1 == nodes.journal.most_at_once["alone"]

    def test_s22_recurring_exclusive_runs_of_two_nodes_never_overlap(self, nodes: Nodes) -> None:
        """
        Two tasks of the type with a period of one second and runs of half a second.
        """
        nodes.start("a b", {"alone": _lasting(0.5)})  # type: ignore[dict-item]
        for name in ("one", "two"):
            nodes.manager.new_task("alone").with_id(name).disallow_parallel_execution().with_period(
                1, "SECONDS"
            ).schedule()
        eventually(lambda: len(nodes.journal.ran()) >= 6, "six runs", 30)
        ran = nodes.journal.ran()

        assert 1 == nodes.journal.most_at_once["alone"]
        assert all(first.ended <= second.began for first, second in pairwise(ran))
        assert {"one", "two"} == {one.task_id for one in ran}

    def test_x2_two_executors_run_a_held_one_shot_once(self, nodes: Nodes) -> None:
        """
        On one node.
        """
        nodes.start("a b", {"alone": _lasting(2.5)})  # type: ignore[dict-item]
        nodes.manager.new_task("alone").with_id("one").disallow_parallel_execution().as_one_shot().schedule()
        nodes.reached("one", _S.COMPLETED)

        assert 1 == len({one.node_id for one in nodes.journal.ran("one")}) == len(nodes.journal.ran("one"))

    def test_exclusive_tasks_run_in_the_order_of_their_due_times(self, nodes: Nodes) -> None:
        """
        On whatever node, and whatever order they were scheduled in; those that wait show what they wait for.
        """
        gate = Event()
        nodes.start("a b c", {"alone": lambda _: gate.wait(20)})
        manager = nodes.manager
        now = int(time.time() * 1_000)
        tasks = [
            manager.create_task(
                "alone", id=f"task-{n:02}", allow_parallel_execution=False, next_scheduled_execution=now + 1_500 + n
            )
            for n in range(20)
        ]
        manager.schedule_many(reversed(tasks))
        nodes.reached("task-00", _S.RUNNING)
        eventually(lambda: nodes.task("task-19").waiting_for_task_type, "the last is due, too", 20)
        waiting = [nodes.task(task.id).waiting_for_task_type for task in tasks]
        reasons = manager.explain("task-19")
        gate.set()
        eventually(lambda: len(nodes.journal.ran()) == 20, "all have run", 30)

        assert [None] + ["alone"] * 19 == waiting
        assert reasons[-1].startswith("task task-00 of the same type runs on node")
        assert [task.id for task in tasks] == [one.task_id for one in nodes.journal.ran()]
        assert 1 == nodes.journal.most_at_once["alone"]

    def test_a_long_queue_of_one_type_holds_up_no_other(self, nodes: Nodes) -> None:
        """
        A thousand wait for a run that does not end; one of another type starts at once.
        """
        gate = Event()
        nodes.start("a b", {"alone": lambda _: gate.wait(30), "other": lambda _: None})
        make = nodes.manager.create_task
        nodes.manager.schedule_many(
            [make("alone", id=f"task-{n}", allow_parallel_execution=False) for n in range(1_000)]
        )
        eventually(lambda: nodes.manager.find_tasks(status="RUNNING").total_size == 1, "one runs", 20)
        nodes.manager.new_task("other").with_id("other").disallow_parallel_execution().schedule()
        began = time.monotonic()
        nodes.reached("other", _S.COMPLETED)
        took = time.monotonic() - began
        gate.set()

        assert took < 5
        assert 1 == nodes.journal.most_at_once["alone"]
