"""
Discovery: finding work by search, whose it is, and when this node would claim it (P12, P13).
"""

from __future__ import annotations

from typing import Any

from ..clock import Instant
from ..errors import SchedulerError
from ..model import Stored, Task
from ..ports import DueQuery, Found
from ..rules.placement import partition_of, share_of, targets
from ..rules.readiness import ALWAYS_DUE, due_at
from .adoption import adopt, set_aside
from .board import Board
from .membership import Membership
from .messages import AskDue

LOOK_AHEAD = 30_000
GRACE = 1_000
"""Milliseconds after due from which a task may be claimed by a node whose share it is not in."""
PAGE = 1_000
LOW_WATER = 2_000
ENOUGH = 50
"""Tasks of the own share on a full page from which overdue work of other shares is left to its owners."""
MOST_ENTRIES = 5_000
BACKLOG_SWEEP = 5_000
"""Milliseconds between two sweeps while there is more due work than fits the timeline."""
EXCLUSIVE = "exclusive"
"""The queue of the timeline that feeds the lanes; the other queues are the pools."""


class Discovery:
    """
    One sweep after another through the due work of this node's share, by due date, and the share itself.
    """

    def __init__(self, board: Board, members: Membership) -> None:
        self.board = board
        self.members = members
        self._candidates: dict[str, frozenset[str]] = {}
        self._asked = False
        self._after: tuple[int, str] | None = None
        self._more = False
        self._began = -(10**9)
        self._plenty = False
        self.failures = 0

    # --- whose

    def candidates(self, task_type: str) -> frozenset[str]:
        """
        Return the ids of the live nodes that may run a type, this one among them; busy ones only when all are busy.
        """
        if self.members.changed:
            self.members.changed = False
            self._candidates.clear()
        known = self._candidates.get(task_type)
        if known is None:
            able = [beat for beat in self.members.alive() if beat.executor_node and task_type in beat.task_types]
            free = {beat.node_id for beat in able if not beat.busy}
            mine = {self.board.options.node_id} if self._able(task_type) else set()
            known = self._candidates[task_type] = frozenset(free | mine or {beat.node_id for beat in able})
        return known

    def _able(self, task_type: str) -> bool:
        return self.board.options.executor_node and task_type in self.board.executors

    def mine(self, task: Task) -> bool:
        """
        Tell whether a task is this node's to claim at once: in its share, targeted, or crashed.
        """
        if task.targeted:
            return True
        return partition_of(task) in share_of(self.board.options.node_id, self.candidates(task.task_type))

    def claim_at(self, task: Task, *, own: bool, now: int) -> int | None:
        """
        Return when this node would claim a task, or None when it is not for this node.

        What this process scheduled for now is claimed here at once: nobody else sees it before the next refresh.
        """
        due = due_at(task)
        options = self.board.options
        if due is None or not self._able(task.task_type):
            return None
        if not targets(task, node_id=options.node_id, tags=options.tags):
            return None
        if due == ALWAYS_DUE or self.mine(task) or (own and due <= now + GRACE):
            return due
        return due + GRACE

    def offer(self, stored: Stored[Task], now: int, *, own: bool = False) -> None:
        """
        Put a task on the timeline if this node may run it, or take it off.
        """
        at = self.claim_at(stored.record, own=own, now=now)
        timeline = self.board.timeline
        if at is None:
            timeline.forget(stored.record.id)
        elif at <= now + LOOK_AHEAD:
            timeline.put(
                stored, at=at, queue=EXCLUSIVE if stored.record.exclusive else self.board.pool_of(stored.record)
            )
        else:
            timeline.forget(stored.record.id)

    # --- sweeps

    def ask(self, now: Instant) -> AskDue | None:
        """
        Return the search to make now, if any: the next page while the timeline runs low, a new sweep each poll
        interval.
        """
        board = self.board
        types = frozenset(board.executors)
        if self._asked or board.stopping or not board.options.executor_node or not types:
            return None
        if not board.lease_held(now.boot):
            return None
        going_on = self._more and len(board.timeline) < LOW_WATER
        if now.boot - self._began >= (max(self.interval, BACKLOG_SWEEP) if going_on else self.interval):
            self._after = None
            self._began = now.boot
        elif not going_on:
            return None
        self._asked = True
        return AskDue(self._query(types, now))

    @property
    def interval(self) -> int:
        """
        The pause between two sweeps: half of it while a peer is full, whose share falls to the others.
        """
        poll = self.board.options.poll_interval_millis
        crowded = any(beat.busy for beat in self.members.alive())
        return (poll // 2 if crowded else poll) * min(1 + self.failures, 5)

    def next_at(self) -> int | None:
        """
        Return when the next sweep begins (boot clock).
        """
        idle = self._asked or not self.board.options.executor_node or not self.board.executors
        return None if idle else self._began + self.interval

    def hurry(self) -> None:
        """
        Begin a sweep at once.
        """
        self._began = -(10**9)

    def _query(self, types: frozenset[str], now: Instant) -> DueQuery:
        options = self.board.options
        groups: dict[frozenset[int], set[str]] = {}
        for task_type in types:
            share = share_of(options.node_id, self.candidates(task_type))
            groups.setdefault(share, set()).add(task_type)
        return DueQuery(
            node_id=options.node_id,
            tags=options.tags,
            shares=tuple((frozenset(names), share) for share, names in groups.items() if share),
            task_types=types,
            due_before=now.wall + LOOK_AHEAD,
            overdue_before=ALWAYS_DUE if self._plenty else now.wall - GRACE,
            limit=PAGE,
            after=self._after,
        )

    def found(self, found: Found, now: Instant, *, skip: Any) -> None:
        """
        Take a page: put what is new on the timeline, set aside what is no task. `skip(task_id)` tells what is under
        way here.
        """
        self._asked = False
        self.failures = 0
        self._after = found.after if isinstance(found.after, tuple) else None
        self._more = self._after is not None
        timeline = self.board.timeline
        own = [stored for stored in found.tasks if self.mine(stored.record) or due_at(stored.record) == ALWAYS_DUE]
        # With enough work of one's own, what others are late with is theirs: all would claim it in the same order.
        self._plenty = self._more and len(own) >= ENOUGH
        for stored in own if self._plenty else found.tasks:
            if not timeline.outdated(stored) and not skip(stored.record.id):
                self.offer(stored, now.wall)
        timeline.trim(MOST_ENTRIES)
        set_aside(self.board, found)

    def failed(self, error: SchedulerError) -> None:
        """
        Take a search that failed; the next one waits longer.
        """
        self._asked = False
        self._more = False
        self.failures += 1

    def adopt(self, found: Found) -> None:
        """
        Take documents that others wrote.
        """
        adopt(self.board, found)
