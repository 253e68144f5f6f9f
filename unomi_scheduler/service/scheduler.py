"""
The scheduler: what a user holds in the hand, from its settings to its stop.
"""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from ..builder import Draft
from ..clock import Clock
from ..config import Settings
from ..errors import SchedulerError
from ..model import TimeUnit
from ..node.secret import renew
from ..ports import TaskStore
from .auditing import Audit
from .making import Making
from .purge import PURGE_TYPE, PurgeExecutor
from .tokens import SESSION, Tokens
from .waiting import Bell
from .wiring import Wiring

_MILLISECOND = timedelta(milliseconds=1)


class Scheduler(Making):
    """
    Tasks, and the node of this process that runs them.

    Making one touches no disk and no network; the store is opened at its first use. Everything but running tasks works
    without a start: tasks are written at once, by any process. As a context manager it starts, and leaves by draining.

    Args:
        settings: by default from `scheduler.toml` and the environment.
        clock: for tests.
        overrides: single settings that beat the others; `store` may be a ready-made `TaskStore` too, or None for memory
            tasks alone.

    Raises:
        ConfigurationError: a setting is unknown or wrong.
    """

    tokens: Tokens
    """The tokens that programs sign in with."""
    audit: Audit
    """Who changed what; a call in Python is in it only if its caller says so."""

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None, **overrides: Any) -> None:
        ready = overrides.get("store")
        if ready is not None and not isinstance(ready, str):
            overrides["store"] = None
        else:
            ready = None
        made = _settings(settings, overrides)
        super().__init__(Wiring(made, store=made.store if ready is None else ready, clock=clock))
        self._bell = Bell()
        self._started = False
        self._purge = PurgeExecutor(
            self._wiring.store,
            clock=self._wiring.clock,
            age=made.completed_task_ttl,
            keeping=self._wiring.keeping,
            audit_age=made.audit_ttl,
        )

        wiring = self._wiring
        self.tokens = Tokens(wiring.store, required=wiring.required_store, clock=wiring.clock)
        self.sessions = Tokens(
            wiring.store, required=wiring.required_store, clock=wiring.clock, kind=SESSION, kept_millis=0
        )
        self.audit = Audit(wiring.store, clock=wiring.clock, metrics=wiring.metrics)

    @property
    def settings(self) -> Settings:
        """
        The settings in force.
        """
        return self._wiring.settings

    @property
    def running(self) -> bool:
        """
        Whether the node of this process takes part.
        """
        return self._wiring.node.running

    @property
    def progressing(self) -> bool:
        """
        Whether the node of this process works on, as far as that does not depend on anything outside it; true where
        there is none. One that does not has lost its lease by then, and only a restart helps.
        """
        return self._wiring.node.progressing

    @property
    def active_runs(self) -> int:
        """
        How many runs, of stored and of memory tasks, this process has under way.
        """
        return self._wiring.node.active_runs

    def advertise(self, address: str | None) -> None:
        """
        Show the others where this node answers, e.g. `http://127.0.0.1:8182`: as `address` of its entry in `nodes()`.
        """
        self._wiring.advertise(address)

    def nudged(self, body: bytes, authorization: str) -> bool:
        """
        Take a nudge of another node, as it came to the advertised address: the body of `POST /nudge` and its header
        `Authorization`. False when it was not let in: it is not signed by a node of this cluster, it is not for this
        node, it came before, or the node does not run.
        """
        return self._wiring.nudged(body, authorization)

    def renew_cluster_secret(self) -> None:
        """
        Replace the secret by which the nodes know each other's nudges; those that run read the new one when they meet
        it.

        Raises:
            SchedulerError: it was not written, or that is not known.
        """
        renew(self._wiring.required_store())

    def start(self) -> None:
        """
        Start the node; harmless when it runs. After a stop it is a new incarnation, with the memory tasks left.

        Raises:
            ConfigurationError: the store or the node id needs a person.
            StoreUnavailable: the store did not answer; try again.
        """
        wiring = self._wiring
        with wiring.lock:
            if wiring.node.running:
                return
            if self._started:
                wiring.renew_node()
            # Opened here: a node must never start beside its store for want of a task to write.
            wiring.store()
            self._prepare_purge()
            wiring.node.start()
            wiring.feed.reopen()
            self._started = True
            self._bell.reset()

    def stop(self, timeout: timedelta | None = None, *, exiting: bool = False) -> None:
        """
        Claim nothing more, let runs end, and leave the cluster; harmless when repeated or before a start.

        Watches end first. Runs that can resume are told at once, the others when their time is over.

        Args:
            timeout: how long runs may take to end; by default the setting `drain_timeout`.
            exiting: the process ends right after this call, so that what has not ended may go on elsewhere now. Without
                it such a run keeps its task, and this node its heartbeat, until its body returns.
        """
        wiring = self._wiring
        # Who watches is told first, and goes on elsewhere while the runs end.
        wiring.feed.close()
        if self._started:
            wiring.node.stop(None if timeout is None else timeout // _MILLISECOND, exiting=exiting)
        # Bodies that have not returned keep their heartbeat, and so the store (P18).
        if not self._started or not wiring.node.running:
            wiring.feed.settle()
            wiring.close()
        self._bell.ring()

    def wait(self, timeout: timedelta | None = None) -> bool:
        """
        Wait until `stop()`, or in the main thread SIGINT or SIGTERM; False when the time-out came first. Does not stop.

        Raises:
            SchedulerError: it was never started, so that nothing would end the wait.
        """
        if not self._started:
            raise SchedulerError(
                "wait() expects a scheduler that was started: call start() before, or use it as a context manager"
            )
        return self._bell.wait(timeout)

    def bind_store(self, store: TaskStore | str | None) -> None:
        """
        Use this store from now on (by its address, or ready-made), or with None memory tasks alone; harmless when it is
        bound already.

        A node that runs leaves the store before: it claims nothing more there and tells its runs that they lost their
        lease, as `LeaseLost` and `context.cancelled`; they go on elsewhere from their checkpoints, uncounted. It waits
        for them no longer than a lease and the time for draining. A body that has not returned by then keeps its task,
        and this node its heartbeat there, until it does. Memory tasks go on undisturbed.

        Raises:
            ConfigurationError, StoreUnavailable: it cannot be used; the one before stays, and the node goes on in it.
        """
        wiring = self._wiring
        with wiring.lock:
            wiring.bind(store, prepare=self._prepare_purge if self.running else lambda: None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare_purge(self) -> None:
        settings = self._wiring.settings
        if not settings.purge_enabled or not settings.executor_node or self._wiring.store() is None:
            return
        task = self.create_task(PURGE_TYPE, period=1, unit=TimeUnit.DAYS, system_task=True)
        kept = {"period": task.period, "time_unit": task.time_unit, "fixed_rate": True, "enabled": True}
        self._submit(Draft(task=task, executor=self._purge, updates=kept))


def _settings(settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    if settings is None:
        return Settings(**overrides)
    if not overrides:
        return settings
    # Made anew, so that the whole is checked again.
    return Settings(**{**{name: getattr(settings, name) for name in Settings.model_fields}, **overrides})
