"""
A watch: what one listener gets of the changes of tasks, in a queue of its own that never holds up the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from queue import Empty, Full, Queue
from typing import Self

from ..model import Task, TaskStatus, Version
from ..ports import Changes, Position

MOST_WAITING = 1_000
"""Changes that wait for a slow listener; with the next one it has a gap."""
MOST_MISSED = 10_000
"""Changes that a listener who comes back gets one by one; beyond it must list again."""
_PAGE = 500
_CURSOR = re.compile(r"(-?[0-9]{1,18}(?:\.-?[0-9]{1,18})*)@([!-~]{1,300})")


class ChangeKind(StrEnum):
    """
    What a listener is told.
    """

    TASK = "task"
    """A task was made or changed; `task` is the task as it is now."""
    REMOVED = "removed"
    """This process removed a task; `task` is what it was."""
    RESET = "reset"
    """What was missed cannot be told: list the tasks again. The changes from now on follow."""
    GAP = "gap"
    """The listener was too slow; this is the last. A new watch from `position` misses nothing."""
    BYE = "bye"
    """This process stops; this is the last. A watch of another process from `position` misses nothing."""


LAST = frozenset({ChangeKind.GAP, ChangeKind.BYE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """
    One thing that a listener is told; a watch from `position`, in whatever process, misses nothing behind it.
    """

    kind: ChangeKind
    position: str
    task: Task | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """
    Which tasks one listener hears of: all conditions hold. `records` adds the run records of all-nodes tasks.
    """

    status: TaskStatus | None = None
    task_type: str | None = None
    task_id: str | None = None
    records: bool = False

    def has(self, task: Task) -> bool:
        """
        Tell whether a task is one of them.
        """
        return (
            self.status in (None, task.status)
            and self.task_type in (None, task.task_type)
            and self.task_id in (None, task.id)
            and (self.records or task.all_nodes_of is None)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """
    Where the changes begin that a listener missed, and how a page of those behind a position is read.
    """

    since: Position
    read: Callable[[Position, int], Changes | None]


def cursor_of(position: Position | None) -> str:
    """
    Return a position as text; without a store it is empty.
    """
    return "" if position is None else f"{'.'.join(map(str, position.numbers))}@{position.identity}"


def position_of(cursor: str) -> Position | None:
    """
    Return the position of a text, or None when it is none.
    """
    found = _CURSOR.fullmatch(cursor)
    return Position(found[2], tuple(int(one) for one in found[1].split("."))) if found else None


def earlier(one: Position, other: Position) -> Position:
    """
    Return the position behind which is everything that is behind either; of two stores, the first.
    """
    if one.identity != other.identity or len(one.numbers) != len(other.numbers):
        return one
    return Position(one.identity, tuple(map(min, one.numbers, other.numbers)))


class Watch:
    """
    What one listener gets. One thread takes from it; `close` may come from any.

    A change may come twice; what comes later of a task is never older than what came before.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        now: Callable[[], Position | None],
        leave: Callable[[Watch], object],
        shown: Callable[[Task], Task],
    ) -> None:
        self._wanted = wanted
        self._as_shown = shown
        self._now = now
        self._leave = leave
        self._queue: Queue[tuple[Change, Version | None]] = Queue(MOST_WAITING)
        self._missed: Iterator[Change] = iter(())
        self._shown: dict[str, Version] = {}
        self._last: Change | None = None
        self._over = False

    @property
    def position(self) -> str:
        """
        Where a watch that is made instead of this one may begin, once everything up to here was taken.
        """
        return cursor_of(self._now())

    @property
    def over(self) -> bool:
        """
        Whether the last change was taken.
        """
        return self._over

    def take(self, timeout: float) -> Change | None:
        """
        Return the next change, or None when the seconds are over, or the watch is.
        """
        if self._over:
            return None
        change = next(self._missed, None) or self._next(timeout)
        self._over = change is not None and change.kind in LAST
        return change if change is None or change.task is None else replace(change, task=self._as_shown(change.task))

    def _next(self, timeout: float) -> Change | None:
        while True:
            try:
                change, version = self._queue.get(timeout=timeout) if timeout > 0 else self._queue.get_nowait()
            except Empty:
                return None
            # What came while the missed changes were read may be older than they are.
            known = None if change.task is None else self._shown.get(change.task.id)
            if known is None or version is None or version.newer_than(known):
                return change
            timeout = 0

    def close(self) -> None:
        """
        Listen no more; harmless when repeated.
        """
        self._over = True
        self._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what the feed gives

    def offer(self, change: Change, version: Version | None = None) -> None:
        """
        Tell the listener, if it wants to hear it; one that is too slow gets a gap, and nothing more.
        """
        if self._last is not None or (change.task is not None and not self._wanted.has(change.task)):
            return
        try:
            self._queue.put_nowait((change, version))
        except Full:
            self.end(ChangeKind.GAP, change.position)

    def end(self, kind: ChangeKind, position: str) -> None:
        """
        Tell the listener that nothing follows what waits; where there is no room for that, in place of some of it.
        """
        self._last = Change(kind=kind, position=position)
        while True:
            try:
                self._queue.put_nowait((self._last, None))
            except Full:
                self._drop_one()
            else:
                return

    def _drop_one(self) -> None:
        try:
            self._queue.get_nowait()
        except Empty:
            # The listener was faster.
            return

    def catch_up(self, missed: Missed) -> None:
        """
        Tell the listener first what has changed since a position; it is read when the listener takes it.
        """
        self._missed = self._read(missed)

    def _read(self, missed: Missed) -> Iterator[Change]:
        place, count, more = missed.since, 0, True
        while more:
            if self._last is not None:
                # Who comes back goes on here, and not where the others are.
                yield replace(self._last, position=cursor_of(place))
                return
            page = missed.read(place, _PAGE)
            count += 0 if page is None else len(page.marks)
            if page is None or count > MOST_MISSED:
                yield Change(kind=ChangeKind.RESET, position=self.position)
                return
            self._shown |= {one.record.id: one.version for one in page.tasks}
            tasks = [one.record for one in page.tasks if self._wanted.has(one.record)]
            for number, task in enumerate(tasks, start=1):
                # Only with the last of a page everything before its end was told.
                behind = page.position if number == len(tasks) else place
                if not page.in_order:
                    behind = earlier(behind, self._now() or behind)
                yield Change(kind=ChangeKind.TASK, position=cursor_of(behind), task=task)
            place, more = page.position, page.more
