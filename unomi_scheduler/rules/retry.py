"""
Whether and when a failed run is tried again (contract section 7).
"""

from __future__ import annotations

from ..model import Task


def retry_at(task: Task, *, failures: int, now: int) -> int | None:
    """
    Return when the task is tried again after its `failures`-th failure in a row, or None when its retries are used up.
    """
    return now + task.retry_delay if failures <= task.max_retries else None
