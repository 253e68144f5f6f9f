"""
Sweeps: how far the searches for due work have come, type by type.

A sweep begins at the earliest due date with every type, so that nearer work is met soon. Where it does not reach the
end, each type goes on from where it was read, as long as there is room for it: a type whose pool or lane has enough is
left out, so that what nobody can start hides nothing that somebody can.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

Cursor = tuple[int, str]
RENEWAL = 5_000
"""Milliseconds after which types that are left out are read from the beginning again, once there is room for them."""
NEVER = -(10**9)
_START: Cursor = (-(2**63), "")


class Step(NamedTuple):
    """
    One search: which types, from where (None: the beginning), and whether only for those of this node's own share.
    """

    types: frozenset[str]
    after: Cursor | None
    own_only: bool


class Sweeps:
    """
    The cursors of the types that have more to read.
    """

    def __init__(self) -> None:
        self.began = NEVER
        self.plenty: set[str] = set()
        """Types of which the own share has enough: what others are late with is theirs."""
        self._renewed = NEVER
        self._cursors: dict[str, Cursor | None] = {}

    def hurry(self) -> None:
        """
        Begin a sweep at once.
        """
        self.began = NEVER

    def begin(self, types: frozenset[str], boot: int) -> Step:
        """
        Return the first search of a sweep.
        """
        self.began = boot
        if boot - self._renewed >= RENEWAL:
            self._renewed = boot
            self._cursors.clear()
        return Step(types, None, types <= self.plenty)

    def go_on(self, types: frozenset[str], full: Callable[[], Collection[str]]) -> Step | None:
        """
        Return the search that goes on where one was cut, the one that has come least far first; None when every type
        was read to its end or has enough.
        """
        if not self._cursors:
            return None
        left_out = full()
        hungry = {one: cursor for one, cursor in self._cursors.items() if one in types and one not in left_out}
        if not hungry:
            return None
        first = min(hungry, key=lambda one: hungry[one] or _START)
        after, own_only = hungry[first], first in self.plenty
        group = (one for one, cursor in hungry.items() if cursor == after and (one in self.plenty) is own_only)
        return Step(frozenset(group), after, own_only)

    def answered(self, step: Step, after: Cursor | None) -> None:
        """
        Take how far a search has come; None means to the end.
        """
        for one in step.types:
            if after is None:
                self._cursors.pop(one, None)
                self.plenty.discard(one)
            else:
                # The beginning of a sweep is behind what was read of the type already.
                kept = self._cursors.get(one) if step.after is None else None
                self._cursors[one] = max(kept or after, after)

    def dropped(self, types: Collection[str]) -> None:
        """
        Take note that entries of these types were let go: they are read from the beginning.
        """
        self._cursors.update(dict.fromkeys(types))

    def failed(self) -> None:
        """
        Take a search that failed: everything is read from the beginning.
        """
        self._cursors.clear()
