"""
The contexts: what a function sees of its run.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..errors import InvalidTask
from ..model import EMPTY, Json, JsonObject, Task
from ..rules.progress import Progress
from .live import LiveRun, Settle
from .plain import copied, plain_json

HISTORY_KEY = "executionHistory"
_T = TypeVar("_T")


class _Context:
    """
    What both kinds of functions share; nothing here blocks.
    """

    def __init__(self, run: LiveRun) -> None:
        self._run = run

    @property
    def task(self) -> Task:
        """
        The task as it was claimed for this run.
        """
        return self._run.task

    @cached_property
    def parameters(self) -> dict[str, Json]:
        """
        A copy of the task's parameters.
        """
        return copied(self._run.task.parameters)  # type: ignore[no-any-return]

    @cached_property
    def checkpoint_data(self) -> dict[str, Json]:
        """
        A copy of the checkpoint this run goes on from; empty on a fresh run.
        """
        return copied(self._run.task.checkpoint_data or {})  # type: ignore[no-any-return]

    @property
    def resumed(self) -> bool:
        """
        Whether this run goes on from a crash; only for executors that can resume.
        """
        return self._run.resumed

    @property
    def fence(self) -> int:
        """
        A number that is higher for each later run of this task: hand it to systems that must refuse a late one.
        """
        return self._run.task.fence

    @property
    def node_id(self) -> str:
        """
        The node this run is on.
        """
        return self._run.host.node_id

    @property
    def cancelled(self) -> bool:
        """
        Whether the body should give up; nothing stops it by force.

        A body that saw this and returns has given up: its task goes on from the checkpoint. One that never looked and
        returns has done its work.
        """
        return self._run.noticed_reason() is not None

    @property
    def reason(self) -> str | None:
        """
        Why the body should give up, or None.
        """
        return self._run.noticed_reason()

    def update_step(self, step: str, **details: Json) -> None:
        """
        Set the current step and merge `details` into the status details; gathered, at most one write a second.

        Raises:
            InvalidTask: a detail is no JSON, or would replace the history.
            LeaseLost: this run does not own its task any more.
        """
        self._run.report(step_progress(step, details))

    def update_status_details(self, **details: Json) -> None:
        """
        Merge `details` into the status details; gathered, at most one write a second.

        Raises:
            InvalidTask: a detail is no JSON, or would replace the history.
            LeaseLost: this run does not own its task any more.
        """
        self._run.report(Progress(details=plain_details(details)))


class TaskContext(_Context):
    """
    The context of a `def` function.
    """

    def save_checkpoint(self, data: Mapping[str, Json]) -> None:
        """
        Replace the checkpoint by a copy of `data`; returns when the store acknowledged it.

        Raises:
            InvalidTask: `data` is not JSON; the run goes on.
            LeaseLost: this run does not own its task any more.
        """
        save_blocking(self._run, data)

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """
        Sleep until the body should give up, at most `timeout` seconds; tell whether it should.
        """
        told: SimpleQueue[Exception | None] = SimpleQueue()
        number = self._run.watch(told.put)
        if number is None:
            return self.cancelled
        try:
            self._run.host.patience.block(told, None if timeout is None else max(timeout, 0))
        except Empty:
            self._run.unwatch(number)
        return self.cancelled


class AsyncTaskContext(_Context):
    """
    The context of an `async def` function: like `TaskContext`, and what waits there is awaited here.

    A call that is not awaited does nothing; the run then fails and says so, even if the body returned.
    """

    def __init__(self, run: LiveRun) -> None:
        super().__init__(run)
        self._to_await: list[tuple[str, Coroutine[Any, Any, Any]]] = []

    def save_checkpoint(self, data: Mapping[str, Json]) -> Coroutine[Any, Any, None]:
        """
        Replace the checkpoint by a copy of `data`; await it: it is done when the store acknowledged it.

        Raises:
            InvalidTask: `data` is not JSON; the run goes on.
            LeaseLost: this run does not own its task any more.
            RuntimeError: the last checkpoint was not awaited.
        """
        if "save_checkpoint" in self._unstarted():
            raise RuntimeError(_not_awaited("save_checkpoint"))
        progress = Progress(checkpoint=plain_json(data, "checkpoint"))
        return self._awaited("save_checkpoint", self._save(progress))

    def wait_cancelled(self, timeout: float | None = None) -> Coroutine[Any, Any, bool]:
        """
        Sleep until the body should give up, at most `timeout` seconds; await it to know whether it should.
        """
        return self._awaited("wait_cancelled", self._wait(timeout))

    async def forgotten(self) -> str | None:
        """
        Return what is wrong when a call was never awaited, or None; for the workers, once the body has returned.
        """
        if self._unstarted():
            # Those that were made tasks begin in the next turn of the loop.
            await asyncio.sleep(0)
        names = self._unstarted()
        self.discard()
        return _not_awaited(names[0]) if names else None

    def discard(self) -> None:
        """
        Close what was never awaited; for the workers.
        """
        for _, coroutine in self._to_await:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()

    def _awaited(self, name: str, coroutine: Coroutine[Any, Any, _T]) -> Coroutine[Any, Any, _T]:
        self._unstarted()
        self._to_await.append((name, coroutine))
        return coroutine

    def _unstarted(self) -> list[str]:
        self._to_await = [one for one in self._to_await if inspect.getcoroutinestate(one[1]) == inspect.CORO_CREATED]
        return [name for name, _ in self._to_await]

    async def _save(self, progress: Progress) -> None:
        future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._run.checkpoint(progress, _settler(future))
        await self._run.host.patience.until(future)
        error = future.result()
        if error is not None:
            raise error

    async def _wait(self, timeout: float | None) -> bool:  # noqa: ASYNC109 - the same words as in a sync body
        future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        number = self._run.watch(_settler(future))
        if number is not None:
            try:
                await self._run.host.patience.until(future, timeout)
            finally:
                self._run.unwatch(number)
        return self.cancelled


def step_progress(step: str, details: Mapping[str, Json]) -> Progress:
    """
    Return a report of a step with details.
    """
    if not isinstance(step, str):
        raise InvalidTask(f"Invalid step: expected a text, got {step!r:.80}")
    return Progress(step=step, details=plain_details(details))


def plain_details(details: Mapping[str, Json]) -> JsonObject:
    """
    Return a copy of status details.

    Raises:
        InvalidTask: they are no JSON, or would replace the history.
    """
    if HISTORY_KEY in details:
        raise InvalidTask(f"Invalid status details: {HISTORY_KEY} is kept by the scheduler")
    return plain_json(details, "status details") if details else EMPTY


def save_blocking(run: LiveRun, data: Mapping[str, Json]) -> None:
    """
    Save a checkpoint and wait until the store acknowledged it, or the run was told to give up.
    """
    progress = Progress(checkpoint=plain_json(data, "checkpoint"))
    answers: SimpleQueue[Exception | None] = SimpleQueue()
    run.checkpoint(progress, answers.put)
    error = run.host.patience.block(answers)
    if error is not None:
        raise error


def _not_awaited(name: str) -> str:
    return f"context.{name}(...) was not awaited, so it did nothing: write `await context.{name}(...)`"


def _settler(future: asyncio.Future[Exception | None]) -> Settle:
    loop = future.get_loop()

    def settle(error: Exception | None) -> None:
        # A loop of the body's own may be closed before the answer comes; then nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_set, future, error)

    return settle


def _set(future: asyncio.Future[Exception | None], error: Exception | None) -> None:
    if not future.done():
        future.set_result(error)
