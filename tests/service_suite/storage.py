"""
Persistent and memory storage: locks that are seen, stale writes, copies, restarts.
"""

from __future__ import annotations

from threading import Event
from typing import Any

from tests.service_suite.bodies import RESUMABLE, SAMPLE
from tests.service_suite.peers import NODE, Peers, waiting_task
from tests.waiting import eventually
from unomi_scheduler import TaskStatus
from unomi_scheduler.model import Task, evolve
from unomi_scheduler.ports import Action, Result, Write

_S = TaskStatus


def _unlocked(task: Task) -> Task:
    return evolve(task, lock_owner=None, lock_date=None)


class Storage:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_s17_the_lock_of_a_run_is_seen_and_so_is_its_removal(self, peers: Peers) -> None:
        """
        Owner, date and lease stand in the document of an exclusive run, and its slot is taken (P15).

        The original stops there. Here an edit of the lock is no change of the claim, so the run ends well (P4).
        """
        node = peers.one()
        builder = node.new_task(SAMPLE).with_id("held").with_parameters({"script": ["hold"]})
        builder.disallow_parallel_execution().as_one_shot().schedule()
        peers.said("start", "held")
        locked = peers.now("held")
        slots = [slot.record.task_id for slot in peers.store.slots([SAMPLE])]
        peers.edit("held", _unlocked)
        unlocked = peers.now("held")
        peers.journal.open_gate("held")
        done = peers.completed("held")

        assert (locked.lock_owner, locked.status) == (NODE, _S.RUNNING)
        assert locked.lock_date is not None
        assert slots == ["held"]
        assert (unlocked.lock_owner, unlocked.lock_date) == (None, None)
        assert (done.success_count, len(peers.journal.lines("held"))) == (1, 1)

    def test_s30_a_recurring_task_goes_on_after_a_restart(self, peers: Peers) -> None:
        """
        The executor is registered only after the second start.
        """
        node = peers.one()
        task = node.new_task(SAMPLE).with_period(200, "MILLISECONDS").schedule()
        peers.said("start", task.id)
        node.stop()
        before = len(peers.journal.lines(task.id))
        late = peers.make()
        late.start()
        late.executor(SAMPLE)(lambda context: peers.journal.say("late", context))
        peers.said("late", task.id)
        later = peers.when(task.id, lambda one: one.success_count > before)

        assert later.id == task.id

    def test_a_recurring_task_goes_on_after_a_stop_in_its_run(self, peers: Peers) -> None:
        """
        The stop leaves it CRASHED and free, and that is no dead end (fault 8); it does not count as a crash (P18).
        """
        node = peers.one()
        builder = node.new_task(RESUMABLE).with_id("again").with_parameters({"script": ["hold", "ok"]})
        builder.with_period(200, "MILLISECONDS").schedule()
        peers.said("start", "again")
        node.stop()
        left = peers.now("again")
        peers.one()
        later = peers.when("again", lambda task: task.success_count >= 2)

        assert (left.status, left.lock_owner, left.enabled, left.crash_count) == (_S.CRASHED, None, True, 0)
        assert later.crash_count == 0

    def test_x1_a_stale_write_is_refused(self, peers: Peers) -> None:
        """
        The document stays as the first writer left it; a creation never takes an id that is used (fault 1).
        """
        peers.put(waiting_task("raced"))
        first = second = peers.stored("raced")
        won, lost, made = (
            peers.store.write([write])[0].result
            for write in (
                Write(Action.REPLACE, evolve(first.record, max_retries=7), first.version),
                Write(Action.REPLACE, evolve(second.record, max_retries=8), second.version),
                Write(Action.CREATE, waiting_task("raced", max_retries=9)),
            )
        )

        assert (won, lost, made) == (Result.WRITTEN, Result.CONFLICT, Result.CONFLICT)
        assert peers.now("raced").max_retries == 7

    def test_x12_what_is_read_is_a_copy(self, peers: Peers) -> None:
        """
        Of every read and every search, down to nested maps; a peer's save does not alter a copy that is held.
        """
        peers.put(waiting_task("copied", parameters={"nested": {"list": [1]}}, checkpoint_data={"n": {"m": 1}}))
        held = peers.now("copied")
        found = peers.manager.find_tasks(task_type=SAMPLE).list[0]
        peers.edit("copied", lambda task: evolve(task, max_retries=9, parameters={"nested": {"list": [2]}}))
        for one in (held, found):
            nested: Any = one.parameters["nested"]
            nested["list"].append(3)

        assert (held.max_retries, held.parameters) == (3, {"nested": {"list": [1, 3]}})
        assert peers.now("copied").parameters == {"nested": {"list": [2]}}
        assert peers.now("copied").checkpoint_data == {"n": {"m": 1}}

    def test_what_others_wrote_into_a_document_is_kept(self, peers: Peers) -> None:
        """
        A task of another tenant runs like any other, and keeps its tenant (fault 27); milliseconds are kept (13).
        """
        peers.one()
        peers.put(waiting_task("theirs", next_scheduled_execution=1_750_000_000_123, extra={"tenantId": "other"}))
        done = peers.completed("theirs")

        assert done.extra["tenantId"] == "other"
        assert (done.success_count, done.creation_date % 1_000) == (1, peers.now("theirs").creation_date % 1_000)

    def test_a_memory_run_may_outlast_every_lease(self, peers: Peers) -> None:
        """
        It is tracked by its process, not by the age of a lock (fault 33).
        """
        gate, ran = Event(), []
        node = peers.one(lease="1s", max_clock_offset="1s")

        def body() -> None:
            ran.append(1)
            gate.wait(1.5)

        task = node.new_task("local").non_persistent().as_one_shot().with_simple_executor(body).schedule()

        def ended() -> Task | None:
            node.recover_crashed_tasks()
            now = node.get_task(task.id)
            return now if now.status not in (_S.SCHEDULED, _S.RUNNING) else None

        done = eventually(ended, "the run ends")

        assert (done.status, done.success_count, done.crash_count, len(ran)) == (_S.COMPLETED, 1, 0, 1)
        assert peers.manager.get_persistent_tasks() == []
