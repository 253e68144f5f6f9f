"""
All-nodes tasks on this node: which definitions it takes part in, and its own run record of each (P14).

A turn begins with one conditional write of the record, which is the claim as well: it is created RUNNING the first
time, and goes from its last end to RUNNING each time after. All that follows is a run like any other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..clock import Instant
from ..model import Stored, Task, TaskStatus, Version
from ..ports import Action, Write
from ..rules import everywhere as rules
from ..rules.everywhere import Advice, Care
from ..rules.placement import targets
from ..rules.readiness import due_at
from .board import Board
from .commits import replace_write
from .complaints import and_more
from .messages import AskTasks
from .running import Phase, Run, Running
from .runs import ExecutorInfo, Pool
from .settling import Claim
from .tidying import tidy

LOG = logging.getLogger("unomi_scheduler.node")
ABSENT = Version("absent", -1, -1)
"""The version of a record that is not there yet."""
FAR = 1 << 62
SOON, AGAIN = 20, 250
"""Milliseconds before a turn is tried again: for want of a free slot or while a write is under way, and after a lost
claim."""
REST = 60_000
"""Milliseconds after which a definition that gives this node nothing to do is read again for the sake of its record."""
PURPOSE, CONFIRM = "everywhere", "definition"
SKIPPED = "tasks.periods.skipped"


def _always() -> bool:
    return True


class Place:
    """
    One definition, this node's record of it as far as it is known, and when to look at it next (epoch ms).
    """

    __slots__ = (
        "asked", "blocked", "confirmed", "confirming", "definition", "former", "known", "last", "not_before", "record",
        "record_id", "removing", "since", "wake",
    )  # fmt: skip

    def __init__(self, definition: Stored[Task], record_id: str, since: int) -> None:
        self.definition = definition
        self.record_id = record_id
        self.since = since
        self.record: Stored[Task] | None = None
        self.known = False
        self.asked = False
        self.blocked = False
        self.last: int | None = None
        self.former: int | None = None
        self.confirming: int | None = None
        self.confirmed: int | None = None
        self.not_before = 0
        self.removing: int | None = None
        self.wake = 0


class Untidy(NamedTuple):
    """
    A record to be tidied. `anyway`: a turn has waited for its removal, so it goes even when its history is not flushed.
    `wanted` is asked again when its history is flushed.
    """

    stored: Stored[Task]
    advice: Advice
    anyway: bool
    wanted: Callable[[], bool]


class Everywhere:
    """
    The turns of this node, planned from memory: a period costs no search.
    """

    def __init__(self, board: Board, running: Running) -> None:
        self.board = board
        self.running = running
        self.places: dict[str, Place] = {}
        self._records: dict[str, Place] = {}
        self._able: dict[str, int] = {}
        self._own: set[str] = set()
        self._finished: set[str] = set()
        self._doubted: set[str] = set()
        self._unsure: set[str] = set()
        self._resting: dict[str, int] = {}
        self._untidy: dict[str, Untidy] = {}
        self._wake = FAR
        self._boot = 0

    # --- what is known

    def able(self, executors: Mapping[str, ExecutorInfo], now: int) -> None:
        """
        Take the executors of this node: who has one only from now on waits for the next period.
        """
        self._able = {name: self._able.get(name, now) for name in executors}
        for place in list(self.places.values()):
            if place.definition.record.task_type not in executors:
                self._forget(place)

    def joined(self, now: int) -> None:
        """
        Take part in a store from now on: in the middle of a period, this node waits there for the next.
        """
        self._able = dict.fromkeys(self._able, now)

    def scheduled(self, task: Task) -> None:
        """
        Take a task that this process has scheduled: in a definition it takes part from the beginning.
        """
        if task.everywhere:
            self._own.add(task.id)

    def scheduled_before(self, definition_ids: Iterable[str]) -> None:
        """
        Take definitions that this process has scheduled a while ago: they are read, as they may have ended since.
        """
        self._own.update(definition_ids)
        self._doubted.update(definition_ids)

    def note(self, stored: Stored[Task]) -> None:
        """
        Take a definition as it was found or written.
        """
        definition = stored.record
        place = self.places.get(definition.id)
        if not self._for_this_node(definition):
            if place is not None:
                self._doubted.add(definition.id)
            return
        if place is None:
            since = definition.creation_date if definition.id in self._own else self._able[definition.task_type]
            place = Place(stored, rules.record_id(definition.id, self.board.options.node_id), since)
            self.places[definition.id] = self._records[place.record_id] = place
            self._resting.pop(definition.id, None)
        elif stored.version.newer_than(place.definition.version):
            place.definition = stored
        self._look(place)

    def _for_this_node(self, definition: Task) -> bool:
        return (
            definition.everywhere
            and due_at(definition) is not None
            and definition.task_type in self.board.executors
            and self._named(definition)
        )

    def _named(self, definition: Task) -> bool:
        options = self.board.options
        return targets(definition, node_id=options.node_id, tags=options.tags)

    def swept(self, found: Iterable[str]) -> None:
        """
        Take the ids of all definitions that one search found: those that are missing are read, to see what became of
        them.
        """
        self._doubted |= self.places.keys() - set(found)

    def recorded(self, stored: Stored[Task], now: int) -> None:
        """
        Take a run record as it stands; what broke off in a period that is over is ended.
        """
        place = self._records.get(stored.record.id)
        if place is None or stored.version == ABSENT or stored.record.all_nodes_of != place.definition.record.id:
            return
        if place.record is not None and place.record.version.newer_than(stored.version):
            return
        place.record, place.known = stored, True
        period = stored.record.all_nodes_period
        if period is not None:
            place.last = period if place.last is None else max(place.last, period)
        self._look(place)
        advice = rules.judge(stored.record, place.definition.record, gone=False, now=now)
        if advice.care is Care.CLOSE:
            self.tidy(stored, advice)

    def admits(self, record: Task, now: int) -> bool:
        """
        Tell whether a record that is due may be claimed here: while its definition stands, or after it has ended well.
        """
        definition_id = record.all_nodes_of or ""
        place = self.places.get(definition_id)
        if place is not None:
            return record.id == place.record_id and rules.admitted(record, place.definition.record, now=now)
        if definition_id in self._finished:
            return True
        if now >= self._resting.get(definition_id, 0):
            self._doubted.add(definition_id)
        return False

    def tidy(
        self, stored: Stored[Task], advice: Advice, *, anyway: bool = False, wanted: Callable[[], bool] = _always
    ) -> None:
        """
        End, cancel or remove a record.
        """
        if not self._busy(stored.record.id):
            self._untidy[stored.record.id] = Untidy(stored, advice, anyway, wanted)

    def _busy(self, record_id: str) -> bool:
        return record_id in self._untidy or self.board.busy(record_id)

    def _tidy(self, now: Instant) -> None:
        untidy, self._untidy = self._untidy, {}
        for stored, advice, anyway, wanted in untidy.values():
            tidy(
                self.board, self.running, stored, advice, now, removed=self._removed, anyway=anyway, wanted=wanted
            )  # fmt: skip

    def _removed(self, record_id: str) -> None:
        place = self._records.get(record_id)
        if place is not None:
            # The turn that waits for it begins at once: with its record gone, whoever looks finds no run of this node.
            place.record, place.known, place.not_before = None, True, 0
            self._look(place)

    def _look(self, place: Place) -> None:
        place.wake = self._wake = 0

    def _forget(self, place: Place) -> None:
        self.places.pop(place.definition.record.id, None)
        self._records.pop(place.record_id, None)
        self.board.timeline.forget(place.record_id)

    # --- questions

    def ask(self, now: Instant) -> list[AskTasks]:
        """
        Return the reads that are wanted: own records, and definitions of which there is doubt, each with its record.
        """
        self._tidy(now)
        node_id = self.board.options.node_id
        ids = {one for name in self._doubted if name for one in (name, rules.record_id(name, node_id))}
        for place in self.places.values():
            if not (place.known or place.asked or place.blocked) and now.boot >= place.not_before:
                place.asked = True
                ids.add(place.record_id)
        self._doubted.clear()
        confirm = [AskTasks((one, rules.record_id(one, node_id)), purpose=CONFIRM) for one in sorted(self._unsure)]
        self._unsure.clear()
        return [*confirm, *([AskTasks(tuple(sorted(ids)), purpose=PURPOSE)] if ids else [])]

    def confirmed(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> None:
        """
        Take a definition that was read for the sake of one turn, and this node's record.
        """
        place = self.places.get(ids[0])
        if place is not None:
            turn, place.confirming = place.confirming, None
            # What is in quarantine confirms nothing; one that is gone, or not for this node, takes the place along.
            known = answers[0] is None or isinstance(answers[0].record, Task)
            place.confirmed = turn if known else None
            self._look(place)
        self.read(ids, answers, now)

    def read(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> None:
        """
        Take definitions and records as they were read.
        """
        # A document in quarantine says nothing, neither that it is there nor that it is not.
        found = {
            name: stored
            for name, stored in zip(ids, answers, strict=True)
            if stored is None or isinstance(stored.record, Task)
        }
        node_id = self.board.options.node_id
        for name, stored in found.items():
            mine = rules.record_id(name, node_id)
            if mine in found:
                self._judge(name, stored, found[mine], now.wall)
        for name in ids:
            place = self._records.get(name)
            if place is not None and place.asked:
                place.asked, place.blocked = False, name not in found
                self._take(place, found.get(name), now)

    def failed(self, ids: Sequence[str]) -> None:
        """
        Take a read that failed; it is tried again a moment later.
        """
        for name in ids:
            place = self._records.get(name)
            if place is not None and (place.asked or place.confirming is not None):
                place.asked, place.confirming = False, None
                self._pause(place)

    def _judge(self, name: str, definition: Stored[Task] | None, record: Stored[Task] | None, now: int) -> None:
        if definition is not None and self._for_this_node(definition.record):
            self.note(definition)
            return
        place = self.places.get(name)
        if place is not None:
            self._forget(place)
        self._resting[name] = now + REST
        task = definition.record if definition is not None else None
        gone = task is None or not task.everywhere or task.delete_requested
        if not gone and task is not None and task.status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
            self._finished.add(name)
        cancelled = task is not None and task.status is TaskStatus.CANCELLED
        if record is None or record.record.all_nodes_of != name:
            return
        if gone or cancelled:
            self._finished.discard(name)
            self.tidy(record, Advice(Care.REMOVE if gone else Care.CANCEL))
        elif task is not None and not self._named(task) and rules.left_open(record.record):
            self.tidy(record, Advice(Care.CLOSE, "the task names other nodes now"))

    def _take(self, place: Place, stored: Stored[Task] | None, now: Instant) -> None:
        definition_id = place.definition.record.id
        if stored is not None and stored.record.all_nodes_of == definition_id:
            place.record = None
            self.recorded(stored, now.wall)
        elif stored is None and not place.blocked:
            place.record, place.known = None, True
            self._look(place)
        else:
            place.blocked = True
            kept = self.board.complaints.tell("record", now.boot)
            if kept is not None:
                LOG.error(
                    "Task %s does not run on this node%s: the id of its run record, %s, is taken by another document. "
                    "Delete that one, or schedule the task under another id",
                    definition_id, and_more(kept), place.record_id,
                    extra={"action": "record_id_taken", "task_id": definition_id},
                )  # fmt: skip

    # --- turns

    def next_at(self, now: Instant) -> int | None:
        """
        Return when the next turn is due (boot clock).
        """
        return None if self._wake >= FAR else now.boot + max(0, self._wake - now.wall)

    def advance(self, now: Instant, room: Callable[[Pool], int]) -> None:
        """
        Begin the turns that are due and have a slot: `room` tells how many a pool takes.
        """
        self._boot = now.boot
        if now.wall < self._wake:
            return
        for place in self.places.values():
            if place.wake <= now.wall:
                place.wake = self._turn(place, now, room)
        self._wake = min((place.wake for place in self.places.values()), default=FAR)

    def _turn(self, place: Place, now: Instant, room: Callable[[Pool], int]) -> int:
        # Returns when to look again.
        if not place.known or place.blocked:
            return FAR
        if now.boot < place.not_before:
            return now.wall + place.not_before - now.boot
        definition = place.definition.record
        turn = rules.owed(definition, last=place.last, since=place.since, now=now.wall)
        following = rules.next_turn(definition, now=now.wall) or FAR
        pool = self.board.pool_of(definition)
        if turn is None or pool is None or rules.spared(definition, place.record and place.record.record, turn):
            return following
        if self._occupied(place):
            return self._skip(place, turn, following)
        if self._busy(place.record_id) or room(pool) <= 0:
            # A body that has returned leaves its record in a moment: then the turn begins at once.
            return min(now.wall + SOON, following)
        return self._take_turn(place, turn, pool, now)

    def _take_turn(self, place: Place, turn: int, pool: Pool, now: Instant) -> int:
        if self._doubtful(place) and place.confirmed != turn:
            self._confirm(place, turn)
        elif place.record is not None and place.record.record.status is TaskStatus.CANCELLED:
            self._renew(place, place.record, now)
        else:
            self._begin(place, turn, pool, now)
            return FAR
        return now.wall + AGAIN

    def _doubtful(self, place: Place) -> bool:
        # Whoever cancels or deletes a definition does the same to its records next, which this node may hear of first.
        if place.record is None:
            return place.last is not None
        return place.record.record.status is TaskStatus.CANCELLED

    def _confirm(self, place: Place, turn: int) -> None:
        if place.confirming is None:
            place.confirming = turn
            self._unsure.add(place.definition.record.id)

    def _renew(self, place: Place, record: Stored[Task], now: Instant) -> None:
        # There is no way out of CANCELLED: the turn has a new record.
        if place.removing is None:
            place.removing = now.boot
        patience = self.board.options.lease_millis
        self.tidy(
            record,
            Advice(Care.REMOVE),
            anyway=now.boot - place.removing >= patience,
            # A cancel of the definition that is heard of meanwhile leaves the record as it stands.
            wanted=lambda: self._records.get(place.record_id) is place,
        )
        # Where its last run removes it, nobody says so here: it is read before the next try.
        place.known = False
        self._pause(place)

    def _occupied(self, place: Place) -> bool:
        run = self.running.of_task(place.record_id)
        if run is not None:
            return run.phase is not Phase.ENDING
        if place.record is None or self._busy(place.record_id):
            return False
        # What nobody runs here may have been ended elsewhere, without a word: it is read before the next turn.
        occupied = rules.in_progress(place.record.record)
        place.known = not occupied
        return occupied

    def _skip(self, place: Place, turn: int, following: int) -> int:
        place.last = turn
        self.board.count(SKIPPED)
        return following

    def _begin(self, place: Place, turn: int, pool: Pool, now: Instant) -> None:
        node_id = self.board.options.node_id
        before = place.record
        place.former, place.last = place.last, turn
        place.removing = None
        made = rules.armed(
            place.definition.record, before.record if before else None, turn=turn, node_id=node_id, now=now.wall
        )
        self.board.timeline.forget(place.record_id)
        self.running.begin(
            Stored(made, before.version if before else ABSENT),
            now,
            claim_id=self.board.fresh_id(),
            pool=pool,
            over=self._over,
            change=Begin,
        )

    def _over(self, run: Run) -> None:
        place = self._records.get(run.task_id)
        if place is None:
            return
        if run.ended is None:
            # The turn was not begun here: what stands there decides, and is read.
            place.known, place.last = False, place.former
            self._pause(place)
        self._look(place)

    def _pause(self, place: Place) -> None:
        place.not_before = self._boot + AGAIN
        self._look(place)


class Begin(Claim):
    """
    The claim of a turn: it arms the record in the same write, or creates it.

    An unknown outcome is settled as that of any claim (P3): the same creation again meets a document that carries our
    `claimId`, which is confirmed by one more acknowledged write before the run starts.
    """

    __slots__ = ()

    def prepare(self, now: Instant) -> Write | None:
        """
        Claim the turn, unless this node may not act any more.
        """
        run, board = self._run, self._table.board
        if not board.may_act(now.boot):
            self._table.settled(run)
            return None
        made = self._made(now)
        return Write(Action.CREATE, made) if run.before.version == ABSENT else replace_write(made, run.before)
