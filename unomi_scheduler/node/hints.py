"""
Hints between nodes, as the core sees them: what it has others told, and what others tell it (P12).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..clock import Instant
from ..model import Stored, Task
from .board import Board
from .discovery import LOOK_AHEAD, Discovery
from .messages import AskTasks, Nudged, Tell
from .nudging import SOONER, Hint, hint_of
from .running import Running

PURPOSE = "nudge"
SHOWN_AFTER = 300
"""Milliseconds after which a search shows what a nudge did not name."""
MOST_WANTED = 1_000


class Hints:
    """
    Tasks to tell others of, and tasks to read because others told of them.
    """

    def __init__(self, board: Board, discovery: Discovery, running: Running) -> None:
        self._board = board
        self._discovery = discovery
        self._running = running
        self._wanted: dict[str, None] = {}
        self._written: list[tuple[Stored[Task], Hint, bool]] = []

    # --- outwards

    def wrote(self, stored: Stored[Task], at: int | None) -> None:
        """
        Take a task that was written here; `at` is when this node would claim it, if it would.
        """
        hint = hint_of(stored) if self._board.options.nudge else None
        if hint is not None:
            self._written.append((stored, hint, at == hint.due))

    def tell(self, now: Instant) -> list[Tell]:
        """
        Return the command to tell others of what is due soon, unless this node claims it when it is due.
        """
        if not self._written:
            return []
        written, self._written = self._written, []
        soon = now.wall + min(LOOK_AHEAD, self._board.options.poll_interval_millis + SOONER)
        theirs = tuple(
            stored
            for stored, hint, mine in written
            if hint.due <= soon and not (mine and self._takes(stored.record, now))
        )
        return [Tell(theirs)] if theirs else []

    def _takes(self, task: Task, now: Instant) -> bool:
        pool = self._board.pool_of(task)
        return self._board.may_act(now.boot) and pool is not None and not self._running.stuck(pool, now.boot)

    # --- inwards

    def told(self, event: Nudged, now: Instant, *, under_way: Callable[[str], bool]) -> None:
        """
        Take a nudge: what is not known here as it was written is read.
        """
        if not self._board.may_act(now.boot):
            return
        if event.more or len(self._wanted) + len(event.hints) > MOST_WANTED:
            self._discovery.look_by(now.boot + SHOWN_AFTER)
        for hint in event.hints[: MOST_WANTED - len(self._wanted)]:
            if not under_way(hint.task_id) and self._is_news(hint):
                self._wanted[hint.task_id] = None

    def _is_news(self, hint: Hint) -> bool:
        known = self._board.timeline.known(hint.task_id)
        return known is None or hint.version.newer_than(known)

    def ask(self) -> AskTasks | None:
        """
        Return the read to make now, if any.
        """
        if not self._wanted:
            return None
        ids, self._wanted = tuple(self._wanted), {}
        return AskTasks(ids, purpose=PURPOSE)

    def read(self, answer: Sequence[object], now: Instant, *, under_way: Callable[[str], bool]) -> None:
        """
        Take tasks that others told of, as they stand. The sender has seen to whose they are.
        """
        for stored in answer:
            if not isinstance(stored, Stored) or not isinstance(stored.record, Task):
                continue
            task = stored.record
            if task.everywhere or under_way(task.id) or self._board.timeline.outdated(stored):
                continue
            self._discovery.offer(stored, now.wall, own=True)
