"""
Status management: what a run does to its task, and what may not run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.service_suite.bodies import SAMPLE
from tests.service_suite.peers import Peers, statuses, waiting_task, wall
from unomi_scheduler import Callback, Scheduler, Task, TaskStatus
from unomi_scheduler.model import Stored, evolve

_S = TaskStatus


class Steps:
    """
    An executor of the original's shape that looks at its own task.
    """

    task_type = "steps"

    def __init__(self, look: Callable[[str], Task]) -> None:
        self._look = look
        self.seen: list[Task] = []

    def execute(self, task: Task, callback: Callback) -> None:
        """
        Report once in every way.
        """
        self.seen.append(self._look(task.id))
        callback.update_step("first", {})
        callback.update_status_details({"processedCount": 1})
        callback.checkpoint({"at": 1})
        callback.complete()
        callback.fail("a second word does not count")

    def can_resume(self, task: Task) -> bool:
        """
        Never.
        """
        return False

    def resume(self, task: Task, callback: Callback) -> None:
        """
        Never called.
        """


def _offer(node: Scheduler, stored: Stored[Task]) -> None:
    node._wiring.node.offer(stored, node._wiring.required_store())


class Statuses:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_s4_a_run_takes_its_task_through_its_states(self, peers: Peers) -> None:
        """
        RUNNING inside `execute` of an exclusive task, COMPLETED with the checkpoint afterwards.

        Beyond the original: the details are merged and the history stays (fault 24), and it is counted once (23).
        """
        node = peers.one()
        executor = Steps(peers.manager.get_task)
        node.register_executor(executor)
        node.new_task("steps").with_id("steps").disallow_parallel_execution().as_one_shot().schedule()
        done = peers.completed("steps")

        assert [task.status for task in executor.seen] == [_S.RUNNING]
        assert (done.checkpoint_data, done.current_step) == ({"at": 1}, None)
        assert (done.status_details["processedCount"], statuses(done)) == (1, ["SUCCESS"])
        assert done.status_details["executingNode"] == node.node_id
        assert (node.get_metric("tasks.completed"), node.get_metric("tasks.failed")) == (1, 0)

    @pytest.mark.parametrize(
        "over",
        [
            {"enabled": False, "next_scheduled_execution": 1},
            {"status": _S.COMPLETED, "next_scheduled_execution": 1},
            {"status": _S.CANCELLED, "next_scheduled_execution": 1},
            {"status": _S.FAILED, "next_scheduled_execution": 1},
            {},
        ],
    )
    def test_run1_what_may_not_run_is_not_prepared(self, peers: Peers, over: dict[str, Any]) -> None:
        """
        Disabled, ended, or not yet due: no attempt to claim it, whoever looks, and the document stays as it is.
        """
        node = peers.one()
        peers.put(task := waiting_task("still", **over))
        node.recover_crashed_tasks()
        peers.completed(node.new_task(SAMPLE).with_id("next").schedule().id)

        assert peers.now("still") == task
        assert node.get_metric("tasks.lock.attempts") == 1

    @pytest.mark.parametrize(
        "over",
        [
            {
                "status": _S.WAITING,
                "waiting_on_tasks": ("done",),
                "depends_on": ("done",),
                "waiting_for_task_type": "x",
            },
            {"status": _S.CRASHED},
        ],
    )
    def test_run2_a_waiting_or_crashed_task_runs_before_its_date(self, peers: Peers, over: dict[str, Any]) -> None:
        """
        What it waited for is cleared. A crashed task is due whatever its date; a waiting one keeps its date (P14),
        which is past here.
        """
        due = {"next_scheduled_execution": 1} if over["status"] is _S.WAITING else {}
        peers.put(waiting_task("done", status=_S.COMPLETED), waiting_task("ready", **over, **due))
        peers.one()
        done = peers.completed("ready")

        assert (done.waiting_on_tasks, done.waiting_for_task_type) == ((), None)

    def test_run3_a_task_is_never_run_twice_at_once(self, peers: Peers) -> None:
        """
        Its id is offered again and again while its run holds: by requests, edits and searches.
        """
        node = peers.one()
        node.new_task(SAMPLE).with_id("once").with_parameters({"script": ["hold"]}).schedule()
        peers.said("start", "once")
        for number in range(5):
            node.update_task_config("once", max_retries=number + 1)
            node.recover_crashed_tasks()
        peers.completed(node.new_task(SAMPLE).with_id("next").schedule().id)
        peers.journal.open_gate("once")
        done = peers.completed("once")

        assert len(peers.journal.lines("once")) == 1
        assert (done.max_retries, done.success_count) == (5, 1)

    def test_run10_a_one_shot_is_disabled_by_its_success(self, peers: Peers) -> None:
        """
        Without a next date.
        """
        task = peers.one().new_task(SAMPLE).as_one_shot().schedule()
        done = peers.completed(task.id)

        assert (done.enabled, done.next_scheduled_execution) == (False, None)

    @pytest.mark.parametrize("fixed_rate", [True, False])
    def test_run11_the_next_period_is_behind_the_last(self, peers: Peers, fixed_rate: bool) -> None:  # noqa: FBT001 - a table's column
        """
        SCHEDULED again in the same write, a period after the due time or after the end.
        """
        node = peers.one()
        before = wall()
        task = node.schedule_task(
            evolve(node.create_task(SAMPLE, period=10, unit="SECONDS"), fixed_rate=fixed_rate, id="often")
        )
        later = peers.when(task.id, lambda one: one.success_count == 1)

        assert later.status is _S.SCHEDULED
        assert (later.next_scheduled_execution or 0) >= before + 10_000

    def test_run12_a_plain_task_stays_completed(self, peers: Peers) -> None:
        """
        Without a period and not one-shot: enabled still, and never due.
        """
        node = peers.one()
        done = peers.completed(node.new_task(SAMPLE).with_id("plain").schedule().id)
        peers.completed(node.new_task(SAMPLE).schedule().id)

        assert (done.enabled, done.next_scheduled_execution) == (True, None)
        assert peers.now("plain") == done

    def test_lock4_of_eight_nodes_one_wins(self, peers: Peers) -> None:
        """
        They claim the same task on the same version; every run is claimed, also of a parallel task (LOCK2, fault 3).
        """
        nodes = peers.start(*(f"node-{number}" for number in range(8)))
        with ThreadPoolExecutor(8) as pool:
            for number in range(5):
                due = wall() + 100
                task = evolve(waiting_task(f"raced-{number}"), next_scheduled_execution=due)
                stored = nodes[0].schedule_task(task)
                version = peers.stored(stored.id)
                list(pool.map(partial(_offer, stored=version), nodes))
        for number in range(5):
            peers.completed(f"raced-{number}")

        assert [len(peers.journal.lines(f"raced-{number}")) for number in range(5)] == [1] * 5
        assert sum(node.get_metric("tasks.lock.acquired") for node in nodes) == 5
