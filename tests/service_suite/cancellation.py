"""
Cancellation and clean-up: what a cancelled or deleted task still does, and what is purged.
"""

from __future__ import annotations

import pytest

from tests.service_suite.bodies import SAMPLE
from tests.service_suite.peers import Peers, statuses, waiting_task
from tests.waiting import eventually
from unomi_scheduler import Scheduler, Task, TaskNotFound, TaskStatus

_S = TaskStatus


def _gone(scheduler: Scheduler, task_id: str) -> bool:
    try:
        scheduler.get_task(task_id)
    except TaskNotFound:
        return True
    return False


def _held(peers: Peers, node: Scheduler, task_id: str) -> Task:
    """
    Schedule a task whose body ignores that it is told to stop, and return it once it runs.
    """

    def stubborn() -> None:
        eventually(lambda: peers.journal.is_open(task_id), "the gate opens")
        done.append(1)

    done: list[int] = []
    node.new_task("stubborn").with_id(task_id).with_simple_executor(stubborn).schedule()
    return peers.when(task_id, lambda task: task.status is _S.RUNNING)


class Cancellation:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_run5_a_cancelled_tasks_place_is_free_for_the_next(self, peers: Peers) -> None:
        """
        The id is deleted and scheduled again; the new task runs, with a higher fence (P2).
        """
        node = peers.one()
        node.new_task(SAMPLE).with_id("again").with_parameters({"script": ["hold", "ok"]}).schedule()
        first = peers.said("start", "again")[0]
        assert node.cancel_task("again")
        peers.when("again", lambda task: task.lock_owner is None, "free")
        node.delete_task("again")
        eventually(lambda: _gone(node, "again"), "it is removed")
        node.new_task(SAMPLE).with_id("again").with_parameters({"script": ["hold", "ok"]}).schedule()
        done = peers.completed("again")

        assert done.success_count == 1
        assert peers.journal.lines("again")[1].fence > first.fence

    def test_run13_what_a_cancelled_run_still_says_does_not_count(self, peers: Peers) -> None:
        """
        Its success comes late, from a body that ignored the cancel: no status, no history, no metric (P4, fault 6).
        """
        node = peers.one()
        _held(peers, node, "late")
        assert peers.manager.cancel_task("late")
        owned = peers.now("late")
        peers.journal.open_gate("late")
        free = peers.when("late", lambda task: task.lock_owner is None, "free")
        eventually(lambda: node.get_metric("tasks.fenced") == 1, "the late outcome is counted as fenced")

        assert owned.lock_owner == node.node_id
        assert (free.status, free.success_count, free.enabled, statuses(free)) == (
            _S.CANCELLED,
            0,
            False,
            ["CANCELLED"],
        )
        assert (node.get_metric("tasks.completed"), node.get_metric("tasks.failed")) == (0, 0)

    def test_a_cancelled_retry_never_comes(self, peers: Peers) -> None:
        """
        A failed run waits for its retry in the document alone, so a cancel takes it away (fault 6).
        """
        node = peers.one()
        builder = node.new_task(SAMPLE).with_id("retried").with_parameters({"script": ["fail"]})
        builder.with_retry_delay(300, "MILLISECONDS").schedule()
        peers.when("retried", lambda task: task.failure_count == 1)
        node.cancel_task("retried")
        later = node.new_task(SAMPLE).with_initial_delay(600, "MILLISECONDS").schedule()
        peers.completed(later.id)

        assert len(peers.journal.lines("retried")) == 1
        assert peers.now("retried").status is _S.CANCELLED

    def test_a_deleted_task_does_not_come_back(self, peers: Peers) -> None:
        """
        Its run completes after the deletion: nothing is written, and the document goes (fault 5).
        """
        node = peers.one()
        _held(peers, node, "deleted")
        node.delete_task("deleted")
        marked = peers.now("deleted")
        peers.journal.open_gate("deleted")
        eventually(lambda: _gone(node, "deleted"), "it is removed")
        peers.completed(node.new_task(SAMPLE).schedule().id)

        assert (marked.status, marked.delete_requested) == (_S.CANCELLED, True)
        assert _gone(peers.manager, "deleted")

    @pytest.mark.parametrize("status", [_S.FAILED, _S.CANCELLED, _S.CRASHED, _S.SCHEDULED, _S.COMPLETED])
    def test_only_what_completed_is_purged(self, peers: Peers, status: TaskStatus) -> None:
        """
        However old the others are.
        """
        peers.put(waiting_task("old", status=status, last_execution_date=1, enabled=False))

        assert peers.manager.purge_old_tasks(days=0) == (1 if status is _S.COMPLETED else 0)
        assert _gone(peers.manager, "old") is (status is _S.COMPLETED)
