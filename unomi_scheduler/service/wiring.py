"""
Wiring: one process's settings, store, registry, metrics and node, put together at their first use, and taken apart.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from ..clock import Clock, SystemClock
from ..config import Settings
from ..errors import ConfigurationError
from ..metrics import Metrics
from ..model import JsonObject, Task
from ..node.options import NodeOptions
from ..node.registry import Registry
from ..ports import TaskStore
from ..rules.orders import Order
from ..stores.measured import MeasuredStore, measured
from ..stores.opening import open_store
from ..stores.options import ElasticsearchOptions
from .feed import Feed
from .history import Keeping
from .naming import NodeName
from .telling import TellingStore

if TYPE_CHECKING:
    from ..node.shell import Node

_MILLISECOND = timedelta(milliseconds=1)


class Wiring:
    """
    The parts of one `Scheduler`. Making it touches no disk, no network and no thread.

    A store given by its address is opened at its first use and closed after the stop, to be opened anew at the next;
    one that was handed over ready-made is opened too, and closing it stays its owner's business.
    """

    def __init__(self, settings: Settings, *, store: TaskStore | str | None, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.metrics = Metrics()
        self.registry = Registry()
        self.lock = RLock()
        self.node_type: Callable[..., Node] | None = None
        self.keeping = Keeping(enabled=settings.history_enabled, ttl=settings.history_ttl)
        self.feed = Feed(self.store, self.clock)
        self._address = store if isinstance(store, str) else None
        self._dressed: WeakValueDictionary[int, TellingStore] = WeakValueDictionary()
        self._given = None if isinstance(store, str) else store
        self._store = None if self._given is None else self._dress(self._given)
        self._opened = False
        self._name: NodeName | None = None
        self._node: Node | None = None
        self._advertised: str | None = None
        self.obey: Callable[[Order], JsonObject] = lambda _: {"message": "this process takes no orders"}
        """Does what an order of another process says, and returns its outcome."""

    @property
    def node(self) -> Node:
        """
        This process's node, started or not.
        """
        # Without the lock where there is one: a node that takes long to join must not hold up those who only ask.
        made = self._node
        if made is not None:
            return made
        with self.lock:
            if self._node is None:
                self._node = self._make_node()
            return self._node

    @property
    def made_node(self) -> Node | None:
        """
        This process's node, if anything has needed one yet: to look at a store needs none.
        """
        return self._node

    def memory_tasks(self) -> list[Task]:
        """
        Return the memory tasks of this process.
        """
        return [] if self._node is None else self._node.memory_tasks()

    def memory_get(self, task_id: str) -> Task | None:
        """
        Return a memory task of this process.
        """
        return None if self._node is None else self._node.memory_get(task_id)

    def renew_node(self) -> None:
        """
        Take a new node in the place of one that was stopped, which passes on what it has left.
        """
        with self.lock:
            former = self.node
            self._node = self._make_node()
            former.pass_on(self._node)

    def advertise(self, address: str | None) -> None:
        """
        Have the node, and those that take its place, show this address to the others.
        """
        with self.lock:
            self._advertised = address
            self.node.advertise(address)

    def nudged(self, body: bytes, authorization: str) -> bool:
        """
        Hand a nudge to the node; False when there is none, which is not made for whoever may knock.
        """
        made = self._node
        return made is not None and made.nudged(body, authorization)

    def store(self) -> TaskStore | None:
        """
        Return the store, opened, or None while none is bound.

        Raises:
            ConfigurationError, StoreUnavailable: it cannot be opened; the next call tries again.
        """
        # Without the lock where nothing is to be done: a slow opening must not hold up those who have their store.
        if self._opened or (self._store is None and self._address is None):
            return self._store
        with self.lock:
            if self._address is not None and self._store is None:
                self._store = self._dress(self._open(self._address))
                if self._node is not None:
                    self._node.bind(self._store, state_dir=self._state_folder(), same=True)
            elif self._store is not None and not self._opened:
                self._store.open()
            self._opened = True
            return self._store

    def required_store(self) -> TaskStore:
        """
        Return the store, opened.

        Raises:
            ConfigurationError: none is bound, or it cannot be opened.
            StoreUnavailable: it does not answer.
        """
        store = self.store()
        if store is None:
            raise ConfigurationError(
                "No store is bound, so only memory tasks can be scheduled; call bind_store(url) first"
            )
        return store

    def bind(self, store: TaskStore | str | None, *, prepare: Callable[[], object]) -> None:
        """
        Use another store from now on, or none; the one that is bound already is left as it is.

        The one before is closed, if it was given by its address, once the node has left it. After an error it is bound
        as before.

        Args:
            prepare: called before the node works in the other store, which is this process's by then.

        Raises:
            SchedulerError: the other store cannot be opened, prepared or joined.
        """
        with self.lock:
            if self._is_bound(store):
                return
            made = None if store is None else self._dress(self._open(store) if isinstance(store, str) else store)
            if made is not None:
                made.open()
            before = self._address, self._given, self._store, self._opened
            self._address, self._given = (store, None) if isinstance(store, str) else (None, store)
            self._store, self._opened = made, made is not None
            try:
                prepare()
                self.node.bind(self._store, state_dir=self._state_folder(), released=_closing(before[0], before[2]))
            except BaseException:
                self._address, self._given, self._store, self._opened = before
                _closing(store, made)()
                raise

    def _is_bound(self, store: TaskStore | str | None) -> bool:
        return store == self._address if isinstance(store, str) else self._address is None and store is self._given

    def _dress(self, store: TaskStore) -> TaskStore:
        # The same one each time: bindings are told apart by their store.
        made = self._dressed.get(id(store))
        if made is None:
            made = self._dressed[id(store)] = TellingStore(measured(store, self.metrics), self.feed.wrote)
        return cast("TaskStore", made)

    @property
    def store_answers(self) -> bool | None:
        """
        Whether the store answered the last request of this process; None when none is bound, or nothing was asked.
        """
        return None if self._store is None else cast("MeasuredStore", self._store).answers

    @property
    def has_store(self) -> bool:
        """
        Whether a store is bound, opened or not.
        """
        return self._store is not None or self._address is not None

    def close(self) -> None:
        """
        Close a store that was given by its address, and let go of the node's name.
        """
        with self.lock:
            if self._node is not None:
                self._node.hush()
            if self._store is not None and self._address is not None:
                self._store.close()
                self._store, self._opened = None, False
                if self._node is not None:
                    self._node.bind(None, same=True)
            if self._name is not None:
                self._name.release()

    def _open(self, address: str) -> TaskStore:
        options = ElasticsearchOptions(**self.settings.elasticsearch.options())
        return open_store(address, clock=self.clock, index_prefix=self.settings.index_prefix, elasticsearch=options)

    def _make_node(self) -> Node:
        folder = self._state_folder()
        if self.settings.node_id is None:
            if self._name is not None:
                self._name.release()
            self._name = NodeName(folder)
        node_id = self.settings.node_id or (self._name.node_id if self._name else "")
        node = (self.node_type or _node_type())(
            store=self._store,
            options=node_options(self.settings, node_id=node_id, state_dir=folder),
            registry=self.registry,
            clock=self.clock,
            metrics=self.metrics,
            obey=self.obey,
        )
        node.advertise(self._advertised)
        return node

    def _state_folder(self) -> Path | None:
        # Only a store that other processes reach needs locks between processes.
        if self._address is None or self._address.startswith("memory:"):
            return None
        # The folder is the store's own, and it may have been bound late.
        settings = self.settings.model_copy(update={"store": self._address})
        file = settings.store_file
        if file is not None and not file.absolute().parent.is_dir():
            # The lock files beside it would make the folder, and a name mistyped would be a cluster of its own.
            raise ConfigurationError(
                f"store: the folder {file.absolute().parent} does not exist: make it, or name another file"
            )
        return settings.state_path


def _node_type() -> Callable[..., Node]:
    # Loaded for the first node alone: whoever only looks at a store need not wait for all that runs tasks.
    from ..node.shell import Node  # noqa: PLC0415 - see above

    return Node


def _closing(given: TaskStore | str | None, store: TaskStore | None) -> Callable[[], object]:
    # One that was handed over ready-made is its owner's to close.
    return store.close if isinstance(given, str) and store is not None else lambda: None


def node_options(settings: Settings, *, node_id: str, state_dir: Path | None) -> NodeOptions:
    """
    Return the options of a node with these settings.
    """
    return NodeOptions(
        node_id=node_id,
        lease_millis=settings.lease // _MILLISECOND,
        tags=settings.tags,
        executor_node=settings.executor_node,
        threads=settings.threads,
        system_threads=settings.system_threads,
        async_slots=settings.async_slots,
        callback_timeout_millis=settings.callback_timeout // _MILLISECOND,
        max_clock_offset_millis=settings.max_clock_offset // _MILLISECOND,
        poll_interval_millis=settings.poll_interval // _MILLISECOND,
        drain_timeout_millis=settings.drain_timeout // _MILLISECOND,
        memory_ttl_millis=settings.completed_task_ttl // _MILLISECOND if settings.purge_enabled else None,
        history_enabled=settings.history_enabled,
        history_ttl_millis=settings.history_ttl // _MILLISECOND,
        nudge=settings.nudge,
        state_dir=state_dir,
    )
