"""
Leaving a store and joining another, step by step on the real cores; and the clock that must be known before a claim.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import NOW, SetClock, make_due_task, make_task
from tests.originals import document_id, original
from tests.test_everywhere_node import RECORD, definition
from tests.waiting import told
from unomi_scheduler.clock import Instant
from unomi_scheduler.errors import ConfigurationError, StoreUnavailable
from unomi_scheduler.metrics import Metrics
from unomi_scheduler.model import Slot, Stored, Task, TaskStatus, TimeUnit, Version, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.clockwatch import CHECK, LATE, SOON
from unomi_scheduler.node.cores import Cores
from unomi_scheduler.node.dependents import RAREST_POLL
from unomi_scheduler.node.leaving import GIVE_UP
from unomi_scheduler.node.options import NodeOptions
from unomi_scheduler.node.runs import (
    ExecutorInfo,
    Interrupted,
    NotStarted,
    Pool,
    RunEnded,
    Signal,
    StartRun,
    Succeeded,
    TellRun,
)
from unomi_scheduler.node.table import MemoryTable
from unomi_scheduler.ports import Action, HistoryQuery, Outcome, Result, TaskStore, Write
from unomi_scheduler.rules import requests
from unomi_scheduler.rules.dependencies import MANY
from unomi_scheduler.stores.memory import MemoryStore

WAIT = 1_000
DOWN = StoreUnavailable("down")


class Mover(Bench):
    """
    A bench that may have to do with several stores; the first is bound.
    """

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryTable()
        self.held_bindings = {1, 2}
        self.stores: dict[int, MemoryStore] = {1: self.store, 2: MemoryStore(self.clock)}
        self.cores = self.machine = Cores(
            NodeOptions(node_id="node-b", lease_millis=LEASE, threads=2, system_threads=1, async_slots=2),
            rng=Random(1),
            metrics=Metrics(),
            memory=self.memory,
            lease_held=lambda binding, _: binding in self.held_bindings,
        )
        self.bind(1)

    def _store_of(self, binding: int) -> TaskStore:
        return self.stores[binding]

    def bind(self, binding: int) -> None:
        """
        Join a store.
        """
        self.post(m.StoreBound(binding, f"incarnation-{binding}"))

    def leave(self) -> None:
        """
        Leave the store that is bound; there is a second for it.
        """
        self.post(m.LeaveStore(self.clock.now().boot + WAIT))

    def plant(self, binding: int, *tasks: Task) -> None:
        """
        Create tasks in the store of a binding.
        """
        self.stores[binding].write([Write(Action.CREATE, one) for one in tasks])

    def end_task(self, task_id: str, verdict: Any = None) -> None:
        """
        Let the last body of a task return.
        """
        ticket = next(one for one in reversed(self.starts()) if one.task.id == task_id)
        self.post(RunEnded(claim_id=ticket.claim_id, verdict=verdict or Succeeded(), duration=1))

    def read(self, binding: int, task_id: str) -> Task:
        """
        Return a task as it stands in the store of a binding.
        """
        found = self.stores[binding].tasks([task_id])[0]
        assert found is not None
        assert isinstance(found.record, Task)
        return found.record

    def commands(self, kind: type[Any]) -> list[Any]:
        """
        Return the commands of one kind given out so far.
        """
        return [one for one in self.given if isinstance(one, kind)]


def _claims(command: m.Command) -> bool:
    return isinstance(command, m.Batch) and any(
        isinstance(write.record, Task) and write.record.status is TaskStatus.RUNNING for write in command.writes
    )


@pytest.fixture
def mover() -> Mover:
    """
    A node with one task that runs.
    """
    one = Mover()
    one.plant(1, make_due_task(id="one"))
    one.settle()
    assert ["one"] == [ticket.task.id for ticket in one.starts()]
    return one


def test_leaving_tells_the_runs_and_writes_their_ends(mover: Mover) -> None:
    """
    They hear of it as of a lost lease; one that gives up is crashed, free and not counted; then the store is left.
    """
    mover.leave()
    mover.settle()
    mover.end_task("one", Interrupted("the node's lease ended"))
    mover.settle()
    task = mover.read(1, "one")

    assert [Signal.LEASE_LOST] == [one.signal for one in mover.commands(TellRun)]
    assert [m.Recall(memory=False)] == mover.commands(m.Recall)
    assert [m.Left(settled=True, binding=1)] == mover.commands(m.Left)
    assert (TaskStatus.CRASHED, None, 0) == (task.status, task.owner_incarnation, task.crash_count)
    assert {} == mover.cores.former


def test_a_store_that_is_left_is_not_claimed_from(mover: Mover) -> None:
    """
    Neither what is due there, nor after it was left.
    """
    mover.leave()
    mover.plant(1, make_due_task(id="two"))
    mover.pass_time(3 * WAIT)
    mover.end_task("one")
    mover.pass_time(3 * WAIT)

    assert TaskStatus.SCHEDULED is mover.read(1, "two").status
    assert TaskStatus.COMPLETED is mover.read(1, "one").status
    assert 1 == len(mover.starts())


def test_what_no_worker_began_goes_back_as_it_was(mover: Mover) -> None:
    """
    A ticket that is taken back, and a claim whose answer comes after the wish to leave (P10).
    """
    mover.plant(1, make_due_task(id="queued"))
    mover.pass_time(1_000)
    mover.hold = _claims
    mover.plant(1, make_due_task(id="late", next_scheduled_execution=mover.clock.wall))
    mover.end_task("one")
    mover.pass_time(1_000)
    assert mover.held
    mover.leave()
    mover.settle()
    mover.end_task("queued", NotStarted())
    mover.hold = lambda _: False
    mover.release()
    mover.settle()

    assert ["one", "queued"] == [ticket.task.id for ticket in mover.starts()]
    for name in ("queued", "late"):
        task = mover.read(1, name)
        assert (TaskStatus.SCHEDULED, None, ()) == (task.status, task.owner_incarnation, task.history)
    assert [m.Left(settled=True, binding=1)] == mover.commands(m.Left)


def test_a_body_that_does_not_return_keeps_its_task(mover: Mover) -> None:
    """
    And the binding, until it does; its end is written to the store it came from, whatever is bound by then (P18).
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    assert [m.LeftBehind((mover.starts()[0].claim_id,), binding=1)] == mover.commands(m.LeftBehind)
    mover.bind(2)
    mover.plant(2, make_due_task(id="two"))
    mover.pass_time(3 * LEASE)
    assert TaskStatus.RUNNING is mover.read(1, "one").status
    mover.end_task("two")
    mover.end_task("one")
    mover.settle()

    assert TaskStatus.COMPLETED is mover.read(1, "one").status
    assert TaskStatus.COMPLETED is mover.read(2, "two").status
    assert [m.Left(settled=True, binding=1)] == mover.commands(m.Left)


