"""
What the searches of the memory store see: task rows by id, and in the orders and groups that searches ask for.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from ..model import TaskStatus, Version
from ..ports import DueQuery, EndedQuery, OwnedQuery, Records, TaskQuery
from .fields import SearchFields, name_in, node_target, tag_target

_RANK = {status.value: rank for rank, status in enumerate(TaskStatus)}


class Row(NamedTuple):
    """
    One stored document; `readable` tells whether it is a task.
    """

    body: bytes
    version: Version
    fields: SearchFields = SearchFields()
    readable: bool = True


def _purgeable(fields: SearchFields) -> bool:
    completed = fields.status == TaskStatus.COMPLETED and fields.last_execution is not None
    return fields.owner is None and (completed or fields.deleting)


_GROUPS: dict[str, Callable[[SearchFields], bool]] = {
    "owned": lambda fields: fields.owner is not None,
    "waiting": lambda fields: fields.waiting_on is not None,
    "unplaced": lambda fields: fields.partition is None and fields.quarantine is None,
    "purgeable": _purgeable,
}

_SORT_KEYS: dict[str, Callable[[str, SearchFields], Any]] = {
    "creation_date": lambda _, fields: fields.created,
    "last_execution_date": lambda _, fields: fields.last_execution,
    "next_scheduled_execution": lambda _, fields: fields.next_execution,
    "task_type": lambda _, fields: fields.task_type,
    "status": lambda _, fields: _RANK.get(fields.status or ""),
    "id": lambda task_id, _: task_id,
    "failure_count": lambda _, fields: fields.failures,
    "success_count": lambda _, fields: fields.successes,
    "total_execution_count": lambda _, fields: (fields.failures or 0) + (fields.successes or 0),
}


class TaskView:
    """
    The visible tasks. Not locked: the store's lock covers it.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._due: list[tuple[int, str]] = []
        self._groups: dict[str, set[str]] = {name: set() for name in _GROUPS}

    def put(self, task_id: str, row: Row | None) -> None:
        """
        Show a row, or with None its deletion.
        """
        old = self._rows.pop(task_id, None)
        if old is not None and old.fields.due is not None:
            del self._due[bisect_left(self._due, (old.fields.due, task_id))]
        for name, belongs in _GROUPS.items():
            change = self._groups[name].add if row and belongs(row.fields) else self._groups[name].discard
            change(task_id)
        if row is not None:
            self._rows[task_id] = row
            if row.fields.due is not None:
                insort(self._due, (row.fields.due, task_id))

    def due(self, query: DueQuery) -> list[tuple[str, Row]]:
        """
        Return up to `limit` + 1 rows that a due query matches, in its order.
        """
        matches = _due_matcher(query)
        start = 0 if query.after is None else bisect_right(self._due, query.after)
        end = bisect_right(self._due, max(query.due_before, query.overdue_before), key=lambda entry: entry[0])
        rows = ((task_id, self._rows[task_id]) for _, task_id in islice(self._due, start, max(start, end)))
        return list(islice(((task_id, row) for task_id, row in rows if matches(row.fields)), query.limit + 1))

    def owned(self, query: OwnedQuery) -> list[tuple[str, Row]]:
        """
        Return up to `limit` + 1 rows with an owner, except those of these incarnations.
        """
        rows = self._group("owned", query.after)
        others = ((task_id, row) for task_id, row in rows if row.fields.incarnation not in query.except_incarnations)
        return list(islice(others, query.limit + 1))

    def waiting(self, *, on: str | None, limit: int, after: str | None) -> list[tuple[str, Row]]:
        """
        Return up to `limit` + 1 rows that wait (on this task).
        """
        name = None if on is None else name_in(on)
        rows = self._group("waiting", after)
        wanted = (one for one in rows if name is None or name in (one[1].fields.waiting_on or ""))
        return list(islice(wanted, limit + 1))

    def unplaced(self, *, limit: int) -> list[tuple[str, Row]]:
        """
        Return up to `limit` + 1 rows without a partition.
        """
        return list(islice(self._group("unplaced", None), limit + 1))

    def purgeable(self, *, before: int, limit: int) -> list[tuple[str, Row]]:
        """
        Return up to `limit` + 1 rows that may go.
        """
        rows = self._group("purgeable", None)
        old = (one for one in rows if one[1].fields.deleting or (one[1].fields.last_execution or 0) <= before)
        return list(islice(old, limit + 1))

    def ended(self, query: EndedQuery) -> list[tuple[str, Row]]:
        """
        Return up to `limit` + 1 rows that were executed at or after a moment, by that moment.
        """
        first = query.after or (query.since, "")
        ends = (
            (row.fields.last_execution, task_id, row)
            for task_id, row in self._rows.items()
            if row.fields.last_execution is not None and row.fields.quarantine is None
        )
        wanted = sorted((end, task_id, row) for end, task_id, row in ends if (end, task_id) > first)
        return [(task_id, row) for _, task_id, row in wanted[: query.limit + 1]]

    def changed(self, *, since: int, limit: int) -> list[tuple[str, Row]]:
        """
        Return up to `limit` + 1 rows that were written behind a number, in that order.
        """
        rows = [one for one in self._rows.items() if one[1].version.seq_no > since and one[1].fields.quarantine is None]
        return sorted(rows, key=lambda one: one[1].version.seq_no)[: limit + 1]

    def listed(self, query: TaskQuery) -> list[tuple[str, Row]]:
        """
        Return every row that a list query matches, sorted.
        """
        key = _SORT_KEYS[query.sort_by]

        def none_first(one: tuple[str, Row]) -> tuple[Any, ...]:
            value = key(one[0], one[1].fields)
            return (0,) if value is None else (1, value)

        rows = [one for one in sorted(self._rows.items()) if _listed(one[1], query)]
        return sorted(rows, key=none_first, reverse=query.descending)

    def _group(self, name: str, after: str | None) -> Iterator[tuple[str, Row]]:
        for task_id in sorted(self._groups[name]):
            if after is None or task_id > after:
                yield task_id, self._rows[task_id]


def _listed(row: Row, query: TaskQuery) -> bool:
    return (
        row.readable
        and _wanted(row.fields.record_of, query)
        and (query.status is None or row.fields.status == query.status)
        and (query.task_type is None or row.fields.task_type == query.task_type)
    )


def _wanted(record_of: str | None, query: TaskQuery) -> bool:
    if query.record_of is not None:
        return record_of == query.record_of
    return query.records is Records.SHOWN or (record_of is not None) is (query.records is Records.ONLY)


def _due_matcher(query: DueQuery) -> Callable[[SearchFields], bool]:
    share: dict[str, set[int]] = {}
    for types, partitions in query.shares:
        for one in types:
            share.setdefault(one, set()).update(partitions)
    mine = [name_in(node_target(query.node_id)), *(name_in(tag_target(tag)) for tag in query.tags)]

    def matches(fields: SearchFields) -> bool:
        if fields.task_type not in query.task_types or fields.due is None:
            return False
        if fields.targets is None and fields.due <= query.overdue_before:
            return True
        if fields.targets is None:
            return fields.due <= query.due_before and fields.partition in share.get(fields.task_type or "", ())
        return fields.due <= query.due_before and any(name in fields.targets for name in mine)

    return matches
