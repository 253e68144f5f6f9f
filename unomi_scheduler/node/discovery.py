"""
Discovery: finding work by search, whose it is, and when this node would claim it (P12, P13).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ..clock import Instant
from ..errors import SchedulerError
from ..model import Stored, Task
from ..ports import DueQuery, Found
from ..rules.placement import partition_of, share_of, targets
from ..rules.readiness import ALWAYS_DUE, EVERYWHERE_DUE, due_at
from .adoption import adopt, set_aside
from .board import Board
from .everywhere import Everywhere
from .membership import Membership
from .messages import AskDue
from .sweeps import Step, Sweeps
from .timeline import LaneKey

LOOK_AHEAD = 30_000
GRACE = 1_000
"""Milliseconds after due from which a task may be claimed by a node whose share it is not in."""
CLAIM_SHOWS = 300
"""Milliseconds after due by which a search shows that the owner of the share has claimed a task."""
PAGE = 1_000
LOW_WATER, MOST_ENTRIES = 2_000, 5_000
"""Entries of a pool from which its types are left out of the search, and beyond which the latest are let go."""
LANE_LOW_WATER, MOST_LANE_ENTRIES = 100, 400
"""The same of a lane, which runs one task at a time."""
ENOUGH = 50
"""Tasks of the own share on a full page from which overdue work of other shares is left to its owners."""


class Discovery:
    """
    One sweep after another through the due work of this node's share, by due date, and the share itself.
    """

    def __init__(self, board: Board, members: Membership, everywhere: Everywhere) -> None:
        self.board = board
        self.members = members
        self.everywhere = everywhere
        self._candidates: dict[str, frozenset[str]] = {}
        self._sweeps = Sweeps()
        self._asked: Step | None = None
        self._again: int | None = None
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
        return self.board.executor_node and task_type in self.board.executors

    def set_executor_node(self) -> None:
        """
        Go by what the node is from now on: let go of what it does not run any more, or look for what it runs now.
        """
        self.members.changed = True
        for stored in self.board.timeline.tasks():
            if not self._takes(stored.record):
                self.board.timeline.forget(stored.record.id)
        self.hurry()

    def _takes(self, task: Task) -> bool:
        # A node that is no executor node runs what is for all nodes, and nothing else.
        able = self.board.executor_node or task.run_on_all_nodes
        return able and task.task_type in self.board.executors

    def mine(self, task: Task) -> bool:
        """
        Tell whether a task is this node's to claim at once: in its share, targeted, crashed, or for all nodes.
        """
        if task.targeted or task.everywhere:
            return True
        return partition_of(task) in share_of(self.board.options.node_id, self.candidates(task.task_type))

    def claim_at(self, task: Task, *, own: bool, now: int) -> int | None:
        """
        Return when this node would claim a task, or None when it is not for this node.

        What this process scheduled for now is claimed here at once: nobody else sees it before the next refresh.
        """
        due = due_at(task)
        options = self.board.options
        if due is None or not self._takes(task):
            return None
        if task.all_nodes_of is not None and not self.everywhere.admits(task, now):
            return None
        if not targets(task, node_id=options.node_id, tags=options.tags):
            return None
        if due == ALWAYS_DUE or self.mine(task) or (own and due <= now + GRACE):
            return due
        return due + GRACE

    def offer(self, stored: Stored[Task], now: int, *, own: bool = False) -> int | None:
        """
        Put a task on the timeline if this node may run it, or take it off. A definition for all nodes stands on none.

        Return when this node would claim it, if it would.
        """
        if stored.record.everywhere:
            self.everywhere.note(stored)
            return None
        if stored.record.all_nodes_of is not None:
            self.everywhere.recorded(stored, now)
        at = self.claim_at(stored.record, own=own, now=now)
        timeline = self.board.timeline
        if at is None:
            timeline.forget(stored.record.id)
        elif at <= now + LOOK_AHEAD:
            task = stored.record
            timeline.put(stored, at=at, queue=LaneKey(task.task_type) if task.exclusive else self.board.pool_of(task))
        else:
            timeline.forget(stored.record.id)
        return at

    # --- sweeps

    def ask(self, now: Instant) -> AskDue | None:
        """
        Return the search to make now, if any: a new sweep each poll interval, and what goes on where one was cut.
        """
        board = self.board
        types = frozenset(board.executors)
        if self._asked is not None or board.stopping or not types:
            return None
        if not board.lease_held(now.boot):
            return None
        due = now.boot >= self._sweep_at()
        if due:
            self._again = None
        self._asked = self._sweeps.begin(types, now.boot) if due else self._sweeps.go_on(types, self._full)
        return AskDue(self._query(self._asked, now)) if self._asked is not None else None

    def _full(self) -> set[str]:
        timeline = self.board.timeline
        full: set[str] = set()
        for queue in timeline.queues():
            if timeline.size(queue) >= (LANE_LOW_WATER if isinstance(queue, LaneKey) else LOW_WATER):
                full |= timeline.types(queue)
        return full

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
        idle = self._asked is not None or not self.board.executors
        return None if idle else self._sweep_at()

    def _sweep_at(self) -> int:
        # Sooner for what will be anybody's before the next one: its owner may claim it yet, so it is looked at again.
        regular = self._sweeps.began + self.interval
        return regular if self._again is None else min(regular, max(self._again, regular - self.interval * 3 // 4))

    def hurry(self) -> None:
        """
        Begin a sweep at once.
        """
        self._sweeps.hurry()

    def look_by(self, boot: int) -> None:
        """
        Begin the next sweep at this moment of the boot clock, unless it comes sooner, or one has just begun.
        """
        self._again = boot if self._again is None else min(self._again, boot)

    def _query(self, step: Step, now: Instant) -> DueQuery:
        options = self.board.options
        groups: dict[frozenset[int], set[str]] = {}
        # What is for all nodes needs no share: its definition comes with each search, its records name their node.
        nothing_else = not self.board.executor_node
        for task_type in () if nothing_else else step.types:
            share = share_of(options.node_id, self.candidates(task_type))
            groups.setdefault(share, set()).add(task_type)
        return DueQuery(
            node_id=options.node_id,
            tags=options.tags,
            shares=tuple((frozenset(names), share) for share, names in groups.items() if share),
            task_types=step.types,
            due_before=now.wall + LOOK_AHEAD,
            overdue_before=EVERYWHERE_DUE if nothing_else else ALWAYS_DUE if step.own_only else now.wall - CLAIM_SHOWS,
            limit=PAGE,
            after=step.after,
        )

    def found(self, found: Found, now: Instant, *, skip: Any) -> None:
        """
        Take a page: put what is new on the timeline, set aside what is no task. `skip(task_id)` tells what is under
        way here.
        """
        asked, self._asked = self._asked, None
        self.failures = 0
        after = found.after if isinstance(found.after, tuple) else None
        if asked is not None:
            self._sweeps.answered(asked, after)
            if asked.after is None and asked.types >= self.board.executors.keys():
                self._compare(found)
        timeline = self.board.timeline
        for stored in self._ripe(self._for_me(found, more=after is not None), now):
            if not timeline.outdated(stored) and not skip(stored.record.id):
                self.offer(stored, now.wall)
        for queue in timeline.queues():
            most = MOST_LANE_ENTRIES if isinstance(queue, LaneKey) else MOST_ENTRIES
            self._sweeps.dropped(timeline.trim(queue, most))
        set_aside(self.board, found)

    def _for_me(self, found: Found, *, more: bool) -> list[Stored[Task]]:
        # With enough work of one's own, what others are late with is theirs: all would claim it in the same order.
        judged = [(stored, self.mine(stored.record) or due_at(stored.record) == ALWAYS_DUE) for stored in found.tasks]
        own = Counter(stored.record.task_type for stored, is_own in judged if is_own)
        plenty = self._sweeps.plenty
        for task_type in {stored.record.task_type for stored in found.tasks}:
            (plenty.add if more and own[task_type] >= ENOUGH else plenty.discard)(task_type)
        return [stored for stored, is_own in judged if is_own or stored.record.task_type not in plenty]

    def _ripe(self, found: Iterable[Stored[Task]], now: Instant) -> Iterator[Stored[Task]]:
        # What the owner of the share is late with is not claimed on old news: a sweep at the moment looks once more.
        for stored in found:
            at = due_at(stored.record)
            if at is None or at + GRACE <= now.wall or self.mine(stored.record):
                yield stored
            else:
                self.look_by(now.boot + at + GRACE - now.wall)

    def _compare(self, found: Found) -> None:
        # Definitions come first: a page that ends among them does not show them all.
        definitions = [stored.record for stored in found.tasks if stored.record.everywhere]
        if found.after is None or len(definitions) < len(found.tasks):
            self.everywhere.swept(one.id for one in definitions)

    def failed(self, error: SchedulerError) -> None:
        """
        Take a search that failed; the next one waits longer.
        """
        self._asked = None
        self._sweeps.failed()
        self.failures += 1

    def adopt(self, found: Found, now: Instant) -> None:
        """
        Take documents that others wrote.
        """
        adopt(self.board, found, now)