def test_a_body_that_does_not_return_keeps_its_slot() -> None:
    """
    No other task of an exclusive type begins beside it; when it returns the slot is freed before the store is left.
    """
    mover = Mover()
    mover.plant(1, make_due_task(id="lonely", allow_parallel_execution=False))
    mover.settle()
    mover.leave()
    mover.pass_time(2 * WAIT)
    (slot,) = mover.stores[1].slots()
    assert mover.starts()[0].claim_id == slot.record.claim_id
    mover.end_task("lonely")
    mover.settle()

    assert [Slot(task_type="sample")] == [one.record for one in mover.stores[1].slots(["sample"])]
    assert [m.Left(settled=True, binding=1)] == mover.commands(m.Left)


def test_its_thread_is_not_given_to_the_other_store(mover: Mover) -> None:
    """
    Of the two threads one is taken, so that one task of three is claimed.
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    mover.bind(2)
    mover.plant(2, *(make_due_task(id=f"task-{n}") for n in range(3)))
    mover.pass_time(2_000)

    assert 1 == sum(mover.read(2, f"task-{n}").status is TaskStatus.RUNNING for n in range(3))


def test_answers_of_a_former_store_are_dropped(mover: Mover) -> None:
    """
    A batch of the same number is under way in the new one: it must not be taken for done.
    """
    mover.end_task("one")
    mover.settle()
    mover.hold = lambda command: isinstance(command, m.Ask)
    mover.leave()
    mover.settle()
    assert mover.commands(m.Left)
    mover.bind(2)
    mover.hold = lambda command: isinstance(command, m.Batch)
    mover.plant(2, make_due_task(id="two"))
    mover.pass_time(500)
    batch = next(command for command, _ in mover.held if isinstance(command, m.Batch))
    lie = [Outcome(Result.WRITTEN, Version("elsewhere", 1, 1))]
    mover.post(m.Committed(batch.number, lie, binding=1))
    mover.settle()

    assert ["one"] == [ticket.task.id for ticket in mover.starts()]


def test_memory_tasks_go_on(mover: Mover) -> None:
    """
    What runs is not told, what is due starts, what ends is counted: before, between and after.
    """
    each = {"period": 100, "time_unit": TimeUnit.MILLISECONDS, "next_scheduled_execution": NOW}
    mover.memory.put(make_task(id="mem", persistent=False, **each))
    mover.post(m.TimerFired("mem"))
    mover.settle()
    claim = mover.starts()[-1].claim_id
    mover.leave()
    mover.settle()
    mover.post(RunEnded(claim_id=claim, verdict=Succeeded(), duration=1))
    mover.pass_time(2 * WAIT)
    mover.post(m.TimerFired("mem"))
    mover.settle()
    mover.bind(2)
    mover.settle()
    mover.end_task("mem")
    mover.settle()
    mem = mover.memory.get("mem")

    assert mem is not None
    assert (2, TaskStatus.SCHEDULED) == (mem.success_count, mem.status)
    assert claim not in {one.claim_id for one in mover.commands(TellRun)}


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_what_a_memory_task_waits_for_may_be_of_another_store(there: bool, asked: bool) -> None:  # noqa: FBT001 - parameters of the test
    """
    A store without it does not tell that it was deleted; where it is found, its end counts. A read of the store before
    may be under way.
    """
    mover = Mover()
    infos = {"sample": ExecutorInfo(task_type="sample", pool=Pool.TASKS)}
    mover.post(m.ExecutorsChanged(infos))
    mover.plant(1, make_task(id="far", next_scheduled_execution=NOW + 9_000_000))
    mover.memory.put(_waiting_in_memory("far"))
    if asked:
        mover.hold = _reads_for_memory
    mover.post(m.MemoryChanged("near"))
    mover.settle()
    mover.leave()
    mover.settle()
    mover.bind(2)
    mover.hold = lambda _: False
    mover.release()
    mover.pass_time(2_000)
    between = mover.memory.get("near")
    mover.plant(2, make_task(id="far", status=TaskStatus.COMPLETED if there else TaskStatus.CANCELLED))
    mover.pass_time(2_000)
    after = mover.memory.get("near")

    assert between is not None
    assert after is not None
    assert TaskStatus.WAITING is between.status
    assert (TaskStatus.SCHEDULED if there else TaskStatus.FAILED) is after.status


def test_what_was_never_seen_is_looked_for_ever_more_seldom() -> None:
    """
    It is found all the same, within half a minute; what this process itself schedules, at once.
    """
    mover = Mover()
    mover.plant(1, *(make_task(id=name, next_scheduled_execution=NOW + 9_000_000) for name in ("far", "own")))
    mover.memory.put(_waiting_in_memory("far"))
    mover.memory.put(evolve(_waiting_in_memory("own"), id="other"))
    for name in ("near", "other"):
        mover.post(m.MemoryChanged(name))
    mover.settle()
    mover.leave()
    mover.settle()
    mover.bind(2)
    before = len(mover.asked(m.AskTasks))
    mover.pass_time(600_000, step=100)
    reads = len([one for one in mover.asked(m.AskTasks)[before:] if one.purpose == "memory"])
    own = make_task(id="own", status=TaskStatus.COMPLETED)
    mover.plant(2, own, make_task(id="far", status=TaskStatus.COMPLETED))
    mover.post(m.Offered(Stored(own, Version("v", 1, 1)), binding=2))
    mover.settle()
    other, waits = mover.memory.get("other"), mover.memory.get("near")
    mover.pass_time(RAREST_POLL, step=100)
    near = mover.memory.get("near")

    assert 10 <= reads <= 30
    assert (other and other.status, waits and waits.status) == (TaskStatus.SCHEDULED, TaskStatus.WAITING)
    assert near is not None
    assert TaskStatus.SCHEDULED is near.status


def test_what_was_seen_in_the_other_store_may_be_deleted_there() -> None:
    """
    From then on it is read as often as ever, and its absence says what it says.
    """
    mover = Mover()
    mover.plant(1, far := make_task(id="far", next_scheduled_execution=NOW + 9_000_000))
    mover.memory.put(_waiting_in_memory("far"))
    mover.post(m.MemoryChanged("near"))
    mover.settle()
    mover.leave()
    mover.settle()
    mover.plant(2, far)
    mover.bind(2)
    mover.pass_time(2_000)
    (found,) = mover.stores[2].tasks(["far"])
    assert found is not None
    mover.stores[2].write([Write(Action.DELETE, found.record, found.version)])
    mover.pass_time(1_500)
    near = mover.memory.get("near")

    assert near is not None
    assert (TaskStatus.FAILED, "dependency far was deleted") == (near.status, near.last_error)


def test_a_memory_task_waits_for_what_is_not_adopted_yet() -> None:
    """
    The original's document id is not the task's: it is looked for before it counts as deleted.
    """
    mover = Mover()
    mover.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, m.AskUnplaced)
    document = original("far", nextScheduledExecution="2099-01-01T00:00:00Z")
    mover.store.plant(document_id(document), document)
    mover.memory.put(_waiting_in_memory("far"))
    mover.post(m.MemoryChanged("near"))
    mover.pass_time(1_500)
    task = mover.memory.get("near")

    assert task is not None
    assert TaskStatus.WAITING is task.status


def _waiting_in_memory(*names: str) -> Task:
    return make_due_task(id="near", persistent=False, status=TaskStatus.WAITING, waiting_on_tasks=names)


def _reads_for_memory(command: m.Command) -> bool:
    return isinstance(command, m.Ask) and isinstance(command.query, m.AskTasks) and command.query.purpose == "memory"


@pytest.mark.parametrize("dependents", [("after",), (MANY,)])
def test_those_who_wait_for_a_last_run_are_woken_before_the_store_is_left(dependents: tuple[str, ...]) -> None:
    """
    Also where the body returns when the patience is over.
    """
    mover = Mover()
    mover.plant(1, make_due_task(id="one", dependents=dependents))
    mover.plant(1, make_due_task(id="after", status=TaskStatus.WAITING, waiting_on_tasks=("one", "done")))
    mover.plant(1, make_task(id="done", status=TaskStatus.COMPLETED))
    mover.settle()
    mover.leave()
    mover.pass_time(2 * WAIT)
    mover.end_task("one")
    mover.settle()

    assert TaskStatus.SCHEDULED is mover.read(1, "after").status
    assert [m.Left(settled=True, binding=1)] == mover.commands(m.Left)


def test_a_store_that_takes_no_ends_is_left_in_the_end(mover: Mover) -> None:
    """
    Its bodies have returned, so nobody is begun twice: the heartbeat runs out and the peers recover.
    """
    mover.fault = lambda batch: [Outcome(Result.UNKNOWN, error=DOWN)] * len(batch.writes)
    mover.end_task("one")
    mover.leave()
    mover.pass_time(GIVE_UP - 1_000)
    assert [m.LeftBehind((), binding=1)] == mover.commands(m.LeftBehind)
    assert [] == mover.commands(m.Left)
    mover.pass_time(2_000)

    assert [m.Left(settled=False, binding=1)] == mover.commands(m.Left)
    assert {} == mover.cores.former


def test_a_stop_waits_for_what_was_left_behind(mover: Mover) -> None:
    """
    The node has ended when nothing of it is left in any store.
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    mover.bind(2)
    mover.settle()
    mover.post(m.StopRequested(deadline=mover.clock.now().boot + 100, exiting=False))
    mover.pass_time(3_000)
    assert [] == mover.commands(m.Stopped)
    mover.end_task("one")
    mover.settle()

    assert [m.Stopped(())] == mover.commands(m.Stopped)
    assert TaskStatus.COMPLETED is mover.read(1, "one").status


