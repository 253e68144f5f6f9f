"""
The contract's scenarios about retries (sections 7 and 15), for memory tasks and stored ones alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenario_kit import PLACES, Place, Runs, place_of, statuses
from unomi_scheduler import TaskStatus

_S = TaskStatus
NOISE = 10
"""Milliseconds that a gap between two starts may be short of the delay: starts are seen late by turns."""


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """
    A started node, with the tasks in its memory, in a store in memory, or in SQLite.
    """
    with place_of(request.param, tmp_path) as one:
        yield one


def _failing(times: int) -> Runs:
    def script(number: int, _context: Any) -> None:
        if number < times:
            raise ValueError(f"failure {number + 1}")

    return Runs(script)


def test_s12_a_one_shot_is_retried(place: Place) -> None:
    """
    The original: maxRetries 3, delay 500 ms, three failures and a success: 4 runs, gaps of at least 500, COMPLETED.
    """
    runs = _failing(3)
    builder = place.task("s12", runs).as_one_shot().with_max_retries(3).with_retry_delay(500, "MILLISECONDS")
    task = builder.schedule()
    done = place.reach(task, _S.COMPLETED)

    assert all(gap >= 500 - NOISE for gap in runs.gaps(4))
    assert (runs.count, done.failure_count, done.success_count, done.enabled) == (4, 0, 1, False)
    assert statuses(done) == ["FAILED"] * 3 + ["SUCCESS"]
    assert done.last_error == "ValueError: failure 3"


@pytest.mark.parametrize("fixed_rate", [True, False])
def test_s13_a_periodic_task_uses_its_retries_up(place: Place, fixed_rate: bool) -> None:  # noqa: FBT001 - a table's column
    """
    The original: period 2000, maxRetries 3, delay 500: 4 failures at least 500 apart, the next run at least 2000 after
    the last; then SCHEDULED with failureCount 0. Here with period 1200 and delay 100, which says the same in less time.

    At a fixed rate the retries stand for the due time they replaced (contract 4.3), so the next run is a period after
    the last retry's due time, whatever that run took to begin.
    """
    runs = _failing(4)
    builder = place.task("s13", runs).with_period(1_200, "MILLISECONDS")
    builder = builder.with_max_retries(3).with_retry_delay(100, "MILLISECONDS")
    task = (builder.with_fixed_rate() if fixed_rate else builder.with_fixed_delay()).schedule()
    exhausted = place.wait(task, lambda now: len(now.history) == 4)
    gaps = runs.gaps(5)
    after = place.wait(task, lambda now: now.success_count == 1)

    assert (exhausted.status, exhausted.failure_count) == (_S.SCHEDULED, 0)
    assert all(gap >= 100 - NOISE for gap in gaps[:3])
    # A fixed rate counts from the due time of the last retry, which may have begun some moments late.
    assert gaps[3] >= 1_200 - (200 if fixed_rate else NOISE)
    assert (after.status, after.failure_count, statuses(after)) == (_S.SCHEDULED, 0, ["FAILED"] * 4 + ["SUCCESS"])


@pytest.mark.parametrize("reset", [True, False])
def test_s14_manual_retry(place: Place, reset: bool) -> None:  # noqa: FBT001 - a table's column
    """
    The original: 4 failures leave it FAILED with failureCount 4; a retry with reset runs it, COMPLETED, failureCount 0.

    Without a reset exactly one attempt follows (contract section 7): the fifth failure leaves it FAILED at once.
    """
    runs = _failing(4 if reset else 5)
    builder = place.task("s14", runs).as_one_shot().with_max_retries(3).with_retry_delay(20, "MILLISECONDS")
    task = builder.schedule()
    failed = place.reach(task, _S.FAILED)
    answer = place.scheduler.retried(task.id, reset_failure_count=reset)
    ended = place.reach(task, _S.COMPLETED) if reset else place.wait(task, lambda now: now.failure_count == 5)

    assert (failed.failure_count, failed.enabled, failed.last_error) == (4, True, "ValueError: failure 4")
    assert (answer.task.status, answer.task.failure_count) == (_S.SCHEDULED, 0 if reset else 4)
    assert (ended.status, ended.failure_count) == ((_S.COMPLETED, 0) if reset else (_S.FAILED, 5))
    assert (runs.count, statuses(ended)[4]) == (5, "RETRIED")
    assert place.scheduler.get_metric("tasks.retried") == 1


def test_a_task_without_retries_fails_at_once(place: Place) -> None:
    """
    The original's maxRetries 0; a plain task ends FAILED instead of staying SCHEDULED for ever (contract section 7).
    """
    task = place.task("none", _failing(9)).with_max_retries(0).schedule()
    failed = place.reach(task, _S.FAILED)

    assert (failed.failure_count, failed.next_scheduled_execution, failed.enabled) == (1, None, True)


def test_a_cancel_between_two_attempts_ends_the_retries(place: Place) -> None:
    """
    The attempt that was due does not come (contract 16.6).
    """
    runs = _failing(9)
    task = place.task("cancelled", runs).with_retry_delay(300, "MILLISECONDS").schedule()
    place.wait(task, lambda now: now.failure_count == 1 and now.status is _S.SCHEDULED)
    assert place.scheduler.cancel_task(task.id)
    # What is due after the attempt that must not come proves that its time has passed.
    other = Runs()
    place.task("later", other).with_initial_delay(400, "MILLISECONDS").schedule()
    other.wait(1)

    assert (runs.count, place.scheduler.get_task(task.id).status) == (1, _S.CANCELLED)
