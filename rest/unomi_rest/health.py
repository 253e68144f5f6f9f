"""
Health: `/livez` asks whether this process works, `/readyz` whether it can be given work. Neither needs sign-in.
"""

from __future__ import annotations

import logging
from threading import Lock

import falcon

from unomi_scheduler import Clock, Scheduler, SchedulerError, SystemClock

from .pages import send
from .problems import Problem, describe

_log = logging.getLogger(__name__)
LOOK_EVERY_MILLIS = 1_000
_NOT_READY = Problem(503, "Not ready")


class LiveResource:
    """
    `GET /livez`: nothing outside this process is asked, so that an outage of the store restarts nobody.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer 200.
        """
        send(resp, {"status": "UP"})


class ReadyResource:
    """
    `GET /readyz`: the store answers, and the node, if this process runs one, takes part with a clock that is right.

    However many ask, and whoever they are: one looks, at most once a second, and the others get the last answer.
    """

    def __init__(self, scheduler: Scheduler, clock: Clock | None = None) -> None:
        self._scheduler = scheduler
        self._clock = clock or SystemClock()
        self._looking = Lock()
        self._next_look = 0
        self._checks = {"store": False}
        self._has_run = False

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer 200 when every check passes, else 503; the body names the checks.
        """
        checks = self.checks()
        if all(checks.values()):
            send(resp, {"status": "UP", "checks": checks})
            return
        failed = ", ".join(name for name, passed in checks.items() if not passed)
        resp.status = _NOT_READY.status
        resp.content_type = falcon.MEDIA_JSON
        resp.data = describe(_NOT_READY, f"Not ready: {failed}", checks=checks)

    def checks(self) -> dict[str, bool]:
        """
        Return what passed and what did not, at the last look.
        """
        if self._looking.acquire(blocking=False):
            try:
                if self._clock.now().boot >= self._next_look:
                    self._checks = self._store_check() | self._node_checks()
                    self._next_look = self._clock.now().boot + LOOK_EVERY_MILLIS
            finally:
                self._looking.release()
        return self._checks

    def _store_check(self) -> dict[str, bool]:
        try:
            self._scheduler.find_tasks(limit=0)
        except SchedulerError as error:
            _log.warning("Not ready: %s", error, extra={"action": "rest.readyz"})
            return {"store": False}
        return {"store": True}

    def _node_checks(self) -> dict[str, bool]:
        running = self._scheduler.running
        self._has_run = self._has_run or running
        if not self._has_run:
            return {}
        return {"node": running, "clock": self._scheduler.clock_trusted}
