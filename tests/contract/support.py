"""
What the tests of the store contract share: short names for writes, queries and raw documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.factories import NOW
from unomi_scheduler.model import (
    PARTITIONS,
    Record,
    Stored,
    Task,
    Version,
)
from unomi_scheduler.ports import (
    Action,
    DueQuery,
    Found,
    Outcome,
    Result,
    TaskStore,
    Write,
)
from unomi_scheduler.rules.placement import partition_of

Plant = Callable[[str, dict[str, Any]], None]
MakeStore = Callable[[], TaskStore]

EVERY_PARTITION = frozenset(range(PARTITIONS))
SECOND = 1_000


def create(record: Record) -> Write:
    """
    Return the write that creates a record.
    """
    return Write(Action.CREATE, record)


def save(record: Record, version: Version) -> Write:
    """
    Return the write that replaces a record on condition of a version.
    """
    return Write(Action.REPLACE, record, version)


def remove(record: Record, version: Version) -> Write:
    """
    Return the write that deletes a record on condition of a version.
    """
    return Write(Action.DELETE, record, version)


def results(outcomes: Sequence[Outcome]) -> list[Result]:
    """
    Return how each write ended.
    """
    return [outcome.result for outcome in outcomes]


def written(outcome: Outcome) -> Version:
    """
    Return the version of a write that must have been done.
    """
    assert outcome.result is Result.WRITTEN, outcome
    assert outcome.version is not None
    assert outcome.error is None
    return outcome.version


def put(store: TaskStore, *records: Record) -> list[Version]:
    """
    Create records that must not exist yet, make them visible and return their versions.
    """
    versions = [written(outcome) for outcome in store.write([create(record) for record in records])]
    store.refresh()
    return versions


def rewrite(store: TaskStore, record: Record, version: Version) -> Version:
    """
    Replace a record, make that visible and return its new version.
    """
    new = written(store.write([save(record, version)])[0])
    store.refresh()
    return new


def read_one(store: TaskStore, task_id: str) -> Stored[Task]:
    """
    Return a task that must be there and readable.
    """
    (stored,) = store.tasks([task_id])
    assert stored is not None
    assert isinstance(stored.record, Task)
    return Stored(stored.record, stored.version)


def ids(found: Found) -> list[str]:
    """
    Return the ids of the tasks found, in order.
    """
    return [one.record.id for one in found.tasks]


def due_query(**over: Any) -> DueQuery:
    """
    Return a query of `node-a` for type `sample`, all partitions its own, everything due at `NOW` or before.
    """
    return DueQuery(
        **{
            "node_id": "node-a",
            "tags": (),
            "shares": ((frozenset({"sample"}), EVERY_PARTITION),),
            "task_types": frozenset({"sample"}),
            "due_before": NOW,
            "overdue_before": NOW - SECOND,
            "limit": 100,
            **over,
        }
    )


def elsewhere(task: Task) -> tuple[tuple[frozenset[str], frozenset[int]], ...]:
    """
    Return the shares of a node that owns every partition but the task's.
    """
    return ((frozenset({task.task_type}), EVERY_PARTITION - {partition_of(task)}),)


def walk(search: Callable[[Any], Found]) -> Iterator[str]:
    """
    Follow a search's cursor to the end and give each id.
    """
    after: Any = None
    while True:
        found = search(after)
        yield from ids(found)
        after = found.after
        if after is None:
            return


def unreadable(task_id: str, **over: Any) -> dict[str, Any]:
    """
    Return a document that other programs may write, that searches find, and that is no task of ours.
    """
    return {
        "itemId": task_id,
        "itemType": "scheduledTask",
        "taskType": "sample",
        "creationDate": "2025-06-15T15:06:40.000Z",
        "timeUnit": "FORTNIGHTS",
        "enabled": True,
        "status": "SCHEDULED",
        "dueDate": NOW,
        "partition": 7,
        "note": "kept",
        **over,
    }


def foreign(task_id: str, **over: Any) -> dict[str, Any]:
    """
    Return a good document that another program wrote: without our derived fields.
    """
    return {
        "itemId": task_id,
        "itemType": "scheduledTask",
        "taskType": "sample",
        "creationDate": "2025-06-15T15:06:40Z",
        "nextScheduledExecution": "2025-06-15T15:06:40Z",
        "enabled": True,
        "status": "SCHEDULED",
        **over,
    }
