"""
The vocabulary's own words.
"""

from __future__ import annotations

from tests.factories import NOW, make_task
from unomi_scheduler.model import TaskStatus


def test_a_task_is_shown_in_a_line() -> None:
    """
    Its id, type, state and next run; the whole is its document.
    """
    task = make_task(id="a", status=TaskStatus.WAITING, next_scheduled_execution=NOW, parameters={"secret": "x" * 900})

    assert repr(task) == (
        "Task(id='a', task_type='sample', status=WAITING, next_scheduled_execution=2025-06-15T15:06:40.000Z)"
    )
    assert "next_scheduled_execution=None)" in repr(make_task())


def test_a_task_with_an_impossible_date_is_shown_too() -> None:
    """
    A line of the log must never fail.
    """
    assert str(10**30) in repr(make_task(next_scheduled_execution=10**30))
