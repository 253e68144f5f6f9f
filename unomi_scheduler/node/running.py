"""
The runs of this node: from the claim to the acknowledged end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum, auto

from ..clock import Instant
from ..errors import InvalidTask, LeaseLost
from ..model import Stored, Task, TaskStatus
from ..rules.claims import notes_resumption
from ..rules.progress import Progress
from ..rules.readiness import due_at
from .board import Board
from .counting import count_end, tell_end
from .runs import (
    Failed,
    NotStarted,
    Pool,
    ReportRefused,
    ReportStored,
    RunEnded,
    RunReported,
    Signal,
    StartRun,
    Succeeded,
    TellRun,
    Ticket,
)
from .settling import Claim, End, GiveBack, Report, release

SHORTEST_WINDOW, LONGEST_WINDOW = 100, 2_000
"""Milliseconds over which ended runs are counted, to know how many may be claimed ahead: two trips to the store."""
MOST_AHEAD = 2_000
STUCK_AFTER = 500
"""Milliseconds without a start or an end after which a node with no free thread says that it is full."""


class Phase(Enum):
    """
    How far a run has come.
    """

    CLAIMING = auto()
    STARTED = auto()
    ENDING = auto()


class Run:
    """
    One run: the document before its claim, the newest one acknowledged, and what it has not written yet.
    """

    __slots__ = (
        "before", "claim_id", "dependents", "ended", "over", "phase", "pool", "progress", "receipts", "reporting",
        "started", "stored", "told",
    )  # fmt: skip

    def __init__(self, before: Stored[Task], claim_id: str, pool: Pool, over: Callable[[Run], None] | None) -> None:
        self.before = before
        self.stored = before
        self.claim_id = claim_id
        self.pool = pool
        self.over = over
        self.phase = Phase.CLAIMING
        self.started = 0
        self.ended: RunEnded | None = None
        self.dependents: tuple[str, ...] = ()
        self.progress: Progress | None = None
        self.receipts: list[int] = []
        self.reporting = False
        self.told: Signal | None = None

    @property
    def task_id(self) -> str:
        """
        The task's id.
        """
        return self.before.record.id


class Running:
    """
    The run table, and every way a run can go.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, Run] = {}
        self.occupied: Counter[Pool] = Counter()
        self.started: Counter[Pool] = Counter()
        self.last_move: Counter[Pool] = Counter()
        self._ends: Counter[Pool] = Counter()
        self._ends_before: Counter[Pool] = Counter()
        self._window = 0

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def knows(self, claim_id: str | None) -> bool:
        """
        Tell whether a claim is in the run table.
        """
        return claim_id in self._runs

    def of_task(self, task_id: str) -> Run | None:
        """
        Return the run of a task.
        """
        return self._tasks.get(task_id)

    def room(self, pool: Pool, boot: int) -> int:
        """
        Return how many runs more may be claimed for a pool: its free slots, and as many ahead as ended in the last
        moments.

        Long runs end seldom, so nothing is hoarded behind them; short ones make room for whole batches.
        """
        length = min(LONGEST_WINDOW, max(SHORTEST_WINDOW, 2 * self.board.commits.round_trip))
        if boot - self._window > length:
            stale = boot - self._window > 2 * length
            self._ends_before, self._ends = (Counter() if stale else self._ends), Counter()
            self._window = boot
        ahead = min(MOST_AHEAD, self._ends[pool] + self._ends_before[pool])
        return self.board.slots[pool] + ahead - self.occupied[pool]

    def full(self, pool: Pool) -> bool:
        """
        Tell whether every slot of a pool is taken.
        """
        return self.occupied[pool] >= self.board.slots[pool]

    def stuck(self, pool: Pool, boot: int) -> bool:
        """
        Tell whether every slot of a pool is taken and none has moved for a while: what is due is better run elsewhere.
        """
        return self.full(pool) and boot - self.last_move[pool] > STUCK_AFTER

    def begin(
        self,
        stored: Stored[Task],
        now: Instant,
        *,
        claim_id: str,
        pool: Pool,
        over: Callable[[Run], None] | None = None,
        change: type[Claim] = Claim,
    ) -> None:
        """
        Claim a task and, once the claim is acknowledged, start its run. `over` is called when the run is settled.
        """
        run = Run(stored, claim_id, pool, over)
        self._runs[claim_id] = run
        self._tasks[run.task_id] = run
        self.occupied[pool] += 1
        claim = change(self, run)
        if notes_resumption(stored.record):
            self.board.holds.before_eviction(stored.record, now, claim)
        else:
            self.board.commits.submit(claim)

    def claimed(self, run: Run, now: Instant) -> None:
        """
        The claim is acknowledged: start the run, unless this node may not any more (P7, P10).
        """
        self.board.count("tasks.lock.acquired")
        # The node may have been fenced and have joined again since the claim was sent: then the run is not its own.
        current = run.stored.record.owner_incarnation == self.board.incarnation
        if not current or not self.board.may_act(now.boot):
            self.give_back(run)
            return
        before = run.before.record
        run.phase = Phase.STARTED
        run.started = now.boot
        self.started[run.pool] += 1
        self.last_move[run.pool] = now.boot
        self.board.count("tasks.running")
        resumed = before.status is TaskStatus.CRASHED or before.resume_requested
        if resumed:
            self.board.news.resumed(before, run.stored.record)
        if before.history:
            # What others left without a row. What this claim adds is flushed with its end: it may still be given back.
            self.board.outbox.take(before, now)
        due = due_at(before) or 0
        self.board.commands.append(
            StartRun(ticket=Ticket(run.stored.record, run.claim_id, run.pool, resumed=resumed, due=due))
        )

    def give_back(self, run: Run) -> None:
        """
        Give back a claim whose run did not begin.
        """
        run.phase = Phase.ENDING
        self.board.commits.submit(GiveBack(self, run))

    def reported(self, event: RunReported) -> None:
        """
        Take a report of a body; reports that wait are written as one.
        """
        run = self._runs.get(event.claim_id)
        if run is None or run.told in (Signal.TAKEN, Signal.CANCELLED):
            self._refuse(event.claim_id, event.receipt, run)
            return
        run.progress = event.progress if run.progress is None else run.progress.then(event.progress)
        if event.receipt is not None:
            run.receipts.append(event.receipt)
        if not run.reporting:
            run.reporting = True
            self.board.commits.submit(Report(self, run))

    def _refuse(self, claim_id: str, receipt: int | None, run: Run | None) -> None:
        if receipt is not None:
            why = run.told.value if run is not None and run.told else "this run is over"
            self.board.commands.append(ReportRefused(claim_id=claim_id, receipt=receipt, error=LeaseLost(why)))

    def report_stored(self, run: Run, receipts: list[int]) -> None:
        """
        Tell the body that its report is in the store.
        """
        self.board.commands.extend(ReportStored(claim_id=run.claim_id, receipt=receipt) for receipt in receipts)

    def report_refused(self, run: Run, receipts: list[int], error: Exception) -> None:
        """
        Tell the body that its report is not in the store and will not be.
        """
        self.board.commands.extend(
            ReportRefused(claim_id=run.claim_id, receipt=receipt, error=error) for receipt in receipts
        )

    def ended(self, event: RunEnded, now: Instant) -> None:
        """
        Take the end of a body: its slot is free, its outcome goes to the store.
        """
        run = self._runs.get(event.claim_id)
        if run is None or run.phase is not Phase.STARTED:
            return
        self.started[run.pool] -= 1
        if isinstance(event.verdict, NotStarted):
            self.give_back(run)
            return
        self.last_move[run.pool] = now.boot
        self._ends[run.pool] += 1
        self.occupied[run.pool] -= 1
        run.phase = Phase.ENDING
        run.ended = event
        self.board.outbox.ended(run.claim_id, now)
        self.board.holds.before_eviction(run.stored.record, now, End(self, run))

    def committed(self, run: Run, stored: Stored[Task], now: Instant) -> None:
        """
        The end is acknowledged: count it, and put the task's next run on the timeline.
        """
        event = run.ended
        if event is not None:
            count_end(self.board, event, before=run.before.record)
            tell_end(self.board, event, claimed=run.stored.record, after=stored.record)
        self.board.count("tasks.lock.released")
        self.settled(run)
        self.board.offer(stored, now.wall)
        if event is not None and isinstance(event.verdict, Succeeded):
            self.board.wake(stored.record, run.dependents)

    def fenced(self, run: Run, current: Stored[Task] | None, now: Instant) -> None:
        """
        The run is not the task's any more: drop its outcome, count it, and free a cancelled task of its owner (P4,
        P17).
        """
        self.board.count("tasks.fenced")
        if run.ended is not None:
            self.board.news.dropped(run.stored.record)
        self.board.outbox.dropped(run.claim_id)
        self.report_refused(run, run.receipts, LeaseLost("this run does not own its task any more"))
        self.settled(run)
        if current is not None:
            self.board.outbox.take(current.record, now)
            self.release(current, now)
            self.board.offer(current, now.wall)

    def release(self, stored: Stored[Task], now: Instant) -> None:
        """
        Free a cancelled task that still names this incarnation, whose body has returned; remove it when that was
        asked for.
        """
        task = stored.record
        if task.status is not TaskStatus.RUNNING and task.owner_incarnation == self.board.incarnation:
            release(self.board, stored, now)

    def unclaimed(self, run: Run, current: Stored[Task] | None, now: Instant) -> None:
        """
        The claim was lost to somebody else.
        """
        self.board.count("tasks.lock.conflicts")
        self.board.claims_lost = True
        self.settled(run)
        if current is not None:
            # Where it was no claim that was faster, but an edit, this node may still claim at once.
            self.board.offer(current, now.wall, own=current.record.fence == run.before.record.fence)

    def settled(self, run: Run) -> None:
        """
        Take a run out of the table.
        """
        if self._runs.pop(run.claim_id, None) is None:
            return
        if self._tasks.get(run.task_id) is run:
            del self._tasks[run.task_id]
        if run.ended is None:
            self.occupied[run.pool] -= 1
        if run.over is not None:
            run.over(run)

    def tell(self, run: Run, signal: Signal) -> None:
        """
        Tell a running body once; what it waits for is refused.
        """
        if run.told in (Signal.TAKEN, Signal.CANCELLED) or run.told is signal:
            return
        run.told = signal
        if run.phase is Phase.STARTED:
            self.board.commands.append(TellRun(claim_id=run.claim_id, signal=signal))

    def tell_all(self, signal: Signal) -> None:
        """
        Tell every running body.
        """
        for run in self:
            self.tell(run, signal)

    def changed(self, stored: Stored[Task]) -> None:
        """
        Take a task as it stands now: tell its run when it is no longer the owner.
        """
        run = self._tasks.get(stored.record.id)
        if run is None or run.phase is not Phase.STARTED or stored.record.claim_id == run.claim_id:
            return
        if stored.version.newer_than(run.stored.version):
            cancelled = stored.record.status is TaskStatus.CANCELLED
            self.tell(run, Signal.CANCELLED if cancelled else Signal.TAKEN)

    def unstorable(self, run: Run, error: InvalidTask) -> None:
        """
        The store does not take what the run left: end it as a failure that says so, without what it reported.
        """
        assert run.ended is not None  # noqa: S101 - only an ended run writes an end
        run.progress = None
        run.ended = run.ended._replace(verdict=Failed(str(error)))
