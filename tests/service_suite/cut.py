"""
A store that one node may be cut off from: to its peers the node is dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any

from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.ports import Outcome, Result, TaskStore, Write


class CutStore:
    """
    Another store until `cut` is set; then nothing is written, and nothing is answered.
    """

    def __init__(self, store: TaskStore, cut: Event) -> None:
        self._store = store
        self.cut = cut

    def __getattr__(self, name: str) -> Any:
        if self.cut.is_set() and name not in ("close", "open"):
            raise StoreUnavailable("cut off")
        return getattr(self._store, name)

    def lane(self, timeout: float) -> CutStore:
        """
        A lane is cut off with its node.
        """
        return CutStore(self._store.lane(timeout), self.cut)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """
        Write, unless cut off.
        """
        if self.cut.is_set():
            return [Outcome(Result.UNKNOWN, error=StoreUnavailable("cut off"))] * len(writes)
        return self._store.write(writes)
