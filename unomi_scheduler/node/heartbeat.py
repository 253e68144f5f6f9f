"""
The heartbeat: a thread and a connection of its own, and the watchdog that tells runs when the lease has ended (P6, P7).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread

from ..clock import Clock, Instant
from ..errors import SchedulerError
from ..model import Heartbeat
from ..ports import Action, Outcome, Result, TaskStore, Write
from .complaints import Complaints, and_more
from .lease import Lease, Step, until_beat

LOG = logging.getLogger("unomi_scheduler.node")
RETRY = 300
"""Milliseconds before a beat that was not acknowledged is followed by the next."""
LONGEST_REST = 500
"""Milliseconds that the watchdog sleeps at most: its sleep stops while the machine is suspended, the lease does not."""


class Pulse:
    """
    Keeps a lease while the core makes progress, joins again when fenced, and calls `lapsed` when the lease has ended.
    """

    def __init__(
        self,
        store: TaskStore,
        *,
        first: Callable[[], Heartbeat],
        advert: Callable[[Heartbeat], Heartbeat],
        clock: Clock,
        progressing: Callable[[Instant], bool],
        rejoined: Callable[[str], object],
        lapsed: Callable[[], object],
    ) -> None:
        self._store = store
        self._first = first
        self._advert = advert
        self._clock = clock
        self._progressing = progressing
        self._rejoined = rejoined
        self._lapsed = lapsed
        self._ending = Event()
        self._nudge = Event()
        self._rest = Event()
        self._complaints = Complaints()
        self._retired = False
        self.lease = Lease(first())
        self._threads = [
            Thread(target=self._beat_loop, name="unomi-heartbeat", daemon=True),
            Thread(target=self._watch_loop, name="unomi-watchdog", daemon=True),
        ]

    def begin(self) -> None:
        """
        Write the first beat and start beating.

        Raises:
            SchedulerError: the store refused it or did not answer.
        """
        sent = self._clock.now()
        outcome = self._store.write([self.lease.beat(sent, self._advert)])[0]
        self.lease.answered(outcome, sent=sent)
        if outcome.error is not None and outcome.result is Result.REFUSED:
            self._store.close()
            raise outcome.error
        for thread in self._threads:
            thread.start()

    def held(self, boot: int) -> bool:
        """
        Tell whether the lease is held at this moment of the boot clock.
        """
        return self.lease.held(boot)

    def beat_now(self) -> None:
        """
        Beat at once: what the node advertises has changed.
        """
        self._nudge.set()

    def retire(self) -> None:
        """
        Keep this lease, and take no other: the node is leaving this store.
        """
        self._retired = True
        self.beat_now()

    def end(self, *, remove: bool = True) -> None:
        """
        Stop beating and remove the own document, so that peers need not wait for the lease. Heartbeat last (P18).

        Without `remove` it stays, for peers to recover what it stands for once the lease has run out.
        """
        self._ending.set()
        self._nudge.set()
        self._rest.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        version = self.lease.version
        if version is not None and remove:
            outcome = self._store.write([Write(Action.DELETE, self.lease.document, version)])[0]
            if outcome.result is not Result.WRITTEN:
                LOG.info(
                    "The heartbeat was left behind (%s); peers remove it after the lease", outcome.result.value,
                    extra={"action": "heartbeat_left"},
                )  # fmt: skip
        self._store.close()

    def _beat_loop(self) -> None:
        wait = self._until_beat()
        while not self._ending.is_set():
            self._nudge.wait(wait)
            self._nudge.clear()
            if self._ending.is_set():
                return
            try:
                wait = self._beat_once()
            except Exception:
                # The loop's edge: whatever went wrong, only another beat keeps the lease.
                LOG.exception("A heartbeat failed", extra={"action": "heartbeat_failed"})
                wait = RETRY / 1000

    def _beat_once(self) -> float:
        now = self._clock.now()
        if not self._progressing(now):
            if self._complaints.tell("stuck", now.boot) is not None:
                LOG.error("The core does not move: no heartbeat", extra={"action": "core_stuck"})
            return RETRY / 1000
        outcome = self._store.write([self.lease.beat(now, self._advert)])[0]
        step = self.lease.answered(outcome, sent=now)
        self._complain(outcome, now)
        if step is Step.READ:
            step = self._look()
        if step is Step.FENCED:
            self._rejoin()
            return 0.0
        return self._until_beat() if outcome.result is Result.WRITTEN else RETRY / 1000

    def _until_beat(self) -> float:
        return until_beat(self._clock.now().wall, self.lease.document.lease_millis) / 1000

    def _complain(self, outcome: Outcome, now: Instant) -> None:
        if outcome.error is None:
            self._complaints.worked("beat", now.boot)
            return
        kept = self._complaints.failed("beat", "beat", now.boot)
        if kept is not None:
            LOG.warning(
                "The heartbeat was not acknowledged%s: %s", and_more(kept), outcome.error,
                extra={"action": "heartbeat_refused"},
            )  # fmt: skip

    def _look(self) -> Step:
        try:
            found = self._store.heartbeats([self.lease.document.id])
        except SchedulerError:
            return Step.BEAT
        return self.lease.seen(found[0] if found else None)

    def _rejoin(self) -> None:
        if self._retired:
            LOG.error("This node was declared dead in a store it is leaving", extra={"action": "fenced"})
            self._ending.set()
            self._lapsed()
            return
        former = self.lease.incarnation
        self.lease = Lease(self._first())
        LOG.error(
            "This node was declared dead (%s): its runs are told, and it joins again as %s",
            former, self.lease.incarnation, extra={"action": "fenced"},
        )  # fmt: skip
        self._lapsed()
        self._rejoined(self.lease.incarnation)

    def _watch_loop(self) -> None:
        told = False
        while not self._ending.is_set():
            boot = self._clock.now().boot
            if self.lease.held(boot):
                if told:
                    LOG.info("The lease is held again: the node goes on", extra={"action": "lease_renewed"})
                told = False
                self._rest.wait(min(LONGEST_REST, max(1, self.lease.until - boot)) / 1000)
            else:
                if not told and self.lease.version is not None:
                    told = True
                    LOG.error("The lease has ended: runs are told", extra={"action": "lease_lapsed"})
                    self._lapsed()
                self._rest.wait(0.05)
