"""
Complaints: which lines about a failing store a node logs, so that an outage neither floods the log nor ends in silence.
"""

from __future__ import annotations

AGAIN = 10_000
"""Milliseconds before a line of one kind is logged again."""
STALE = 30_000
"""Milliseconds after which a failure that was not met again counts as over, once anything else works."""


class Complaints:
    """
    What failed lately, and when each kind of failure was logged last. It reads no clock; not safe from several threads.
    """

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._kept: dict[str, int] = {}
        self._failing: dict[str, int] = {}
        self._complained = False

    def tell(self, kind: str, boot: int) -> int | None:
        """
        Return how many lines of this kind were kept back since the last one, or None when this one is kept back too.
        """
        told = self._told.get(kind)
        if told is not None and boot - told < AGAIN:
            self._kept[kind] = self._kept.get(kind, 0) + 1
            return None
        self._told[kind] = boot
        return self._kept.pop(kind, 0)

    def failed(self, kind: str, part: str, boot: int) -> int | None:
        """
        Note that a part of the store's work failed, until `worked` hears of it; otherwise as `tell`.
        """
        self._failing[part] = boot
        kept = self.tell(kind, boot)
        self._complained = self._complained or kept is not None
        return kept

    def worked(self, part: str, boot: int) -> bool:
        """
        Note that a part works; tell whether it was the last that had failed, and a line said so: its end deserves one.
        """
        if not self._failing:
            return False
        self._failing.pop(part, None)
        self._failing = {one: at for one, at in self._failing.items() if boot - at < STALE}
        over = self._complained and not self._failing
        self._complained = self._complained and not over
        return over


def and_more(kept: int) -> str:
    """
    Return what a line says of those that were kept back.
    """
    return f" (and {kept} more like it)" if kept else ""
