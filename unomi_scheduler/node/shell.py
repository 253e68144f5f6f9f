"""
The shell of a node: one thread that owns the core, a few that talk to the store, the heartbeat's, and the workers'.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from threading import Event as Flag
from threading import Lock, Thread

from ..clock import Clock, Instant
from ..metrics import Metrics
from ..model import Heartbeat, JsonObject, Stored, Task
from ..ports import TaskStore
from ..rules.orders import Order
from . import messages as m
from .binding import Binding, Ties
from .bindings import Bindings
from .cores import Cores
from .courier import HttpCourier
from .identity import host_name
from .nudger import Nudger
from .nudging import SOONER, hint_of
from .observing import NodeState, observe
from .offers import Offers
from .options import NodeOptions
from .parts import PARTS, Parts
from .reception import Reception
from .registry import Registry
from .runs import Pool, ReportRefused, ReportStored, Signal, StartRun, TellRun
from .table import MemoryTable

LOG = logging.getLogger("unomi_scheduler.node")
SLICE = 0.5
"""Seconds of one wait for the end of a stop."""
MOST_EVENTS = 2_000


class Node:
    """
    One node: started once, stopped once. Without a store it runs memory tasks only.

    `obey` does what an order of another process says and returns its outcome; one at a time, in a thread of its own.
    """

    def __init__(
        self,
        *,
        store: TaskStore | None,
        options: NodeOptions,
        registry: Registry,
        clock: Clock,
        metrics: Metrics,
        parts: Parts = PARTS,
        obey: Callable[[Order], JsonObject] | None = None,
    ) -> None:
        self.options = options
        self._obey = obey
        self._obeying: ThreadPoolExecutor | None = None
        self._shown_executor = options.executor_node
        self._registry = registry
        self._clock = clock
        self._rng = Random(os.urandom(16))
        self.memory = MemoryTable()
        self._inbox: SimpleQueue[m.Event] = SimpleQueue()
        self._progress = 0
        self._started_at = 0
        self._busy = False
        self._address = options.address
        self._stopped = Flag()
        self._leftover: tuple[str, ...] = ()
        self._closing: Callable[[], object] | None = None
        self.running = False
        self._store = store
        self._state_dir = options.state_dir
        self._changing = Lock()
        ties = Ties(
            options=options,
            clock=clock,
            post=self._inbox.put,
            fresh_id=lambda: f"{self._rng.getrandbits(128):032x}",
            advert=self._advert,
            progressing=self._progressing,
            lapsed=self._lapsed,
            address=lambda: self._address,
            parts=parts,
        )
        self._bindings = Bindings(ties)
        self._offers = Offers(self._bindings, self._inbox.put)
        self._nudger = Nudger(clock=clock, host=host_name(), courier=HttpCourier, own=self._own_incarnation)
        self._reception = Reception(self._inbox.put, clock)
        self._cores = Cores(options, rng=self._rng, metrics=metrics, memory=self.memory, lease_held=self._bindings.held)
        self._workers = parts.workers(
            registry,
            self._inbox.put,
            clock,
            node_id=options.node_id,
            threads=options.threads,
            system_threads=options.system_threads,
            loop_slots=options.async_slots,
            lease_held=self._may_start,
            callback_timeout=options.callback_timeout_millis / 1000,
            began=metrics.began,
        )
        self._timers = parts.timers(lambda task_id: self._inbox.put(m.TimerFired(task_id)))
        self._thread = Thread(target=self._loop, name="unomi-core", daemon=True)

    # --- life

    def start(self) -> None:
        """
        Join the cluster and begin to work; harmless when started.

        Raises:
            ConfigurationError: the node id is in use, or the store needs a person.
            StoreUnavailable: the store did not answer.
        """
        with self._changing:
            if self.running or self._stopped.is_set():
                return
            self._started_at = self._clock.now().wall
            self._progress = self._clock.now().boot
            if self._store is not None:
                self._enter(self._bindings.join(self._store, self._state_dir))
            self._registry.on_change(self.executors_changed)
            self.executors_changed()
            self._first_look()
            self.running = True
            self._set_off()

    def _set_off(self) -> None:
        self._workers.start()
        self._timers.start()
        self._thread.start()

    def _enter(self, binding: Binding) -> None:
        self._bindings.enter(binding)
        self._offers.entered(binding)
        self._receive(binding)

    def _receive(self, binding: Binding) -> None:
        if self.options.nudge and self._address is not None:
            self._reception.enter(binding)
        else:
            self._reception.leave()

    def _first_look(self) -> None:
        # Before the core's thread has it: whoever started the node finds it ready to claim.
        for event in self._take(0):
            self._cores.handle(event, self._clock.now())
        if self._bindings.bound is not None:
            self._cores.handle(self._bindings.bound.errands.answer(m.AskClock()), self._clock.now())

    def bind(
        self,
        store: TaskStore | None,
        *,
        state_dir: Path | None = None,
        released: Callable[[], object] = lambda: None,
        same: bool = False,
    ) -> None:
        """
        Take part in another store from now on, or in none; before the start, after the stop, or while the node runs.

        The other one is joined first, so that an error leaves everything as it was. Then the former is left (see
        `leaving`): that waits for its runs, which are told, no longer than a lease or the time for draining. Memory
        tasks go on.

        Args:
            state_dir: the folder of this store's lock file (P9); None means no such file.
            released: called when nothing uses the former store any more; later, and in another thread, where a body
                has not returned.
            same: it is the former store, closed or opened anew.

        Raises:
            SchedulerError: as `start`.
        """
        with self._changing:
            joined = self._bindings.join(store, state_dir) if self.running and store is not None else None
            self._offers.left()
            self._reception.leave()
            self._bindings.leave(released)
            self._store, self._state_dir = store, state_dir
            if not self.running and not same:
                self._cores.current.locals.dependents.estrange()
            if joined is not None:
                self._enter(joined)

    def stop(self, timeout_millis: int | None = None, *, exiting: bool = False) -> tuple[str, ...]:
        """
        Claim nothing more, let runs end, and leave; return the claims whose bodies have not returned.

        With `exiting` those are marked as crashed, for a peer to go on, and the process must end at once. Without it
        they keep their task, and the node its heartbeat, until they return (P18).
        """
        if not self.running:
            return ()
        patience = self.options.drain_timeout_millis if timeout_millis is None else timeout_millis
        self._offers.left()
        self._reception.leave()
        self._inbox.put(m.StopRequested(deadline=self._clock.now().boot + patience, exiting=exiting))
        # Beyond the drain: the last words of the runs, and what the store needs for the last writes.
        if not self._has_stopped(patience / 1000 + (15 if exiting else 3)):
            self._leftover = tuple(run.claim_id for run in self._workers.active())
            LOG.warning("%d runs have not returned", len(self._leftover), extra={"action": "stop_leftover"})
            return self._leftover
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        return self._leftover

    def _has_stopped(self, within: float) -> bool:
        # In slices: a signal that comes right before a wait, as another Ctrl-C may, would not be handled until its end.
        left = within
        while left > 0 and not self._stopped.wait(min(left, SLICE)):
            left -= SLICE
        return self._stopped.is_set()

    def _finish(self, stopped: m.Stopped) -> None:
        self._leftover = stopped.leftover
        self.running = False
        self._workers.stop(0)
        self._timers.stop()
        self._nudger.close()
        if self._obeying is not None:
            self._obeying.shutdown(wait=False, cancel_futures=True)
        self._bindings.close(stopped.unsettled)
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
        if self._bindings.bound is not None:
            self._receive(self._bindings.bound)
        self._bindings.beat_now()

    def offer(self, stored: Stored[Task], store: TaskStore, *, created: bool = False) -> None:
        """
        Take a hint: this process scheduled (`created`) or changed a task of this store.
        """
        # A node that takes part decides for itself whom to tell.
        if not self._offers.offer(stored, store, created=created) and self._is_for_others(stored):
            self._nudger.tell([stored], store)

    def _is_for_others(self, stored: Stored[Task]) -> bool:
        hint = hint_of(stored) if self.options.nudge else None
        return hint is not None and hint.due <= self._clock.now().wall + self.options.poll_interval_millis + SOONER

    def nudged(self, body: bytes, authorization: str) -> bool:
        """
        Take a nudge of another node; False when it is not signed by one of this cluster, or not for this one.
        """
        return self._reception.take(body, authorization)

    def hush(self) -> None:
        """
        Tell others what they were not told yet, and no more: the store is about to be closed.
        """
        self._nudger.close()

    def _own_incarnation(self) -> str | None:
        bound = self._bindings.bound
        return None if bound is None else bound.incarnation

    def pass_on(self, successor: Node) -> None:
        """
        Give what a node that was stopped has left to the one in its place: its memory tasks, and the hints it kept.
        """
        successor._cores.current.locals.dependents.take_over(self._cores.current.locals.dependents)
        for task in self.memory.all():
            successor.memory_put(task)
        self._offers.pass_on(successor._offers)

    @property
    def executor_node(self) -> bool:
        """
        Whether this node runs tasks; otherwise it runs what is for all nodes, and nothing else.
        """
        return self._cores.current.board.executor_node

    def set_executor_node(self, *, enabled: bool) -> None:
        """
        Run tasks from now on, or not, until the node restarts.
        """
        self._inbox.put(m.ExecutorSet(enabled))

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
        self._bindings.beat_now()

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
        store = self._store
        if store is None:
            return []
        return [stored.record for stored in store.heartbeats() if stored.record.dead_by is None]

    @property
    def clock_offset(self) -> int:
        """
        How far this node's clock is ahead of the store's, in ms.
        """
        return self._cores.current.clock.offset

    @property
    def clock_trusted(self) -> bool:
        """
        Whether this node's clock was found near enough to the store's, or there is none to compare it with (P16).
        """
        bound = self._bindings.bound
        if bound is None:
            return True
        core = self._cores.of(bound.number)
        return core is not None and core.board.clock_trusted

    @property
    def progressing(self) -> bool:
        """
        Whether the core has moved within a lease; true of a node that does not run.
        """
        return self._progressing(self._clock.now())

    def state(self) -> NodeState:
        """
        Return how this node stands; nothing of it waits for that.
        """
        if not self.running:
            return NodeState(running=False)
        return observe(
            self._cores,
            self._workers,
            self._bindings.bound,
            now=self._clock.now(),
            started_at=self._started_at,
            progress=self._progress,
        )

    # --- the heartbeat's questions

    def _may_start(self, incarnation: str | None) -> bool:
        return self._bindings.held_by(incarnation, self._clock.now().boot)

    def _advert(self, binding: Binding, beat: Heartbeat) -> Heartbeat:
        core = self._cores.of(binding.number)
        return replace(
            beat,
            started_at=self._started_at,
            executor_node=self.executor_node,
            address=self._address,
            # Nobody must count on a node for what it will not claim.
            task_types=tuple(sorted(self._registry.types()))[:200] if binding.active else (),
            busy=self._busy,
            running=len(core.running) + len(core.locals) if core is not None else 0,
            clock_offset=core.clock.offset if core is not None else 0,
            history_since=core.board.outbox.since if core is not None else 0,
        )

    def _progressing(self, now: Instant) -> bool:
        return now.boot - self._progress < self.options.lease_millis or not self.running

    def _lapsed(self) -> None:
        boot = self._clock.now().boot
        for run in self._workers.active():
            if run.persistent and not self._bindings.held_by(run.incarnation, boot):
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
        wait = self._cores.next_at(now) - now.boot
        events = self._take(wait / 1000)
        now = self._clock.now()
        self._progress = now.boot
        for event in events:
            self._guarded(self._cores.handle, event, now)
        for command in self._cores.advance(now):
            self._guarded(self._do, command)
        self._show_busy(now)
        if self._shown_executor is not self.executor_node:
            self._shown_executor = self.executor_node
            self._bindings.beat_now()

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
        running = self._cores.current.running
        full = running.stuck(Pool.TASKS, now.boot)
        # Whoever does not claim gives its share up at once (P13), but not for the moment until it knows its clock.
        busy = full or self._cores.current.clock.off
        if busy != self._busy:
            self._busy = busy
            self._bindings.beat_now()

    def _do(self, command: m.Command) -> None:
        match command:
            case StartRun():
                self._workers.run(command.ticket)
            case m.Batch() | m.Flush() | m.Ask() | m.LeftBehind() | m.Left():
                self._bindings.do(command)
            case m.Tell():
                self._tell(command)
            case TellRun():
                self._workers.tell(command.claim_id, command.signal)
            case ReportStored() | ReportRefused():
                self._workers.answer(command)
            case m.SetTimer():
                self._timers.set(command.task_id, command.at)
            case m.Obey():
                self._take_order(command)
            case m.Recall():
                self._workers.recall(memory=command.memory)
            case m.Stopped():
                self._finish(command)

    def _tell(self, command: m.Tell) -> None:
        binding = self._bindings.of(command.binding)
        if binding is not None:
            self._nudger.tell(command.tasks, binding.store)

    def _take_order(self, command: m.Obey) -> None:
        if self._obeying is None:
            self._obeying = ThreadPoolExecutor(1, "unomi-orders")
        self._obeying.submit(lambda: self._inbox.put(self._obeyed(command)))

    def _obeyed(self, command: m.Obey) -> m.Obeyed:
        order = command.order
        try:
            outcome = self._obey(order) if self._obey is not None else {"message": "this node takes no orders"}
        except Exception as error:
            # Whoever gave the order waits for an outcome.
            LOG.exception("An order failed: %s", order.action, extra={"action": "order_failed"})
            outcome = {"message": repr(error)}
        return m.Obeyed(order.id, outcome, command.binding)
