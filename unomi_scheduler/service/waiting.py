"""
Waiting in a program's main thread until the scheduler stops or a signal asks it to.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from queue import Empty, SimpleQueue

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_EVERY = 0.5
"""Seconds after which a wait looks up: a signal that comes right before it, or to another thread, wakes nobody."""


class Bell:
    """
    Rung once, it wakes everyone who waits for it, and holds up nobody who comes later, until it is reset.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rung = False
        self._waiting: set[SimpleQueue[None]] = set()

    def ring(self) -> None:
        """
        Wake those who wait.
        """
        with self._lock:
            self._rung = True
            for queue in self._waiting:
                queue.put(None)

    def reset(self) -> None:
        """
        Have those wait who come from now on.
        """
        with self._lock:
            self._rung = False

    def wait(self, timeout: timedelta | None) -> bool:
        """
        Wait until it rings, or SIGINT or SIGTERM arrives (in the main thread); tell whether it was not the time-out.
        """
        # A signal handler runs in the midst of the wait: SimpleQueue.put alone is made for being called there.
        queue: SimpleQueue[None] = SimpleQueue()
        with self._lock:
            if self._rung:
                return True
            self._waiting.add(queue)
        try:
            with _signals_into(queue):
                return _heard(queue, None if timeout is None else timeout.total_seconds())
        finally:
            with self._lock:
                self._waiting.discard(queue)


def _heard(queue: SimpleQueue[None], seconds: float | None) -> bool:
    left = seconds
    while left is None or left > 0:
        pause = _LOOK_EVERY if left is None else min(left, _LOOK_EVERY)
        with suppress(Empty):
            queue.get(timeout=pause)
            return True
        left = None if left is None else left - pause
    # What has come at the last moment.
    return not queue.empty()


@contextmanager
def _signals_into(queue: SimpleQueue[None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: queue.put(None)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
