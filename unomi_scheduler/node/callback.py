"""
The callback: what an object executor reports by and ends its run with, from any thread (`ports.Callback`).
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from ..model import Json
from ..rules.progress import Progress
from .alarms import Alarm
from .context import plain_details, save_blocking, step_progress
from .live import LiveRun
from .runs import Succeeded, Verdict


class RunCallback:
    """
    The callback of one run.

    The run ends when `execute` has returned *and* one of `complete` and `fail` was called, so that two bodies of one
    task never overlap. Once `execute` has returned, the call must come within the callback time-out.
    """

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._lock = Lock()
        self._verdict: Verdict | None = None
        self._has_returned = False
        self._alarm: Alarm | None = None

    @property
    def cancelled(self) -> bool:
        """
        Whether the body should give up.
        """
        return self._run.noticed_reason() is not None

    def update_step(self, step: str, details: Mapping[str, Json] | None = None) -> None:
        """
        Set the current step and merge `details` into the status details.
        """
        self._run.report(step_progress(step, details or {}))

    def update_status_details(self, details: Mapping[str, Json]) -> None:
        """
        Merge `details` into the status details.
        """
        self._run.report(Progress(details=plain_details(details)))

    def checkpoint(self, data: Mapping[str, Json]) -> None:
        """
        Replace the checkpoint; returns when the store acknowledged it.
        """
        save_blocking(self._run, data)

    def complete(self) -> None:
        """
        End the run as a success.
        """
        if self._settle(Succeeded()):
            self._end_if_returned()

    def fail(self, error: str) -> None:
        """
        End the run as a failure with this text.
        """
        self.fail_by(str(error))

    def fail_by(self, text: str, error: BaseException | None = None) -> None:
        """
        End the run as a failure, if nothing ended it before; for the workers.
        """
        verdict = self._run.failure(text)
        if self._settle(verdict):
            self._run.log_failure(verdict, error)
            self._end_if_returned()

    def returned(self) -> None:
        """
        The body has returned; for the workers.
        """
        with self._lock:
            self._has_returned = True
            if self._verdict is None:
                host = self._run.host
                self._alarm = host.alarms.set(host.callback_timeout, self._expire)
        self._end_if_returned()

    def _settle(self, verdict: Verdict) -> bool:
        with self._lock:
            if self._verdict is not None:
                return False
            self._verdict = verdict
            return True

    def _end_if_returned(self) -> None:
        with self._lock:
            if self._verdict is None or not self._has_returned:
                return
            if self._alarm is not None:
                self._run.host.alarms.cancel(self._alarm)
        # The body may return at this very moment and end the run too: the first end counts.
        self._run.end(self._verdict)

    def _expire(self) -> None:
        self.fail_by(f"no callback within {self._run.host.callback_timeout / 1000:g} s")
