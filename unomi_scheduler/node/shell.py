"""
The shell of a node: one thread that owns the core, a few that talk to the store, the heartbeat's, and the workers'.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from queue import Empty, SimpleQueue
from random import Random
from threading import Event as Flag
from threading import Thread

from ..clock import Clock, Instant
from ..errors import ConfigurationError, SchedulerError
from ..metrics import Metrics
from ..model import Heartbeat, Stored, Task
from ..ports import TaskStore
from . import messages as m
from .core import Core
from .errands import Errands
from .heartbeat import Pulse
from .identity import NodeLock, host_name, settle_predecessors
from .memory import MemoryTimers
from .options import NodeOptions
from .registry import Registry
from .runs import Pool, ReportRefused, ReportStored, Signal, StartRun, TellRun
from .table import MemoryTable
from .workers import Workers

LOG = logging.getLogger("unomi_scheduler.node")
MOST_EVENTS = 2_000
STUCK_AFTER = 500
"""Milliseconds without a start or an end after which a node with no free thread says that it is full."""


class Node:
    """
    One node: started once, stopped once. Without a store it runs memory tasks only.
    """

    def __init__(
        self,
        *,
        store: TaskStore | None,
        options: NodeOptions,
        registry: Registry,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.options = options
        self._registry = registry
        self._clock = clock
        self._rng = Random(os.urandom(16))
        self.memory = MemoryTable()
        self._inbox: SimpleQueue[m.Event] = SimpleQueue()
        self._pulse: Pulse | None = None
        self._lock = NodeLock(options.state_dir, options.node_id) if options.state_dir is not None else None
        self._progress = 0
        self._started_at = 0
        self._busy = False
        self._address = options.address
        self._stopped = Flag()
        self._leftover: tuple[str, ...] = ()
        self._closing: Callable[[], object] | None = None
        self.running = False
        self._core = Core(
            options,
            incarnation=self._fresh_id(),
            rng=self._rng,
            metrics=metrics,
            memory=self.memory,
            lease_held=self._lease_held,
            store_bound=False,
        )
        self._workers = Workers(
            registry,
            self._inbox.put,
            clock,
            node_id=options.node_id,
            threads=options.threads,
            system_threads=options.system_threads,
            loop_slots=options.async_slots,
            lease_held=self._may_start,
            callback_timeout=options.callback_timeout_millis / 1000,
        )
        self._timers = MemoryTimers(lambda task_id: self._inbox.put(m.TimerFired(task_id)))
        self._errands = Errands(self._inbox.put, clock)
        self._errands.store = store
        self._thread = Thread(target=self._loop, name="unomi-core", daemon=True)

    def _fresh_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    # --- life

    def start(self) -> None:
        """
        Join the cluster and begin to work; harmless when started.

        Raises:
            ConfigurationError: the node id is in use, or the store needs a person.
            StoreUnavailable: the store did not answer.
        """
        if self.running or self._stopped.is_set():
            return
        self._started_at = self._clock.now().wall
        self._progress = self._clock.now().boot
        if self._errands.store is not None:
            self._join(self._errands.store)
        self.running = True
        self._registry.on_change(self.executors_changed)
        self.executors_changed()
        self._workers.start()
        self._timers.start()
        self._thread.start()

    def _join(self, store: TaskStore) -> None:
        self._take_lock()
        try:
            dead = settle_predecessors(
                store,
                node_id=self.options.node_id,
                lease_millis=self.options.lease_millis,
                proven=self._lock.former if self._lock is not None else frozenset(),
                clock=self._clock,
                pause=Flag().wait,
            )
            self._pulse = Pulse(
                store.lane(max(0.2, self.options.lease_millis / 3_500)),
                first=self._first_beat,
                advert=self._advert,
                clock=self._clock,
                progressing=self._progressing,
                rejoined=lambda incarnation: self._inbox.put(m.Rejoined(incarnation)),
                lapsed=self._lapsed,
            )
            self._pulse.begin()
        except SchedulerError:
            if self._lock is not None:
                self._lock.release()
            raise
        for stored in dead:
            self._core.members.died(stored)
            LOG.info(
                "An earlier start of this node (%s) ended without a goodbye: its runs are recovered",
                stored.record.incarnation,
                extra=self._log_extra("node_predecessor"),
            )
        self._core.board.become(self._pulse.lease.incarnation)
        self._core.members.incarnation = self._pulse.lease.incarnation
        self._core.store_bound = True
        LOG.info("Node %s has joined", self.options.node_id, extra=self._log_extra("joined"))

    def _log_extra(self, action: str) -> dict[str, object]:
        incarnation = self._pulse.lease.incarnation if self._pulse is not None else None
        return {
            "action": action,
            "node_id": self.options.node_id,
            "incarnation": incarnation,
            "address": self._address,
        }

    def _take_lock(self) -> None:
        if self._lock is None:
            return
        try:
            self._lock.acquire()
        except OSError as error:
            raise ConfigurationError(
                f"The lock file {self._lock.path} of this node cannot be written: {error.strerror}. Free space there, "
                "or set state_dir to a folder that can be written"
            ) from error

    def bind(self, store: TaskStore | None) -> None:
        """
        Bind a store, or none; before the start, or late.

        Raises:
            SchedulerError: as `start`.
        """
        if self.running and self._core.store_bound:
            self._core.store_bound = False
            if self._pulse is not None:
                self._pulse.end()
                self._pulse = None
            if self._lock is not None:
                self._lock.release()
        self._errands.store = store
        if self.running and store is not None:
            self._join(store)
            self._inbox.put(m.LookNow())

    def stop(self, timeout_millis: int | None = None, *, exiting: bool = False) -> tuple[str, ...]:
        """
        Claim nothing more, let runs end, and leave; return the claims whose bodies have not returned.

        With `exiting` those are marked as crashed, for a peer to go on, and the process must end at once. Without it
        they
        keep their task, and the node its heartbeat, until they return (P18).
        """
        if not self.running:
            return ()
        patience = self.options.drain_timeout_millis if timeout_millis is None else timeout_millis
        self._inbox.put(m.StopRequested(deadline=self._clock.now().boot + patience, exiting=exiting))
        # Beyond the drain: the last words of the runs, and what the store needs for the last writes.
        if not self._stopped.wait(patience / 1000 + (15 if exiting else 3)):
            self._leftover = tuple(run.claim_id for run in self._workers.active())
            LOG.warning("%d runs have not returned", len(self._leftover), extra={"action": "stop_leftover"})
            return self._leftover
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        return self._leftover

    def _finish(self, leftover: tuple[str, ...]) -> None:
        self._leftover = leftover
        self.running = False
        self._workers.stop(0)
        self._timers.stop()
        if self._pulse is not None:
            self._pulse.end()
            LOG.info("Node %s has left", self.options.node_id, extra=self._log_extra("left"))
        if self._lock is not None:
            self._lock.release()
        self._errands.close()
        self._stopped.set()

    # --- what the service asks

    @property
    def active_runs(self) -> int:
        """
        How many runs have not ended here.
        """
        return len(self._workers.active())

    def advertise(self, address: str | None) -> None:
        """
        Show the peers this address from now on.
        """
        self._address = address
        if self._pulse is not None:
            self._pulse.beat_now()

    def offer(self, stored: Stored[Task]) -> None:
        """
        Take a hint: this process scheduled or changed a stored task.
        """
        if self.running:
            self._inbox.put(m.Offered(stored))

    def recover(self) -> None:
        """
        Look for crashed runs and due work now.
        """
        self._inbox.put(m.LookNow())

    def executors_changed(self) -> None:
        """
        Tell the core which executors are registered.
        """
        infos = {name: info for name in self._registry.types() if (info := self._registry.info(name)) is not None}
        self._inbox.put(m.ExecutorsChanged(infos))
        if self._pulse is not None:
            self._pulse.beat_now()

    def memory_put(self, task: Task) -> None:
        """
        Schedule a memory task.

        Raises:
            Conflict: the id is taken.
        """
        self.memory.put(task)
        self._inbox.put(m.MemoryChanged(task.id))

    def memory_get(self, task_id: str) -> Task | None:
        """
        Return a memory task of this process.
        """
        return self.memory.get(task_id)

    def memory_tasks(self) -> list[Task]:
        """
        Return the memory tasks of this process.
        """
        return self.memory.all()

    def memory_change(self, task_id: str, rule: Callable[[Task], Task]) -> Task:
        """
        Apply a pure rule to a memory task.

        Raises:
            TaskNotFound: there is no such task.
        """
        changed = self.memory.change(task_id, rule)
        self._inbox.put(m.MemoryChanged(task_id))
        return changed

    def memory_delete(self, task_id: str, mark: Callable[[Task], Task]) -> None:
        """
        Mark a memory task for removal, and remove it when no run of it is left; else the end of the run does (P17).

        Raises:
            TaskNotFound: there is no such task.
        """
        self.memory.change(task_id, mark)
        self.memory.remove_marked(task_id)
        self._inbox.put(m.MemoryChanged(task_id))

    def nodes(self) -> list[Heartbeat]:
        """
        Return the nodes not declared dead, as the store's heartbeats say.
        """
        store = self._errands.store
        if store is None:
            return []
        return [stored.record for stored in store.heartbeats() if stored.record.dead_by is None]

    @property
    def clock_offset(self) -> int:
        """
        How far this node's clock is ahead of the store's, in ms.
        """
        return self._core.clock_offset

    # --- the heartbeat's questions

    def _lease_held(self, boot: int) -> bool:
        pulse = self._pulse
        return pulse is not None and pulse.held(boot)

    def _may_start(self) -> bool:
        return not self._core.store_bound or self._lease_held(self._clock.now().boot)

    def _first_beat(self) -> Heartbeat:
        incarnation = self._fresh_id()
        if self._lock is not None:
            self._lock.note(incarnation)
        return Heartbeat(
            node_id=self.options.node_id,
            incarnation=incarnation,
            counter=0,
            lease_millis=self.options.lease_millis,
            started_at=self._started_at,
            beat_at=self._clock.now().wall,
            executor_node=self.options.executor_node,
            tags=self.options.tags,
            address=self._address,
            host=host_name(),
            pid=os.getpid(),
            version=_version(),
        )

    def _advert(self, beat: Heartbeat) -> Heartbeat:
        core = self._core
        return replace(
            beat,
            task_types=tuple(sorted(self._registry.types()))[:200],
            address=self._address,
            busy=self._busy,
            running=len(core.running) + len(core.locals),
            clock_offset=core.clock_offset,
        )

    def _progressing(self, now: Instant) -> bool:
        return now.boot - self._progress < self.options.lease_millis or not self.running

    def _lapsed(self) -> None:
        for run in self._workers.active():
            if run.persistent:
                self._workers.tell(run.claim_id, Signal.LEASE_LOST)

    # --- the core's thread

    def _loop(self) -> None:
        while not self._stopped.is_set():
            try:
                self._turn()
            except Exception:
                # The loop's edge: one bad event must not end the node.
                LOG.exception("The core failed on an event", extra={"action": "core_failed"})

    def _turn(self) -> None:
        now = self._clock.now()
        wait = self._core.next_at(now) - now.boot
        events = self._take(wait / 1000)
        now = self._clock.now()
        self._progress = now.boot
        for event in events:
            self._guarded(self._core.handle, event, now)
        for command in self._core.advance(now):
            self._guarded(self._do, command)
        self._show_busy(now)

    def _guarded(self, step: Callable[..., object], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception:
            # One bad event must not cost the others of its turn: a lost answer would hold its documents for ever.
            LOG.exception("The core failed on %s", type(arguments[0]).__name__, extra={"action": "core_failed"})

    def _take(self, wait: float) -> list[m.Event]:
        events: list[m.Event] = []
        try:
            events.append(self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait())
            while len(events) < MOST_EVENTS:
                events.append(self._inbox.get_nowait())
        except Empty:
            pass
        return events

    def _show_busy(self, now: Instant) -> None:
        running = self._core.running
        full = running.full(Pool.TASKS) and now.boot - running.last_move[Pool.TASKS] > STUCK_AFTER
        # Whoever does not claim gives its share up at once (P13), whatever the reason.
        busy = full or not self._core.board.clock_trusted
        if busy != self._busy:
            self._busy = busy
            if self._pulse is not None:
                self._pulse.beat_now()

    def _do(self, command: m.Command) -> None:
        match command:
            case StartRun():
                self._workers.run(command.ticket)
            case m.Batch():
                self._errands.write(command)
            case m.Ask():
                self._errands.read(command.query)
            case TellRun():
                self._workers.tell(command.claim_id, command.signal)
            case ReportStored() | ReportRefused():
                self._workers.answer(command)
            case m.SetTimer():
                self._timers.set(command.task_id, command.at)
            case m.Recall():
                self._workers.recall()
            case m.Stopped():
                self._finish(command.leftover)


def _version() -> str:
    try:
        return version("unomi-scheduler")
    except PackageNotFoundError:
        return "unknown"
