"""
Dependents: the memory tasks that wait for others, in this process's memory or in the store.

A change in memory is judged at once; what is in the store is read by id, at once when its run ended here, else each
second. Each dependency that is met is taken off the list when it was seen, so that it may be purged afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ..clock import Instant
from ..model import Task, TaskStatus
from ..rules.dependencies import Judgement, Readiness, awaited, judge_known, settled
from ..stores.reading import told
from .board import Board
from .messages import AskTasks
from .table import MemoryTable

POLL = 1_000
"""Milliseconds between two reads of the stored tasks that memory tasks wait for."""
PURPOSE = "memory"


class Dependents:
    """
    Who waits for whom.
    """

    def __init__(self, board: Board, table: MemoryTable) -> None:
        self.board = board
        self.table = table
        self._names: dict[str, tuple[str, ...]] = {}
        self._waiting_for: dict[str, set[str]] = {}
        self._asked = False
        self._next = 0
        self._unseen: set[str] = set()

    def move_to(self, board: Board) -> None:
        """
        Go on with another store: a read under way is answered to nobody.

        What is waited for may be of the store before: until it is seen in another one, it was not deleted there.
        """
        self.board = board
        self._unseen = set(self._waiting_for)
        self._asked, self._next = False, 0

    def note(self, task_id: str, now: Instant) -> list[Task]:
        """
        Take a memory task that was put, changed, ended or removed: it may wait, and others may wait for it.

        Returns the tasks that wait no longer, as they are now.
        """
        return self._spread([task_id], now)

    def _spread(self, changed: list[str], now: Instant) -> list[Task]:
        free: list[Task] = []
        pending = deque(changed)
        while pending:
            task_id = pending.popleft()
            task = self.table.get(task_id)
            self._watch(task_id, task)
            known = {task_id: task}
            done = [self._judge(one, known, now) for one in sorted(self._waiting_for.get(task_id, ()))]
            if task_id in self._names:
                done.append(self._judge(task_id, self._near(self._names[task_id]), now))
            for one in done:
                if one is not None:
                    free.append(one)
                    pending.append(one.id)
        return free

    def _near(self, names: Sequence[str]) -> dict[str, Task | None]:
        return {name: task for name in names if (task := self.table.get(name)) is not None}

    def _watch(self, task_id: str, task: Task | None) -> None:
        waits = task is not None and task.status is TaskStatus.WAITING and not task.delete_requested
        names = awaited(task) if task is not None and waits else ()
        for name in self._names.pop(task_id, ()):
            self._waiting_for[name].discard(task_id)
            if not self._waiting_for[name]:
                del self._waiting_for[name]
        if names:
            self._names[task_id] = names
            for name in names:
                self._waiting_for.setdefault(name, set()).add(task_id)

    def _judge(self, task_id: str, known: Mapping[str, Task | None], now: Instant) -> Task | None:
        judgement = Judgement(Readiness.WAIT)

        def rule(task: Task) -> Task:
            nonlocal judgement
            if task.status is not TaskStatus.WAITING:
                return task
            judgement = judge_known(task, known)
            return settled(task, judgement, now=now.wall, node_id=self.board.options.node_id)

        task = self.table.try_change(task_id, rule)
        self._watch(task_id, task)
        if task is None or judgement.readiness is Readiness.WAIT:
            return None
        if judgement.readiness is Readiness.BROKEN:
            self.board.count("tasks.failed")
        return task

    # --- dependencies in the store

    def hurry(self, task_id: str) -> None:
        """
        Take a stored task that changed here: if somebody waits for it, it is read at once.
        """
        if task_id in self._waiting_for:
            self._next = 0

    def next_at(self) -> int | None:
        """
        Return when the next read is due (boot clock), or None while nobody waits.
        """
        return self._next if self._waiting_for and not self._asked else None

    def ask(self, now: Instant) -> AskTasks | None:
        """
        Return the read of stored dependencies to make now, if any.
        """
        if self._asked or not self._waiting_for or now.boot < self._next:
            return None
        self._next = now.boot + POLL
        far = tuple(sorted(name for name in self._waiting_for if self.table.get(name) is None))
        self._asked = bool(far)
        return AskTasks(far, purpose=PURPOSE) if far else None

    def read(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> list[Task]:
        """
        Take the stored dependencies as read; return the tasks that wait no longer.

        A document in quarantine says nothing about its task: those who wait for it go on waiting.
        """
        self._asked = False
        free: list[Task] = []
        for name, task in told(ids, answers).items():
            strange = task is None and name in self._unseen
            if self.table.get(name) is None and not strange:
                self._unseen.discard(name)
                waiters = sorted(self._waiting_for.get(name, ()))
                done = [self._judge(one, {name: task}, now) for one in waiters]
                free += [one for one in done if one is not None]
        return free + self._spread([one.id for one in free], now)

    def unread(self) -> None:
        """
        Take a read that failed; the next one is made as ever.
        """
        self._asked = False
