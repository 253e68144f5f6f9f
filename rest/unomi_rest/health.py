"""
Health: `/livez` asks whether this process works, `/readyz` whether it can be given work. Neither needs sign-in.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import falcon

from unomi_scheduler import Clock, ConfigurationError, Page, Scheduler, SchedulerError, StoreUnavailable, SystemClock

from .looks import Look, Seen
from .pages import send
from .problems import Problem, answer, describe

_log = logging.getLogger(__name__)
LOOK_EVERY_MILLIS = 1_000
EXAMINE_EVERY_MILLIS = 30_000
LIMIT_MILLIS = 2_000
_NOT_LIVE = Problem(503, "Stuck")
_NOT_READY = Problem(503, "Not ready")
# They are read without sign-in, so they name no host and no index.
WHAT_TO_DO: Mapping[str, str] = {
    "store": "The store does not answer: look at the store itself, and let `unomi-scheduler doctor` tell what is wrong",
    "index": "The index or the tables in the store are missing, of another version, or refuse this user or writes: "
    "`unomi-scheduler doctor` tells which and what to do",
    "node": "The node of this process does not run: it has stopped; start the process again",
    "accepting": "The node is draining: it claims nothing more and stops when its runs have ended",
    "clock": "This machine's clock was not found within max_clock_offset of the store's: set it right (NTP)",
    "lease": "The node does not hold its lease, so it starts nothing: its heartbeats did not reach the store; "
    "the log tells why",
}


class LiveResource:
    """
    `GET /livez`: nothing outside this process is asked, so that an outage of the store restarts nobody.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer 200 while the node's core moves, if there is one, else 503.
        """
        if self._scheduler.progressing:
            send(resp, {"status": "UP"})
        else:
            answer(resp, _NOT_LIVE, "The node's core has not moved for as long as its lease: restart this process")


class ReadyResource:
    """
    `GET /readyz`: the store answers and has what it should, and the node, if this process runs one, takes part.

    However many ask, and whoever they are: the store is asked at most once a second, its index once in half a minute,
    and the others get the last answer.
    """

    def __init__(self, scheduler: Scheduler, clock: Clock | None = None) -> None:
        self._scheduler = scheduler
        look = partial(Look, clock=clock or SystemClock(), patience=LIMIT_MILLIS, limit=LIMIT_MILLIS)
        self._store: Look[Page] = look(
            lambda: scheduler.find_tasks(limit=0), every=LOOK_EVERY_MILLIS, name="readyz-store"
        )
        self._index: Look[tuple[str, ...]] = look(
            scheduler.store_defects, every=EXAMINE_EVERY_MILLIS, name="readyz-index"
        )
        self._has_run = False
        self._told: frozenset[str] = frozenset()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer 200 when every check passes, else 503; the body names the checks, and what to do about those that fail.
        """
        checks = self.checks()
        failed = [name for name, passed in checks.items() if not passed]
        if not failed:
            send(resp, {"status": "UP", "checks": checks})
            return
        problems = {name: WHAT_TO_DO[name] for name in failed}
        resp.status = _NOT_READY.status
        resp.content_type = falcon.MEDIA_JSON
        resp.data = describe(_NOT_READY, f"Not ready: {', '.join(failed)}", checks=checks, problems=problems)

    def checks(self) -> dict[str, bool]:
        """
        Return what passes and what does not, by name.
        """
        checks = self._store_checks() | self._node_checks()
        failed = frozenset(name for name, passed in checks.items() if not passed)
        if failed - self._told:
            _log.warning("Not ready: %s", ", ".join(sorted(failed)), extra={"action": "rest.readyz"})
        self._told = failed
        return checks

    def _store_checks(self) -> dict[str, bool]:
        error = _error_of(self._store.newest())
        if isinstance(error, ConfigurationError):
            self._log_once("index", error)
            return {"store": True, "index": False}
        if error is not None:
            self._log_once("store", error)
            # Nothing is known of the index then; the store is what to look after.
            return {"store": False}
        seen = self._index.newest()
        error = _error_of(seen)
        faults = (str(error),) if error is not None else (seen.value if seen is not None else None) or ()
        if faults:
            self._log_once("index", "; ".join(faults))
        return {"store": True, "index": not faults}

    def _log_once(self, check: str, why: object) -> None:
        if check not in self._told:
            _log.warning("Not ready: %s", why, extra={"action": "rest.readyz"})

    def _node_checks(self) -> dict[str, bool]:
        node = self._scheduler.observe().node
        self._has_run = self._has_run or node.running
        if not self._has_run:
            return {}
        return {
            "node": node.running,
            "accepting": node.running and not node.draining,
            "clock": self._scheduler.clock_trusted,
            "lease": node.running and (node.lease_held or not node.bound),
        }


def _error_of(seen: Seen[Page] | Seen[tuple[str, ...]] | None) -> Exception | None:
    if seen is None:
        return StoreUnavailable("no answer yet")
    # What is no error of the scheduler's is a fault of ours, and says nothing of the store.
    if seen.error is not None and not isinstance(seen.error, SchedulerError):
        raise seen.error
    return seen.error
