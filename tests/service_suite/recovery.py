"""
Recovery of runs that other kinds of nodes left behind: their documents name a lock and no incarnation (P9).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.service_suite.bodies import RESUMABLE, SAMPLE
from tests.service_suite.peers import NODE, Peers, left_behind, statuses, waiting_task, wall
from tests.waiting import eventually
from unomi_scheduler import Callback, Task, TaskStatus
from unomi_scheduler.model import evolve

_S = TaskStatus


class Resuming:
    """
    An executor of the original's shape that notes how it is called.
    """

    task_type = "original"

    def __init__(self) -> None:
        self.calls: list[tuple[str, Task]] = []

    def can_resume(self, task: Task) -> bool:
        """
        Only with a checkpoint.
        """
        return bool(task.checkpoint_data)

    def execute(self, task: Task, callback: Callback) -> None:
        """
        Start at the beginning.
        """
        self.calls.append(("execute", task))
        callback.complete()

    def resume(self, task: Task, callback: Callback) -> None:
        """
        Go on.
        """
        self.calls.append(("resume", task))
        callback.complete()


class Recovering:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    @pytest.mark.parametrize(("checkpoint", "call"), [({"at": 7}, "resume"), (None, "execute")])
    def test_s8_a_run_of_a_dead_owner_is_recovered(
        self, peers: Peers, checkpoint: dict[str, Any] | None, call: str
    ) -> None:
        """
        RUNNING, owned by `dead-node` for 10 s with a lock of 100 ms: it is resumed with its checkpoint, or restarted,
        and says when it crashed. Its history tells that an executor that resumes went on with it.
        """
        node = peers.one()
        executor = Resuming()
        node.register_executor(executor)
        peers.put(left_behind("left", age=10_000, lease=100, task_type="original", checkpoint_data=checkpoint))
        node.recover_crashed_tasks()
        done = peers.completed("left")
        crash, *_ = done.history

        assert [name for name, _ in executor.calls] == [call]
        assert executor.calls[0][1].status_details["crashTime"]
        assert statuses(done) == ["CRASHED", "RESUMED", "SUCCESS"]
        assert (crash["type"], crash["previousOwner"], crash["recoveryNode"]) == ("crash", "dead-node", NODE)

    def test_x4_the_owners_lease_counts_and_not_the_finders(self, peers: Peers) -> None:
        """
        Lease 500 ms, lock 2 s old; the finder's own lease is 30 s: recovered at once.
        """
        node = peers.one(lease="30s")
        peers.put(left_behind("left", age=2_000, lease=500))
        node.recover_crashed_tasks()
        done = peers.completed("left")

        assert (done.last_executed_by, done.lock_owner, done.crash_count) == (NODE, None, 0)

    def test_lock12_no_lease_in_the_document_means_the_finders(self, peers: Peers) -> None:
        """
        A lock of 3 s, without a lease, is too old for 1 s and not for 10 s; the edges are in the core's tests.
        """
        patient = peers.one()
        peers.put(left_behind("left", age=3_000))
        patient.recover_crashed_tasks()
        peers.completed(patient.new_task(SAMPLE).schedule().id)
        before = peers.now("left").status
        (hasty,) = peers.start("hasty", lease="1s")
        hasty.recover_crashed_tasks()
        peers.completed("left")

        assert before is _S.RUNNING

    @pytest.mark.parametrize("task_type", [SAMPLE, RESUMABLE])
    def test_rec2_a_recovery_is_counted_once(self, peers: Peers, task_type: str) -> None:
        """
        Crashed and free until somebody goes on: here nobody runs the type, and the next node with the executor does.
        """
        (finder,) = peers.start("finder", types=("other",))
        peers.put(left_behind("left", age=10_000, lease=100, task_type=task_type, checkpoint_data={"at": 7}))
        finder.recover_crashed_tasks()
        crashed = peers.reached("left", _S.CRASHED)
        eventually(lambda: finder.get_metric("tasks.crashed"), "the crash is counted")
        peers.start("next")
        done = peers.completed("left")

        assert (crashed.lock_owner, crashed.lock_date, crashed.executing_node_id) == (None, None, None)
        assert (crashed.current_step, crashed.status_details["crashedNode"]) == ("CRASHED", "dead-node")
        assert [finder.get_metric(f"tasks.{name}") for name in ("crashed", "recovery.successes")] == [1, 1]
        assert [line.resumed for line in peers.journal.lines("left")] == [task_type == RESUMABLE]
        assert done.last_executed_by == "next"

    @pytest.mark.parametrize(
        ("over", "status"),
        [
            ({"failure_count": 3, "max_retries": 3}, _S.COMPLETED),
            ({"failure_count": 4, "max_retries": 3}, _S.COMPLETED),
            ({"crash_count": 1, "max_crashes": 2}, _S.COMPLETED),
            ({"crash_count": 2, "max_crashes": 2}, _S.FAILED),
        ],
    )
    def test_rec4_crashes_have_a_limit_of_their_own(
        self, peers: Peers, over: dict[str, int], status: TaskStatus
    ) -> None:
        """
        The original looks at the failures, and does not keep even that limit (fault 9). Here P11 and `max_crashes`
        decide: failures neither count for it nor are counted by it, and beyond the limit the task is FAILED.
        """
        node = peers.one()
        peers.put(left_behind("left", age=10_000, lease=100, **over))
        node.recover_crashed_tasks()
        ended = peers.reached("left", _S.COMPLETED, _S.FAILED)

        assert ended.status is status
        assert len(peers.journal.lines("left")) == (1 if status is _S.COMPLETED else 0)
        assert status is _S.COMPLETED or (ended.failure_count, ended.crash_count) == (over.get("failure_count", 0), 3)

    def test_rec5_a_disabled_task_is_freed_and_not_run(self, peers: Peers) -> None:
        """
        It stays CRASHED.
        """
        node = peers.one()
        peers.put(left_behind("left", age=10_000, lease=100, enabled=False))
        node.recover_crashed_tasks()
        crashed = peers.reached("left", _S.CRASHED)
        peers.completed(node.new_task(SAMPLE).schedule().id)

        assert crashed.lock_owner is None
        assert peers.now("left") == crashed
        assert peers.journal.lines("left") == []

    def test_rec5_a_node_that_runs_nothing_frees_and_does_not_run(self, peers: Peers) -> None:
        """
        Neither does it keep what it cannot run: an executor node goes on (fault 14).
        """
        (desk,) = peers.start("desk", executor_node=False)
        peers.put(left_behind("left", age=10_000, lease=100))
        desk.recover_crashed_tasks()
        crashed = peers.reached("left", _S.CRASHED)
        peers.start("a")
        done = peers.completed("left")

        assert (crashed.lock_owner, crashed.history[0]["recoveryNode"]) == (None, "desk")
        assert done.last_executed_by == "a"

    def test_rec6_a_waiting_task_waits_on(self, peers: Peers) -> None:
        """
        While a dependency is unmet; then it is SCHEDULED and runs. An old lock on it holds nobody up.
        """
        node = peers.one()
        node.new_task(SAMPLE).with_id("first").with_parameters({"script": ["hold"]}).schedule()
        node.new_task(SAMPLE).with_id("second").with_dependencies("first").schedule()
        peers.edit("second", lambda task: evolve(task, lock_owner="dead-node", lock_date=1, lock_lease_millis=100))
        node.recover_crashed_tasks()
        peers.completed(node.new_task(SAMPLE).schedule().id)
        waiting = peers.now("second")
        peers.journal.open_gate("first")
        done = peers.completed("second")

        assert waiting.status is _S.WAITING
        assert (done.waiting_on_tasks, done.lock_owner) == ((), None)

    def test_an_old_lock_is_no_reason_to_run(self, peers: Peers) -> None:
        """
        A SCHEDULED task whose lock expired long ago, due in an hour, is not run now (fault 28), and an old lock does
        not keep one that is due.
        """
        node = peers.one()
        lock = {"lock_owner": "dead-node", "lock_date": wall() - 60_000, "lock_lease_millis": 100}
        peers.put(waiting_task("later", **lock), waiting_task("due", **lock, next_scheduled_execution=1))
        node.recover_crashed_tasks()
        done = peers.completed("due")

        assert done.lock_owner is None
        assert peers.now("later").status is _S.SCHEDULED
        assert peers.journal.lines("later") == []
