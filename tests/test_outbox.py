"""
The rows of the history on a real core: behind the runs, and none lost, whatever happens between an end and its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import NOW, make_due_task, make_heartbeat, make_running_task, make_task
from unomi_scheduler.errors import InvalidTask, StoreRefused, StoreUnavailable
from unomi_scheduler.model import HISTORY_LIMIT, HistoryRow, Stored, Task, TaskStatus, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node import outbox as module
from unomi_scheduler.node.holds import PATIENCE
from unomi_scheduler.node.outbox import BUSY, FLUSH_EVERY, LAST_ROWS
from unomi_scheduler.node.runs import ExecutorInfo, Failed, Pool, RunEnded, Succeeded
from unomi_scheduler.ports import Action, HistoryQuery, Outcome, Result, Write
from unomi_scheduler.rules import outcomes, requests
from unomi_scheduler.rules.history import rows_of
from unomi_scheduler.stores.memory import MemoryStore

DAY = 86_400_000


def rows(bench: Bench, task_id: str = "one") -> list[HistoryRow]:
    """
    Return the rows of a task in the store, the newest first.
    """
    return list(bench.store.history(HistoryQuery(task_id=task_id, limit=-1)).list)


def end(bench: Bench, verdict: Any = None) -> None:
    """
    End the run that was started last.
    """
    bench.post(RunEnded(claim_id=bench.starts()[-1].claim_id, verdict=verdict or Succeeded(), duration=1))
    bench.settle()


def end_all(bench: Bench, number: int) -> None:
    """
    End so many runs, each as soon as it is started.
    """
    ended: set[str] = set()
    while len(ended) < number:
        bench.settle()
        begun = {ticket.claim_id for ticket in bench.starts()} - ended
        assert begun, "no task was started"
        ended |= begun
        for claim_id in sorted(begun):
            bench.post(RunEnded(claim_id=claim_id, verdict=Succeeded(), duration=1))
    bench.settle()


def end_all_begun(bench: Bench) -> None:
    """
    End every run that goes on.
    """
    for one in bench.core.running:
        if one.ended is None and one.started:
            bench.post(RunEnded(claim_id=one.claim_id, verdict=Succeeded(), duration=1))
    bench.settle()


def run(bench: Bench, number: int = 1, *, apart: int = 2) -> None:
    """
    Run the one task some times, `apart` ms from one start to the next.
    """
    for _ in range(number):
        begun = len(bench.starts())
        bench.clock.advance(apart)
        bench.settle()
        assert len(bench.starts()) == begun + 1, "the task was not started"
        end(bench)


def quick_task(**over: Any) -> Task:
    """
    Return the task `one`, due again 1 ms after each end.
    """
    return make_due_task(**{"id": "one", "period": 1, "fixed_rate": False, **over})


def hold_flushes(bench: Bench) -> None:
    """
    Keep flushes on the wire.
    """
    bench.hold = lambda command: isinstance(command, m.Flush)


def refuse(flush: m.Flush) -> list[Outcome]:
    """
    Answer a flush as a write-blocked index does.
    """
    return [Outcome(Result.REFUSED, error=StoreRefused("blocked"))] * len(flush.rows)


def lose(flush: m.Flush) -> list[Outcome]:
    """
    Answer a flush not at all.
    """
    return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * len(flush.rows)


def task_writes(bench: Bench) -> Callable[[], int]:
    """
    Count the writes of tasks from now on.
    """
    counts: Counter[str] = Counter()

    def count(batch: m.Batch) -> None:
        counts["writes"] += sum(isinstance(write.record, Task) for write in batch.writes)

    bench.fault = count
    return lambda: counts["writes"]


class TestFlush:
    """
    Rows go behind the runs, together.
    """

    def test_a_run_has_its_row_within_a_second_and_costs_two_writes(self) -> None:
        """
        One claim and one end, and nothing more of the task when its row was flushed.
        """
        bench = Bench()
        writes = task_writes(bench)
        bench.put(make_due_task(id="one"))
        bench.settle()
        end(bench)
        assert rows(bench) == []
        bench.pass_time(FLUSH_EVERY + 100)

        assert [("SUCCESS", bench.starts()[0].claim_id)] == [(row.status, row.claim_id) for row in rows(bench)]
        assert writes() == 2

    def test_rows_go_together(self) -> None:
        """
        One flush for what ended within a second.
        """
        bench = Bench()
        flushes: list[int] = []
        bench.flush_fault = lambda flush: flushes.append(len(flush.rows))
        bench.put(*(make_due_task(id=f"task-{n}") for n in range(30)))
        bench.settle()
        end_all(bench, 30)
        bench.pass_time(FLUSH_EVERY + 100)

        assert flushes == [30]

    def test_rows_give_way_to_a_burst_of_runs(self) -> None:
        """
        The store has better to do; once it is quiet they go, all at once.
        """
        bench = Bench()
        bench.put(*(make_due_task() for _ in range(2 * BUSY)))
        end_all(bench, 2 * BUSY)
        bench.pass_time(FLUSH_EVERY)
        in_the_burst = len(bench.core.board.outbox)
        bench.pass_time(FLUSH_EVERY)

        assert in_the_burst == 2 * BUSY
        assert bench.core.board.outbox.clean

    def test_rows_do_not_wait_for_ever_for_a_quiet_moment(self) -> None:
        """
        Runs that come without an end have their rows after some seconds.
        """
        bench = Bench()
        flushed: list[int] = []
        bench.flush_fault = lambda _: flushed.append(bench.clock.now().boot)
        began = bench.clock.now().boot
        bench.core.board.slots = dict.fromkeys(Pool, 20)
        bench.put(*(make_due_task() for _ in range(9_000)))
        while not flushed:
            assert bench.clock.now().boot - began <= module.PATIENCE + 2 * FLUSH_EVERY
            bench.pass_time(20)
            going = [one for one in bench.core.running if one.ended is None and one.started]
            for one in going[: BUSY // 40]:
                bench.post(RunEnded(claim_id=one.claim_id, verdict=Succeeded(), duration=1))

        assert flushed[0] - began >= module.PATIENCE

    def test_every_kind_has_a_row(self) -> None:
        """
        Of runs and of requests: what this process changed is flushed as well.
        """
        bench = Bench()
        bench.put(quick_task(period=0, max_retries=0))
        bench.settle()
        end(bench, Failed("boom"))
        for rule in (
            lambda task: requests.retry(task, now=NOW + 5, node_id="user", reset_failure_count=True),
            lambda task: requests.cancel(task, now=NOW + 6, node_id="user"),
        ):
            change(bench, rule)
        bench.pass_time(FLUSH_EVERY + 100)

        assert ["CANCELLED", "RETRIED", "FAILED"] == [row.status for row in rows(bench)]

    def test_an_answer_that_was_lost_is_asked_again(self) -> None:
        """
        The rows were added, or not; added again each is there once.
        """
        bench = Bench()
        answers: list[Callable[[m.Flush], list[Outcome]]] = [
            lose,
            lambda flush: bench.store.add_history(flush.rows) and lose(flush),
        ]
        bench.flush_fault = lambda flush: answers.pop(0)(flush) if answers else None
        bench.put(quick_task(period=0))
        bench.settle()
        end(bench)
        bench.pass_time(2 * FLUSH_EVERY)

        assert answers == []
        assert ["SUCCESS"] == [row.status for row in rows(bench)]

    def test_a_row_that_no_store_takes_holds_up_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        It is left out, and said.
        """
        bench = Bench()
        bench.flush_fault = lambda flush: [
            Outcome(Result.REFUSED, error=InvalidTask("too large")) if row.task_id == "bad" else Outcome(Result.WRITTEN)
            for row in flush.rows
        ]
        bench.put(make_due_task(id="bad"), make_due_task(id="one"))
        bench.settle()
        for ticket in bench.starts():
            bench.post(RunEnded(claim_id=ticket.claim_id, verdict=Succeeded(), duration=1))
        bench.pass_time(3 * FLUSH_EVERY)

        assert ["history_row_refused"] == [getattr(record, "action", None) for record in caplog.records]
        assert 0 == len(bench.core.board.outbox)

    def test_rows_that_are_refused_hold_up_no_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        They may belong to another month, whose index takes none: they go behind.
        """
        monkeypatch.setattr(module, "MOST_ROWS", 2)
        bench = Bench()
        bench.flush_fault = lambda flush: [
            refuse(flush)[0] if row.task_id.startswith("bad") else bench.store.add_history([row])[0]
            for row in flush.rows
        ]
        names = [f"{kind}-{n}" for kind in ("bad", "good") for n in range(4)]
        bench.put(*(make_due_task(id=name) for name in names))
        end_all(bench, len(names))
        bench.pass_time(20_000, step=200)

        assert [0] * 4 + [1] * 4 == [len(rows(bench, name)) for name in names]

    @pytest.mark.parametrize("apart", [1_000, 100])
    def test_a_row_that_waits_for_long_slows_no_others(self, apart: int) -> None:
        """
        An administrator closed the index of its month: the rows of this one come within two seconds.
        """
        bench = Bench(types={"sample": Pool.TASKS, "closed": Pool.TASKS})
        bench.flush_fault = lambda flush: [
            refuse(flush)[0] if row.task_type == "closed" else bench.store.add_history([row])[0] for row in flush.rows
        ]
        bench.put(make_due_task(id="closed", task_type="closed"), quick_task(period=apart))
        for _ in range(20_000 // apart):
            bench.pass_time(apart, step=20)
            end_all_begun(bench)
            ended = [entry for entry in rows_of(bench.task("one")) if entry.end < bench.clock.now().wall - 2_000]
            assert {row.id for row in ended} <= {row.id for row in rows(bench)}

        assert 1 == len(bench.core.board.outbox.waiting() - {row.id for row in rows_of(bench.task("one"))})

    def test_a_row_that_waits_longer_than_it_would_be_kept_is_dropped(self) -> None:
        """
        It would be removed at once.
        """
        bench = Bench(history_ttl_millis=60_000)
        bench.flush_fault = refuse
        bench.put(make_due_task(id="one"))
        bench.settle()
        end(bench)
        bench.pass_time(50_000, step=500)
        assert 1 == len(bench.core.board.outbox)
        bench.pass_time(20_000, step=500)

        assert 0 == len(bench.core.board.outbox)

    def test_old_entries_are_not_flushed(self) -> None:
        """
        Their rows would be dropped at once, and bring back what was dropped.
        """
        bench = Bench()
        old, young = (
            {"timestamp": stamp, "status": "FAILED"} for stamp in ("2025-05-01T00:00:00Z", "2025-06-01T00:00:00Z")
        )
        bench.put(quick_task(period=0, history=(old, young)))
        bench.settle()
        end(bench)
        bench.pass_time(FLUSH_EVERY + 100)

        assert ["SUCCESS", "FAILED"] == [row.status for row in rows(bench)]

    def test_switched_off_nothing_is_flushed_and_nothing_waits(self) -> None:
        """
        Twelve runs within a flush leave the last ten in the document, and no row.
        """
        bench = Bench(history_enabled=False)
        bench.put(quick_task())
        run(bench, 12)
        bench.pass_time(FLUSH_EVERY + 100)

        assert HISTORY_LIMIT == len(bench.task("one").history)
        assert rows(bench) == []
        assert (0, 0) == (len(bench.core.board.outbox), bench.core.board.outbox.since)


def change(bench: Bench, rule: Callable[[Task], Task]) -> None:
    """
    Change the task as a request of this process does.
    """
    (stored,) = bench.store.tasks(["one"])
    assert stored is not None
    changed = rule(bench.task("one"))
    (outcome,) = bench.store.write([Write(Action.REPLACE, changed, stored.version)])
    assert outcome.version is not None
    bench.post(m.Offered(Stored(changed, outcome.version)))
    bench.settle()


class TestEviction:
    """
    No entry leaves its document without a row.
    """

    def test_a_burst_waits_for_its_first_row_and_loses_none(self) -> None:
        """
        Ten ends while a flush is under way; the eleventh end waits for it, and then all go on.
        """
        bench = Bench()
        bench.put(quick_task())
        hold_flushes(bench)
        run(bench, HISTORY_LIMIT)
        first = bench.task("one").history[0]
        run_without_end(bench)
        assert TaskStatus.RUNNING is bench.task("one").status
        assert bench.task("one").history[0] == first
        bench.hold = lambda _: False
        bench.release()
        bench.settle()

        assert TaskStatus.SCHEDULED is bench.task("one").status
        bench.pass_time(2 * FLUSH_EVERY)
        assert {ticket.claim_id for ticket in bench.starts()[:11]} == {row.claim_id for row in rows(bench)}

    def test_half_of_the_ten_wait_for_nothing_more(self) -> None:
        """
        So that the eleventh need not wait where the store answers.
        """
        bench = Bench()
        bench.put(quick_task())
        run(bench, HISTORY_LIMIT // 2)

        assert HISTORY_LIMIT // 2 == len(rows(bench))

    def test_a_kill_in_a_burst_loses_none(self) -> None:
        """
        At any moment each run that ended is in the document or in the history, as long as the store answers.
        """
        bench = Bench()
        bench.put(quick_task())
        for _ in range(4 * HISTORY_LIMIT):
            run(bench)
            there = {row.id for row in rows(bench)} | {row.id for row in rows_of(bench.task("one"))}
            assert {f"one:{ticket.claim_id}" for ticket in bench.starts()} == there

    def test_no_end_waits_for_a_store_that_takes_no_rows(self) -> None:
        """
        Runs go on; what leaves the document is kept until the store takes it, each row once.
        """
        bench = Bench()
        bench.put(quick_task())
        bench.flush_fault = refuse
        run(bench, 40, apart=50)
        assert rows(bench) == []
        bench.flush_fault = lambda _: None
        bench.pass_time(10_000, step=500)

        assert {ticket.claim_id for ticket in bench.starts()[:40]} <= {row.claim_id for row in rows(bench)}

    def test_an_end_waits_no_longer_than_its_patience(self) -> None:
        """
        For a flush that has no answer yet.
        """
        bench = Bench()
        bench.put(quick_task())
        hold_flushes(bench)
        run(bench, HISTORY_LIMIT)
        run_without_end(bench)
        bench.pass_time(PATIENCE - 20)
        assert TaskStatus.RUNNING is bench.task("one").status
        bench.clock.advance(20)
        bench.settle()

        assert TaskStatus.SCHEDULED is bench.task("one").status

    def test_a_crash_waits_for_the_first_row_too(self) -> None:
        """
        Whoever adds an entry sees to the oldest, also to those that another node left.
        """
        bench = Bench()
        history = tuple(one for n in range(HISTORY_LIMIT) for one in [_success(n)])
        bench.core.members.died(_put_dead(bench))
        bench.put(make_running_task(id="one", lock_owner="node-a", owner_incarnation="first-a", history=history))
        bench.core.recovery.hurry()
        bench.pass_time(LEASE)

        assert "CRASHED" in [entry["status"] for entry in bench.task("one").history]
        bench.pass_time(2 * FLUSH_EVERY)
        assert {f"claim-{n}" for n in range(HISTORY_LIMIT)} <= {row.claim_id for row in rows(bench)}


def run_without_end(bench: Bench) -> None:
    """
    Start a run whose end is not written at once.
    """
    bench.clock.advance(2)
    bench.settle()
    end(bench)


def _success(number: int) -> dict[str, Any]:
    ended = outcomes.complete(make_running_task(claim_id=f"claim-{number}"), now=NOW - 100 + number, duration=1)
    return dict(ended.history[0])


class TestDeath:
    """
    A node is killed between an end and its row.
    """

    @pytest.fixture
    def bench(self) -> Bench:
        """
        A node beside a dead one that ended a run and did not flush it.
        """
        bench = Bench()
        done = outcomes.complete(make_running_task(id="one"), now=NOW, duration=5)
        bench.put(done, make_task(id="older", history=(_success(1),), last_execution_date=NOW - DAY))
        return bench

    def test_the_row_is_made_when_the_node_is_dead(self, bench: Bench) -> None:
        """
        From the document, and only then its heartbeat is buried; what it had flushed before is not read again.
        """
        dead = _put_dead(bench, history_since=NOW)
        bench.core.members.died(dead)
        hold_flushes(bench)
        bench.pass_time(3 * LEASE)
        assert [dead.record.id] == [one.record.id for one in bench.store.heartbeats([dead.record.id])]
        bench.hold = lambda _: False
        bench.release()
        bench.pass_time(3 * LEASE)

        assert ["claim-1"] == [row.claim_id for row in rows(bench)]
        assert rows(bench, "older") == []
        assert bench.store.heartbeats([dead.record.id]) == []

    def test_a_heartbeat_that_does_not_tell_counts_from_a_minute_before(self, bench: Bench) -> None:
        """
        As one of an earlier version.
        """
        bench.core.members.died(_put_dead(bench, beat_at=NOW + 50_000))
        bench.pass_time(3 * LEASE)

        assert ["claim-1"] == [row.claim_id for row in rows(bench)]

    def test_another_s_dead_is_left_to_it_at_first(self, bench: Bench) -> None:
        """
        One node repairs, the one that declared the death; when it does not, the others do.
        """
        bench.core.members.died(_put_dead(bench, dead_by="node-c"))
        bench.pass_time(2 * LEASE)
        assert rows(bench) == []
        bench.pass_time(3 * LEASE)

        assert ["claim-1"] == [row.claim_id for row in rows(bench)]

    def test_who_claims_the_task_next_makes_the_row(self) -> None:
        """
        Long before the death is known.
        """
        bench = Bench()
        done = outcomes.complete(make_running_task(id="one", period=1), now=NOW, duration=5)
        bench.put(evolve(done, next_scheduled_execution=NOW))
        bench.settle()
        bench.pass_time(FLUSH_EVERY + 100)

        assert TaskStatus.RUNNING is bench.task("one").status
        assert ["claim-1"] == [row.claim_id for row in rows(bench)]

    def test_what_a_claim_knows_is_in_the_document(self) -> None:
        """
        So that the next node does not flush it again; it costs no write of its own.
        """
        bench = Bench()
        bench.put(quick_task(period=3_000))
        writes = task_writes(bench)
        for _ in range(3):
            bench.pass_time(3_100)
            end(bench)
        task = bench.task("one")

        assert (3, 2) == (len(task.history), task.history_flushed)
        assert writes() == 6

    def test_what_many_tasks_ran_between_is_still_known(self) -> None:
        """
        A task among thousands is claimed seldom: its claim says that its rows are there, and none is flushed twice.
        """
        bench = Bench()
        flushed: Counter[str] = Counter()
        bench.flush_fault = lambda flush: flushed.update(row.id for row in flush.rows)
        bench.put(quick_task(period=60_000))
        run(bench, apart=60_100)
        done = outcomes.complete(make_running_task(), now=bench.clock.now().wall, duration=5)
        for number in range(45):
            for n in range(1_000):
                bench.core.board.outbox.take(evolve(done, id=f"other-{number}-{n}"), bench.clock.now())
            bench.settle()
        run(bench, apart=60_100)
        bench.pass_time(FLUSH_EVERY + 100)

        assert set(flushed.values()) == {1}
        assert (2, 1) == (len(bench.task("one").history), bench.task("one").history_flushed)

    def test_the_heartbeat_tells_since_when_rows_may_be_missing(self) -> None:
        """
        Never later than an end that is on its way, however long the store takes for it, or for its row.
        """
        bench = Bench()
        outbox = bench.core.board.outbox
        bench.put(quick_task(period=0))
        bench.settle()
        bench.hold = lambda command: isinstance(command, m.Batch)
        end(bench)
        ended = bench.clock.now().wall
        bench.pass_time(2_000)
        assert outbox.since == ended
        hold_flushes(bench)
        bench.release()
        bench.pass_time(2_000)
        assert outbox.since == ended
        bench.hold = lambda _: False
        bench.release()
        bench.pass_time(2_000)

        assert outbox.since == bench.clock.now().wall

    def test_an_end_that_was_fenced_does_not_hold_it_back(self) -> None:
        """
        It has no row, when its task is gone.
        """
        bench = Bench()
        bench.put(quick_task(period=0))
        bench.settle()
        (stored,) = bench.store.tasks(["one"])
        assert stored is not None
        assert bench.store.write([Write(Action.DELETE, stored.record, stored.version)])[0].result is Result.WRITTEN
        end(bench)
        bench.pass_time(2_000)

        assert bench.core.board.outbox.since == bench.clock.now().wall
        assert rows(bench) == []

    def test_an_end_that_a_cancel_was_ahead_of_does_not_hold_it_back(self) -> None:
        """
        The run's row is that of the cancel.
        """
        bench = Bench()
        bench.put(quick_task(period=0))
        bench.settle()
        (stored,) = bench.store.tasks(["one"])
        assert stored is not None
        cancelled = requests.cancel(bench.task("one"), now=NOW, node_id="user")
        bench.store.write([Write(Action.REPLACE, cancelled, stored.version)])
        end(bench)
        bench.pass_time(2_000)

        assert bench.core.board.outbox.since == bench.clock.now().wall
        assert ["CANCELLED"] == [row.status for row in rows(bench)]


def _put_dead(bench: Bench, **over: Any) -> Stored[Any]:
    beat = make_heartbeat(
        **{"node_id": "node-a", "incarnation": "first-a", "dead_by": "node-b", "beat_at": NOW, **over}
    )
    (version,) = bench.put(beat)
    assert version is not None
    return Stored(beat, version)


class TestRemoval:
    """
    A task that was deleted while it ran goes with its last row.
    """

    @pytest.fixture
    def bench(self) -> Bench:
        """
        A node whose run was deleted under it.
        """
        bench = Bench()
        bench.put(quick_task(history=(_success(1),)))
        bench.settle()
        (stored,) = bench.store.tasks(["one"])
        assert stored is not None
        marked = requests.mark_deleted(bench.task("one"), now=NOW, node_id="user")
        bench.store.write([Write(Action.REPLACE, marked, stored.version)])
        return bench

    def test_it_goes_behind_its_rows(self, bench: Bench) -> None:
        """
        Not before they are acknowledged.
        """
        hold_flushes(bench)
        end(bench)
        assert bench.store.tasks(["one"]) != [None]
        bench.hold = lambda _: False
        bench.release()
        bench.settle()

        assert bench.store.tasks(["one"]) == [None]
        assert ["CANCELLED", "SUCCESS"] == [row.status for row in rows(bench)]

    def test_where_no_row_is_taken_it_stays_without_an_owner(self, bench: Bench) -> None:
        """
        For a purge to remove.
        """
        bench.flush_fault = refuse
        end(bench)
        bench.pass_time(2 * PATIENCE)

        assert (True, None) == (bench.task("one").delete_requested, bench.task("one").lock_owner)


class TestRoom:
    """
    The store takes no rows for long.
    """

    def test_what_finds_no_room_is_looked_for_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        It stands in the documents, and the heartbeat tells so until it has its rows.
        """
        monkeypatch.setattr(module, "MOST_WAITING", 3)
        bench = Bench()
        bench.flush_fault = refuse
        names = [f"task-{n}" for n in range(8)]
        bench.put(*(make_due_task(id=name) for name in names))
        end_all(bench, len(names))
        since = bench.core.board.outbox.postponed_since
        bench.pass_time(1_000)
        assert since is not None
        assert bench.core.board.outbox.since <= since
        monkeypatch.setattr(module, "MOST_WAITING", 100)
        bench.flush_fault = lambda _: None
        bench.pass_time(20_000, step=500)

        assert [1] * len(names) == [len(rows(bench, name)) for name in names]
        assert bench.core.board.outbox.since == bench.clock.now().wall

    def test_a_dead_node_s_rows_that_find_no_room_are_looked_for_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        It is buried when all of them are there.
        """
        monkeypatch.setattr(module, "MOST_WAITING", 3)
        bench = Bench()
        names = [f"task-{n}" for n in range(8)]
        bench.put(*(outcomes.complete(make_running_task(id=name), now=NOW, duration=5) for name in names))
        dead = _put_dead(bench, history_since=NOW)
        bench.core.members.died(dead)
        bench.pass_time(30_000, step=200)

        assert [1] * len(names) == [len(rows(bench, name)) for name in names]
        assert bench.store.heartbeats([dead.record.id]) == []


class TestStop:
    """
    The last rows of a node that stops.
    """

    def test_they_go_before_the_stop_is_done(self) -> None:
        """
        At once, not a second later.
        """
        bench = Bench()
        bench.put(quick_task(period=0))
        bench.settle()
        hold_flushes(bench)
        bench.post(m.StopRequested(deadline=bench.clock.now().boot + 10_000, exiting=False))
        end(bench)
        assert not any(isinstance(one, m.Stopped) for one in bench.given)
        bench.hold = lambda _: False
        bench.release()
        bench.settle()

        assert ["SUCCESS"] == [row.status for row in rows(bench)]
        assert any(isinstance(one, m.Stopped) for one in bench.given)

    @pytest.mark.parametrize("fault", ["held", "refused"])
    def test_a_store_that_takes_none_does_not_hold_the_stop_up(self, fault: str) -> None:
        """
        The shell leaves the heartbeat behind then, for the others to find.
        """
        bench = Bench()
        bench.put(quick_task(period=0))
        bench.settle()
        bench.flush_fault = refuse
        if fault == "held":
            hold_flushes(bench)
        bench.post(m.StopRequested(deadline=bench.clock.now().boot + 10_000, exiting=False))
        end(bench)
        bench.pass_time(3_000)

        assert any(isinstance(one, m.Stopped) for one in bench.given)
        assert 1 == len(bench.core.board.outbox)

    def test_a_dependent_that_is_about_to_fail_does_so_before_the_stop_is_done(self) -> None:
        """
        Its end waits for a row of its history, found late in the stop by a scan that was under way.
        """
        bench = Bench()
        bench.hold = lambda command: isinstance(command, m.Flush) or _scans(command)
        history = tuple(_success(number) for number in range(HISTORY_LIMIT))
        waiting = {"status": TaskStatus.WAITING, "waiting_on_tasks": ("first",), "next_scheduled_execution": NOW}
        bench.put(quick_task(period=0), make_task(id="first", status=TaskStatus.FAILED))
        bench.put(make_task(id="last", history=history, **waiting))
        bench.settle()
        bench.post(m.StopRequested(deadline=bench.clock.now().boot + 10_000, exiting=False))
        end(bench)
        bench.pass_time(LAST_ROWS - PATIENCE // 2)
        flushes = [one for one in bench.held if not _scans(one[0])]
        bench.held = [one for one in bench.held if _scans(one[0])]
        bench.hold = lambda command: isinstance(command, m.Flush)
        bench.release()
        for _ in range(100):
            bench.pass_time(20)
            if any(isinstance(one, m.Stopped) for one in bench.given):
                break

        assert flushes
        assert any(isinstance(one, m.Stopped) for one in bench.given)
        assert TaskStatus.FAILED is bench.task("last").status


def _scans(command: m.Command) -> bool:
    return isinstance(command, m.Ask) and isinstance(command.query, m.AskWaiting)


def test_a_resumed_run_says_so_in_the_history() -> None:
    """
    The claim of a crashed task, by a node whose executor goes on with it.
    """
    bench = Bench()
    info = ExecutorInfo(task_type="sample", pool=Pool.TASKS, resumable=True)
    bench.post(m.ExecutorsChanged({"sample": info}))
    crashed = outcomes.crash(make_running_task(id="one"), now=NOW, found_by="node-b", reason="dead")
    bench.put(crashed)
    bench.settle()
    end(bench)
    bench.pass_time(FLUSH_EVERY + 100)

    assert ["SUCCESS", "RESUMED", "CRASHED"] == [row.status for row in rows(bench)]
    assert ["CRASHED", "RESUMED", "SUCCESS"] == [entry["status"] for entry in bench.task("one").history]


def test_two_nodes_flush_the_same_entries_once() -> None:
    """
    Both took them from one document.
    """
    store = MemoryStore(Bench().clock)
    done = outcomes.complete(make_running_task(id="one"), now=NOW, duration=5)
    benches = [Bench("node-b", "first-b", store), Bench("node-c", "first-c", store)]
    (version,) = benches[0].put(done)
    assert version is not None
    for bench in benches:
        bench.post(m.Offered(Stored(done, version)))
        bench.pass_time(FLUSH_EVERY + 100)

    assert ["claim-1"] == [row.claim_id for row in rows(benches[0])]