def test_an_exiting_stop_accounts_for_what_was_left_behind(mover: Mover) -> None:
    """
    The process ends at once, so a peer may go on (P18).
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    mover.post(m.StopRequested(deadline=mover.clock.now().boot, exiting=True))
    mover.pass_time(3_000)

    assert [m.Stopped((mover.starts()[0].claim_id,))] == mover.commands(m.Stopped)
    assert TaskStatus.CRASHED is mover.read(1, "one").status


def test_a_stop_while_leaving_reaches_the_core_in_office(mover: Mover) -> None:
    """
    What is joined after it claims nothing.
    """
    mover.post(m.StopRequested(deadline=mover.clock.now().boot + 100, exiting=False))
    mover.leave()
    mover.settle()
    mover.bind(2)
    mover.plant(2, make_due_task(id="two"))
    mover.pass_time(2_000)
    mover.end_task("one")
    mover.settle()

    assert TaskStatus.SCHEDULED is mover.read(2, "two").status
    assert [m.Stopped(())] == mover.commands(m.Stopped)


def test_a_core_that_waits_for_a_body_asks_nothing(mover: Mover) -> None:
    """
    It costs the store a heartbeat, and this process no turn of its own.
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    mover.hold = lambda command: isinstance(command, m.Ask | m.Batch)
    now = mover.clock.now()
    mover.pass_time(10_000, step=500)

    assert [] == mover.held
    assert mover.cores.next_at(now) >= now.boot + 1_000


