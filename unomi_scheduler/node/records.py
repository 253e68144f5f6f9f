"""
The run records of all nodes: what becomes of those that their own node does not look after.

A search a lease, and only while there are records or definitions; the nodes need not agree who does it, as the
condition of each write decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..clock import Instant
from ..model import Page, Stored, Task
from ..ports import Write
from ..rules import everywhere as rules
from ..rules.everywhere import Care
from ..rules.lifecycle import ENDED
from .board import Board
from .commits import Change, replace_write
from .everywhere import Everywhere, Place
from .membership import Membership
from .messages import AskRecords, AskTasks


class Records:
    """
    One look a lease at all records.
    """

    def __init__(self, board: Board, members: Membership, everywhere: Everywhere) -> None:
        self.board = board
        self.members = members
        self.everywhere = everywhere
        self._next = 0
        self._some = True
        self._absent: dict[tuple[str, str], int] = {}
        self._wanted: set[str] = set()

    def next_at(self) -> int | None:
        """
        Return when the next look is due (boot clock).
        """
        return self._next if self._needed() else None

    def _needed(self) -> bool:
        # One look at the start: records may be all that is left of a definition.
        return self._some or bool(self.everywhere.places)

    def ask(self, now: Instant) -> list[AskRecords | AskTasks]:
        """
        Return the search to make now, and the reads that it made necessary.
        """
        questions: list[AskRecords | AskTasks] = []
        if self._wanted:
            questions.append(AskTasks(tuple(sorted(self._wanted)), purpose="records"))
            self._wanted = set()
        if now.boot >= self._next and self._needed() and self.board.may_act(now.boot):
            self._next = now.boot + self.board.options.lease_millis
            questions.append(AskRecords())
        return questions

    def found(self, page: Page, now: Instant) -> None:
        """
        Take all records: what looks as if something had to be done is read, with its definition, before it is.
        """
        self._some = bool(page.list)
        self._watch(page.list, now)
        for record in page.list:
            place = self.everywhere.places.get(record.all_nodes_of or "")
            definition = place.definition.record if place is not None else None
            advice = rules.judge(record, definition, gone=self._gone(record, now), now=now.wall)
            if advice.care is not Care.KEEP and record.all_nodes_of is not None:
                self._wanted |= {record.id, record.all_nodes_of}
        self._conclude(page.list, now)

    def _watch(self, records: Iterable[Task], now: Instant) -> None:
        able = {(beat.node_id, one) for beat in self.members.alive() for one in beat.task_types}
        able |= {(self.board.options.node_id, one) for one in self.board.executors}
        absent = {key for record in records for key in _keys(record)} - able
        self._absent = {key: self._absent.get(key, now.boot) for key in absent}

    def _gone(self, record: Task, now: Instant) -> bool:
        # A node that has just come may not be known yet: it was missed for a whole lease.
        patience = self.board.options.lease_millis
        return all(now.boot - self._absent.get(key, now.boot) >= patience for key in _keys(record))

    def read(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> None:
        """
        Take records and definitions as they are, and act.
        """
        found = {
            name: stored
            for name, stored in zip(ids, answers, strict=True)
            if stored is None or isinstance(stored.record, Task)
        }
        for stored in found.values():
            of = stored.record.all_nodes_of if stored is not None else None
            if stored is None or of not in found:
                continue
            definition = found[of].record if found[of] is not None else None
            advice = rules.judge(stored.record, definition, gone=self._gone(stored.record, now), now=now.wall)
            if advice.care is not Care.KEEP:
                self.everywhere.tidy(stored, advice)

    def _conclude(self, records: Sequence[Task], now: Instant) -> None:
        for place in list(self.everywhere.places.values()):
            definition = place.definition.record
            of = _with_own(place, [one for one in records if one.all_nodes_of == definition.id])
            done = of and all(one.status in ENDED for one in of)
            if done and rules.conclusion_due(definition, now=now.wall) and not self._busy(definition):
                self.board.commits.submit(Conclude(self.board, place.definition, of))

    def _busy(self, definition: Task) -> bool:
        return self.board.busy(definition.id)


def _with_own(place: Place, records: list[Task]) -> list[Task]:
    # This node's own may have been purged since: what is kept for no time at all says how it went all the same.
    own = place.record.record if place.record is not None else None
    return records if own is None or own.id in {one.id for one in records} else [*records, own]


def _keys(record: Task) -> list[tuple[str, str]]:
    return [(node_id, record.task_type) for node_id in record.on_nodes]


class Conclude(Change):
    """
    A definition without a period has run on each node: it ends.
    """

    __slots__ = ("_board", "_records", "_stored")

    def __init__(self, board: Board, stored: Stored[Task], records: Sequence[Task]) -> None:
        super().__init__(Task, stored.record.id)
        self._board = board
        self._stored = stored
        self._records = list(records)

    def prepare(self, now: Instant) -> Write | None:
        """
        End what was found.
        """
        return replace_write(rules.concluded(self._stored.record, self._records, now=now.wall), self._stored)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Somebody changed it: the next look decides.
        """
        return None

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        It has ended.
        """
        self._board.timeline.wrote(stored.record.id, stored.version)
        self._board.offer(stored, now.wall)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        Another node was first, or it was changed.
        """
        if current is not None:
            self._board.offer(current, now.wall)
