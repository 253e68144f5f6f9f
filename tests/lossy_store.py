"""
A store that loses answers on demand, and lets others be faster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

from unomi_scheduler.errors import StoreRefused, StoreUnavailable
from unomi_scheduler.model import HistoryRow
from unomi_scheduler.ports import Outcome, Result, TaskStore, Write


class Fault(Enum):
    """
    What happens to one write.
    """

    NONE = auto()
    LOST_ANSWER = auto()
    """It is done, and nobody hears of it."""
    LOST_REQUEST = auto()
    """It is not done, and nobody hears of it."""
    REFUSED = auto()


class LossyStore:
    """
    Another store with faults: each call of `write` with one document takes the next fault, if there is one, and each
    call of `add_history` the next one of its own.

    `before` is called before each write, for what other writers do in between; it is taken away first.
    """

    def __init__(self, store: TaskStore, *faults: Fault) -> None:
        self._store = store
        self.faults = deque(faults)
        self.history_faults: deque[Fault] = deque()
        self.before: deque[Callable[[], object]] = deque()
        self.written: list[Write] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """
        Write, with the next fault for all.
        """
        if self.before:
            self.before.popleft()()
        self.written += writes
        return _meet(self.faults, lambda: self._store.write(writes), len(writes))

    def add_history(self, rows: Sequence[HistoryRow]) -> list[Outcome]:
        """
        Add rows, with the next fault for all.
        """
        return _meet(self.history_faults, lambda: self._store.add_history(rows), len(rows))


def _meet(faults: deque[Fault], act: Callable[[], list[Outcome]], number: int) -> list[Outcome]:
    fault = faults.popleft() if faults else Fault.NONE
    if fault is Fault.REFUSED:
        return [Outcome(Result.REFUSED, error=StoreRefused("too busy"))] * number
    outcomes = [] if fault is Fault.LOST_REQUEST else act()
    if fault is Fault.NONE:
        return outcomes
    return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * number