def test_a_pool_of_the_office_is_whole_again(mover: Mover) -> None:
    """
    Once the body has returned its thread counts again.
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    mover.bind(2)
    mover.settle()
    before = mover.cores.current.board.slots[Pool.TASKS]
    mover.end_task("one")
    mover.settle()
    mover.settle()

    assert (1, 2) == (before, mover.cores.current.board.slots[Pool.TASKS])


def test_executors_are_known_after_the_hand_over(mover: Mover) -> None:
    """
    Those registered before, and those registered while a body is waited for.
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    infos = {name: ExecutorInfo(task_type=name, pool=Pool.LOOP) for name in ("sample", "other")}
    mover.bind(2)
    mover.post(m.ExecutorsChanged(infos))
    mover.plant(2, make_due_task(id="two", task_type="other"))
    mover.pass_time(1_000)

    assert ["one", "two"] == [command.ticket.task.id for command in mover.commands(StartRun)]


# --- the clock


class TimelessStore(MemoryStore):
    """
    A store that does not tell its clock as long as there is an error for it.
    """

    error: Exception | None = None
    asked = 0

    def clock(self) -> int:
        """
        Return the clock, or raise the error.
        """
        self.asked += 1
        if self.error is not None:
            raise self.error
        return super().clock()


def _timed(error: Exception | None) -> tuple[Bench, TimelessStore]:
    clock = SetClock()
    store = TimelessStore(clock)
    store.error = error
    bench = Bench(store=store)
    bench.clock = clock
    bench.put(make_due_task(id="one"))
    return bench, store


