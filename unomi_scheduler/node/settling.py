"""
The changes that a run makes to its task: claim, report, end, give back, release. Each knows how to decide anew after
a conflict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..clock import Instant
from ..errors import InvalidTask, LeaseLost, SchedulerError
from ..model import Stored, Task, evolve
from ..ports import Action, Write
from ..rules import claims, outcomes
from ..rules.claims import Standing, standing
from ..rules.progress import Progress, progressed
from .commits import Change, Priority, replace_write
from .counting import GIVEN_BACK
from .runs import Failed, Signal, Succeeded, broken_off

if TYPE_CHECKING:
    from .board import Board
    from .running import Run, Running


class RunChange(Change):
    """
    A change of a task by its run.
    """

    __slots__ = ("_run", "_table")

    def __init__(self, table: Running, run: Run) -> None:
        super().__init__(Task, run.task_id)
        self._table = table
        self._run = run

    def _note(self, stored: Stored[Task]) -> None:
        self._run.stored = stored
        self._table.board.timeline.wrote(self._run.task_id, stored.version)

    def _held(self, current: Stored[Task] | None) -> bool:
        return standing(current.record if current is not None else None, self._run.claim_id) is Standing.HELD


class Claim(RunChange):
    """
    The claim: whoever writes first on the version read is the owner.
    """

    priority: ClassVar[Priority] = Priority.CLAIM
    __slots__ = ()

    def prepare(self, now: Instant) -> Write | None:
        """
        Claim what was read, unless this node may not act any more.
        """
        run, board = self._run, self._table.board
        if not board.may_act(now.boot):
            self._table.settled(run)
            board.offer(run.before, now.wall)
            return None
        return replace_write(self._made(now), run.before)

    def _made(self, now: Instant) -> Task:
        # What is known to have its row is said by the claim, as it is written anyway (P20).
        run, board = self._run, self._table.board
        board.count("tasks.lock.attempts")
        task = run.before.record
        if len(task.history) > task.history_flushed and (known := board.outbox.known(task)) > task.history_flushed:
            task = evolve(task, history_flushed=known)
        return claims.claim(
            task, by=board.claimant, claim_id=run.claim_id, now=now.wall, resuming=board.resumes(task.task_type)
        )

    def applied(self, current: Stored[Task]) -> bool:
        """
        The document carries our claim.
        """
        return self._held(current)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        A lost claim is lost; the task comes back with its newer version.
        """
        return None

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        Won.
        """
        self._note(stored)
        if standing(stored.record, self._run.claim_id) is Standing.HELD:
            self._table.claimed(self._run, now)
        else:
            self._table.unclaimed(self._run, stored, now)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        Somebody else was first.
        """
        self._table.unclaimed(self._run, current, now)

    def refused(self, error: SchedulerError, now: Instant) -> bool:
        """
        A claim that the store refuses is dropped: the task is found again.
        """
        return False


