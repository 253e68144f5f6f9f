"""
What a test expects of the tasks that are scheduled.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from ..model import Json, Task, TaskStatus

_SCHEDULED = (TaskStatus.SCHEDULED, TaskStatus.WAITING)
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 10


class Expectations:
    """
    Assertions on the tasks of a node.
    """

    @abstractmethod
    def tasks(self) -> Sequence[Task]:
        """
        Return all tasks there are.
        """

    def scheduled(
        self,
        type: str | None = None,
        *,
        parameters: Mapping[str, Json] | None = None,
        id: str | None = None,
        at: datetime | None = None,
    ) -> list[Task]:
        """
        Return the tasks that wait for a run and match, the next first.

        Args:
            type: their task type.
            parameters: what is among their parameters; they may have more.
            at: when they are due, to the millisecond.
        """
        found = [task for task in self.tasks() if task.status in _SCHEDULED and task.enabled]
        found = [task for task in found if type in (None, task.task_type) and id in (None, task.id)]
        found = [task for task in found if at is None or task.next_scheduled_execution == (at - _EPOCH) // _MILLISECOND]
        found = [task for task in found if parameters is None or _has(task, parameters)]
        return sorted(found, key=lambda task: task.next_scheduled_execution or 0)

    def assert_scheduled(
        self,
        type: str | None = None,
        *,
        parameters: Mapping[str, Json] | None = None,
        id: str | None = None,
        at: datetime | None = None,
        count: int | None = None,
    ) -> Task:
        """
        Return the first task that waits for a run and matches; the arguments are those of `scheduled`.

        Args:
            count: how many there must be; at least one if it is not given.

        Raises:
            AssertionError: there is none, or another number; the message lists what there is.
        """
        found = self.scheduled(type, parameters=parameters, id=id, at=at)
        asked = _asked(type=type, parameters=parameters, id=id, at=at)
        if not found or (count is not None and len(found) != count):
            expected = f"{count} scheduled tasks" if count is not None else "a scheduled task"
            raise AssertionError(f"Expected {expected} with {asked}, found {len(found)}. {self._there()}")
        return found[0]

    def assert_not_scheduled(
        self,
        type: str | None = None,
        *,
        parameters: Mapping[str, Json] | None = None,
        id: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """
        Check that no task that matches waits for a run; the arguments are those of `scheduled`.

        Raises:
            AssertionError: there is one; the message lists what there is.
        """
        found = self.scheduled(type, parameters=parameters, id=id, at=at)
        if found:
            asked = _asked(type=type, parameters=parameters, id=id, at=at)
            raise AssertionError(f"Expected no scheduled task with {asked}, found {len(found)}. {self._there()}")

    def _there(self) -> str:
        tasks = self.tasks()
        if not tasks:
            return "There is no task at all."
        shown = [f"  {task!r} with {dict(task.parameters)}" for task in tasks[:_SHOWN]]
        more = [f"  and {len(tasks) - _SHOWN} more"] if len(tasks) > _SHOWN else []
        return "\n".join(["There are:", *shown, *more])


def _has(task: Task, parameters: Mapping[str, Json]) -> bool:
    return all(name in task.parameters and task.parameters[name] == value for name, value in parameters.items())


def _asked(**asked: object) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in asked.items() if value is not None) or "any type"