def test_nothing_is_claimed_before_the_clock_is_known(caplog: pytest.LogCaptureFixture) -> None:
    """
    The question is put again soon when it got no answer, later each time; with the first answer the claim goes out.
    """
    bench, store = _timed(DOWN)
    bench.pass_time(SOON - 20)
    first = store.asked
    bench.pass_time(10 * SOON)
    assert (1, []) == (first, bench.starts())
    assert 3 <= store.asked <= 6
    assert not bench.core.clock.off
    store.error = None
    bench.pass_time(LATE)

    assert ["one"] == [ticket.task.id for ticket in bench.starts()]
    assert [] == told(caplog, "clock_offset")


def test_a_store_that_cannot_tell_its_clock_is_taken_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """
    Without the permission nothing is measured, which is said once; should it be granted, the next look measures.
    """
    bench, store = _timed(ConfigurationError("permission denied"))
    bench.settle()
    bench.pass_time(3 * CHECK, step=1_000)

    assert ["one"] == [ticket.task.id for ticket in bench.starts()]
    assert 1 == len(told(caplog, "clock_unknown"))
    assert not bench.core.clock.measured
    assert store.asked == 4
    assert [] == told(caplog, "query_failed")


def test_a_clock_found_wrong_stays_wrong_without_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """
    The permission that is taken away afterwards makes it no better; a right clock is said too.
    """
    bench, store = _timed(None)
    wall = bench.clock.wall
    bench.core.handle(m.Answered(m.AskClock(), bench.clock.now(), answer=wall - 5_000), bench.clock.now())
    store.error = ConfigurationError("permission denied")
    bench.pass_time(CHECK + 1_000, step=500)
    assert (True, 5_000, []) == (bench.core.clock.off, bench.core.clock.offset, bench.starts())
    store.error = None
    bench.pass_time(CHECK + 1_000, step=500)

    assert not bench.core.clock.off
    assert ["one"] == [ticket.task.id for ticket in bench.starts()]
    assert 2 == len(told(caplog, "clock_offset"))


