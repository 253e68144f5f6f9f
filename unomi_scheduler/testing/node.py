"""
A node that does something only when a test tells it to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain, count
from types import TracebackType
from typing import Any, Self

from ..errors import SchedulerError
from ..model import Task, TaskStatus
from ..ports import LIST_CAP, Records, TaskQuery, TaskStore
from ..service import Scheduler
from ..stores.memory import MemoryStore
from .clock import SettableClock
from .runs import Run, RunOutcome
from .scheduled import Expectations
from .shell import HandNode
from .workers import NodeDied

MOST_RUNS = 10_000
STUCK = 60_000
"""Milliseconds for which time passes in small steps while something is due and not run."""
_PAGE = 25
_OPEN = (TaskStatus.SCHEDULED, TaskStatus.WAITING, TaskStatus.CRASHED)


class ManualNode(Expectations):
    """
    The node of a scheduler, in the test's hand. As a context manager the scheduler works on this node, on a store in
    memory and on a clock that stands still; its executors are executed in the test's thread, one after the other, in
    the order in which they fall due. At the end the scheduler is as it was before, its real store untouched.

    Between two calls nothing happens. A body that waits (for a checkpoint, or in `wait_cancelled`) moves the clock.

    Args:
        scheduler: yours, with its executors; it must not run. A new one without executors if there is none.
        clock: what tells the time; by default one that stands at `NOW`.
        store: where the tasks are; by default a new store in memory. A `FaultyStore` around one fails on demand.
        raise_failures: raise what a body raised, once its failure is written, instead of only telling in the `Run`.
        settings: single settings for the time of the test, for example `lease`; the purge is off by default.
    """

    def __init__(
        self,
        scheduler: Scheduler | None = None,
        *,
        clock: SettableClock | None = None,
        store: TaskStore | Any | None = None,
        raise_failures: bool = False,
        **settings: Any,
    ) -> None:
        self.scheduler = scheduler if scheduler is not None else Scheduler(store=None)
        self.clock = clock if clock is not None else SettableClock()
        self.store = store if store is not None else MemoryStore(self.clock)
        self._raise_failures = raise_failures
        self._settings = settings
        self._before: dict[str, Any] | None = None
        self._performing = False
        self._numbers = count(1)
        self._stuck_since: int | None = None
        self._actions: list[tuple[int, Callable[[], object]]] = []

    # --- life

    def __enter__(self) -> Self:
        scheduler = self.scheduler
        # Not `scheduler.running`, which would give a node that was never wanted a name, by a lock file.
        node = scheduler._wiring._node  # noqa: SLF001 - the kit and the service are one package
        if self._before is not None or (node is not None and node.running):
            raise SchedulerError("A manual node needs a scheduler that does not run: stop() it before")
        stand_in = self._stand_in()
        self._before = dict(vars(scheduler))
        vars(scheduler).update(vars(stand_in))
        scheduler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scheduler, before = self.scheduler, self._before
        if before is None:
            return
        try:
            scheduler.stop(exiting=True)
        finally:
            scheduler._wiring.registry.on_change(lambda: None)  # noqa: SLF001 - as above
            vars(scheduler).clear()
            vars(scheduler).update(before)
            self._before = None

    def _stand_in(self) -> Scheduler:
        given = {"node_id": "manual-node", "purge_enabled": False, **self._settings}
        if self.scheduler.settings.node_id is not None:
            given = {**given, "node_id": self.scheduler.settings.node_id, **self._settings}
        made = Scheduler(self.scheduler.settings, clock=self.clock, store=self.store, **given)
        wiring = made._wiring  # noqa: SLF001 - as above
        # Shared: a module that is imported meanwhile registers its executors for good.
        wiring.registry = self.scheduler._wiring.registry  # noqa: SLF001 - as above
        wiring.node_type = lambda **ties: HandNode(number=next(self._numbers), **ties)
        return made

    @property
    def _node(self) -> HandNode:
        node = self.scheduler._wiring.node  # noqa: SLF001 - as above
        if not isinstance(node, HandNode):
            raise SchedulerError("The manual node is used outside of its `with` block")
        node.checkpointed = self._checkpointed
        return node

    def _running(self) -> HandNode:
        node = self._node
        if node.dead:
            self.restart()
            node = self._node
        if not node.running:
            raise SchedulerError("The scheduler was stopped; start() it again")
        return node

    # --- time

    def tick(self) -> Run | None:
        """
        Execute the next run that is due now, and return it; None when nothing is due.

        Raises:
            BaseException: what a body raised that is no `Exception`, such as what `pytest.fail` raises: it is meant for
                the test. With `raise_failures`, what a body raised.
        """
        if self._performing:
            raise SchedulerError("A body cannot run the node that runs it")
        node = self._running()
        node.look()
        node.settle()
        self._performing = True
        try:
            run = node.perform_next()
        finally:
            self._performing = False
        if run is not None:
            self._raise(run)
        return run

    def _raise(self, run: Run) -> None:
        error = run.exception
        if error is None or isinstance(error, NodeDied | SystemExit):
            return
        is_for_the_test = not isinstance(error, Exception)
        if is_for_the_test or (self._raise_failures and run.outcome is RunOutcome.FAILED):
            raise error

    def run_due(self) -> list[Run]:
        """
        Execute everything that is due now, and what becomes due by that, and return the runs in their order; where the
        node dies, that is the end.
        """
        return list(self._due())

    def _due(self) -> Iterator[Run]:
        for _ in range(MOST_RUNS):
            run = self.tick()
            if run is None:
                return
            yield run
            if self._node.dead:
                return
        raise SchedulerError(f"More than {MOST_RUNS} runs at one moment: does a task schedule itself anew at once?")

    def advance(self, by: timedelta) -> list[Run]:
        """
        Let this time pass, execute everything at the moment at which it falls due, and return the runs in their order;
        where the node dies, the time stops.
        """
        until = self.clock.boot + by // timedelta(milliseconds=1)
        runs = self._pass(until, lambda: True)
        if self._node.dead:
            return runs
        self._move_to(until)
        return runs + self.run_due()

    def drain(self, within: timedelta = timedelta(days=1)) -> list[Run]:
        """
        Let as much time pass as it takes until no task that runs once is left to run, retries and dependents included,
        but no more than `within`; return the runs in their order. Recurring tasks run along.
        """
        until = self.clock.boot + within // timedelta(milliseconds=1)
        return self._pass(until, self._has_single_runs)

    def _pass(self, until: int, wanted: Callable[[], bool]) -> list[Run]:
        runs = self.run_due()
        while not self._node.dead and wanted() and (at := self._next_moment()) is not None and at <= until:
            self._move_to(at)
            runs += self.run_due()
            if len(runs) > MOST_RUNS:
                raise SchedulerError(f"More than {MOST_RUNS} runs: let less time pass at once")
        return runs

    def _move_to(self, boot: int) -> None:
        # A body may have moved the clock further.
        self.clock.advance(max(0, boot - self.clock.boot))

    def _has_single_runs(self) -> bool:
        memory = (task for task in self.scheduler.get_memory_tasks() if task.status in _OPEN)
        stored = (task for status in _OPEN for task in self._stored(status=status))
        return any(task.enabled and not task.periodic for task in chain(memory, stored))

    def _next_moment(self) -> int | None:
        now, node = self.clock.now(), self._running()
        times = [node.work_at()]
        overdue = False
        for task in self._stored(status=TaskStatus.SCHEDULED, records=Records.SHOWN):
            at = task.next_scheduled_execution
            if at is None or not task.enabled:
                continue
            if at > now.wall:
                times.append(now.boot + at - now.wall)
                break
            overdue = overdue or node.able(task)
        self._stuck_since = (self._stuck_since or now.boot) if overdue else None
        if self._stuck_since is not None and now.boot - self._stuck_since < STUCK:
            # Due and not run: the store refused something, and the node tries again a little later.
            node.look()
            times.append(node.next_at())
        return min((at for at in times if at is not None and at > now.boot), default=None)

    def tasks(self) -> list[Task]:
        """
        Return all tasks there are, those in memory first; faults of the store do not matter to it.
        """
        return [*self.scheduler.get_memory_tasks(), *self._stored()]

    def _stored(self, **what: Any) -> Iterator[Task]:
        store = getattr(self.store, "behind", self.store)
        store.refresh()
        for offset in range(0, LIST_CAP, _PAGE):
            query = TaskQuery(offset=offset, limit=_PAGE, sort_by="next_scheduled_execution", **what)
            page = store.find(query).list
            yield from page
            if len(page) < _PAGE:
                return

    # --- what happens to a node

    def after_checkpoint(self, number: int, action: Callable[[], object]) -> None:
        """
        Do something once, right after the store took the `number`th checkpoint from now on, before the body goes on:
        cancel the task, let the node crash, take the store down.
        """
        if number < 1:
            raise ValueError(f"expected a number from 1 on, got {number}")
        self._actions.append((number, action))

    def _checkpointed(self) -> None:
        due = [action for number, action in self._actions if number == 1]
        self._actions = [(number - 1, action) for number, action in self._actions if number > 1]
        for action in due:
            action()

    def crash(self) -> None:
        """
        End the node as `kill -9` ends a process: its memory tasks are gone, its runs stand as RUNNING. Called while a
        body runs, the body ends at once (its `finally` blocks are executed, which a real death would not do).

        The next call starts it again; see `restart`.
        """
        self._node.die()
        if self._performing:
            raise NodeDied

    def restart(self) -> None:
        """
        Start the node again after a crash, as another process with the same id: the clock moves on until the lease of
        the dead one has run out, then its runs are CRASHED and due for recovery.
        """
        if not self._node.dead:
            self.crash()
        wiring = self.scheduler._wiring  # noqa: SLF001 - as above
        wiring._node = wiring._make_node()  # noqa: SLF001 - not renew_node: the memory tasks died with the process
        wiring.node.start()

    def __repr__(self) -> str:
        return f"<ManualNode {self.scheduler.node_id!r} at {self.clock.date.isoformat()}>"
