"""
A store that tells which writes of tasks it acknowledged, so that nobody need search for what this process does itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from ..ports import Outcome, TaskStore, Write

Told = Callable[["TaskStore", Sequence[Write], Sequence[Outcome]], object]


class TellingStore:
    """
    Another store; each `write` is told once it is answered, in the thread that wrote.
    """

    def __init__(self, store: TaskStore, told: Told) -> None:
        self.store = store
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """
        Do the writes, then tell them.
        """
        outcomes = self.store.write(writes)
        self._told(cast("TaskStore", self), writes, outcomes)
        return outcomes
