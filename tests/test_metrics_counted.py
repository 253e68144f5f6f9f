"""
What each metric counts, each event once, for memory tasks and stored ones alike (contract section 8).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.core_bench import Bench
from tests.factories import make_due_task, make_heartbeat, make_running_task
from tests.scenario_kit import LIMIT, MEMORY_TASK, SQLITE, Place, Runs, place_of
from unomi_scheduler import StoreUnavailable
from unomi_scheduler.metrics import Metric
from unomi_scheduler.model import TaskStatus as S
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import RunEnded, Succeeded
from unomi_scheduler.ports import Action, Outcome, Result, Write

_LOCK = {"tasks.lock.attempts": 1, "tasks.lock.acquired": 1, "tasks.lock.released": 1}
_RUN = {"tasks.created": 1, "tasks.running": 1, **_LOCK}


def _boom(*_: Any) -> None:
    raise ValueError


def _patient(_number: int, context: Any) -> None:
    context.wait_cancelled(LIMIT)


def _succeeds(place: Place) -> None:
    place.reach(place.task("one", Runs()).schedule(), S.COMPLETED)


def _fails(place: Place) -> None:
    place.reach(place.task("one", _boom).with_max_retries(0).schedule(), S.FAILED)


def _is_created_for_later(place: Place) -> None:
    place.builder("one").with_initial_delay(1, "HOURS").schedule()


def _is_cancelled_in_time(place: Place) -> None:
    task = place.builder("one").with_initial_delay(1, "HOURS").schedule()
    place.scheduler.cancel_task(task.id)
    place.scheduler.cancel_task(task.id)


def _is_deleted(place: Place) -> None:
    place.scheduler.delete_task(place.builder("one").with_initial_delay(1, "HOURS").schedule().id)


def _is_cancelled_while_it_runs(place: Place) -> None:
    runs = Runs(_patient)
    task = place.task("one", runs).schedule()
    runs.wait(1)
    place.scheduler.cancel_task(task.id)
    place.wait(task, lambda now: now.lock_owner is None)


def _is_retried_by_hand(place: Place) -> None:
    runs = Runs(lambda number, _: _boom() if number == 0 else None)
    task = place.task("one", runs).with_max_retries(0).schedule()
    place.reach(task, S.FAILED)
    place.scheduler.retry_task(task.id)
    place.scheduler.retry_task(task.id)
    place.reach(task, S.COMPLETED)


def _waits_for_another(place: Place) -> None:
    first = place.task("one", lambda: place.gate.wait(LIMIT)).schedule()
    # Before that, the name of the dependent in its document may cost it a claim.
    place.reach(first, S.RUNNING)
    second = place.task("two", Runs()).with_dependencies(first.id).schedule()
    place.gate.set()
    place.reach(second, S.COMPLETED)


def _loses_its_dependency(place: Place) -> None:
    first = place.builder("one").with_initial_delay(1, "HOURS").schedule()
    second = place.task("two", Runs()).with_dependencies(first.id).schedule()
    place.scheduler.cancel_task(first.id)
    place.reach(second, S.FAILED)


def _is_interrupted_by_the_stop(place: Place) -> None:
    runs = Runs(_patient)
    place.task("one", runs).schedule()
    runs.wait(1)
    place.scheduler.stop(timedelta(milliseconds=20))


def _goes_on_after_a_stop(place: Place) -> None:
    runs = Runs(lambda number, context: _patient(number, context) if number == 0 else None)
    task = place.task("one", runs, can_resume=True).schedule()
    runs.wait(1)
    place.scheduler.stop(timedelta(milliseconds=20))
    place.scheduler.start()
    place.reach(task, S.COMPLETED)


def _is_resumed_by_hand(place: Place) -> None:
    runs = Runs(lambda number, context: _patient(number, context) if number == 0 else None)
    task = place.task("one", runs, can_resume=True).schedule()
    runs.wait(1)
    place.scheduler.stop(timedelta(milliseconds=20))
    place.scheduler.resume_task(task.id)
    place.scheduler.start()
    place.reach(task, S.COMPLETED)


_TWICE = {"tasks.running": 2, **dict.fromkeys(_LOCK, 2)}
_STOPPED = {"tasks.crashed": 1, "tasks.interrupted": 1}
_STORIES: list[tuple[Callable[[Place], None], dict[str, int]]] = [
    (_succeeds, {**_RUN, "tasks.completed": 1}),
    (_fails, {**_RUN, "tasks.failed": 1}),
    (_is_created_for_later, {"tasks.created": 1}),
    (_is_cancelled_in_time, {"tasks.created": 1, "tasks.cancelled": 1}),
    (_is_deleted, {"tasks.created": 1, "tasks.cancelled": 1}),
    (_is_cancelled_while_it_runs, {**_RUN, "tasks.cancelled": 1, "tasks.fenced": 1}),
    (_is_retried_by_hand, {**_RUN, **_TWICE, "tasks.failed": 1, "tasks.retried": 1, "tasks.completed": 1}),
    (_waits_for_another, {**_RUN, **_TWICE, "tasks.created": 2, "tasks.waiting": 1, "tasks.completed": 2}),
    (_loses_its_dependency, {"tasks.created": 2, "tasks.waiting": 1, "tasks.cancelled": 1, "tasks.failed": 1}),
    (_is_interrupted_by_the_stop, {**_RUN, **_STOPPED}),
    (_goes_on_after_a_stop, {**_RUN, **_TWICE, **_STOPPED, "tasks.resumed": 1, "tasks.completed": 1}),
    (_is_resumed_by_hand, {**_RUN, **_TWICE, **_STOPPED, "tasks.resumed": 1, "tasks.completed": 1}),
]


@pytest.mark.parametrize(("story", "expected"), _STORIES, ids=[story.__name__.strip("_") for story, _ in _STORIES])
@pytest.mark.parametrize("kind", [MEMORY_TASK, SQLITE])
def test_each_event_is_counted_once(
    kind: str, story: Callable[[Place], None], expected: dict[str, int], tmp_path: Path
) -> None:
    """
    After a story, these counters and no others stand above 0, whatever the tasks live in; a reset clears them.
    """
    with place_of(kind, tmp_path) as place:
        story(place)
        for name, number in expected.items():
            place.metric(name, number)
        counters = place.scheduler.get_all_metrics()
        place.scheduler.reset_metrics()
        cleared = place.scheduler.get_all_metrics()

    # How long the bodies took is not the story's to say, nor how many rows of the history were flushed until now.
    counted = {name: n for name, n in counters.items() if n and not name.startswith("history.")}
    counted.pop(Metric.EXECUTION_TIME, None)
    assert counted == expected
    assert {*Metric, "pendingOperations"} <= counters.keys()
    assert set(cleared.values()) == {0}


def test_the_execution_time_is_that_of_the_bodies(tmp_path: Path) -> None:
    """
    In milliseconds, from the beginning of the body (contract 16.23).
    """
    with place_of(MEMORY_TASK, tmp_path) as place:
        task = place.task("one", Runs(lambda _, context: context.wait_cancelled(0.05))).schedule()
        place.reach(task, S.COMPLETED)
        place.metric("tasks.completed", 1)

        assert 50 <= place.scheduler.get_metric("tasks.execution.time") < 5_000


def _count(bench: Bench, *names: str) -> list[int]:
    bench.core.board.flush_counts()
    return [bench.core.board._metrics.get(f"tasks.{name}") for name in names]


def test_the_run_of_a_dead_node_is_counted_where_it_is_recovered() -> None:
    """
    One attempt, one success, one crash, and one lock whose time was over.
    """
    bench = Bench()
    bench.put(make_running_task(id="one", owner_incarnation="gone"), make_heartbeat(incarnation="gone", dead_by="x"))
    bench.pass_time(8_000)

    assert [1, 1, 1, 1] == _count(bench, "crashed", "recovery.attempts", "recovery.successes", "lock.timeouts")
    assert [0, 1] == _count(bench, "failed", "running")


def test_a_run_beyond_the_crash_limit_has_failed_too() -> None:
    """
    One write carries both edges (P11, P19).
    """
    bench = Bench()
    bench.put(make_running_task(id="one", owner_incarnation="gone", max_crashes=0))
    bench.put(make_heartbeat(incarnation="gone", dead_by="x"))
    bench.pass_time(8_000)

    assert [1, 1, 0] == _count(bench, "crashed", "failed", "running")


def test_a_claim_that_another_won_is_a_conflict() -> None:
    """
    It was tried once, and nothing was acquired.
    """
    bench = Bench()
    bench.put(make_due_task(id="one"))
    bench.hold = lambda command: isinstance(command, m.Batch)
    bench.settle()
    found = bench.store.tasks(["one"])[0]
    assert found is not None
    bench.store.write([Write(Action.REPLACE, make_running_task(id="one"), found.version)])
    bench.hold = lambda _: False
    bench.release()
    bench.settle()

    assert [1, 1, 0, 0] == _count(bench, "lock.attempts", "lock.conflicts", "lock.acquired", "running")


def test_a_node_without_a_lease_tries_nothing() -> None:
    """
    A claim that was never sent is no attempt.
    """
    bench = Bench()
    bench.put(make_due_task(id="one"))
    bench.hold = lambda command: isinstance(command, m.Batch)
    bench.lease = False
    bench.settle()

    assert [0, 0] == _count(bench, "lock.attempts", "lock.conflicts")


def test_a_lost_answer_counts_no_end_twice() -> None:
    """
    The end was written, nobody heard of it, and it is confirmed (P3).
    """
    bench = Bench()
    bench.put(make_due_task(id="one"))
    bench.settle()
    lost = [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))]

    def fault(batch: m.Batch) -> list[Outcome] | None:
        if not lost:
            return None
        bench.store.write(batch.writes)
        return [lost.pop()]

    bench.fault = fault
    bench.post(RunEnded(bench.starts()[0].claim_id, Succeeded(), 7))
    bench.pass_time(2_000)

    assert [1, 7, 1] == _count(bench, "completed", "execution.time", "lock.released")