@pytest.mark.parametrize(("ahead", "trusted"), [(1_000, True), (1_001, False), (-1_000, True), (-1_001, False)])
def test_the_edge_of_the_offset(ahead: int, *, trusted: bool) -> None:
    """
    The limit itself is allowed, either way.
    """
    bench = Bench()
    now = bench.clock.now()
    bench.core.handle(m.Answered(m.AskClock(), now, answer=now.wall - ahead), now)

    assert (ahead, trusted) == (bench.core.clock.offset, bench.core.board.clock_trusted)


def test_the_journey_is_in_the_node_s_favour() -> None:
    """
    Half of it may be an error of the measurement.
    """
    bench = Bench()
    sent = bench.clock.now()
    now = Instant(sent.wall + 400, sent.boot + 400)
    bench.core.handle(m.Answered(m.AskClock(), sent, answer=sent.wall - 1_000), now)

    assert (1_200, True) == (bench.core.clock.offset, bench.core.board.clock_trusted)


def test_the_last_rows_go_to_the_store_that_is_left(mover: Mover) -> None:
    """
    Before the heartbeat there ends, and not to the one that is bound next (P20).
    """
    mover.hold = lambda command: isinstance(command, m.Flush)
    mover.leave()
    mover.settle()
    mover.end_task("one")
    mover.settle()
    mover.bind(2)
    mover.settle()
    assert mover.commands(m.Left) == []
    mover.hold = lambda _: False
    mover.release()
    mover.settle()
    query = HistoryQuery(task_id="one")

    assert ["SUCCESS"] == [row.status for row in mover.stores[1].history(query).list]
    assert 0 == mover.stores[2].history(query).total_size
    assert [m.Left(settled=True, binding=1)] == mover.commands(m.Left)


