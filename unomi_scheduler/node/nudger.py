"""
The nudger: tells other nodes of work that is due now or soon, from a thread of its own that nobody waits for.

Nothing depends on it. What it cannot deliver, the other nodes' sweeps find.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from secrets import token_hex
from threading import Lock, Thread
from typing import NamedTuple

from ..clock import Clock
from ..errors import SchedulerError
from ..model import Heartbeat, Stored, Task
from ..ports import TaskStore
from .courier import Courier
from .nudging import Allowance, Hint, Nudge, encode, hint_of, recipient, sign
from .secret import ClusterSecret

LOG = logging.getLogger("unomi_scheduler.node")
MOST_WAITING = 5_000
"""Tasks that wait to be told; what comes beyond is left to the sweeps."""
AGAIN, FRESH, USABLE = 1_000, 3_000, 15_000
"""Milliseconds after which the nodes are searched for again: where none was found that could be told, behind what is
told, and before it."""
PAUSES = (1_000, 2_000, 5_000, 15_000, 30_000)
"""Milliseconds for which a peer that did not answer is left alone, one failure after the other."""
FAREWELL = 0.5
"""Seconds that the end waits for what was not told yet."""
ROUNDS = 2
"""To how many nodes, one after the other, a task is told when one does not answer."""
DONE, UNAUTHORIZED = 204, 401


class _Told(NamedTuple):
    stored: Stored[Task]
    store: TaskStore


@dataclass
class _Peer:
    allowance: Allowance = field(default_factory=Allowance)
    failures: int = 0
    shunned_until: int = 0


class Nudger:
    """
    Tells peers, as their heartbeats in the store of a task show them. Safe from any thread.

    Args:
        courier: made in the nudger's own thread.
        own: returns this node's incarnation, if it takes part.
    """

    def __init__(
        self, *, clock: Clock, host: str, courier: Callable[[], Courier], own: Callable[[], str | None]
    ) -> None:
        self._clock = clock
        self._host = host
        self._make_courier = courier
        self._own = own
        self._queue: Queue[_Told | None] = Queue(MOST_WAITING)
        self._lock = Lock()
        self._thread: Thread | None = None
        self._store: TaskStore | None = None
        self._secret: ClusterSecret | None = None
        self._beats: list[Heartbeat] = []
        self._read_at: int | None = None
        self._peers: dict[str, _Peer] = {}

    def tell(self, tasks: Iterable[Stored[Task]], store: TaskStore) -> None:
        """
        Have others told of tasks as they were written to this store.
        """
        for stored in tasks:
            try:
                self._queue.put_nowait(_Told(stored, store))
            except Full:
                return
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._loop, name="unomi-nudger", daemon=True)
                self._thread.start()
                # A program may end right after it scheduled something.
                atexit.register(self.close)

    def close(self) -> None:
        """
        Tell what is left, for a moment, and end the thread; harmless when repeated. `tell` begins anew.
        """
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            atexit.unregister(self.close)
            try:
                self._queue.put(None, timeout=FAREWELL)
            except Full:
                # It goes on, then; nobody waits for it.
                self._thread = thread
                return
            thread.join(FAREWELL)

    # --- the thread

    def _loop(self) -> None:
        courier = self._make_courier()
        open_ended = True
        while open_ended:
            told, open_ended = self._gather()
            try:
                self._deliver(told, courier)
            except SchedulerError as error:
                LOG.debug("Nobody was nudged: %s", error, extra={"action": "nudge_failed"})
            except Exception:
                # The loop's edge: a nudge is worth no thread.
                LOG.exception("Nudging failed", extra={"action": "nudge_failed"})
        courier.close()

    def _gather(self) -> tuple[list[_Told], bool]:
        told = [self._queue.get()]
        while len(told) < MOST_WAITING:
            try:
                told.append(self._queue.get_nowait())
            except Empty:
                break
        return [one for one in told if one is not None], None not in told

    def _deliver(self, told: list[_Told], courier: Courier) -> None:
        for store in {id(one.store): one.store for one in told}.values():
            self._use(store)
            self._look(USABLE)
            left = [one.stored for one in told if one.store is store]
            for _ in range(ROUNDS):
                left = self._round(left, courier)
                if not left:
                    break
                self._look(AGAIN)
            self._look(FRESH)

    def _use(self, store: TaskStore) -> None:
        if store is not self._store:
            self._store, self._secret = store, ClusterSecret(store)
            self._beats, self._read_at, self._peers = [], None, {}

    def _look(self, age: int) -> None:
        boot = self._clock.now().boot
        if self._store is not None and (self._read_at is None or boot - self._read_at >= age):
            self._beats = [stored.record for stored in self._store.heartbeats()]
            self._read_at = boot
            present = {beat.incarnation for beat in self._beats}
            self._peers = {name: peer for name, peer in self._peers.items() if name in present}

    def _round(self, tasks: list[Stored[Task]], courier: Courier) -> list[Stored[Task]]:
        boot = self._clock.now().boot
        shunned = {name for name, peer in self._peers.items() if peer.shunned_until > boot}
        groups: dict[str, tuple[Heartbeat, list[Stored[Task]]]] = {}
        left: list[Stored[Task]] = []
        for stored in tasks:
            beat = recipient(stored.record, self._beats, host=self._host, own=self._own(), shunned=shunned)
            if beat is None:
                left.append(stored)
            else:
                groups.setdefault(beat.incarnation, (beat, []))[1].append(stored)
        for beat, group in groups.values():
            left += [] if self._nudge(beat, group, courier) else group
        return left

    def _nudge(self, beat: Heartbeat, tasks: list[Stored[Task]], courier: Courier) -> bool:
        peer = self._peers.setdefault(beat.incarnation, _Peer())
        hints = [hint for stored in tasks if (hint := hint_of(stored)) is not None]
        named, more = peer.allowance.take(hints, self._clock.now().boot)
        if not named and not more:
            return True
        problem = self._send(beat, named, courier, more=more)
        if problem is None:
            peer.failures = 0
            return True
        peer.shunned_until = self._clock.now().boot + PAUSES[min(peer.failures, len(PAUSES) - 1)]
        level = logging.DEBUG if peer.failures else logging.INFO
        peer.failures += 1
        LOG.log(
            level, "Node %s cannot be nudged at %s (%s): it finds its work by looking for it",
            beat.node_id, beat.address, problem, extra={"action": "nudge_refused", "peer": beat.node_id},
        )  # fmt: skip
        return False

    def _send(self, beat: Heartbeat, hints: tuple[Hint, ...], courier: Courier, *, more: bool) -> str | None:
        secret, address = self._secret, beat.address or ""
        key = None if secret is None else secret.key or secret.read()
        if secret is None or key is None:
            return "the store has no secret of the cluster"
        body = encode(Nudge(to=beat.id, nonce=token_hex(16), hints=hints, more=more))
        try:
            status = courier.carry(address, body, sign(body, key))
            if status == UNAUTHORIZED:
                fresh = secret.read()
                if fresh is not None and fresh != key:
                    status = courier.carry(address, body, sign(body, fresh))
        except OSError as error:
            return str(error) or type(error).__name__
        return None if status == DONE else f"it answered {status}"
