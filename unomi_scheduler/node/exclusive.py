"""
Exclusive types: one lane each, whose slot document is taken before a claim and released after the run is settled (P15).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from ..clock import Instant
from ..model import Malformed, Slot, Stored, Task
from ..ports import Action, Write
from .board import Board
from .commits import Change, Priority, replace_write
from .messages import AskTasks
from .running import Run, Running
from .runs import Pool
from .timeline import Entry, LaneKey

LOOK_AGAIN = 500
"""Milliseconds before a slot that another run holds is tried again."""
CHECKED = 20
"""How many tasks at the head of a lane are read before the next try, after another node had the slot."""


class Lane:
    """
    Where this node stands with the slot of one exclusive type; what waits for it stands on the timeline, by due time.
    """

    __slots__ = ("checking", "claim_id", "entry", "fresh", "known", "not_before", "task_type", "turn")

    def __init__(self, task_type: str) -> None:
        self.task_type = task_type
        self.known: Stored[Slot] | None = None
        self.claim_id: str | None = None
        self.entry: Entry | None = None
        self.not_before = 0
        self.turn = 0
        self.fresh: frozenset[str] | None = None
        """The tasks known not to be done since another node had the slot; None while no other had it."""
        self.checking: tuple[str, ...] | None = None

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
        self._turn = 0

    def _lane(self, task_type: str) -> Lane:
        lane = self._lanes.get(task_type)
        if lane is None:
            lane = self._lanes[task_type] = Lane(task_type)
            self.board.exclusive_seen = True
        return lane

    def advance(self, now: Instant, room: Callable[[Pool], int]) -> list[AskTasks]:
        """
        Go for the slot wherever a task is due, the lane is idle and its pool has room; the lanes take turns.

        Returns the reads of tasks that are wanted first.
        """
        timeline = self.board.timeline
        questions: list[AskTasks] = []
        reserved: Counter[Pool] = Counter()
        for lane, head in sorted(self._ready(now), key=lambda one: one[0].turn):
            pool = self.board.pool_of(head.stored.record)
            if pool is None or room(pool) <= reserved[pool]:
                continue
            if lane.fresh is not None and head.stored.record.id not in lane.fresh:
                lane.checking = tuple(entry.stored.record.id for entry in timeline.first(head.queue, CHECKED))
                questions.append(AskTasks(lane.checking, purpose="lane"))
                continue
            reserved[pool] += 1
            timeline.forget(head.stored.record.id)
            self._take(lane, head)
        return questions

    def _ready(self, now: Instant) -> Iterator[tuple[Lane, Entry]]:
        for lane, head in self._heads():
            if head.at <= now.wall and lane.not_before <= now.boot:
                yield lane, head

    def _heads(self) -> Iterator[tuple[Lane, Entry]]:
        timeline = self.board.timeline
        for key in timeline.queues():
            head = timeline.head(key) if isinstance(key, LaneKey) else None
            if head is not None:
                lane = self._lane(head.stored.record.task_type)
                if lane.idle and lane.checking is None:
                    yield lane, head

    def _take(self, lane: Lane, entry: Entry) -> None:
        self._turn += 1
        lane.turn = self._turn
        lane.entry = entry
        self._ids.add(entry.stored.record.id)
        lane.claim_id = self.board.fresh_id()
        self.board.commits.submit(TakeSlot(self, lane))

    def next_at(self, now: Instant, room: Callable[[Pool], int]) -> int | None:
        """
        Return when a lane goes for its slot next (boot clock); the end of a run brings those of a full pool.
        """
        times = []
        for lane, head in self._heads():
            pool = self.board.pool_of(head.stored.record)
            if pool is not None and room(pool) > 0:
                times.append(max(lane.not_before, now.boot + max(0, head.at - now.wall)))
        return min(times, default=None)

    def checked(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> None:
        """
        Take the tasks at the head of a lane as they stand: what was run or moved elsewhere goes.
        """
        fresh = {
            task_id for task_id, stored in zip(ids, answers, strict=True) if self._is_fresh(task_id, stored, now.wall)
        }
        for lane in self._checking(ids):
            # Others run the earliest first: when those here are as they were, so are those behind them.
            lane.fresh = None if len(fresh) == len(ids) else frozenset(fresh)

    def _is_fresh(self, task_id: str, stored: Stored[Task | Malformed] | None, now: int) -> bool:
        timeline = self.board.timeline
        held = timeline.get(task_id)
        if held is None or (stored is not None and stored.version == held.stored.version):
            return True
        if stored is None or not isinstance(stored.record, Task):
            timeline.forget(task_id)
        else:
            task = Stored(stored.record, stored.version)
            if not timeline.outdated(task):
                self.board.offer(task, now)
        return False

    def unchecked(self, ids: Sequence[str], now: Instant) -> None:
        """
        Take a read that failed; the lane looks again later.
        """
        for lane in self._checking(ids):
            lane.not_before = now.boot + LOOK_AGAIN

    def _checking(self, ids: Sequence[str]) -> Iterator[Lane]:
        for lane in self._lanes.values():
            if lane.checking == tuple(ids):
                lane.checking = None
                yield lane

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
            if entry is not None:
                self.board.offer(entry.stored, now.wall)
            return
        self.running.begin(entry.stored, now, claim_id=lane.claim_id, pool=pool, over=lambda run: self._over(lane, run))

    def missed(self, lane: Lane, current: Stored[Slot] | None, now: Instant) -> None:
        """
        Another run holds the slot: its task is no business of this node, the others wait here and look again.
        """
        self.board.count("tasks.slot.conflicts")
        lane.known = _if_free(current)
        lane.not_before = now.boot + LOOK_AGAIN
        lane.claim_id = None
        lane.fresh = frozenset()
        entry = self._let_go(lane)
        holder = current.record.task_id if current is not None and current.record.claim_id is not None else None
        if holder is not None:
            self.board.timeline.forget(holder)
        if entry is not None and entry.stored.record.id != holder:
            self.board.offer(entry.stored, now.wall)

    def _over(self, lane: Lane, run: Run) -> None:
        if lane.claim_id == run.claim_id:
            self.free(lane)

    def free(self, lane: Lane) -> None:
        """
        Release the slot.
        """
        self._let_go(lane)
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
        Tell whether a task is the one for which a lane takes its slot or holds it.
        """
        return task_id in self._ids

    def _let_go(self, lane: Lane) -> Entry | None:
        entry, lane.entry = lane.entry, None
        if entry is not None:
            self._ids.discard(entry.stored.record.id)
        return entry


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
        # Whoever moved it may have run what waits here.
        self._lane.fresh = frozenset()
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
