"""
The timers of memory tasks: APScheduler behind the two verbs that the core needs.

Each timer is a date job, set anew after each run, so that fixed rate, fixed delay and retries are the rules' alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler


class _Timers(BackgroundScheduler):  # type: ignore[misc]
    def _process_jobs(self) -> float | None:
        try:
            wait: float | None = super()._process_jobs()
        except JobLookupError:
            # A shutdown clears the jobs under the hands of the timer thread, which does not expect it.
            if self.running:
                raise
            return None
        return wait


class MemoryTimers:
    """
    One timer a task; a new one takes the place of the old.
    """

    def __init__(self, fire: Callable[[str], object]) -> None:
        self._fire = fire
        # A grace time would drop what a busy machine delays (the default is one second); one thread is enough to post.
        self._scheduler = _Timers(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1_000},
        )

    def start(self) -> None:
        """
        Start the timer thread.
        """
        if not self._scheduler.running:
            self._scheduler.start()

    def set(self, task_id: str, at: int | None) -> None:
        """
        Fire at this wall-clock moment (epoch ms) instead of any earlier setting, at once when it is past; None clears.
        """
        if at is None:
            # It may fire, and so be gone, at this very moment.
            with suppress(JobLookupError):
                self._scheduler.remove_job(task_id)
            return
        self._scheduler.add_job(
            self._fire,
            "date",
            run_date=datetime.fromtimestamp(at / 1000, UTC),
            args=(task_id,),
            id=task_id,
            replace_existing=True,
        )

    def stop(self) -> None:
        """
        Stop the timer thread; what has not fired does not fire.
        """
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
