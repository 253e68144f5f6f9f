"""
When a task runs next (contract section 4.3). There is no clock here and no time zone: everything counts from the epoch.
"""

from __future__ import annotations

from ..model import Task


def first_run(task: Task, *, now: int) -> int:
    """
    Return when the task runs first: after its initial delay, counted from its creation, or now.
    """
    delay = task.initial_delay_millis
    return task.creation_date + delay if delay else now


def next_run(task: Task, *, now: int) -> int | None:
    """
    Return when a periodic task runs after a run that ended `now`, or None when it does not recur.

    A fixed rate keeps its phase and skips what was missed: the answer is the first multiple strictly after now. A run
    that
    was requested and began before its due time leaves that due time as it is (P14). A fixed delay counts from the end
    of
    the run.
    """
    period = task.period_millis
    if not period:
        return None
    if not task.fixed_rate:
        return now + period
    base = task.next_scheduled_execution or task.last_execution_date or now
    # Not `now` but the claim's date says whether it began early: the wall clock may have been set back during the run.
    if base > now and task.lock_date is not None and task.lock_date < base:
        return base
    return base + period * max(1, (now - base) // period + 1)
