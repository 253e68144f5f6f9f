"""
Interleavings that would break the promise, one by one on the real core.
"""

from __future__ import annotations

from tests.core_bench import LEASE, Bench
from tests.factories import make_due_task, make_heartbeat, make_task
from unomi_scheduler.errors import InvalidTask, StoreRefused, StoreUnavailable
from unomi_scheduler.model import Slot, Stored, Task, TaskStatus, Version
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.deaths import Declare
from unomi_scheduler.node.membership import Membership, Peer
from unomi_scheduler.node.runs import Interrupted, ReportRefused, RunEnded, RunReported, Succeeded
from unomi_scheduler.ports import Outcome, Result
from unomi_scheduler.rules.progress import Progress


def _claims(command: m.Command) -> bool:
    return isinstance(command, m.Batch) and any(
        isinstance(write.record, Task) and write.record.status is TaskStatus.RUNNING for write in command.writes
    )


def _takes_slot(command: m.Command) -> bool:
    return isinstance(command, m.Batch) and any(isinstance(write.record, Slot) for write in command.writes)


def _rejoin_while_held(bench: Bench) -> None:
    bench.release()
    answers, bench.inbox = bench.inbox, []
    bench.lease = False
    bench.post(m.Rejoined("second-b"))
    bench.settle()
    bench.lease, bench.hold = True, lambda _: False
    bench.inbox = answers + bench.inbox
    bench.settle()


def test_a_claim_of_a_former_incarnation_is_given_back() -> None:
    """
    Its answer comes after the node was fenced and joined again: the run starts only under a new claim (P8).
    """
    bench = Bench()
    bench.put(make_due_task(id="late"))
    bench.hold = _claims
    bench.settle()
    _rejoin_while_held(bench)

    assert ["second-b"] * len(bench.starts()) == [one.task.owner_incarnation for one in bench.starts()]


def test_a_slot_of_a_former_incarnation_is_freed() -> None:
    """
    A peer may free it at any moment, so nothing runs under it (P15).
    """
    bench = Bench()
    bench.put(make_due_task(id="lonely", allow_parallel_execution=False))
    bench.hold = _takes_slot
    bench.settle()
    _rejoin_while_held(bench)
    bench.pass_time(1_000)

    assert ["second-b"] == [one.task.owner_incarnation for one in bench.starts()]
    assert ["second-b"] == [stored.record.incarnation for stored in bench.store.slots()]


def test_a_report_the_store_does_not_take_after_a_lost_answer_settles() -> None:
    """
    The same document was sent both times, so neither was stored: the body is told, and the run ends as it should.
    """
    bench = Bench()
    bench.put(make_due_task(id="big"))
    bench.settle()
    answers = [
        Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer")),
        Outcome(Result.REFUSED, error=InvalidTask("too large")),
    ]
    bench.fault = lambda _: [answers.pop(0)] if answers else None
    claim_id = bench.starts()[0].claim_id
    bench.post(RunReported(claim_id=claim_id, progress=Progress(checkpoint={"n": 1}), receipt=1))
    bench.pass_time(1_000)
    bench.post(RunEnded(claim_id=claim_id, verdict=Succeeded(), duration=1))
    bench.pass_time(1_000)

    assert [1] == [one.receipt for one in bench.given if isinstance(one, ReportRefused)]
    assert TaskStatus.COMPLETED is bench.task("big").status
    assert 0 == len(bench.core.running)


def test_a_claim_that_was_refused_is_tried_again_by_the_next_sweep() -> None:
    """
    The node knows the very version that the search shows; that is no reason to ignore it.
    """
    bench = Bench()
    (version,) = bench.put(task := make_due_task(id="own"))
    assert version is not None
    refusals = [[Outcome(Result.REFUSED, error=StoreRefused("429"))]]
    bench.fault = lambda batch: refusals.pop() if refusals and _claims(batch) else None
    bench.post(m.Offered(Stored(task, version)))
    bench.pass_time(1_500)

    assert 1 == len(bench.starts())


def test_a_dependent_scheduled_here_is_not_forgotten_by_a_scan() -> None:
    """
    The index does not show it yet; the end of its dependency wakes it at once all the same (P14).
    """
    bench = Bench()
    bench.put(dependency := make_due_task(id="first"))
    bench.settle()
    waiting = make_task(
        id="second", status=TaskStatus.WAITING, depends_on=("first",), waiting_on_tasks=("first",),
        next_scheduled_execution=dependency.next_scheduled_execution,
    )  # fmt: skip
    bench.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, m.AskWaiting)
    (version,) = bench.put(waiting)
    assert version is not None
    bench.post(m.Offered(Stored(waiting, version)))
    bench.settle()
    bench.post(RunEnded(claim_id=bench.starts()[0].claim_id, verdict=Succeeded(), duration=1))
    bench.pass_time(100)

    assert ["first", "second"] == [one.task.id for one in bench.starts()]


def test_what_becomes_due_during_a_turn_is_claimed_by_the_next() -> None:
    """
    At once, not after the pause for what could not be done.
    """
    bench = Bench()
    bench.put(make_due_task(id="soon", next_scheduled_execution=bench.clock.now().wall + 105))
    bench.settle()
    bench.pass_time(100)
    bench.clock.advance(10)
    now = bench.clock.now()

    assert bench.core.next_at(now) == now.boot
    bench.settle()
    assert ["soon"] == [one.task.id for one in bench.starts()]
    assert bench.core.next_at(now) > now.boot


def test_what_cannot_be_claimed_is_not_tried_without_a_pause() -> None:
    """
    The lease is lost while something is due.
    """
    bench = Bench()
    bench.put(make_due_task(id="soon", next_scheduled_execution=bench.clock.now().wall + 105))
    bench.settle()
    bench.lease = False
    bench.pass_time(120)
    now = bench.clock.now()

    assert [] == bench.starts()
    assert bench.core.next_at(now) > now.boot


def test_an_exiting_stop_ends_without_the_store() -> None:
    """
    The process must not hang because the last writes find no store; peers recover what is left (P18).
    """
    bench = Bench()
    bench.put(make_due_task(id="stuck"))
    bench.settle()
    bench.fault = lambda batch: [Outcome(Result.UNKNOWN, error=StoreUnavailable("down"))] * len(batch.writes)
    bench.post(RunEnded(claim_id=bench.starts()[0].claim_id, verdict=Interrupted("down"), duration=1))
    bench.post(m.StopRequested(deadline=bench.clock.now().boot, exiting=True))
    bench.pass_time(15_000, step=200)

    assert any(isinstance(one, m.Stopped) for one in bench.given)


def test_a_mark_of_death_is_conditional_on_the_silence_that_was_seen() -> None:
    """
    The mark waits to be sent, and a later read shows that the peer moved: it lives (P8).
    """
    silent, moved = (make_heartbeat(incarnation="first-a", counter=counter) for counter in (1, 2))
    peer = Peer(Stored(silent, Version("x", 1, 1)), since=0)
    change = Declare(Membership("node-b", "first-b", lease_millis=LEASE), peer, lambda _: None)
    peer.seen = Stored(moved, Version("x", 2, 1))
    write = change.prepare(Bench().clock.now())

    assert write is not None
    assert Version("x", 1, 1) == write.condition
