"""
Dependents: the memory tasks that wait for others, in this process's memory or in the store.

A change in memory is judged at once; what is in the store is read by id, at once when its run ended here, else each
second. Each dependency that is met is taken off the list when it was seen, so that it may be purged afterwards.

In another store than the one where a task was scheduled, a dependency that is not there was not deleted: nothing that
was acknowledged says so (P14), and it may come yet. It is unmet until it has been seen there, and looked for ever more
seldom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..clock import Instant
from ..model import Task, TaskStatus
from ..rules.dependencies import Judgement, Readiness, awaited, judge_known, settled
from ..stores.reading import told
from .board import Board
from .messages import AskTasks
from .table import MemoryTable

POLL = 1_000
"""Milliseconds between two reads of the stored tasks that memory tasks wait for."""
RAREST_POLL = 30_000
"""The same, at most, of one that was never seen in this store: each look that misses it doubles the time."""
PURPOSE = "memory"


class Search(NamedTuple):
    """
    When to look for a stored task that was never seen (boot clock), and how long to wait after that look.
    """

    at: int = 0
    pause: int = POLL

    def missed(self, now: Instant) -> Search:
        """
        Return the next look, after one that was in vain.
        """
        return Search(now.boot + self.pause, min(2 * self.pause, RAREST_POLL))


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
        self._unseen: dict[str, Search] = {}

    def move_to(self, board: Board) -> None:
        """
        Go on with another store: a read under way is answered to nobody.

        What is waited for may be of the store before: until it is seen in another one, it was not deleted there.
        """
        self.board = board
        self._asked, self._next = False, 0
        self.estrange()

    def estrange(self) -> None:
        """
        Take what is waited for as not seen yet: the store is another one.
        """
        waiting = [task for task in self.table.all() if task.status is TaskStatus.WAITING]
        self._unseen = {name: Search() for task in waiting for name in awaited(task)}

    def take_over(self, former: Dependents) -> None:
        """
        Take from the node before this one what it has not seen yet.
        """
        self._unseen = dict.fromkeys(former._unseen, Search())

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
        former = self._names.pop(task_id, ())
        if names:
            self._names[task_id] = names
            for name in names:
                self._waiting_for.setdefault(name, set()).add(task_id)
        for name in set(former) - set(names):
            self._waiting_for[name].discard(task_id)
            if not self._waiting_for[name]:
                del self._waiting_for[name]
                self._unseen.pop(name, None)

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
            if task_id in self._unseen:
                self._unseen[task_id] = Search()

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
        far = tuple(sorted(name for name in self._waiting_for if self.table.get(name) is None and self._due(name, now)))
        self._asked = bool(far)
        return AskTasks(far, purpose=PURPOSE) if far else None

    def _due(self, name: str, now: Instant) -> bool:
        search = self._unseen.get(name)
        return search is None or now.boot >= search.at

    def read(self, ids: Sequence[str], answers: Sequence[Any], now: Instant) -> list[Task]:
        """
        Take the stored dependencies as read; return the tasks that wait no longer.

        A document in quarantine says nothing about its task: those who wait for it go on waiting.
        """
        self._asked = False
        free: list[Task] = []
        for name, task in told(ids, answers).items():
            if task is None and name in self._unseen:
                self._unseen[name] = self._unseen[name].missed(now)
            elif self.table.get(name) is None:
                self._unseen.pop(name, None)
                waiters = sorted(self._waiting_for.get(name, ()))
                done = [self._judge(one, {name: task}, now) for one in waiters]
                free += [one for one in done if one is not None]
        return free + self._spread([one.id for one in free], now)

    def unread(self) -> None:
        """
        Take a read that failed; the next one is made as ever.
        """
        self._asked = False