@pytest.mark.parametrize("result", [Result.REFUSED, Result.UNKNOWN])
def test_rows_that_a_store_does_not_take_are_left_to_its_peers(mover: Mover, result: Result) -> None:
    """
    The leaving does not wait for them; the heartbeat's document stays and tells since when rows may be missing.
    """
    mover.flush_fault = lambda flush: [Outcome(result, error=DOWN)] * len(flush.rows)
    mover.leave()
    mover.settle()
    mover.end_task("one")
    mover.pass_time(500)

    assert TaskStatus.COMPLETED is mover.read(1, "one").status
    assert [m.Left(settled=False, binding=1)] == mover.commands(m.Left)


def test_a_stop_names_the_stores_that_lack_rows(mover: Mover) -> None:
    """
    Those alone: the heartbeats elsewhere are removed.
    """
    mover.flush_fault = lambda flush: [Outcome(Result.REFUSED, error=DOWN)] * len(flush.rows)
    mover.end_task("one")
    mover.post(m.StopRequested(deadline=mover.clock.now().boot + WAIT, exiting=False))
    mover.pass_time(500)

    assert [m.Stopped((), unsettled=(1,))] == mover.commands(m.Stopped)


def test_a_word_of_a_store_that_is_left_is_flushed_to_no_other(mover: Mover) -> None:
    """
    A user's change that is heard of between two stores.
    """
    mover.end_task("one")
    mover.settle()
    mover.leave()
    mover.pass_time(500)
    (stored,) = mover.stores[1].tasks(["one"])
    assert stored is not None
    assert isinstance(stored.record, Task)
    mover.post(m.Offered(Stored(stored.record, stored.version), binding=1))
    mover.settle()
    mover.bind(2)
    mover.pass_time(2_000)

    assert 0 == mover.stores[2].history(HistoryQuery(task_id="one")).total_size


def test_a_word_of_another_store_is_not_taken_for_one_of_this(mover: Mover) -> None:
    """
    Its process is about to work there: the hint comes again when it does.
    """
    mover.plant(2, definition(period=0, next_scheduled_execution=mover.clock.wall))
    (stored,) = mover.stores[2].tasks(["everyone"])
    assert stored is not None
    assert isinstance(stored.record, Task)
    word = m.Offered(Stored(stored.record, stored.version), created=True, binding=2)
    mover.post(word)
    mover.pass_time(1_000)
    assert [None] == mover.stores[1].tasks([RECORD])
    mover.leave()
    mover.settle()
    mover.bind(2)
    mover.post(word)
    mover.end_task("one")
    mover.settle()

    assert TaskStatus.RUNNING is mover.read(2, RECORD).status


def test_a_word_of_a_store_that_waits_for_a_body_tells_that_body(mover: Mover) -> None:
    """
    Whatever store the node works in by then.
    """
    mover.leave()
    mover.pass_time(2 * WAIT)
    mover.bind(2)
    mover.settle()
    cancelled = requests.cancel(mover.read(1, "one"), now=mover.clock.wall, node_id="user")
    (before,) = mover.stores[1].tasks(["one"])
    assert before is not None
    (outcome,) = mover.stores[1].write([Write(Action.REPLACE, cancelled, before.version)])
    assert outcome.version is not None
    mover.post(m.Offered(Stored(cancelled, outcome.version), binding=1))
    mover.settle()

    assert [Signal.LEASE_LOST, Signal.CANCELLED] == [one.signal for one in mover.commands(TellRun)]


def test_a_node_that_joins_in_the_middle_of_a_period_waits_for_the_next(mover: Mover) -> None:
    """
    It counts from when it works in that store, not from its start.
    """
    mover.end_task("one")
    mover.settle()
    mover.leave()
    mover.pass_time(1_000)
    mover.plant(2, definition(period=60_000, next_scheduled_execution=mover.clock.wall + 1_000))
    mover.pass_time(20_000, 100)
    mover.bind(2)
    mover.pass_time(3_000)

    assert [None] == mover.stores[2].tasks([RECORD])
