"""
The scenarios of locks, runs and recovery that need one exact interleaving: on one real core, turned by hand.

Here a run is owned by a claim, and a node is alive by its heartbeat; the original locks each task. Each test says which
rule decides instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import NOW, make_due_task, make_heartbeat, make_running_task
from unomi_scheduler.errors import StoreRefused
from unomi_scheduler.model import Heartbeat, Stored, Task, TaskStatus, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import Interrupted, RunEnded, Succeeded
from unomi_scheduler.ports import Action, Outcome, Result, Write
from unomi_scheduler.rules.outcomes import crash
from unomi_scheduler.rules.placement import partition_of, share_of

_S = TaskStatus
DAY = 86_400_000


def _claims(command: m.Command) -> bool:
    return isinstance(command, m.Batch) and any(
        isinstance(write.record, Task) and write.record.status is _S.RUNNING for write in command.writes
    )


def _crashes(command: m.Command) -> bool:
    return isinstance(command, m.Batch) and any(
        isinstance(write.record, Task) and write.record.status is _S.CRASHED for write in command.writes
    )


def _metric(bench: Bench, name: str) -> int:
    return bench.core.board._metrics.get(f"tasks.{name}")


def _found(bench: Bench, task_id: str) -> Stored[Task]:
    stored = bench.store.tasks([task_id])[0]
    assert stored is not None
    assert isinstance(stored.record, Task)
    return Stored(stored.record, stored.version)


def _replace(bench: Bench, task: Task) -> None:
    (outcome,) = bench.store.write([Write(Action.REPLACE, task, _found(bench, task.id).version)])
    assert outcome.result is Result.WRITTEN


def _beats(bench: Bench, document_id: str) -> list[Stored[Heartbeat]]:
    return bench.store.heartbeats([document_id])


def _beat(bench: Bench, document_id: str, **over: Any) -> None:
    (stored,) = _beats(bench, document_id)
    moved = replace(stored.record, counter=stored.record.counter + 1, **over)
    bench.store.write([Write(Action.REPLACE, moved, stored.version)])


def _in_share_of(node_id: str) -> str:
    share = share_of(node_id, frozenset({"node-a", "node-b"}))
    return next(
        one for one in (f"task-{n}" for n in range(1_000)) if partition_of(make_due_task(id=one)) in share
    )  # fmt: skip


def _running(task_id: str = "one", **over: Any) -> tuple[Bench, str]:
    """
    Return a node that runs one task, and the claim.
    """
    bench = Bench()
    bench.put(make_due_task(id=task_id, **over))
    bench.settle()
    return bench, bench.starts()[0].claim_id


# --- locks


def test_lock5_a_lost_claim_is_counted_and_nothing_is_released() -> None:
    """
    A conflict is a normal result (P1): one write was tried, and no other follows it.
    """
    bench = Bench()
    sent: list[m.Batch] = []
    bench.fault = sent.append
    bench.put(make_due_task(id="raced"))
    bench.hold = _claims
    bench.settle()
    _replace(bench, theirs := make_running_task(id="raced"))
    bench.release()
    bench.settle()

    assert (_metric(bench, "lock.attempts"), _metric(bench, "lock.conflicts"), len(sent)) == (1, 1, 1)
    assert (bench.starts(), bench.task("raced"), len(bench.core.running)) == ([], theirs, 0)


def test_lock6_a_task_that_is_gone_is_not_claimed() -> None:
    """
    It was deleted behind the search that found it: nothing runs, and no document is made (fault 5).
    """
    bench = Bench()
    bench.put(make_due_task(id="gone"))
    bench.hold = _claims
    bench.settle()
    stored = _found(bench, "gone")
    bench.store.write([Write(Action.DELETE, stored.record, stored.version)])
    bench.release()
    bench.settle()

    assert (bench.starts(), bench.store.tasks(["gone"]), len(bench.core.running)) == ([], [None], 0)


@pytest.mark.parametrize(
    "change",
    [
        {"lock_owner": "node-a", "owner_incarnation": "first", "claim_id": "other"},
        {"status": _S.CANCELLED, "claim_id": None, "enabled": False},
    ],
)
def test_lock8_a_run_that_lost_its_task_leaves_it_alone(change: dict[str, Any]) -> None:
    """
    Claimed by another node, or cancelled: its outcome is dropped and counted as fenced (P4; RUN15 and fault 5).
    """
    bench, claim_id = _running()
    _replace(bench, evolve(bench.task("one"), **change))
    bench.post(RunEnded(claim_id=claim_id, verdict=Succeeded(), duration=1))
    bench.settle()
    left = bench.task("one")

    assert (left.status, left.claim_id, left.success_count) == (
        change.get("status", _S.RUNNING), change["claim_id"], 0,
    )  # fmt: skip
    assert (_metric(bench, "fenced"), _metric(bench, "completed")) == (1, 0)


def test_lock9_a_cancelled_task_of_a_dead_node_is_freed_as_it_stands() -> None:
    """
    Neither its status nor anything else of it changes but the owner (P17).
    """
    bench = Bench()
    cancelled = make_running_task(id="ended", status=_S.CANCELLED, claim_id=None, enabled=False)
    bench.put(make_heartbeat(dead_by="somebody", lease_millis=LEASE), cancelled)
    bench.pass_time(8_000)
    left = bench.task("ended")

    assert (left.lock_owner, left.owner_incarnation) == (None, None)
    assert (left.status, left.history, left.enabled) == (_S.CANCELLED, (), False)


def test_lock10_a_living_peers_run_is_not_touched() -> None:
    """
    Its lock is a day old and its heartbeat moves: heartbeats decide (P7; REC7).
    """
    bench = Bench()
    theirs = make_running_task(id="theirs", lock_date=NOW - DAY, lock_lease_millis=1)
    bench.put(make_heartbeat(lease_millis=LEASE), theirs)
    for _ in range(10):
        _beat(bench, "node-a:first")
        bench.pass_time(1_000)

    assert bench.task("theirs") == theirs
    assert _metric(bench, "recovery.attempts") == 0


def test_lock11_an_end_is_counted_when_it_is_acknowledged() -> None:
    """
    Not while the store refuses it (fault 23).
    """
    bench, claim_id = _running()
    refusals = [[Outcome(Result.REFUSED, error=StoreRefused("full"))]]
    bench.fault = lambda _: refusals.pop() if refusals else None
    bench.post(RunEnded(claim_id=claim_id, verdict=Succeeded(), duration=7))
    bench.settle()
    before = (_metric(bench, "completed"), _metric(bench, "lock.released"))
    bench.pass_time(1_000)

    assert before == (0, 0)
    assert (_metric(bench, "completed"), _metric(bench, "lock.released")) == (1, 1)
    assert _metric(bench, "execution.time") == 7
    assert bench.task("one").status is _S.COMPLETED


@pytest.mark.parametrize(
    ("age", "lease", "expired"),
    [
        (500, 500, False),
        (501, 500, True),
        (LEASE + 1, LEASE + 1, False),
        (600, 10_000, False),
        (LEASE, 0, False),
        (LEASE + 1, 0, True),
        (LEASE, -1, False),
        (LEASE + 1, -1, True),
        (10 * DAY, 10**15, False),
        (None, 10**15, True),
    ],
)
def test_lock12_a_foreign_lock_expires_by_its_own_lease(age: int | None, lease: int, *, expired: bool) -> None:
    """
    Strictly after it; without one by the lease of this node; without a date at once (P9).
    """
    bench = Bench()
    bench.put(
        make_running_task(
            id="left", task_type="unknown", owner_incarnation=None, claim_id=None, lock_lease_millis=lease,
            lock_date=None if age is None else NOW - age,
        )
    )  # fmt: skip
    bench.settle()

    assert bench.task("left").status is (_S.CRASHED if expired else _S.RUNNING)


def test_lock14_a_foreign_share_is_left_to_its_owner_for_a_moment() -> None:
    """
    A second after the due time it is open for everybody; the own share is claimed at once (P13).
    """
    bench = Bench()
    mine, theirs = _in_share_of("node-b"), _in_share_of("node-a")
    bench.put(make_heartbeat(lease_millis=60_000, task_types=("sample",)))
    bench.settle()
    bench.put(*(make_due_task(id=one, next_scheduled_execution=NOW + 500) for one in (mine, theirs)))
    bench.pass_time(1_480)
    before = [ticket.task.id for ticket in bench.starts()]
    bench.pass_time(2_000)

    assert before == [mine]
    assert [ticket.task.id for ticket in bench.starts()] == [mine, theirs]


def test_lock14_a_task_for_others_is_never_claimed() -> None:
    """
    It names a node that is not this one, however late it is.
    """
    bench = Bench()
    bench.put(make_due_task(id="theirs", on_nodes=("node-a",)))
    bench.pass_time(5_000)

    assert bench.starts() == []


def test_lock15_without_its_lease_a_node_claims_nothing() -> None:
    """
    It fails closed: no attempt, and the task stays as it is (P7; the lock that is denied in RUN1).
    """
    bench = Bench()
    (version,) = bench.put(task := make_due_task(id="due"))
    assert version is not None
    bench.lease = False
    bench.post(m.Offered(Stored(task, version)))
    bench.pass_time(3_000)

    assert (bench.starts(), bench.task("due"), _metric(bench, "lock.attempts")) == ([], task, 0)


def test_store4_the_dates_in_a_heartbeat_prove_nothing() -> None:
    """
    One that moves is alive though its date is ten hours old; one that does not move is dead a lease after it was first
    seen, though its date is of now (P7; fault 13). Its document goes at the scan after the search for rows it left out.
    """
    bench = Bench()
    slow = make_heartbeat(node_id="slow", incarnation="x", lease_millis=LEASE, beat_at=NOW - DAY // 2)
    stuck = make_heartbeat(node_id="stuck", incarnation="y", lease_millis=LEASE, beat_at=NOW + DAY)
    bench.put(slow, stuck)
    for second in range(9):
        bench.pass_time(1_000)
        _beat(bench, "slow:x")
        dead = [stored.record.dead_by for stored in _beats(bench, "stuck:y")]
        assert second > 2 or dead == [None]

    assert [stored.record.dead_by for stored in _beats(bench, "slow:x")] == [None]
    assert _beats(bench, "stuck:y") == []


# --- runs


def test_run14_a_run_that_was_called_crashed_is_not_called_back() -> None:
    """
    The original takes it for RUNNING again when its node speaks up; here a death is declared by a write, and what the
    old run says afterwards is dropped (P4, P8).
    """
    bench, claim_id = _running(task_type="sample")
    running = bench.task("one")
    _replace(bench, evolve(crash(running, now=NOW, found_by="node-a", reason="silent"), enabled=False))
    bench.post(RunEnded(claim_id=claim_id, verdict=Succeeded(), duration=1))
    bench.settle()
    left = bench.task("one")

    assert (left.status, left.success_count, left.crash_count) == (_S.CRASHED, 0, 1)
    assert [entry["status"] for entry in left.history] == ["CRASHED"]
    assert len(bench.core.running) == 0


@pytest.mark.parametrize("status", [_S.SCHEDULED, _S.CRASHED])
def test_run17_a_claim_that_is_won_in_a_stop_is_given_back(status: TaskStatus) -> None:
    """
    Nothing ran, so the task is again what it was, and free (P10): the original leaves it CRASHED. Nothing of the run is
    left here either (RUN16).
    """
    bench = Bench()
    bench.put(task := make_due_task(id="late", status=status))
    bench.hold = _claims
    bench.settle()
    bench.post(m.StopRequested(deadline=bench.clock.boot, exiting=False))
    bench.settle()
    bench.hold = lambda _: False
    bench.release()
    bench.settle()
    left = bench.task("late")

    assert bench.starts() == []
    assert (left.status, left.lock_owner, left.claim_id) == (status, None, None)
    assert left.fence > task.fence
    assert any(isinstance(one, m.Stopped) for one in bench.given)


def test_run17_a_run_that_gives_up_in_a_stop_is_crashed_and_free() -> None:
    """
    It began, so something may have happened; it does not count as a crash (P18).
    """
    bench, claim_id = _running()
    bench.post(m.StopRequested(deadline=bench.clock.boot, exiting=False))
    bench.settle()
    bench.post(RunEnded(claim_id=claim_id, verdict=Interrupted("the node is stopping"), duration=1))
    bench.settle()
    left = bench.task("one")

    assert (left.status, left.lock_owner, left.crash_count) == (_S.CRASHED, None, 0)


# --- recovery


def test_rec1_a_node_that_stops_recovers_nothing() -> None:
    """
    A run was left behind when it was told to stop.
    """
    bench, _ = _running()
    bench.post(m.StopRequested(deadline=bench.clock.boot + 60_000, exiting=False))
    bench.settle()
    bench.put(make_running_task(id="left", owner_incarnation=None, lock_date=NOW - DAY, lock_lease_millis=1))
    bench.pass_time(2 * LEASE)

    assert bench.task("left").status is _S.RUNNING
    assert _metric(bench, "recovery.attempts") == 0


@pytest.mark.parametrize("status", [_S.COMPLETED, _S.RUNNING])
def test_rec8_a_recovery_that_lost_its_write_starts_nothing(status: TaskStatus) -> None:
    """
    A peer recovered the run meanwhile, and completed it or runs it now.
    """
    bench = Bench()
    bench.put(make_running_task(id="left", owner_incarnation=None, lock_date=NOW - DAY, lock_lease_millis=1))
    bench.hold = _crashes
    bench.settle()
    assert len(bench.held) == 1
    owner = {} if status is _S.COMPLETED else {"lock_owner": "node-c", "owner_incarnation": "c", "claim_id": "other"}
    _replace(bench, theirs := make_due_task(id="left", status=status, fence=NOW + 1, **owner))
    bench.hold = lambda _: False
    bench.release()
    bench.settle()

    assert (bench.starts(), bench.task("left"), _metric(bench, "crashed")) == ([], theirs, 0)
