"""
Tasks that wait for others: woken by an end on this node, repaired by a scan (P14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..clock import Instant
from ..model import Stored, Task, TaskStatus
from ..ports import Found, Write
from ..rules import dependencies
from ..rules.dependencies import MANY, Judgement, Readiness, awaited
from ..rules.lifecycle import ENDED
from ..stores.reading import told
from .board import Board
from .commits import Change, replace_write
from .messages import AskTasks, AskWaiting

PAGE = 500
SCAN = 5_000
IDLE_SCAN = 20_000
"""Milliseconds between two scans, which find what nobody was told of: while some task is known to wait, and else."""


class Waiting:
    """
    The WAITING tasks this node knows of, and when it looks for more.

    Who ends a task knows from its document who waits for it, reads those and judges them: that is quick and exact. The
    scan is for what was lost with a node, and for documents that others wrote.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._known: dict[str, Stored[Task]] = {}
        self._urgent: set[str] = set()
        self._called: dict[str, Task] = {}
        self._calling: dict[str, Task] = {}
        self._searched: set[str] = set()
        self._searching: set[str] = set()
        self._reads: list[tuple[str, ...]] = []
        self._own: set[str] = set()
        self._asked = False
        self._after: str | None = None
        self._next = 0
        self._fresh = False

    def note(self, stored: Stored[Task]) -> None:
        """
        Take a task as it stands: remember it while it waits.
        """
        if stored.record.status is TaskStatus.WAITING:
            self._fresh = self._fresh or stored.record.id not in self._known
            self._known[stored.record.id] = stored
            self._urgent.add(stored.record.id)
        else:
            self._known.pop(stored.record.id, None)

    def ended(self, task: Task) -> None:
        """
        Take a task after a run or a change by a user: those who wait for it are judged at once.
        """
        if self._known:
            self._urgent.update(one for one, stored in self._known.items() if task.id in stored.record.waiting_on_tasks)
        if task.status in ENDED:
            self.wake(task, task.dependents)

    def wake(self, task: Task, dependents: tuple[str, ...]) -> None:
        """
        Look at the dependents of a task that has ended, which it named before that.
        """
        if MANY in dependents:
            self._searched.add(task.id)
        else:
            self._called.update(dict.fromkeys(dependents, task))

    @property
    def calling(self) -> bool:
        """
        Whether dependents of what ended here are still to be looked at, or what they wait for besides; nobody else
        knows of them before a scan.
        """
        return bool(self._called or self._calling or self._searched or self._searching or self._reads)

    def next_at(self) -> int | None:
        """
        Return when the next scan begins (boot clock).
        """
        return None if self._asked else self._next

    def ask(self, now: Instant) -> list[AskWaiting | AskTasks]:
        """
        Return the scan to make now, and the reads of dependents and of dependencies that are wanted.

        A node that stops, or leaves the store, makes no scan; those who wait for its last runs it still looks at.
        """
        queries: list[AskWaiting | AskTasks] = []
        if self._fresh:
            # Its dependencies may end on other nodes: an idle node's next scan would come late for it.
            self._fresh = False
            self._next = min(self._next, now.boot + SCAN)
        if not self._asked and now.boot >= self._next and self.board.may_act(now.boot):
            self._asked = True
            queries.append(AskWaiting(PAGE, self._after))
        queries.extend(AskWaiting(PAGE, on=one, fresh=True) for one in sorted(self._searched))
        if self._called:
            queries.append(AskTasks(tuple(sorted(self._called)), purpose="dependents"))
        self._searching |= self._searched
        self._searched = set()
        self._calling |= self._called
        self._called = {}
        wanted = [self._known[one] for one in self._urgent if one in self._known]
        self._urgent.clear()
        ids = sorted({name for stored in wanted for name in awaited(stored.record)})
        if ids:
            self._reads.append(tuple(ids))
            queries.append(AskTasks(tuple(ids), purpose="dependencies"))
        return queries

    def found(self, query: AskWaiting, found: Found, now: Instant) -> list[AskWaiting]:
        """
        Take a page of waiting tasks; return the search that goes on, where they wait for one task.
        """
        if query.on is None and self._after is None:
            # What was written here is perhaps not in the index yet.
            recent = self.board.timeline.recent
            self._known = {one: stored for one, stored in self._known.items() if recent(one)}
            self._own &= self._known.keys()
        for stored in found.tasks:
            if not self.board.timeline.outdated(stored):
                self.note(stored)
        after = found.after if isinstance(found.after, str) else None
        if query.on is not None:
            if after is None:
                self._searching.discard(query.on)
            return [AskWaiting(PAGE, after, on=query.on)] if after else []
        self._asked = False
        self._after = after
        self._next = now.boot + (0 if after else SCAN if self._known else IDLE_SCAN)
        return []

    def failed(self, query: AskWaiting, now: Instant) -> None:
        """
        Take a scan that failed, or a search, in place of which the next scan comes soon.
        """
        if query.on is not None:
            self._searching.discard(query.on)
            self._next = min(self._next, now.boot + SCAN)
            return
        self._asked = False
        self._after = None
        self._next = now.boot + SCAN

    def unread(self, query: AskTasks, now: Instant) -> None:
        """
        Take a read of dependents or of dependencies that failed: the next scan comes soon.
        """
        if query.ids in self._reads:
            self._reads.remove(query.ids)
        for task_id in query.ids:
            self._calling.pop(task_id, None)
        self._next = min(self._next, now.boot + SCAN)

    def woken(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> None:
        """
        Take dependents as they stand: those that wait are judged.
        """
        for task_id, stored in zip(ids, answers, strict=True):
            ended = self._calling.pop(task_id, None)
            waits = stored is not None and isinstance(stored.record, Task) and stored.record.enabled
            if waits and stored.record.status is TaskStatus.WAITING and not self.board.timeline.outdated(stored):
                self._own.add(task_id)
                self.note(stored)
                if ended is not None and (ended.id,) == awaited(stored.record):
                    # This node's own write was acknowledged: no read could tell more.
                    self._urgent.discard(task_id)
                    self._judge(stored, {ended.id: ended}, now)

    def read(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> None:
        """
        Judge every known task of whose dependencies some were read.
        """
        if ids in self._reads:
            self._reads.remove(tuple(ids))
        read = told(ids, answers)
        for stored in list(self._known.values()):
            if any(name in read for name in awaited(stored.record)):
                self._judge(stored, read, now)

    def _judge(self, stored: Stored[Task], known: Mapping[str, Task | None], now: Instant) -> None:
        judgement = dependencies.judge_known(stored.record, known)
        same = judgement.readiness is Readiness.WAIT and judgement.unmet == awaited(stored.record)
        if same or self.board.busy(stored.record.id):
            return
        change = Settle(self, stored, judgement)
        if judgement.readiness is Readiness.BROKEN:
            self.board.holds.before_eviction(stored.record, now, change)
        else:
            self.board.commits.submit(change)

    def called(self, task_id: str) -> bool:
        """
        Tell once whether this node ended what the task waited for: nobody else knows yet that it may run.
        """
        if task_id not in self._own:
            return False
        self._own.discard(task_id)
        return True


class Settle(Change):
    """
    WAITING to SCHEDULED, or to FAILED when a dependency is broken; or a dependency less to wait for.
    """

    __slots__ = ("_judgement", "_stored", "_waiting")

    def __init__(self, waiting: Waiting, stored: Stored[Task], judgement: Judgement) -> None:
        super().__init__(Task, stored.record.id)
        self._waiting = waiting
        self._stored = stored
        self._judgement = judgement

    def prepare(self, now: Instant) -> Write:
        """
        Act on what was read.
        """
        return self._settle(self._stored, now)

    def _settle(self, stored: Stored[Task], now: Instant) -> Write:
        node_id = self._waiting.board.options.node_id
        return replace_write(
            dependencies.settled(stored.record, self._judgement, now=now.wall, node_id=node_id), stored
        )

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Act on what stands now, if it still waits for the same.
        """
        if current is None or current.record.status is not TaskStatus.WAITING:
            return None
        if current.record.waiting_on_tasks != self._stored.record.waiting_on_tasks:
            return None
        return self._settle(current, now)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        It may run, waits for less, or has failed.
        """
        board = self._waiting.board
        if stored.record.status is TaskStatus.FAILED:
            board.count("tasks.failed")
        board.timeline.wrote(stored.record.id, stored.version)
        board.outbox.take(stored.record, now)
        board.offer(stored, now.wall, own=self._waiting.called(stored.record.id))

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        Another node was first.
        """
        self._waiting.called(self.key[1])
        if current is not None:
            self._waiting.board.offer(current, now.wall)
