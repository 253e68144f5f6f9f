"""
The memory tasks of one process. Users' threads and the core both change them, so the table has a lock; each change is a
pure rule applied under it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ..errors import Conflict, TaskNotFound
from ..model import Task, TaskStatus
from ..rules.purging import forgettable, owned, purgeable


class MemoryTable:
    """
    The memory tasks of one process, by id.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._lock = Lock()
        self.revision = 0
        """Higher after every change."""

    def __len__(self) -> int:
        return len(self._tasks)

    def put(self, task: Task) -> None:
        """
        Add a task.

        Raises:
            Conflict: the id is taken.
        """
        with self._lock:
            if task.id in self._tasks:
                raise Conflict(f"A memory task with the id {task.id} exists already")
            self._tasks[task.id] = task
            self.revision += 1

    def get(self, task_id: str) -> Task | None:
        """
        Return a task, or None.
        """
        with self._lock:
            return self._tasks.get(task_id)

    def all(self) -> list[Task]:
        """
        Return all tasks.
        """
        with self._lock:
            return list(self._tasks.values())

    def change(self, task_id: str, rule: Callable[[Task], Task]) -> Task:
        """
        Apply a pure rule to a task and return what it became.

        Raises:
            TaskNotFound: there is no such task.
        """
        with self._lock:
            if task_id not in self._tasks:
                raise TaskNotFound(task_id)
            before = self._tasks[task_id]
            changed = rule(before)
            if changed is not before:
                self._tasks[task_id] = changed
                self.revision += 1
            return changed

    def try_change(self, task_id: str, rule: Callable[[Task], Task]) -> Task | None:
        """
        Apply a pure rule to a task and return what it became, or None when there is no such task any more.
        """
        try:
            return self.change(task_id, rule)
        except TaskNotFound:
            return None

    def remove_marked(self, task_id: str) -> bool:
        """
        Remove a task that is marked for removal and that no run is left of (P17); tell whether it was.
        """
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None or not task.delete_requested or owned(task):
                return False
            del self._tasks[task_id]
            self.revision += 1
            return True

    def purge(self, *, before: int, cancelled: bool) -> int:
        """
        Remove what completed for good, and with `cancelled` what was cancelled, at or before `before` (epoch ms).

        What a waiting task still waits for stays. Returns how many were removed.
        """
        goes = forgettable if cancelled else purgeable
        with self._lock:
            tasks = self._tasks.values()
            wanted = {name for task in tasks if task.status is TaskStatus.WAITING for name in task.waiting_on_tasks}
            gone = [task.id for task in tasks if task.id not in wanted and goes(task, before=before)]
            for task_id in gone:
                del self._tasks[task_id]
            self.revision += bool(gone)
        return len(gone)
