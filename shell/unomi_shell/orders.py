"""
Orders to end: SIGTERM and Ctrl-C, the first in good order, another Ctrl-C at once.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType

ENDED_AT_ONCE = "Ended at once; what ran here goes on elsewhere after the lease."
INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended."""
_LOOK_EVERY = 0.5
"""Seconds after which a wait looks up: a signal that comes right before it, or to another thread, wakes nobody."""


class Orders:
    """
    The signals that a process got; made in the main thread.
    """

    def __init__(self) -> None:
        # A queue, since a signal handler must not take locks.
        self._told: SimpleQueue[int] = SimpleQueue()
        self._ending = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def wait(self) -> None:
        """
        Wait for the order to end.
        """
        while True:
            with suppress(Empty):
                self._told.get(timeout=_LOOK_EVERY)
                return

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._ending and number == signal.SIGINT:
            os.write(2, f"\n{ENDED_AT_ONCE}\n".encode())
            os._exit(INTERRUPTED)
        self._ending = True
        self._told.put(number)
