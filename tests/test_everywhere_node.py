"""
All-nodes tasks on the real core: which turns a node takes, and what becomes of its record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import NOW, make_heartbeat, make_task
from unomi_scheduler.errors import StoreRefused, StoreUnavailable
from unomi_scheduler.model import Stored, Task, TaskStatus, Version, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.everywhere import CONFIRM, PURPOSE
from unomi_scheduler.node.runs import ExecutorInfo, Failed, Interrupted, Pool, RunEnded, Signal, Succeeded, TellRun
from unomi_scheduler.ports import Action, HistoryQuery, Outcome, Result, Write
from unomi_scheduler.rules import requests
from unomi_scheduler.rules.everywhere import armed

_S = TaskStatus
PERIOD = 2_000
RECORD = "everyone@node-b"


def definition(**over: Any) -> Task:
    """
    Return a definition whose first period begins at `NOW` + one second.
    """
    return make_task(
        **{
            "id": "everyone",
            "run_on_all_nodes": True,
            "period": PERIOD,
            "creation_date": NOW,
            "fence": NOW,
            "next_scheduled_execution": NOW + 1_000,
            "retry_delay": 100,
            **over,
        }
    )


def end_runs(bench: Bench, verdict: Any = None) -> None:
    """
    End every run that goes on.
    """
    for run in bench.core.running:
        if run.ended is None and run.started:
            bench.post(RunEnded(claim_id=run.claim_id, verdict=verdict or Succeeded(), duration=1))
    bench.settle()


def play(bench: Bench, millis: int, *, step: int = 20) -> None:
    """
    Let time go by, with bodies that return at once.
    """
    for _ in range(millis // step):
        bench.pass_time(step, step)
        end_runs(bench)


def change(bench: Bench, task_id: str, rule: Callable[[Task], Task]) -> Stored[Task]:
    """
    Change a stored task as another process would: this node is not told.
    """
    stored = bench.store.tasks([task_id])[0]
    assert stored is not None
    assert isinstance(stored.record, Task)
    changed = rule(stored.record)
    (outcome,) = bench.store.write([Write(Action.REPLACE, changed, stored.version)])
    assert outcome.version is not None
    return Stored(changed, outcome.version)


def periods(bench: Bench) -> list[int]:
    """
    Return which periods were begun, counted from the first.
    """
    return [((one.task.all_nodes_period or 0) - NOW - 1_000) // PERIOD for one in bench.starts()]


def in_store(bench: Bench, task_id: str) -> bool:
    """
    Tell whether a task is there.
    """
    return bench.store.tasks([task_id])[0] is not None


def signals(bench: Bench) -> list[Signal]:
    """
    Return what running bodies were told.
    """
    return [one.signal for one in bench.given if isinstance(one, TellRun)]


@pytest.fixture
def bench() -> Bench:
    """
    Return a node that took part before anything was scheduled.
    """
    made = Bench()
    made.settle()
    return made


def test_each_period_is_one_run_of_one_record(bench: Bench) -> None:
    """
    Two writes a period; the record carries on, with its history, and the definition is never written.
    """
    (version,) = bench.put(definition(parameters={"a": 1}))
    play(bench, 7_500)
    record = bench.task(RECORD)

    assert periods(bench) == [0, 1, 2, 3]
    assert [one.task.next_scheduled_execution for one in bench.starts()] == [
        one.task.all_nodes_period for one in bench.starts()
    ]
    assert (record.status, record.success_count, record.on_nodes) == (_S.COMPLETED, 4, ("node-b",))
    assert (record.parameters, record.all_nodes_of, record.run_on_all_nodes) == ({"a": 1}, "everyone", True)
    assert [entry["period"] for entry in record.history] == [
        "2025-06-15T15:06:41.000Z", "2025-06-15T15:06:43.000Z", "2025-06-15T15:06:45.000Z", "2025-06-15T15:06:47.000Z",
    ]  # fmt: skip
    found = bench.store.tasks(["everyone"])[0]
    assert found is not None
    assert found.version == version
    fences = [one.task.fence for one in bench.starts()]
    assert fences == list(range(fences[0], fences[0] + 4))


def test_a_turn_begins_on_time_without_a_search(bench: Bench) -> None:
    """
    Periods far shorter than the poll interval keep their pace, from memory.
    """
    bench.put(definition(period=200))
    play(bench, 1_100, step=10)
    began = len(bench.starts())
    bench.hold = lambda command: isinstance(command, m.Ask)
    play(bench, 2_000, step=10)

    assert len(bench.starts()) - began == 10


def test_who_comes_in_the_middle_of_a_period_waits_for_the_next() -> None:
    """
    So a start is no run of its own.
    """
    bench = Bench()
    bench.put(definition(next_scheduled_execution=NOW - 500))
    play(bench, 1_400)
    early = periods(bench)
    play(bench, 400)

    assert early == []
    assert len(bench.starts()) == 1


def test_an_executor_that_comes_in_the_middle_waits_too(bench: Bench) -> None:
    """
    It counts from when the node could run the task.
    """
    bench.put(definition(task_type="late", next_scheduled_execution=NOW - 500))
    play(bench, 500)
    infos = {name: ExecutorInfo(task_type=name, pool=Pool.TASKS) for name in ("sample", "late")}
    bench.post(m.ExecutorsChanged(infos))
    play(bench, 900)

    assert bench.starts() == []
    play(bench, 600)
    assert len(bench.starts()) == 1


def test_the_process_that_scheduled_it_takes_part_from_the_beginning() -> None:
    """
    Even if its node starts only afterwards.
    """
    bench = Bench()
    (version,) = bench.put(task := definition(next_scheduled_execution=NOW - 500, creation_date=NOW - 500))
    assert version is not None
    bench.inbox.insert(0, m.Offered(Stored(task, version), created=True))
    play(bench, 1_100)

    assert len(bench.starts()) == 1


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_was_scheduled_before_the_node_came_is_read(cancelled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """
    It takes part from the beginning, unless the definition has ended by now.
    """
    bench = Bench()
    bench.put(definition(period=0, next_scheduled_execution=NOW - 500, creation_date=NOW - 500))
    if cancelled:
        change(bench, "everyone", lambda task: requests.cancel(task, now=NOW, node_id="user"))
    bench.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, m.AskDue)
    bench.post(m.ScheduledBefore(("everyone", "never-written")))
    play(bench, 500)

    assert len(bench.starts()) == (0 if cancelled else 1)


def test_an_edit_does_not_make_a_definition_this_process_s_own() -> None:
    """
    Whoever changes one in the middle of a period waits for the next like all others.
    """
    bench = Bench(types={})
    bench.put(definition(period=60_000, next_scheduled_execution=NOW - 30_000, creation_date=NOW - 600_000))
    bench.pass_time(100)
    edited = change(bench, "everyone", lambda task: evolve(task, max_retries=7))
    bench.post(m.Offered(edited))
    bench.settle()
    bench.post(m.ExecutorsChanged({"sample": ExecutorInfo(task_type="sample", pool=Pool.TASKS)}))
    bench.pass_time(3_000)

    assert bench.starts() == []


def test_missed_periods_are_skipped(bench: Bench) -> None:
    """
    A node that stood still runs the present period, and none of those before it.
    """
    bench.put(definition())
    play(bench, 1_500)
    bench.clock.advance(3 * PERIOD)
    play(bench, 400)

    assert periods(bench) == [0, 3]


def test_a_run_longer_than_its_period_skips_the_next(bench: Bench) -> None:
    """
    One node never has two runs of it, and what was skipped is not made up for.
    """
    bench.put(definition())
    bench.pass_time(1_000 + PERIOD + 500)
    during = periods(bench)
    end_runs(bench)
    bench.pass_time(1_000)
    behind = periods(bench)
    bench.pass_time(1_000)

    assert (during, behind, periods(bench)) == ([0], [0], [0, 2])
    bench.core.board.flush_counts()
    assert bench.core.board._metrics.get("tasks.periods.skipped") == 1


@pytest.mark.parametrize("broken", [True, False])
def test_a_record_that_another_node_ended_is_read_before_the_next_turn(bench: Bench, broken: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """
    This node knows it as one that is still to go on, broken off or to be retried, and was not told.
    """
    bench.put(definition(max_retries=1, retry_delay=3_000))
    bench.pass_time(1_500)
    end_runs(bench, Interrupted("stop") if broken else Failed("no"))
    bench.settle()
    bench.core.board.timeline.forget(RECORD)
    change(
        bench, RECORD, lambda task: evolve(task, status=_S.FAILED, next_scheduled_execution=None, last_error="closed")
    )
    play(bench, 2 * PERIOD)

    assert periods(bench)[-1] == 2
    assert bench.task(RECORD).status is _S.COMPLETED


def test_without_a_period_it_runs_once_and_ends(bench: Bench) -> None:
    """
    A minute later the definition says how it went.
    """
    bench.put(definition(period=0))
    play(bench, 3_000, step=50)
    assert (len(bench.starts()), bench.task("everyone").status) == (1, _S.SCHEDULED)
    play(bench, 65_000, step=500)
    ended = bench.task("everyone")

    assert len(bench.starts()) == 1
    assert (ended.status, ended.success_count) == (_S.COMPLETED, 1)


@pytest.mark.parametrize("reset", [False, True])
def test_a_retry_is_for_those_that_have_not_succeeded(bench: Bench, reset: bool) -> None:  # noqa: FBT001 - as above
    """
    Another node failed, this one did not: it runs again only where the retry is a reset.
    """
    bench.put(made := definition(period=0))
    bench.put(evolve(armed(made, None, turn=NOW + 1_000, node_id="node-c", now=NOW), status=_S.FAILED))
    play(bench, 3_000, step=50)
    play(bench, 65_000, step=500)
    failed = bench.task("everyone")
    at = bench.clock.wall
    change(bench, "everyone", lambda task: requests.retry(task, now=at, node_id="b", reset_failure_count=reset))
    play(bench, 3_000, step=50)
    runs = len(bench.starts())
    change(bench, "everyone@node-c", lambda task: evolve(task, status=_S.COMPLETED, all_nodes_period=at))
    play(bench, 65_000, step=500)
    ended = bench.task("everyone")

    assert (failed.status, failed.last_error, failed.success_count) == (_S.FAILED, "failed on node-c", 1)
    assert runs == (2 if reset else 1)
    assert (ended.status, ended.failure_count) == (_S.COMPLETED, 0)
    assert ended.success_count == (3 if reset else 2)


@pytest.mark.parametrize(("reset", "attempts"), [(False, 1), (True, 3)])
def test_a_retry_gives_one_attempt_or_all(bench: Bench, reset: bool, attempts: int) -> None:  # noqa: FBT001 - as above
    """
    On each node that failed, as with any other task.
    """

    def fail(millis: int, step: int) -> None:
        for _ in range(millis // step):
            bench.pass_time(step, step)
            end_runs(bench, Failed("boom"))

    bench.put(definition(period=0, max_retries=2))
    fail(3_000, 50)
    fail(65_000, 500)
    before = len(bench.starts())
    at = bench.clock.wall
    change(bench, "everyone", lambda task: requests.retry(task, now=at, node_id="b", reset_failure_count=reset))
    fail(3_000, 50)
    between = bench.task(RECORD)
    fail(65_000, 500)

    assert before == 3
    assert len(bench.starts()) == before + attempts
    assert (between.status, bench.task("everyone").status) == (_S.FAILED, _S.FAILED)


def test_a_run_asked_for_after_a_retry_is_everybodys(bench: Bench) -> None:
    """
    What a retry spares a node counts for that turn alone.
    """
    bench.put(definition(period=0, failure_count=1))
    bench.put(evolve(armed(definition(period=0), None, turn=NOW, node_id="node-b", now=NOW), status=_S.COMPLETED))
    play(bench, 3_000, step=50)
    spared = len(bench.starts())
    change(bench, "everyone", lambda task: requests.run_now(task, now=bench.clock.wall))
    play(bench, 3_000, step=50)

    assert (spared, len(bench.starts())) == (0, 1)


def test_it_ends_though_its_records_are_purged_at_once(bench: Bench) -> None:
    """
    Where what has completed is kept for no time at all.
    """
    bench.put(definition(period=0))
    play(bench, 3_000, step=50)
    stored = bench.store.tasks([RECORD])[0]
    assert stored is not None
    bench.store.write([Write(Action.DELETE, bench.task(RECORD), stored.version)])
    play(bench, 65_000, step=500)
    ended = bench.task("everyone")

    assert (ended.status, ended.success_count) == (_S.COMPLETED, 1)


def test_a_request_to_run_now_is_a_turn_of_each_node(bench: Bench) -> None:
    """
    Beside the schedule, which does not move; once, however long the request stands.
    """
    bench.put(definition())
    play(bench, 1_500)
    change(bench, "everyone", lambda task: requests.run_now(task, now=bench.clock.wall))
    play(bench, 1_200)
    asked = len(bench.starts())
    play(bench, PERIOD)

    assert (asked, len(bench.starts())) == (2, 3)
    assert periods(bench)[-1] == 1


def test_a_failed_run_is_tried_again_within_its_record(bench: Bench) -> None:
    """
    With the retries of the definition; the next period starts afresh.
    """
    bench.put(definition(max_retries=1))
    for _ in range(75):
        bench.pass_time(20, 20)
        end_runs(bench, Failed("boom"))
    failed = bench.task(RECORD)
    play(bench, 2_000)
    record = bench.task(RECORD)

    assert periods(bench) == [0, 0, 1]
    assert (failed.status, failed.failure_count) == (_S.FAILED, 2)
    assert (record.status, record.failure_count, record.success_count) == (_S.COMPLETED, 0, 1)


def test_targets_restrict_it() -> None:
    """
    By node id or tag; the others do not even keep it in mind.
    """
    named, tagged = Bench(), Bench(node_id="node-c")
    tagged.core.board.options = replace(tagged.core.board.options, tags=("gpu",))
    for one in (named, tagged):
        one.settle()
        one.put(definition(on_nodes=("node-b",)), definition(id="tagged", on_tags=("gpu",)))
        play(one, 1_500)

    assert [one.task.all_nodes_of for one in named.starts()] == ["everyone"]
    assert [one.task.all_nodes_of for one in tagged.starts()] == ["tagged"]


def test_what_is_left_on_a_node_that_is_not_named_any_more_ends(bench: Bench) -> None:
    """
    It was to be tried again there; who asks for it is told why it is not, and no read is made for it any more.
    """
    bench.put(definition(on_nodes=("node-b", "node-c"), max_retries=3, retry_delay=4_000))
    bench.pass_time(1_200)
    end_runs(bench, Failed("no"))
    change(bench, "everyone", lambda task: evolve(task, on_nodes=("node-c",)))
    bench.pass_time(10_000, 100)
    record, before = bench.task(RECORD), _reads(bench)
    bench.pass_time(30_000, 100)

    assert (record.status, record.last_error) == (_S.FAILED, "the task names other nodes now")
    assert _reads(bench) == before


def test_a_retry_of_a_disabled_definition_costs_nothing_and_comes_later(bench: Bench) -> None:
    """
    It rests until the definition may run again.
    """
    bench.put(definition(max_retries=3, retry_delay=4_000, period=600_000))
    bench.pass_time(1_200)
    end_runs(bench, Failed("no"))
    change(bench, "everyone", lambda task: evolve(task, enabled=False))
    bench.pass_time(10_000, 100)
    before = _reads(bench)
    bench.pass_time(30_000, 100)
    after, runs = _reads(bench), len(bench.starts())
    change(bench, "everyone", lambda task: evolve(task, enabled=True))
    bench.pass_time(5_000, 100)

    assert (after - before, runs, len(bench.starts())) == (0, 1, 2)


def _reads(bench: Bench) -> int:
    return sum(query.purpose == PURPOSE for query in bench.asked(m.AskTasks))


def test_a_node_that_is_no_executor_node_runs_it_and_nothing_else() -> None:
    """
    What is for all nodes, and only that: no share, no overdue work, nothing that names it.
    """
    bench = Bench()
    bench.post(m.ExecutorSet(enabled=False))
    bench.settle()
    bench.put(
        definition(), make_task(id="plain", next_scheduled_execution=NOW),
        make_task(id="named", next_scheduled_execution=NOW, on_nodes=("node-b",)),
    )  # fmt: skip
    play(bench, 5_000)

    assert [one.task.id for one in bench.starts()] == [RECORD, RECORD, RECORD]


@pytest.mark.parametrize("told", [True, False])
def test_a_cancelled_definition_stops_its_run(bench: Bench, told: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """
    Within a poll interval and a refresh, whoever cancelled it; the record is cancelled and freed.
    """
    bench.put(definition())
    bench.pass_time(1_500)
    stored = change(bench, "everyone", lambda task: requests.cancel(task, now=bench.clock.wall, node_id="user"))
    if told:
        bench.post(m.Offered(stored))
    bench.pass_time(1_200)
    assert (signals(bench), bench.task(RECORD).status) == ([Signal.CANCELLED], _S.CANCELLED)
    end_runs(bench, Interrupted("told"))
    play(bench, 3 * PERIOD)

    assert periods(bench) == [0]
    assert bench.task(RECORD).owner_incarnation is None
    assert bench.core.everywhere.places == {}


@pytest.mark.parametrize("running", [True, False])
def test_a_deleted_definition_takes_its_record_along(bench: Bench, running: bool) -> None:  # noqa: FBT001 - as above
    """
    At once, or when the body has returned.
    """
    (version,) = bench.put(definition())
    assert version is not None
    bench.pass_time(1_500)
    if not running:
        end_runs(bench)
    bench.store.write([Write(Action.DELETE, definition(), version)])
    bench.pass_time(1_200)
    assert in_store(bench, RECORD) is running
    end_runs(bench, Interrupted("told"))
    bench.pass_time(PERIOD)

    assert not in_store(bench, RECORD)
    assert signals(bench) == [Signal.CANCELLED] * running
    assert len(bench.starts()) == 1


def test_a_disabled_definition_begins_nothing_and_interrupts_nothing(bench: Bench) -> None:
    """
    Its retries wait as well, until it is enabled.
    """
    bench.put(definition(retry_delay=1_500))
    bench.pass_time(1_100)
    change(bench, "everyone", lambda task: requests.edit(task, now=bench.clock.wall, enabled=False))
    bench.pass_time(1_200)
    assert signals(bench) == []
    end_runs(bench, Failed("boom"))
    play(bench, 5_000)
    disabled = len(bench.starts())
    change(bench, "everyone", lambda task: requests.edit(task, now=bench.clock.wall, enabled=True))
    play(bench, 1_200)

    assert (disabled, len(bench.starts())) == (1, 2)
    assert bench.task(RECORD).success_count == 1


def test_a_new_period_and_new_parameters_count_from_the_edit(bench: Bench) -> None:
    """
    On every node alike, as they stand in the definition.
    """
    bench.put(definition())
    play(bench, 1_500)
    at = bench.clock.wall
    change(bench, "everyone", lambda task: requests.edit(task, now=at, period=3_000, parameters={"b": 2}))
    play(bench, 6_500)

    assert [one.task.all_nodes_period for one in bench.starts()] == [NOW + 1_000, at + 3_000, at + 6_000]
    assert bench.starts()[-1].task.parameters == {"b": 2}


def test_a_cancelled_record_costs_one_period(bench: Bench) -> None:
    """
    A person may cancel the turn of one node; the next has a new record, as nothing leaves CANCELLED.
    """
    bench.put(definition())
    bench.pass_time(1_500)
    first = bench.task(RECORD)
    change(bench, RECORD, lambda task: requests.cancel(task, now=bench.clock.wall, node_id="user"))
    bench.pass_time(1_100)
    end_runs(bench, Interrupted("told"))
    play(bench, 2_500)

    assert periods(bench)[:2] == [0, 1]
    assert bench.task(RECORD).success_count >= 1
    assert bench.task(RECORD).creation_date > first.creation_date


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("lost", [False, True])
def test_no_turn_begins_where_the_record_tells_of_the_end_first(bench: Bench, deleted: bool, lost: bool) -> None:  # noqa: FBT001 - parameters of the test
    """
    Its definition was cancelled or deleted a moment before, and this node did not hear of that. The read that it makes
    before a new record may fail, and is made again.
    """
    bench.put(definition(period=200))
    bench.pass_time(1_100)
    bench.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, m.AskDue)
    if deleted:
        stored = bench.store.tasks(["everyone"])[0]
        assert stored is not None
        bench.store.write([Write(Action.DELETE, stored.record, stored.version)])
    else:
        change(bench, "everyone", lambda task: requests.cancel(task, now=bench.clock.wall, node_id="user"))
    rule = requests.mark_deleted if deleted else requests.cancel
    cancelled = change(bench, RECORD, lambda task: rule(task, now=bench.clock.wall, node_id="user"))
    bench.post(m.Offered(cancelled))
    end_runs(bench, Interrupted("told"))
    if lost:
        hold = bench.hold
        bench.hold = lambda command: hold(command) or _confirms(command)
        bench.pass_time(300)
        bench.hold = hold
        for command, sent in [one for one in bench.held if _confirms(one[0])]:
            assert isinstance(command, m.Ask)
            bench.post(m.Answered(command.query, sent, error=StoreUnavailable("no answer")))
    play(bench, 1_000)

    assert len(bench.starts()) == 1
    assert bool(lost) == any(_confirms(command) for command, _ in bench.held)


def _confirms(command: m.Command) -> bool:
    return isinstance(command, m.Ask) and isinstance(command.query, m.AskTasks) and command.query.purpose == CONFIRM


def test_a_record_that_was_purged_is_made_anew(bench: Bench) -> None:
    """
    And the period that ran is not run again.
    """
    bench.put(definition())
    play(bench, 1_500)
    stored = bench.store.tasks([RECORD])[0]
    assert stored is not None
    bench.store.write([Write(Action.DELETE, bench.task(RECORD), stored.version)])
    play(bench, 1_000)
    same_period = periods(bench)
    play(bench, 1_000)

    assert (same_period, periods(bench)) == ([0], [0, 1])
    assert bench.task(RECORD).success_count == 1


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_an_unknown_claim_of_a_turn_is_settled(bench: Bench, first: bool, applied: bool) -> None:  # noqa: FBT001 - as above
    """
    Whether it creates the record or takes it on: the run starts once, under an acknowledged claim (P3).
    """
    bench.put(definition())
    if not first:
        play(bench, 2_000)
    before = len(bench.starts())
    lost: list[m.Batch] = []

    def fault(batch: m.Batch) -> list[Outcome] | None:
        begins = any(isinstance(one.record, Task) and one.record.id == RECORD for one in batch.writes)
        if not begins or lost:
            return None
        lost.append(batch)
        if applied:
            bench.store.write(batch.writes)
        return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * len(batch.writes)

    bench.fault = fault
    bench.pass_time(1_800)
    (ticket,) = bench.starts()[before:]
    assert (bench.task(RECORD).status, bench.task(RECORD).claim_id) == (_S.RUNNING, ticket.claim_id)
    end_runs(bench)

    assert len(lost) == 1
    assert bench.task(RECORD).status is _S.COMPLETED


def test_a_refused_claim_is_tried_again_within_the_period(bench: Bench) -> None:
    """
    After a moment, not at full speed.
    """
    bench.put(definition())
    refused: list[m.Batch] = []

    def fault(batch: m.Batch) -> list[Outcome] | None:
        if len(refused) < 3 and any(isinstance(one.record, Task) and one.record.id == RECORD for one in batch.writes):
            refused.append(batch)
            return [Outcome(Result.REFUSED, error=StoreRefused("429"))] * len(batch.writes)
        return None

    bench.fault = fault
    play(bench, 1_600)
    early = len(bench.starts())
    play(bench, 1_000)

    assert (early, len(refused), periods(bench)) == (0, 3, [0])


def test_a_claim_that_cannot_start_is_given_back_and_taken_again(bench: Bench) -> None:
    """
    Within the period; the run that starts has a fence of its own (P10).
    """
    bench.put(definition())
    bench.pass_time(900)
    bench.hold = lambda command: (
        isinstance(command, m.Batch) and any(getattr(one.record, "id", "") == RECORD for one in command.writes)
    )
    bench.pass_time(200)
    bench.release()
    bench.lease = False
    bench.hold = lambda _: False
    bench.settle()
    given_back = bench.task(RECORD)
    bench.lease = True
    play(bench, 1_000)

    assert (given_back.status, given_back.claim_id) == (_S.SCHEDULED, None)
    assert periods(bench) == [0]
    assert bench.starts()[0].task.fence == given_back.fence + 1


def test_an_id_that_is_taken_is_said_and_left_alone(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """
    A task of somebody else under the record's id is not overwritten.
    """
    other = make_task(id=RECORD, status=_S.COMPLETED)
    bench.put(definition(), other)
    play(bench, 2_500)

    assert bench.starts() == []
    assert bench.task(RECORD) == other
    assert {"record_id_taken"} == {getattr(one, "action", None) for one in caplog.records}


class TestAfterACrash:
    """
    A record that its node left RUNNING, and what becomes of it.
    """

    def crashed(self, **over: Any) -> Task:
        """
        Return the record of a node, broken off in the first period.
        """
        return make_task(
            **{
                "id": RECORD, "status": _S.CRASHED, "on_nodes": ("node-b",), "all_nodes_of": "everyone",
                "run_on_all_nodes": True, "all_nodes_period": NOW - 500, "fence": NOW, "last_error": "node failure",
                "history": ({"timestamp": "2025-06-15T15:06:39.000Z", "status": "CRASHED"},), **over,
            }
        )  # fmt: skip

    def test_its_node_goes_on_within_the_period(self) -> None:
        """
        As with any crashed task; afterwards it is in step again.
        """
        bench = Bench()
        bench.put(definition(next_scheduled_execution=NOW - 500), self.crashed())
        play(bench, 1_200)
        (ticket,) = bench.starts()
        play(bench, PERIOD)

        assert ticket.resumed
        assert ticket.task.all_nodes_period == NOW - 500
        assert bench.task(RECORD).success_count == 2

    def test_its_node_closes_it_when_the_period_is_over(self) -> None:
        """
        FAILED with the reason, and the next period is a new run.
        """
        bench = Bench()
        bench.put(definition(next_scheduled_execution=NOW - 2_500), self.crashed(all_nodes_period=NOW - 2_500))
        play(bench, 1_200)
        closed = bench.task(RECORD)
        play(bench, PERIOD)

        assert closed.status is _S.FAILED
        assert "before the next period began" in (closed.last_error or "")
        assert [one.resumed for one in bench.starts()] == [False]

    def test_another_node_closes_it_when_the_period_is_over(self) -> None:
        """
        Nothing stays CRASHED for a node that does not come back.
        """
        bench = Bench(node_id="node-c")
        bench.settle()
        bench.put(definition(next_scheduled_execution=NOW - 500), self.crashed())
        play(bench, 1_000)
        within = bench.task(RECORD).status
        play(bench, 2 * LEASE + PERIOD)
        record = bench.task(RECORD)

        assert (within, record.status) == (_S.CRASHED, _S.FAILED)
        assert (record.history[-1]["nodeId"], record.history[-1]["recoveryNode"]) == ("node-b", "node-c")

    def test_a_retry_of_a_node_that_is_gone_is_closed(self) -> None:
        """
        A node that lives keeps its retry, however late.
        """
        bench = Bench(node_id="node-c")
        waits = self.crashed(status=_S.SCHEDULED, failure_count=1, next_scheduled_execution=NOW + 10**6)
        alive = evolve(waits, id="everyone@node-a", on_nodes=("node-a",))
        beat = make_heartbeat(task_types=("sample",), lease_millis=10**6)
        bench.settle()
        bench.put(definition(next_scheduled_execution=NOW - 500), waits, alive, beat)
        play(bench, 3 * LEASE + PERIOD, step=100)

        assert (bench.task(RECORD).status, bench.task("everyone@node-a").status) == (_S.FAILED, _S.SCHEDULED)

    @pytest.mark.parametrize("owner", [None, "dead"])
    def test_a_record_without_a_definition_goes(self, owner: str | None) -> None:
        """
        One look at the start finds it, even where nobody knows its type; a run's owner is recovered first.
        """
        bench = Bench(node_id="node-c")
        running = {"status": _S.RUNNING, "lock_owner": "node-b", "owner_incarnation": owner, "claim_id": "x"}
        bench.put(
            self.crashed(task_type="unknown", **(running if owner else {})),
            make_heartbeat(node_id="node-b", incarnation="dead", dead_by="node-c"),
        )
        play(bench, 4 * LEASE, step=100)

        assert not in_store(bench, RECORD)

    def test_a_record_whose_definition_cannot_be_read_stays(self) -> None:
        """
        Quarantine is no deletion.
        """
        bench = Bench(node_id="node-c")
        bench.put(self.crashed())
        bench.store.plant("everyone", {"itemId": "everyone", "taskType": "sample", "period": "often"})
        play(bench, 2 * LEASE, step=100)

        assert bench.task(RECORD).status is _S.CRASHED


def test_a_cluster_without_all_nodes_tasks_pays_nothing(bench: Bench) -> None:
    """
    After one look at the start.
    """
    asked: list[m.Ask] = []

    def look(command: m.Command) -> bool:
        if isinstance(command, m.Ask):
            asked.append(command)
        return False

    bench.hold = look
    bench.put(make_task(id="plain", next_scheduled_execution=NOW))
    play(bench, 5 * LEASE, step=100)

    assert asked
    assert not [one for one in asked if isinstance(one.query, m.AskRecords)]
    assert not [one for one in asked if isinstance(one.query, m.AskTasks) and one.query.purpose != "settle"]


def test_the_number_of_documents_does_not_grow(bench: Bench) -> None:
    """
    One record a node and definition, however short the period.
    """
    bench.put(definition(period=100))
    play(bench, 10_000, step=10)
    # And the version moved with each write: two a period.
    stored = bench.store.tasks([RECORD])[0]

    assert len(bench.starts()) >= 90
    assert bench.store.check().facts["tasks"] == "2"
    assert stored is not None
    assert isinstance(stored.version, Version)


def rows(bench: Bench) -> list[str]:
    """
    Return the kinds of the rows that the record has in the store, the newest first.
    """
    return [row.status for row in bench.store.history(HistoryQuery(task_id=RECORD, limit=-1)).list]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_record_goes_behind_its_rows(bench: Bench, cancelled: bool) -> None:  # noqa: FBT001 - as above
    """
    When its definition is deleted, or when a turn needs a new one.
    """
    bench.put(definition())
    play(bench, 1_100)
    change(bench, *_gone(cancelled=cancelled))
    bench.hold = lambda command: isinstance(command, m.Flush)
    play(bench, 800)
    there = in_store(bench, RECORD)
    bench.hold = lambda _: False
    bench.release()
    play(bench, 3_000)
    first = bench.starts()[0].claim_id

    assert there
    assert ({"CANCELLED", "SUCCESS"} if cancelled else {"SUCCESS"}) == set(rows(bench))
    assert first in {row.claim_id for row in bench.store.history(HistoryQuery(task_id="everyone", limit=-1)).list}
    if cancelled:
        assert _S.COMPLETED is bench.task(RECORD).status


def _gone(*, cancelled: bool) -> tuple[str, Callable[[Task], Task]]:
    if cancelled:
        return RECORD, lambda task: requests.cancel(task, now=NOW + 1_050, node_id="user")
    return "everyone", lambda task: requests.mark_deleted(task, now=NOW + 1_050, node_id="user")


def test_no_turn_waits_for_ever_for_a_store_that_takes_no_rows(bench: Bench) -> None:
    """
    A cancelled record is replaced a lease later all the same; its rows wait here.
    """
    bench.put(definition())
    bench.flush_fault = lambda flush: [Outcome(Result.REFUSED, error=StoreRefused("blocked"))] * len(flush.rows)
    play(bench, 1_100)
    change(bench, *_gone(cancelled=True))
    play(bench, LEASE + 2 * PERIOD)
    blocked, began = rows(bench), len(bench.starts())
    bench.flush_fault = lambda _: None
    play(bench, 6_000)

    assert (blocked, began > 1) == ([], True)
    assert _S.COMPLETED is bench.task(RECORD).status
    assert {"CANCELLED", "SUCCESS"} == set(rows(bench))
    assert len(rows(bench)) == len(bench.starts()) + 1


def test_a_record_that_its_own_run_removes_is_made_anew(bench: Bench) -> None:
    """
    It was marked while its body went on; nobody tells the turns when it is gone.
    """
    bench.put(definition())
    bench.pass_time(1_100)
    change(bench, RECORD, lambda task: requests.mark_deleted(task, now=NOW + 1_050, node_id="user"))
    play(bench, 3 * PERIOD)

    assert len(bench.starts()) > 2
    assert _S.COMPLETED is bench.task(RECORD).status


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_turn_that_waits_for_a_new_record_begins_at_once_or_not_at_all(bench: Bench, cancelled: bool) -> None:  # noqa: FBT001 - as above
    """
    A cancelled record waits for its rows, behind which it goes: whoever cancels the definition meanwhile finds it.
    """
    bench.put(definition())
    play(bench, 1_100)
    change(bench, *_gone(cancelled=True))
    bench.hold = lambda command: isinstance(command, m.Flush)
    bench.pass_time(2_200)
    assert RECORD in bench.core.board.holds
    if cancelled:
        bench.post(m.Offered(change(bench, "everyone", lambda task: requests.cancel(task, now=NOW, node_id="user"))))
        bench.settle()
    bench.hold = lambda _: False
    bench.release()
    began = len(bench.starts())
    bench.settle()

    assert len(bench.starts()) - began == (0 if cancelled else 1)
    assert bench.task(RECORD).status is (_S.CANCELLED if cancelled else _S.RUNNING)
