"""
A store that fails on demand: for tests of what a program makes of a store that is slow, silent or away.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from ..errors import StoreRefused, StoreUnavailable
from ..model import HistoryRow
from ..ports import Outcome, Result, TaskStore, Write
from .clock import SettableClock

_T = TypeVar("_T")
_READS = frozenset(
    {
        "tasks", "heartbeats", "slots", "find", "find_due", "find_owned", "find_waiting", "find_unplaced",
        "find_purgeable", "find_ended", "history", "summaries", "refresh", "clock", "drop_history",
    }
)  # fmt: skip


class Fault(StrEnum):
    """
    What happens to one call of the store.
    """

    NONE = "none"
    """Nothing: the call goes through. For calls before the one that is meant."""
    REFUSED = "refused"
    """It is not done, and the store says so."""
    LOST_REQUEST = "lost request"
    """It is not done, and nobody hears of it."""
    LOST_ANSWER = "lost answer"
    """It is done, and nobody hears of it."""
    DELAYED = "delayed"
    """It is done, after the clock has moved on by `delay`."""


class FaultyStore:
    """
    Another store with faults. Each call of `write` takes the next of `faults`, each call of `add_history` the next of
    `history_faults`, and each call that reads the next of `read_faults`; without one it goes through.

    While `down` is true nothing goes through at all, heartbeats neither. Heartbeats take no other faults. `counts` has
    how often each fault has struck, `written` every write that was asked for. `before` is called before each write, for
    what other writers do in between; it is taken away first.

    Args:
        clock: what `Fault.DELAYED` moves on.
        delay: by how much.
    """

    def __init__(
        self,
        store: TaskStore,
        *faults: Fault,
        clock: SettableClock | None = None,
        delay: timedelta = timedelta(seconds=1),
    ) -> None:
        self.behind = store
        self.faults = deque(faults)
        self.history_faults: deque[Fault] = deque()
        self.read_faults: deque[Fault] = deque()
        self.before: deque[Callable[[], object]] = deque()
        self.written: list[Write] = []
        self.counts: Counter[Fault] = Counter()
        self.down = False
        self._clock = clock
        self._delay = delay

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.behind, name)
        if name not in _READS:
            return found
        return lambda *arguments, **named: self._read(lambda: found(*arguments, **named))

    def lane(self, timeout: float) -> TaskStore:
        """
        Return the way of the heartbeats: it takes no faults, but is down when the store is.
        """
        return _Lane(self, self.behind.lane(timeout))

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """
        Write, with the next fault for all.
        """
        if self.before:
            self.before.popleft()()
        self.written += writes
        return self._change(self.faults, lambda: self.behind.write(writes), len(writes))

    def add_history(self, rows: Sequence[HistoryRow]) -> list[Outcome]:
        """
        Add rows, with the next fault for all.
        """
        return self._change(self.history_faults, lambda: self.behind.add_history(rows), len(rows))

    def _next(self, faults: deque[Fault]) -> Fault:
        fault = Fault.LOST_REQUEST if self.down else faults.popleft() if faults else Fault.NONE
        self.counts[fault] += 1
        if fault is Fault.DELAYED:
            if self._clock is None:
                raise ValueError("Fault.DELAYED needs a clock to move: FaultyStore(store, clock=...)")
            self._clock.advance(self._delay)
        return fault

    def _change(self, faults: deque[Fault], act: Callable[[], list[Outcome]], number: int) -> list[Outcome]:
        fault = self._next(faults)
        if fault is Fault.REFUSED:
            return [Outcome(Result.REFUSED, error=StoreRefused("too busy"))] * number
        outcomes = [] if fault is Fault.LOST_REQUEST else act()
        if fault in (Fault.NONE, Fault.DELAYED):
            return outcomes
        return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * number

    def _read(self, act: Callable[[], _T]) -> _T:
        fault = self._next(self.read_faults)
        if fault is Fault.REFUSED:
            raise StoreRefused("too busy")
        if fault in (Fault.LOST_REQUEST, Fault.LOST_ANSWER):
            raise StoreUnavailable("no answer")
        return act()


class _Lane:
    def __init__(self, store: FaultyStore, lane: TaskStore) -> None:
        self._store = store
        self._lane = lane

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._lane, name)
        if name not in _READS:
            return found

        def read(*arguments: Any, **named: Any) -> Any:
            if self._store.down:
                raise StoreUnavailable("no answer")
            return found(*arguments, **named)

        return read

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if self._store.down:
            return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * len(writes)
        return self._lane.write(writes)
