"""
Exclusive types: one lane each, whose slot document is taken before a claim and released after the run is settled (P15).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from ..clock import Instant
from ..model import Slot, Stored
from ..ports import Action, Write
from .board import Board
from .commits import Change, Priority, replace_write
from .running import Run, Running
from .timeline import Entry

LOOK_AGAIN = 500
"""Milliseconds before a slot that another run holds is tried again."""


class Lane:
    """
    The tasks of one exclusive type that are due here, by due time, and where this node stands with the slot.
    """

    __slots__ = ("claim_id", "entry", "known", "not_before", "queue", "task_type")

    def __init__(self, task_type: str) -> None:
        self.task_type = task_type
        self.queue: deque[Entry] = deque()
        self.known: Stored[Slot] | None = None
        self.claim_id: str | None = None
        self.entry: Entry | None = None
        self.not_before = 0

    @property
    def idle(self) -> bool:
        """
        Whether this node neither holds the slot nor is about to.
        """
        return self.claim_id is None


class Lanes:
    """
    All lanes of this node.
    """

    def __init__(self, board: Board, running: Running) -> None:
        self.board = board
        self.running = running
        self._lanes: dict[str, Lane] = {}
        self._ids: set[str] = set()

    def add(self, entry: Entry) -> None:
        """
        Queue a due task behind those of its type that were due before it.
        """
        self._ids.add(entry.stored.record.id)
        self._lane(entry.stored.record.task_type).queue.append(entry)

    def _lane(self, task_type: str) -> Lane:
        lane = self._lanes.get(task_type)
        if lane is None:
            lane = self._lanes[task_type] = Lane(task_type)
            self.board.exclusive_seen = True
        return lane

    def advance(self, now: Instant) -> None:
        """
        Go for the slot wherever a task waits, the lane is idle and its pool has a slot free.
        """
        for lane in self._lanes.values():
            if lane.queue and lane.idle and lane.not_before <= now.boot and self.board.may_act(now.boot):
                pool = self.board.pool_of(lane.queue[0].stored.record)
                if pool is not None and self.running.room(pool, now.boot) > 0:
                    self._take(lane)

    def _take(self, lane: Lane) -> None:
        lane.entry = lane.queue.popleft()
        lane.claim_id = self.board.fresh_id()
        self.board.commits.submit(TakeSlot(self, lane))

    def next_at(self) -> int | None:
        """
        Return when a lane looks at its slot again (boot clock).
        """
        return min((lane.not_before for lane in self._lanes.values() if lane.queue and lane.idle), default=None)

    def taken(self, lane: Lane, stored: Stored[Slot], now: Instant) -> None:
        """
        The slot is ours: claim the task.
        """
        lane.known = stored
        entry = lane.entry
        pool = self.board.pool_of(entry.stored.record) if entry is not None else None
        current = stored.record.incarnation == self.board.incarnation
        if entry is None or pool is None or lane.claim_id is None or not current or not self.board.may_act(now.boot):
            self.free(lane)
            return
        self.running.begin(entry.stored, claim_id=lane.claim_id, pool=pool, over=lambda run: self._over(lane, run))

    def missed(self, lane: Lane, current: Stored[Slot] | None, now: Instant) -> None:
        """
        Another run holds the slot: its task stays queued here and looks again, or another node takes it.
        """
        self.board.count("tasks.slot.conflicts")
        lane.known = _if_free(current)
        lane.not_before = now.boot + LOOK_AGAIN
        lane.claim_id = None
        if lane.entry is not None:
            lane.queue.appendleft(lane.entry)
            lane.entry = None

    def _over(self, lane: Lane, run: Run) -> None:
        if lane.claim_id == run.claim_id:
            self.free(lane)

    def free(self, lane: Lane) -> None:
        """
        Release the slot.
        """
        if lane.entry is not None:
            self._ids.discard(lane.entry.stored.record.id)
        lane.entry = None
        if lane.known is not None and lane.claim_id is not None:
            self.board.commits.submit(FreeSlot(self.board, lane.known, lane.claim_id, lane))
        lane.claim_id = None

    def holds(self, slot: Slot) -> bool:
        """
        Tell whether a slot with this node's name is really in use here, or on its way.
        """
        lane = self._lanes.get(slot.task_type)
        if self.board.commits.busy(Slot, slot.task_type) or (lane is not None and lane.claim_id == slot.claim_id):
            return True
        return self.running.knows(slot.claim_id)

    def recover(self, slots: Iterable[Stored[Slot]], dead: Iterable[str]) -> None:
        """
        Free the slots of dead incarnations, and those of this one that nothing here uses (P10, P11).
        """
        gone = set(dead)
        for stored in slots:
            slot = stored.record
            mine = slot.incarnation == self.board.incarnation
            if slot.claim_id and (slot.incarnation in gone or (mine and not self.holds(slot))):
                self.board.commits.submit(FreeSlot(self.board, stored, slot.claim_id, None))

    def waiting(self, task_id: str) -> bool:
        """
        Tell whether a task is queued in a lane.
        """
        return task_id in self._ids


class TakeSlot(Change):
    """
    Take the slot of a type for one claim.
    """

    priority: ClassVar[Priority] = Priority.CLAIM
    __slots__ = ("_claim_id", "_lane", "_lanes")

    def __init__(self, lanes: Lanes, lane: Lane) -> None:
        super().__init__(Slot, lane.task_type)
        self._lanes = lanes
        self._lane = lane
        self._claim_id = lane.claim_id

    def _taken(self, now: Instant) -> Slot:
        board = self._lanes.board
        return Slot(
            task_type=self._lane.task_type,
            task_id=self._lane.entry.stored.record.id if self._lane.entry else None,
            claim_id=self._claim_id,
            owner=board.options.node_id,
            incarnation=board.incarnation,
            since=now.wall,
        )

    def prepare(self, now: Instant) -> Write:
        """
        Replace the free slot that is known; without one, create it.
        """
        known = self._lane.known
        if known is None:
            return Write(Action.CREATE, self._taken(now))
        return replace_write(self._taken(now), known)

    def applied(self, current: Stored[Slot]) -> bool:
        """
        The slot carries our claim.
        """
        return current.record.claim_id == self._claim_id

    def reconsider(self, current: Stored[Slot] | None, now: Instant) -> Write | None:
        """
        A free slot is taken on its present version; one that is gone is created.
        """
        if current is None:
            return Write(Action.CREATE, self._taken(now))
        return replace_write(self._taken(now), current) if current.record.claim_id is None else None

    def done(self, stored: Stored[Slot], now: Instant) -> None:
        """
        Ours.
        """
        self._lanes.taken(self._lane, stored, now)

    def lost(self, current: Stored[Slot] | None, now: Instant) -> None:
        """
        Somebody else's.
        """
        self._lanes.missed(self._lane, current, now)


class FreeSlot(Change):
    """
    Release a slot that one claim holds.
    """

    __slots__ = ("_board", "_claim_id", "_lane", "_stored")

    def __init__(self, board: Board, stored: Stored[Slot], claim_id: str, lane: Lane | None) -> None:
        super().__init__(Slot, stored.record.task_type)
        self._board = board
        self._stored = stored
        self._claim_id = claim_id
        self._lane = lane

    def prepare(self, now: Instant) -> Write:
        """
        Empty it.
        """
        return replace_write(Slot(task_type=self._stored.record.task_type), self._stored)

    def reconsider(self, current: Stored[Slot] | None, now: Instant) -> Write | None:
        """
        Only while it is the same claim's.
        """
        if current is None or current.record.claim_id != self._claim_id:
            return None
        return replace_write(Slot(task_type=current.record.task_type), current)

    def done(self, stored: Stored[Slot], now: Instant) -> None:
        """
        Free; the lane knows the version for its next claim.
        """
        if self._lane is not None:
            self._lane.known = stored

    def lost(self, current: Stored[Slot] | None, now: Instant) -> None:
        """
        Freed or taken by another.
        """
        if self._lane is not None:
            self._lane.known = _if_free(current)


def _if_free(slot: Stored[Slot] | None) -> Stored[Slot] | None:
    # The version of a taken slot must never be a condition: the document does not change while its run lasts.
    return slot if slot is not None and slot.record.claim_id is None else None
