"""
Adoption: documents that others wrote into our index get the fields that searches need, and those of Apache Unomi the
id of their task.

A move is a creation under the new id and then a deletion of the old document, each a conditional write. The creation
decides: of several nodes one succeeds, and a task that has the id already is never overwritten. Between the two
writes the old document has no due date, so nothing of it runs. The history goes with the task; an entry for which the
new document has no room has its row before the old one goes (P20).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ..clock import Instant
from ..errors import InvalidTask, SchedulerError
from ..model import Malformed, Misplaced, Stored, Task, evolve
from ..ports import Action, Found, Write
from ..rules.adoption import ORIGIN, folded, home_of, landed, moved, notes_crash
from .board import Board
from .commits import Change, replace_write
from .complaints import and_more

LOG = logging.getLogger("unomi_scheduler.node")


@dataclass(frozen=True, slots=True)
class Away:
    """
    A task in a document that has another id than the task shall have.
    """

    stored: Stored[Any]
    task: Task

    @property
    def origin(self) -> str:
        """
        This very version of this document.
        """
        version = self.stored.version
        return f"{version.index}/{self.stored.record.id}#{version.seq_no}.{version.primary_term}"


def adopt(board: Board, found: Found, now: Instant) -> None:
    """
    Take the documents that a search for unplaced ones found.
    """
    for task in found.tasks:
        away = not task.record.fence and home_of(task.record) != task.record.id
        if away:
            board.commits.submit(Move(board, Away(task, task.record)))
        elif notes_crash(task.record):
            board.holds.before_eviction(task.record, now, Rewrite(board, task))
        else:
            board.commits.submit(Rewrite(board, task))
    for one in found.malformed:
        if isinstance(one.record, Misplaced):
            board.commits.submit(Move(board, Away(one, one.record.task)))
    set_aside(board, found)


def set_aside(board: Board, found: Found) -> None:
    """
    Mark documents that are no tasks with the reason, so that the others are not held up by them.
    """
    for one in found.malformed:
        if not isinstance(one.record, Misplaced) and not board.commits.busy(Task, one.record.id):
            board.count("tasks.quarantined")
            board.commits.submit(Rewrite(board, one))


class Rewrite(Change):
    """
    Write a document back where it is, with the fields that searches need (or the quarantine's mark).
    """

    __slots__ = ("_board", "_former", "_stored")

    def __init__(self, board: Board, stored: Stored[Any], *, former: Task | None = None) -> None:
        super().__init__(Task, stored.record.id)
        self._board = board
        self._stored = stored
        self._former = former or stored.record

    def prepare(self, now: Instant) -> Write:
        """
        Write what was read, as it has to stand among ours.
        """
        record = self._stored.record
        if isinstance(record, Task):
            record = landed(record, now=now.wall, found_by=self._board.options.node_id)
        return replace_write(record, self._stored)

    def reconsider(self, current: Stored[Any] | None, now: Instant) -> Write | None:
        """
        Somebody wrote it meanwhile: the next search decides.
        """
        return None

    def done(self, stored: Stored[Any], now: Instant) -> None:
        """
        A task may be due here; what is none says so once.
        """
        if isinstance(stored.record, Task):
            if stored.record.history != self._former.history:
                self._board.outbox.take(stored.record, now)
            self._board.offer(stored, now.wall)
            return
        kept = self._board.complaints.tell("quarantine", now.boot)
        if kept is not None:
            LOG.warning(
                "The document %s%s is no task and was put in quarantine: %s. Put it right and remove its "
                "quarantineReason, or delete it; unomi-scheduler doctor lists them",
                stored.record.id, and_more(kept), stored.record.reason,
                extra={"action": "quarantined", "task_id": stored.record.id},
            )  # fmt: skip

    def lost(self, current: Stored[Any] | None, now: Instant) -> None:
        """
        The next search decides.
        """

    def refused(self, error: SchedulerError, now: Instant) -> bool:
        """
        The next search decides.
        """
        return False


class Move(Change):
    """
    Create a task under its id; `Leave` follows.
    """

    __slots__ = ("_again", "_away", "_board")

    def __init__(self, board: Board, away: Away) -> None:
        super().__init__(Task, home_of(away.task))
        self._board = board
        self._away = away
        self._again = False

    def prepare(self, now: Instant) -> Write:
        """
        Create it, with the place it came from.
        """
        task = landed(self._away.task, now=now.wall, found_by=self._board.options.node_id)
        return Write(Action.CREATE, moved(task, self.key[1], self._away.origin))

    def applied(self, current: Stored[Task]) -> bool:
        """
        It is the one created, and nobody went on with it.
        """
        return self.write is not None and self.write.record == current.record

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        What had the id is gone by now: try once more. A document that is no task stays in the way.
        """
        if current is not None or self._again:
            return None
        self._again = True
        return self.prepare(now)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        It may be due here.
        """
        self._board.timeline.wrote(stored.record.id, stored.version)
        if stored.record.history != self._away.task.history:
            self._board.outbox.take(stored.record, now)
        self._board.offer(stored, now.wall)
        self._leave(stored, now)

    def _leave(self, home: Stored[Task], now: Instant) -> None:
        former = evolve(self._away.task, id=self.key[1], history_flushed=0)
        if all(one in home.record.history for one in former.history):
            self._board.commits.submit(Leave(self._away))
            return

        def leave(flushed: bool) -> None:  # noqa: FBT001 - what a hold tells
            # Otherwise the next search for documents of others finds it again.
            if flushed:
                self._board.commits.submit(Leave(self._away))

        self._board.holds.before_removal(former, now, leave)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        The id is taken: by this very document, which another node moved, or by another task.
        """
        if current is None:
            return
        self._board.offer(current, now.wall)
        if current.record.extra.get(ORIGIN) == self._away.origin:
            self._leave(current, now)
        else:
            former = evolve(self._away.task, id=self._away.stored.record.id)
            apart = Rewrite(self._board, self._apart(now), former=former)
            self._board.holds.before_eviction(former, now, apart)

    def _apart(self, now: Instant) -> Stored[Task]:
        document_id = self._away.stored.record.id
        if self._away.task.system_task:
            node_id = self._board.options.node_id
            apart = folded(self._away.task, document_id=document_id, now=now.wall, node_id=node_id)
        else:
            # Another tenant's task of the same name: the document's own id is its name with us.
            apart = evolve(self._away.task, id=document_id)
        LOG.warning(
            "Another task has the id %s, so the task of the document %s %s",
            self.key[1], document_id, "was cancelled" if self._away.task.system_task else "keeps that id",
            extra={"action": "kept_apart", "task_id": document_id},
        )  # fmt: skip
        return Stored(apart, self._away.stored.version)

    def refused(self, error: SchedulerError, now: Instant) -> bool:
        """
        What the store does not take as a task is put in quarantine where it is; anything else passes.
        """
        if not isinstance(error, InvalidTask):
            return True
        record = self._away.stored.record
        document = record.document if isinstance(record, Malformed) else {"itemId": record.id, **record.extra}
        quarantined = Malformed(id=record.id, reason=str(error), document=document)
        self._board.commits.submit(Rewrite(self._board, Stored(quarantined, self._away.stored.version)))
        return False


class Leave(Change):
    """
    Remove the document that a task was moved from.
    """

    __slots__ = ("_away",)

    def __init__(self, away: Away) -> None:
        super().__init__(Task, away.stored.record.id)
        self._away = away

    def prepare(self, now: Instant) -> Write:
        """
        Remove just the version that was moved.
        """
        return Write(Action.DELETE, evolve(self._away.task, id=self.key[1]), self._away.stored.version)

    def reconsider(self, current: Stored[Any] | None, now: Instant) -> Write | None:
        """
        Somebody wrote or removed it meanwhile: the next search decides.
        """
        return None

    def done(self, stored: Stored[Any], now: Instant) -> None:
        """
        The task has one document.
        """

    def lost(self, current: Stored[Any] | None, now: Instant) -> None:
        """
        The next search decides.
        """
