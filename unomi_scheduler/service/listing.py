"""
Lists: memory tasks and stored tasks sorted together, and cut into pages only then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..errors import InvalidTask
from ..model import Page, Task, TaskStatus
from ..ports import LIST_CAP, SORT_FIELDS, TaskQuery, TaskStore

_RANK = {status: rank for rank, status in enumerate(TaskStatus)}
_KEYS: dict[str, Callable[[Task], Any]] = {
    "status": lambda task: _RANK[task.status],
    "total_execution_count": lambda task: task.success_count + task.failure_count,
}


def query_of(
    *, status: TaskStatus | str | None, task_type: str | None, offset: int, limit: int, sort_by: str | None
) -> TaskQuery:
    """
    Return what a user asked to list.

    Args:
        sort_by: `field`, `field:asc` or `field:desc`, with the field's name as in Python or on the wire.

    Raises:
        InvalidTask: the status or the field is unknown, or a number is out of range.
    """
    if offset < 0 or not -1 <= limit <= LIST_CAP:
        raise InvalidTask(
            f"Invalid page: expected an offset of 0 or more and a limit from -1 to {LIST_CAP:,}, "
            f"got {offset} and {limit}"
        )
    field, _, direction = (sort_by or "creation_date").partition(":")
    name = {"itemId": "id"}.get(field) or re.sub(r"(?<!^)([A-Z])", r"_\1", field).lower()
    if name not in SORT_FIELDS or direction.lower() not in ("", "asc", "desc"):
        raise InvalidTask(
            f"Invalid sort: expected one of {', '.join(SORT_FIELDS)}, with :asc or :desc, got {sort_by!r}"
        )
    return TaskQuery(
        status=None if status is None else status_of(status),
        task_type=task_type,
        offset=offset,
        limit=limit,
        sort_by=name,
        descending=direction.lower() == "desc",
    )


def status_of(name: TaskStatus | str) -> TaskStatus:
    """
    Return the status of this name, in any case.

    Raises:
        InvalidTask: there is no such status.
    """
    try:
        return TaskStatus(name.upper())
    except (AttributeError, ValueError):
        raise InvalidTask(f"Invalid status: expected one of {', '.join(TaskStatus)}, got {name!r}") from None


def list_tasks(query: TaskQuery, *, memory: Iterable[Task], store: TaskStore | None) -> Page:
    """
    Return one page of the memory tasks and the stored tasks as one list, with the total of both.
    """
    near = [task for task in memory if _matches(task, query)]
    # At most all memory tasks sort before a stored one, so the page's stored tasks begin at most that much earlier.
    start = max(0, query.offset - len(near))
    first = query.offset - start
    size = LIST_CAP if query.limit < 0 else query.limit
    stored, total = _stored(store, replace(query, offset=start), first + size)
    shown = in_order([*near, *stored], query)[first : first + size]
    return Page(list=tuple(shown), offset=query.offset, page_size=query.limit, total_size=total + len(near))


def _stored(store: TaskStore | None, query: TaskQuery, size: int) -> tuple[list[Task], int]:
    if store is None:
        return [], 0
    tasks: list[Task] = []
    asked = 0
    # A store gives no more than its cap at once, and the memory tasks may push the page's end behind that.
    while True:
        part = min(size - asked, LIST_CAP)
        page = store.find(replace(query, offset=query.offset + asked, limit=part))
        tasks += page.list
        asked += part
        if asked >= size or query.offset + asked >= page.total_size:
            return tasks, page.total_size


def in_order(tasks: Iterable[Task], query: TaskQuery) -> list[Task]:
    """
    Return tasks as a store sorts them: ties by id, and None first ascending and last descending.
    """
    key = _KEYS.get(query.sort_by) or (lambda task: getattr(task, query.sort_by))

    def none_first(task: Task) -> tuple[Any, ...]:
        value = key(task)
        return (0,) if value is None else (1, value)

    by_id = sorted(tasks, key=lambda task: task.id)
    return sorted(by_id, key=none_first, reverse=query.descending)


def _matches(task: Task, query: TaskQuery) -> bool:
    return query.status in (None, task.status) and query.task_type in (None, task.task_type)
