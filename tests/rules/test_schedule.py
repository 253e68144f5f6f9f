"""
When a task runs next.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, make_running_task, make_task
from unomi_scheduler.model import TimeUnit, evolve
from unomi_scheduler.rules.schedule import first_run, next_run

_PERIOD = 1_000
_periods = st.integers(1, 10**9)
_lags = st.integers(0, 10**10)


@pytest.mark.parametrize(
    ("delay", "unit", "expected"),
    [
        (0, TimeUnit.MILLISECONDS, NOW + 5_000),  # no delay: now
        (5, TimeUnit.SECONDS, NOW + 5_000),  # counted from the creation
        (3, TimeUnit.SECONDS, NOW + 3_000),  # already past: due at once
        (2, TimeUnit.DAYS, NOW + 2 * 86_400_000),
        (999_999, TimeUnit.NANOSECONDS, NOW + 5_000),  # less than a millisecond is none
    ],
)
def test_the_first_run(delay: int, unit: TimeUnit, expected: int) -> None:
    """
    After the initial delay from the creation, or now.
    """
    task = make_task(initial_delay=delay, initial_delay_unit=unit)

    assert expected == first_run(task, now=NOW + 5_000)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (0, _PERIOD),  # ended at its due time
        (1, _PERIOD),
        (_PERIOD - 1, _PERIOD),
        (_PERIOD, 2 * _PERIOD),  # the next due time is strictly after now
        (_PERIOD + 1, 2 * _PERIOD),
        (3_500, 4_000),  # three missed runs are skipped
        (4_000, 5_000),
    ],
)
def test_a_fixed_rate_keeps_its_phase(ended: int, expected: int) -> None:
    """
    The next due time is the first multiple after now.
    """
    task = make_running_task(period=_PERIOD)

    assert NOW + expected == next_run(task, now=NOW + ended)


@given(period=_periods, lag=_lags)
def test_a_fixed_rate_is_after_now_and_in_phase(period: int, lag: int) -> None:
    """
    For any period and any lateness.
    """
    task = make_running_task(period=period)
    now = NOW + lag
    due = next_run(task, now=now)

    assert due is not None
    assert now < due <= now + period
    assert (due - NOW) % period == 0


@given(period=_periods, lag=st.integers(-(10**6), 10**10))
def test_a_fixed_delay_counts_from_the_end(period: int, lag: int) -> None:
    """
    Whatever was due before.
    """
    task = make_running_task(period=period, fixed_rate=False)

    assert NOW + lag + period == next_run(task, now=NOW + lag)


def test_without_a_due_time_the_last_execution_is_the_base() -> None:
    """
    And without that, now.
    """
    task = make_running_task(period=_PERIOD, next_scheduled_execution=None, last_execution_date=NOW - 300)

    assert NOW + 700 == next_run(task, now=NOW)
    assert NOW + _PERIOD == next_run(evolve(task, last_execution_date=None), now=NOW)


@pytest.mark.parametrize("one_shot", [True, False])
def test_without_a_period_nothing_follows(one_shot: bool) -> None:  # noqa: FBT001 - a table's column
    """
    Neither after a one-shot nor after a plain single run.
    """
    assert next_run(make_running_task(one_shot=one_shot), now=NOW) is None


def test_a_requested_run_before_its_time_leaves_the_due_time() -> None:
    """
    "Run now" stands beside the schedule: the run that was due still comes.
    """
    task = make_running_task(period=_PERIOD, lock_date=NOW - 400)

    assert NOW == next_run(task, now=NOW - 300)
    assert NOW + _PERIOD == next_run(task, now=NOW)


def test_a_clock_set_back_does_not_repeat_a_run() -> None:
    """
    The run began at its due time, though the clock now shows a moment before it.
    """
    task = make_running_task(period=_PERIOD, lock_date=NOW)

    assert NOW + _PERIOD == next_run(task, now=NOW - 300)


def test_units() -> None:
    """
    The period counts in its own unit.
    """
    task = make_running_task(period=2, time_unit=TimeUnit.MINUTES)

    assert NOW + 120_000 == next_run(task, now=NOW)
