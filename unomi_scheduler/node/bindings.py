"""
The bindings of a node: one at most that it works in, beside it perhaps one that is being joined, and those that were
left and wait for a body (see `leaving`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path
from threading import Lock, Thread

from ..errors import ConfigurationError
from ..ports import TaskStore
from . import messages as m
from .binding import Binding, Ties
from .identity import NodeLock

LOG = logging.getLogger("unomi_scheduler.node")
FAREWELL = 10.0
"""Seconds for the end of a heartbeat in a store that is left, beyond the time for the runs."""


class Bindings:
    """
    All bindings of a node. Safe from any thread, but for `join`, `enter` and `leave`, which one at a time may call; who
    only asks takes no lock.
    """

    def __init__(self, ties: Ties) -> None:
        self._ties = ties
        self._numbers = count(1)
        self._all: tuple[Binding, ...] = ()
        self.bound: Binding | None = None
        self._lock = Lock()
        self._closed = False
        self._joining: NodeLock | None = None

    def join(self, store: TaskStore, state_dir: Path | None) -> Binding:
        """
        Join the cluster of a store, and work in none as yet; on an error nothing is left of it.

        Raises:
            ConfigurationError: the node id is in use there, or the store needs a person.
            StoreUnavailable: the store did not answer.
        """
        self._joining = self._node_lock(state_dir)
        binding = Binding(next(self._numbers), store, self._joining, self._ties, active=self.bound is None)
        # The same store may wait for a body of an earlier binding of this process.
        own = frozenset(one.incarnation for one in self._all if one.incarnation is not None)
        try:
            binding.join(own)
        except Exception:
            with self._lock:
                self._joining = None
                self._release(binding.lock)
            raise
        with self._lock:
            self._joining = None
            closed = self._closed
            self._all = (*self._all, binding)
        if closed:
            self._end(binding)
        return binding

    def enter(self, binding: Binding) -> None:
        """
        Work in this store from now on.
        """
        self.bound = binding
        binding.active = True
        binding.greet()
        self._ties.post(m.StoreBound(binding.number, binding.incarnation or "", binding.dead))
        binding.beat_now()

    def leave(self, released: Callable[[], object]) -> None:
        """
        Work in none from now on; return when the one before is left, or only waits for bodies that do not return.

        Args:
            released: called when nothing of this node uses that store any more.
        """
        former, self.bound = self.bound, None
        if former is None:
            released()
            return
        former.retire(released)
        options = self._ties.options
        patience = min(options.drain_timeout_millis, options.lease_millis)
        self._ties.post(m.LeaveStore(deadline=self._ties.clock.now().boot + patience))
        if not former.let_go.wait(patience / 1000 + FAREWELL):
            LOG.warning("The end of the heartbeat in the store that is left takes long", extra={"action": "store_left"})

    def beat_now(self) -> None:
        """
        Beat at once where the node works: what it advertises has changed.
        """
        bound = self.bound
        if bound is not None:
            bound.beat_now()

    def of(self, number: int) -> Binding | None:
        """
        Return a binding by its number, or None when it is over.
        """
        return next((one for one in self._all if one.number == number), None)

    def of_store(self, store: TaskStore) -> list[int]:
        """
        Return the numbers of the bindings to a store: it may wait for a body of one, and be bound by another.
        """
        return [one.number for one in self._all if one.store is store]

    def held(self, number: int, boot: int) -> bool:
        """
        Tell whether the lease of a binding is held.
        """
        binding = self.of(number)
        return binding is not None and binding.holds(boot)

    def held_by(self, incarnation: str | None, boot: int) -> bool:
        """
        Tell whether the lease of an incarnation is held: whether a run that it claimed may begin, and go on.
        """
        return incarnation is not None and any(one.holds(boot, incarnation) for one in self._all)

    def do(self, command: m.Batch | m.Flush | m.Ask | m.LeftBehind | m.Left) -> None:
        """
        Do what the core of a binding wants; one that has ended with the node wants nothing.
        """
        binding = self.of(command.binding)
        if binding is None:
            return
        match command:
            case m.Batch():
                binding.errands.write(command)
            case m.Flush():
                binding.errands.flush(command)
            case m.Ask():
                binding.errands.read(command.query)
            case m.LeftBehind():
                self._let_go(binding, command.claims)
            case m.Left():
                binding.settled = command.settled
                Thread(target=self._end, args=(binding,), name="unomi-farewell", daemon=True).start()

    def _let_go(self, binding: Binding, claims: tuple[str, ...]) -> None:
        if claims:
            LOG.warning(
                "%d runs have not returned: their tasks and this node's heartbeat stay in the store that is left until "
                "they do", len(claims), extra={"action": "store_left_behind"},
            )  # fmt: skip
        binding.let_go.set()

    def close(self, unsettled: Collection[int] = ()) -> None:
        """
        End them all, and every later one at once.

        Args:
            unsettled: those whose store did not take every row of the history: peers find by the heartbeat's document,
                as after a crash, what is missing.
        """
        with self._lock:
            self._closed = True
        for binding in self._all:
            binding.settled = binding.settled and binding.number not in unsettled
            self._end(binding)

    def _end(self, binding: Binding) -> None:
        binding.end()
        with self._lock:
            self._all = tuple(one for one in self._all if one is not binding)
            self._release(binding.lock)
        binding.let_go.set()

    def _node_lock(self, state_dir: Path | None) -> NodeLock | None:
        if state_dir is None:
            return None
        lock = NodeLock(state_dir, self._ties.options.node_id)
        with self._lock:
            self._joining = next((one.lock for one in self._all if one.lock and one.lock.path == lock.path), None)
        if self._joining is not None:
            return self._joining
        try:
            lock.acquire()
        except OSError as error:
            raise ConfigurationError(
                f"The lock file {lock.path} of this node cannot be written: {error.strerror}. Free space there, "
                "or set state_dir to a folder that can be written"
            ) from error
        return lock

    def _release(self, lock: NodeLock | None) -> None:
        # It may stand for another binding too: of the same store, left or joined a moment ago.
        if lock is not None and lock is not self._joining and all(one.lock is not lock for one in self._all):
            lock.release()
