"""
Alarms: one thread that calls back after a delay, for all runs of a node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from threading import Condition, Thread

from ..clock import Clock

_log = logging.getLogger(__name__)
Alarm = tuple[int, int]


class Alarms:
    """
    Calls a function once a delay has passed, unless it is cancelled before. The thread starts with the first alarm.

    Alarms of the same delay ring in the order they were set, so each delay has a queue that is sorted by itself and
    gives back a cancelled alarm at once; only a few different delays are meant to be used.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = Condition()
        self._queues: dict[int, dict[int, tuple[int, Callable[[], None]]]] = {}
        self._numbers = count(1)
        self._thread: Thread | None = None
        self._stopped = False

    @property
    def threads(self) -> list[Thread]:
        """
        The thread, once it is started.
        """
        return [] if self._thread is None else [self._thread]

    def set(self, delay: int, ring: Callable[[], None]) -> Alarm:
        """
        Call `ring` in `delay` ms, in the alarms' own thread; it must not block.
        """
        due = self._clock.now().boot + delay
        with self._changed:
            number = next(self._numbers)
            queue = self._queues.setdefault(delay, {})
            queue[number] = (due, ring)
            if len(queue) == 1:
                self._wake()
        return delay, number

    def cancel(self, alarm: Alarm) -> None:
        """
        Forget an alarm; harmless when it rang.
        """
        delay, number = alarm
        with self._changed:
            self._queues[delay].pop(number, None)

    def stop(self) -> None:
        """
        Forget all alarms and end the thread.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._serve, name="unomi-alarms", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _serve(self) -> None:
        while not self._stopped:
            for ring in self._due():
                self._ring(ring)

    def _due(self) -> list[Callable[[], None]]:
        with self._changed:
            now = self._clock.now().boot
            due = self._taken(now)
            if not due and not self._stopped:
                heads = [next(iter(queue.values()))[0] for queue in self._queues.values() if queue]
                self._changed.wait((min(heads) - now) / 1000 if heads else None)
            return due

    def _taken(self, now: int) -> list[Callable[[], None]]:
        return [ring for queue in self._queues.values() for ring in _taken(queue, now)]

    def _ring(self, ring: Callable[[], None]) -> None:
        try:
            ring()
        except Exception:  # noqa: BLE001 - the loop's edge: one alarm that fails must not silence the others
            _log.exception("An alarm failed", extra={"action": "alarm_failed"})


def _taken(queue: dict[int, tuple[int, Callable[[], None]]], now: int) -> list[Callable[[], None]]:
    numbers = []
    for number, (due, _) in queue.items():
        if due > now:
            break
        numbers.append(number)
    return [queue.pop(number)[1] for number in numbers]
