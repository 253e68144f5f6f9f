"""
The pools that run bodies: threads that share a queue, and one event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from .live import LiveRun, describe

_log = logging.getLogger(__name__)


class ThreadPool:
    """
    Daemon threads that take runs from one queue, in order.
    """

    def __init__(self, name: str, size: int, perform: Callable[[LiveRun], None]) -> None:
        self._perform = perform
        self._queue: SimpleQueue[LiveRun | None] = SimpleQueue()
        self.put = self._queue.put
        self.threads = [
            Thread(target=self._serve, name=f"{name}-{number}", daemon=True) for number in range(1, size + 1)
        ]

    def start(self) -> None:
        """
        Start the threads; once.
        """
        for thread in self.threads:
            thread.start()

    def recall(self) -> list[LiveRun]:
        """
        Return what is still queued.
        """
        left = []
        with suppress(Empty):
            while True:
                left.append(self._queue.get_nowait())
        if None in left:
            # The end mark stays for the threads; a run may have come behind it, where no thread looks any more.
            self._queue.put(None)
        return [run for run in left if run is not None]

    def take_back(self) -> list[LiveRun]:
        """
        Return what is still queued, and let each thread end once it has nothing to run.
        """
        left = self.recall()
        self._queue.put(None)
        return left

    def _serve(self) -> None:
        get, perform = self._queue.get, self._perform
        while (run := get()) is not None:
            try:
                perform(run)
            except BaseException as error:  # noqa: BLE001 - the loop's edge: nothing around a body may end the thread
                _end_broken(run, error)
        # One end mark serves all threads.
        self._queue.put(None)


class LoopPool:
    """
    One event loop in a daemon thread, started with the first run; at most `slots` bodies at once, others wait in order.
    """

    def __init__(self, slots: int, perform: Callable[[LiveRun], Coroutine[Any, Any, None]]) -> None:
        self._slots = slots
        self._perform = perform
        self._inbox: deque[LiveRun] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = Lock()
        self._is_awake = False
        self._done = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    @property
    def threads(self) -> list[Thread]:
        """
        The loop's thread, once it is started.
        """
        return [] if self._thread is None else [self._thread]

    def put(self, run: LiveRun) -> None:
        """
        Run this body when there is a slot.
        """
        self._inbox.append(run)
        if not self._is_awake:
            self._is_awake = True
            self._call(self._drain)

    def close(self) -> None:
        """
        End the loop; for the moment when no body is left in it.
        """
        if self._loop is not None:
            self._call(self._done.set)

    def recall(self) -> list[LiveRun]:
        """
        Return what waits for a slot.
        """
        left = []
        with suppress(IndexError):
            while True:
                left.append(self._inbox.popleft())
        return left

    def _call(self, function: Callable[[], None]) -> None:
        loop = self._loop or self._start()
        # A loop that is closed already has no body left, and what came too late is taken back.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(function)

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._serve, args=(self._loop,), name="unomi-loop", daemon=True)
                self._thread.start()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            while not self._done.is_set():
                try:
                    runner.run(self._until_done())
                except BaseException:  # noqa: BLE001 - a SystemExit in a task that a body made; the others go on
                    _log.exception("The event loop was left by a task", extra={"action": "loop_left"})

    async def _until_done(self) -> None:
        await self._done.wait()

    async def _guarded(self, run: LiveRun) -> None:
        try:
            await self._perform(run)
        except BaseException as error:  # noqa: BLE001 - as in the threads: nothing around a body may end the loop
            _end_broken(run, error)

    def _drain(self) -> None:
        # Lowered before the inbox is looked at, so that nothing put meanwhile is missed.
        self._is_awake = False
        while len(self._tasks) < self._slots:
            try:
                run = self._inbox.popleft()
            except IndexError:
                return
            task = asyncio.get_running_loop().create_task(self._guarded(run))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._inbox:
            self._drain()


def _end_broken(run: LiveRun, error: BaseException) -> None:
    _log.error(
        "The worker of a run failed",
        exc_info=error,
        extra=run.log_extra("worker_failed"),
    )
    run.end(run.failure(describe(error)))
