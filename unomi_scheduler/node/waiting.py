"""
Tasks that wait for others: woken by an end on this node, repaired by a scan (P14).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..clock import Instant
from ..model import Stored, Task, TaskStatus
from ..ports import Found, Write
from ..rules import dependencies
from ..rules.dependencies import Judgement, Readiness
from ..stores.reading import listed
from .board import Board
from .commits import Change, replace_write
from .messages import AskTasks, AskWaiting

PAGE = 500
SCAN = 2_000
IDLE_SCAN = 20_000


class Waiting:
    """
    The WAITING tasks this node knows of, and when it looks for more.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._known: dict[str, Stored[Task]] = {}
        self._urgent: set[str] = set()
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

    def ended(self, task_id: str) -> None:
        """
        Take the end of a run, or a change by a user: those who wait for its task are judged at once.
        """
        if self._known:
            self._urgent.update(one for one, stored in self._known.items() if task_id in stored.record.waiting_on_tasks)

    def next_at(self) -> int | None:
        """
        Return when the next scan begins (boot clock).
        """
        return None if self._asked else self._next

    def ask(self, now: Instant) -> list[AskWaiting | AskTasks]:
        """
        Return the scan to make now, and the reads of dependencies that are wanted.
        """
        queries: list[AskWaiting | AskTasks] = []
        if self._fresh:
            # Its dependencies may end on other nodes: an idle node's next scan would come late for it.
            self._fresh = False
            self._next = min(self._next, now.boot + SCAN)
        if not self._asked and now.boot >= self._next and self.board.may_act(now.boot):
            self._asked = True
            queries.append(AskWaiting(PAGE, self._after))
        wanted = [self._known[one] for one in self._urgent if one in self._known]
        self._urgent.clear()
        ids = sorted({name for stored in wanted for name in stored.record.waiting_on_tasks or stored.record.depends_on})
        if ids:
            queries.append(AskTasks(tuple(ids), purpose="dependencies"))
        return queries

    def found(self, found: Found, now: Instant) -> None:
        """
        Take a page of waiting tasks.
        """
        self._asked = False
        if self._after is None:
            # What was written here is perhaps not in the index yet.
            recent = self.board.timeline.recent
            self._known = {one: stored for one, stored in self._known.items() if recent(one)}
        for stored in found.tasks:
            if not self.board.timeline.outdated(stored):
                self.note(stored)
        self._after = found.after if isinstance(found.after, str) else None
        self._next = now.boot + (0 if self._after else SCAN if self._known else IDLE_SCAN)

    def failed(self, now: Instant) -> None:
        """
        Take a scan that failed.
        """
        self._asked = False
        self._after = None
        self._next = now.boot + SCAN

    def read(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> None:
        """
        Judge every known task whose dependencies were all read.
        """
        read = {
            name: listed(stored.record) if stored is not None else None
            for name, stored in zip(ids, answers, strict=True)
        }
        for stored in list(self._known.values()):
            names = stored.record.waiting_on_tasks or stored.record.depends_on
            if all(name in read for name in names):
                judgement = dependencies.judge(stored.record, read)
                if judgement.readiness is not Readiness.WAIT and not self.board.commits.busy(Task, stored.record.id):
                    self.board.commits.submit(Settle(self, stored, judgement))


class Settle(Change):
    """
    WAITING to SCHEDULED, or to FAILED when a dependency is broken.
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
        It may run, or has failed.
        """
        board = self._waiting.board
        if stored.record.status is TaskStatus.FAILED:
            board.count("tasks.failed")
        board.timeline.wrote(stored.record.id, stored.version)
        self._waiting.note(stored)
        self._waiting.ended(stored.record.id)
        board.offer(stored, now.wall)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        Another node was first.
        """
        if current is not None:
            self._waiting.note(current)
            self._waiting.board.offer(current, now.wall)
