"""
Tasks straight from a store, without a server: through a scheduler that is never started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unomi_scheduler import (
    Conflict,
    InvalidTask,
    InvalidTransition,
    Scheduler,
    SchedulerError,
    Settings,
    StoreUnavailable,
    TaskNotFound,
    task_document,
)

from .client import Document
from .failures import Exit, Failure

_EXITS: dict[type[SchedulerError], Exit] = {
    InvalidTask: Exit.USAGE,
    TaskNotFound: Exit.NOT_FOUND,
    InvalidTransition: Exit.WRONG_STATE,
    Conflict: Exit.WRONG_STATE,
    StoreUnavailable: Exit.OUT_OF_REACH,
}


class StoreTasks:
    """
    The tasks of one store. The tasks in the memory of other processes are not in it.
    """

    def __init__(self, store: str) -> None:
        with _failures():
            settings = Settings(store=store)
            file = settings.store_file
            if file is not None and not file.exists():
                # Opening it would make it, and a word mistyped would be an empty cluster.
                raise Failure(
                    f"{file} does not exist: expected the file that a node uses (its setting store); "
                    "the first node makes it",
                    Exit.OUT_OF_REACH,
                )
            self._scheduler = Scheduler(settings)

    def page(self, **query: Any) -> Document:
        """
        Return a page of tasks.
        """
        names = {"type": "task_type", "sortBy": "sort_by"}
        with _failures():
            page = self._scheduler.find_tasks(**{names.get(name, name): value for name, value in query.items()})
        return {
            "list": [task_document(task) for task in page.list],
            "offset": page.offset,
            "pageSize": page.page_size,
            "totalSize": page.total_size,
            "totalSizeRelation": page.total_size_relation,
        }

    def task(self, task_id: str) -> Document:
        """
        Return a task.
        """
        with _failures():
            return task_document(self._scheduler.get_task(task_id))

    def cancel(self, task_id: str) -> None:
        """
        Cancel a task.
        """
        with _failures():
            self._scheduler.cancel_task(task_id, strict=True)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except SchedulerError as error:
        code = next((_EXITS[kind] for kind in type(error).__mro__ if kind in _EXITS), Exit.FAILED)
        raise Failure(str(error), code) from error