class Report(RunChange):
    """
    Progress and checkpoints of a run that goes on.
    """

    priority: ClassVar[Priority] = Priority.PROGRESS
    __slots__ = ("_progress", "_receipts", "_rejected")

    def __init__(self, table: Running, run: Run) -> None:
        super().__init__(table, run)
        self._progress = Progress()
        self._receipts: list[int] = []
        self._rejected = False

    def prepare(self, now: Instant) -> Write | None:
        """
        Take everything reported so far. An ended run writes it with its end.
        """
        run = self._run
        run.reporting = False
        if run.progress is None or run.ended is not None:
            return None
        self._progress, run.progress = run.progress, None
        self._receipts, run.receipts = run.receipts, []
        return replace_write(progressed(run.stored.record, self._progress), run.stored)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Edits by users are kept; a report counts only while the claim is ours (P4). Written twice it says the same.
        """
        if current is None or not self._held(current):
            return None
        return replace_write(progressed(current.record, self._progress), current)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        Stored: the body may rely on it.
        """
        self._note(stored)
        self._table.report_stored(self._run, self._receipts)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        The claim is not ours any more: say so to the body. A report that was no document changes nothing.
        """
        if self._rejected:
            return
        self._table.report_refused(self._run, self._receipts, LeaseLost("this run does not own its task any more"))
        if current is not None:
            self._table.changed(current)
        else:
            self._table.tell(self._run, Signal.TAKEN)

    def refused(self, error: SchedulerError, now: Instant) -> bool:
        """
        A document the store does not take is the body's fault and its to know; anything else passes.
        """
        if isinstance(error, InvalidTask):
            self._table.report_refused(self._run, self._receipts, error)
            self._rejected = True
            return False
        return True


class End(RunChange):
    """
    The terminal write, which arms the next run in the same step.
    """

    __slots__ = ()

    def prepare(self, now: Instant) -> Write | None:
        """
        Apply the verdict to the document as last acknowledged.
        """
        return replace_write(self._ended(self._run.stored.record, now), self._run.stored)

    def _ended(self, task: Task, now: Instant) -> Task:
        run = self._run
        run.dependents = task.dependents
        assert run.ended is not None  # noqa: S101 - set before this change is submitted
        if run.progress is not None:
            task = progressed(task, run.progress)
        verdict, duration = run.ended.verdict, run.ended.duration
        if isinstance(verdict, Succeeded):
            return outcomes.complete(task, now=now.wall, duration=duration)
        if isinstance(verdict, Failed):
            return outcomes.fail(task, error=verdict.error, now=now.wall, duration=duration)
        node_id = self._table.board.options.node_id
        return outcomes.crash(task, now=now.wall, found_by=node_id, reason=broken_off(verdict), counted=False)

    def applied(self, current: Stored[Task]) -> bool:
        """
        The history shows our outcome.
        """
        return standing(current.record, self._run.claim_id) is Standing.ENDED

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Edits by users are kept; with the claim gone the outcome is dropped (P4).
        """
        if current is None or not self._held(current):
            return None
        return replace_write(self._ended(current.record, now), current)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        Committed.
        """
        self._note(stored)
        run = self._run
        self._table.board.outbox.take(stored.record, now)
        self._table.report_stored(run, run.receipts)
        self._table.committed(run, stored, now)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        Fenced.
        """
        self._table.fenced(self._run, current, now)

    def refused(self, error: SchedulerError, now: Instant) -> bool:
        """
        What the store does not take is replaced by a failure that says so, once.
        """
        if isinstance(error, InvalidTask) and not isinstance(self._run.ended and self._run.ended.verdict, Failed):
            self._table.unstorable(self._run, error)
            self.write = self.prepare(now)
            return True
        return not isinstance(error, InvalidTask)


class GiveBack(RunChange):
    """
    A claim that was won and not started goes back to the state before it (P10).
    """

    __slots__ = ()

    def prepare(self, now: Instant) -> Write | None:
        """
        Undo the claim.
        """
        run = self._run
        return replace_write(claims.give_back(run.stored.record, before=run.before.record), run.stored)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Edits by users are kept; without our claim there is nothing to give back.
        """
        if current is None or not self._held(current):
            return None
        return replace_write(claims.give_back(current.record, before=self._run.before.record), current)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        Free for everybody.
        """
        self._note(stored)
        self._table.board.count(GIVEN_BACK)
        self._table.board.count("tasks.lock.released")
        self._table.settled(self._run)
        self._table.board.offer(stored, now.wall)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        It is not ours to give.
        """
        self._table.fenced(self._run, current, now)


class Release(Change):
    """
    Free an ended task of the owner that its cancel left in it, or remove it when it is marked for deletion (P17) and
    its history is flushed; else a purge does.
    """

    __slots__ = ("_again", "_board", "_flushed", "_stored")

    def __init__(self, board: Board, stored: Stored[Task], *, flushed: bool) -> None:
        super().__init__(Task, stored.record.id)
        self._board = board
        self._stored = stored
        self._flushed = flushed
        self._again = False

    def prepare(self, now: Instant) -> Write | None:
        """
        Act on what was read.
        """
        return self._write(self._stored)

    def _write(self, stored: Stored[Task]) -> Write:
        if stored.record.delete_requested and self._flushed:
            return Write(Action.DELETE, stored.record, stored.version)
        return replace_write(claims.released(stored.record), stored)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Act on what stands now, if the same run still owns it.
        """
        owner = self._stored.record.owner_incarnation
        if current is not None and current.record.history != self._stored.record.history:
            # It was marked meanwhile: what the mark added to the history goes first.
            self._again, self._flushed = self._flushed, False
        if current is None or current.record.owner_incarnation != owner or current.record.claim_id is not None:
            return None
        return self._write(current)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        Free, or gone.
        """
        self._board.count("tasks.lock.released")
        self._board.timeline.wrote(stored.record.id, stored.version)
        if self._again and stored.record.delete_requested:
            release(self._board, stored, now)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        Somebody else did it.
        """


def release(board: Board, stored: Stored[Task], now: Instant) -> None:
    """
    Free or remove an ended task, once nothing of its history would be lost by that.
    """
    if stored.record.id in board.holds:
        return

    def submit(flushed: bool) -> None:  # noqa: FBT001 - what a hold tells
        board.commits.submit(Release(board, stored, flushed=flushed))

    if stored.record.delete_requested:
        board.holds.before_removal(stored.record, now, submit)
    else:
        submit(True)
