"""
Looks: questions that may take long, asked in a thread of their own, so that whoever wants the answer need not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

from unomi_scheduler import Clock, StoreUnavailable

T = TypeVar("T")
_SECOND = 1_000


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """
    What a look came to: a value or an error.
    """

    value: T | None = None
    error: Exception | None = None


class Look(Generic[T]):
    """
    One question, asked by one thread at a time and at most once in a while, however many want to know.

    Args:
        every: milliseconds between the beginnings of two looks.
        patience: milliseconds that whoever begins a look waits for its answer; the others get the last one.
        first: milliseconds to wait while there is no last one; by default as long.
        limit: milliseconds without an answer after which it counts as none.
    """

    def __init__(
        self,
        question: Callable[[], T],
        *,
        clock: Clock,
        every: int,
        patience: int,
        limit: int,
        name: str,
        first: int = 0,
    ) -> None:
        self._question = question
        self._clock = clock
        self._every = every
        self._patience = patience
        self._first = max(first, patience)
        self._limit = limit
        self._name = name
        self._lock = Lock()
        self._began: int | None = None
        self._done: Event | None = None
        self._seen: Seen[T] | None = None

    def newest(self) -> Seen[T] | None:
        """
        Return the newest answer, after a look of its own if it is time for one; None while the first is under way.
        """
        begun, done = self._begin()
        patience = self._first if self._seen is None else self._patience if begun else 0
        if done is not None and patience and not done.wait(patience / _SECOND) and patience >= self._limit:
            return self._silent()
        return self._so_far()

    def _so_far(self) -> Seen[T] | None:
        with self._lock:
            pending = self._done is not None and self._began is not None
            if pending and self._clock.now().boot - (self._began or 0) >= self._limit:
                return self._silent()
            return self._seen

    def _silent(self) -> Seen[T]:
        return Seen(error=StoreUnavailable(f"no answer within {self._limit} ms"))

    def _begin(self) -> tuple[bool, Event | None]:
        now = self._clock.now().boot
        with self._lock:
            if self._done is not None or (self._began is not None and now - self._began < self._every):
                return False, self._done
            done = Event()
            Thread(target=self._look, args=(done,), name=self._name, daemon=True).start()
            # Only now: where no thread could be started, the next caller tries again. Its end waits for this lock.
            self._began, self._done = now, done
            return True, done

    def _look(self, done: Event) -> None:
        try:
            seen = Seen(value=self._question())
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever looked is told
            seen = Seen(error=error)
        with self._lock:
            self._seen, self._done = seen, None
        done.set()
