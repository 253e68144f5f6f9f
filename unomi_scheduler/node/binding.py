"""
A binding: a store that this node takes part in, with the heartbeat there, the lock file and the threads that talk to
it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from threading import Event, Lock

from ..clock import Clock, Instant
from ..errors import SchedulerError
from ..model import Heartbeat, Stored
from ..ports import TaskStore
from ..stores import memory_notes
from . import messages as m
from .heartbeat import Pulse
from .identity import NodeLock, host_name, settle_predecessors
from .options import NodeOptions
from .parts import PARTS, Parts

LOG = logging.getLogger("unomi_scheduler.node")


@dataclass(frozen=True, kw_only=True)
class Ties:
    """
    What the bindings of one node have of it.

    `advert(binding, beat)` fills in what a heartbeat tells of the node; `progressing` tells whether the core moves;
    `lapsed` is called when a lease has ended; `address` is where the node answers, if it does.
    """

    options: NodeOptions
    clock: Clock
    post: Callable[[m.Event], object]
    fresh_id: Callable[[], str]
    advert: Callable[[Binding, Heartbeat], Heartbeat]
    progressing: Callable[[Instant], bool]
    lapsed: Callable[[], object]
    address: Callable[[], str | None]
    parts: Parts = PARTS


class Binding:
    """
    One store. `active` while the node claims in it, or is about to; `let_go` is set when whoever leaves it may go on;
    not `settled` when the store did not take every write of this node.
    """

    def __init__(self, number: int, store: TaskStore, lock: NodeLock | None, ties: Ties, *, active: bool) -> None:
        self.number = number
        self.store = store
        self.lock = lock
        self.errands = ties.parts.errands(store, number, ties.post, ties.clock)
        self.active = active
        self.settled = True
        self.let_go = Event()
        self.released: Callable[[], object] = _nothing
        self.dead: tuple[Stored[Heartbeat], ...] = ()
        self._ties = ties
        self._ending = Lock()
        self._ended = False
        self._pulse: Pulse | None = None

    def join(self, own: frozenset[str]) -> None:
        """
        Settle the incarnations before this one, and begin to beat. `own` are other incarnations of this process.

        Raises:
            SchedulerError: the node id is in use, or the store refuses or does not answer.
        """
        ties = self._ties
        options = ties.options
        dead = settle_predecessors(
            self.store,
            node_id=options.node_id,
            lease_millis=options.lease_millis,
            proven=self.lock.former if self.lock is not None else frozenset(),
            clock=ties.clock,
            pause=ties.parts.pause,
            own=own,
        )
        pulse = ties.parts.pulse(
            self.store.lane(max(0.2, options.lease_millis / 3_500)),
            first=self._first_beat,
            advert=lambda beat: ties.advert(self, beat),
            clock=ties.clock,
            progressing=ties.progressing,
            rejoined=lambda incarnation: ties.post(m.Rejoined(incarnation, self.number)),
            lapsed=ties.lapsed,
        )
        pulse.begin()
        self.dead, self._pulse = tuple(dead), pulse

    def _first_beat(self) -> Heartbeat:
        options, now = self._ties.options, self._ties.clock.now()
        incarnation = self._ties.fresh_id()
        if self.lock is not None:
            self.lock.note(incarnation)
        return Heartbeat(
            node_id=options.node_id,
            incarnation=incarnation,
            counter=0,
            lease_millis=options.lease_millis,
            started_at=now.wall,
            beat_at=now.wall,
            executor_node=options.executor_node,
            tags=options.tags,
            address=options.address,
            host=host_name(),
            pid=os.getpid(),
            version=_version(),
        )

    def greet(self) -> None:
        """
        Say in the log that the node has joined, and which earlier starts of it did not end in good order.
        """
        for stored in self.dead:
            LOG.info(
                "An earlier start of this node (%s) ended without a goodbye: its runs are recovered",
                stored.record.incarnation,
                extra=self._log_extra("node_predecessor"),
            )
        LOG.info("Node %s has joined", self._ties.options.node_id, extra=self._log_extra("joined"))

    def _log_extra(self, action: str) -> dict[str, object]:
        return {
            "action": action,
            "node_id": self._ties.options.node_id,
            "incarnation": self.incarnation,
            "address": self._ties.address(),
        }

    @property
    def node_id(self) -> str:
        """
        The id of the node.
        """
        return self._ties.options.node_id

    @property
    def incarnation(self) -> str | None:
        """
        The incarnation that beats now, None before the first.
        """
        return None if self._pulse is None else self._pulse.lease.incarnation

    @property
    def renewed(self) -> int | None:
        """
        When the last acknowledged beat was sent (boot clock), None before the first.
        """
        return None if self._pulse is None else self._pulse.lease.renewed

    def holds(self, boot: int, incarnation: str | None = None) -> bool:
        """
        Tell whether the lease is held, and is this incarnation's if one is named.
        """
        lease = None if self._pulse is None else self._pulse.lease
        return lease is not None and lease.held(boot) and incarnation in (None, lease.incarnation)

    def beat_now(self) -> None:
        """
        Beat at once: what the node advertises has changed.
        """
        if self._pulse is not None:
            self._pulse.beat_now()

    def retire(self, released: Callable[[], object]) -> None:
        """
        Claim nothing here from now on; `released` is called when nothing of this node uses the store any more.
        """
        self.released = released
        self.active = False
        if self._pulse is not None:
            self._pulse.retire()

    def end(self) -> None:
        """
        End the heartbeat, then the threads; harmless when repeated.

        What the store did not take is left to the peers: then the heartbeat's document must not be removed (P10).
        """
        with self._ending:
            if self._ended:
                return
            self._ended = True
            if self._pulse is not None:
                self._forget_notes(self._pulse.lease.document.id)
                self._pulse.end(remove=self.settled)
                LOG.info("Node %s has left", self._ties.options.node_id, extra=self._log_extra("left"))
            self.errands.close(wait=not self.active)
            try:
                self.released()
            except Exception:
                # The edge of a thread of its own: the node has left, whatever the store says to its closing.
                LOG.exception("A store that was left could not be closed", extra={"action": "store_not_closed"})

    def _forget_notes(self, beat_id: str) -> None:
        # Otherwise the peers do it, with the heartbeat's document; without a lease the store may not answer.
        if not self.settled or not self.holds(self._ties.clock.now().boot):
            return
        try:
            memory_notes.forget(self.store, beat_id)
        except SchedulerError as error:
            LOG.info("The notes of this node were left behind (%s)", error, extra={"action": "notes_left"})


def _nothing() -> None:
    return None


def _version() -> str:
    try:
        return version("unomi-scheduler")
    except PackageNotFoundError:
        return "unknown"
