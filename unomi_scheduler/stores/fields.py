"""
The search fields: what the embedded stores keep beside a task document to find it by.

For a task they are computed from the record; for any other document they are read from it as they stand, so that what
another program wrote is found as it would be in an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from ..model import JsonObject, Malformed, Task, TaskStatus
from ..rules.placement import partition_of
from ..rules.readiness import due_at
from ..timestamps import from_iso
from .documents import encode

_LARGEST = 2**63


class SearchFields(NamedTuple):
    """
    One task's search fields; dates are epoch milliseconds, lists of names are JSON texts (`name_in` looks into them).

    `waiting_on` is None unless the task is enabled and WAITING; `quarantine` is the reason of a quarantine;
    `record_of` is set in the run records of all-nodes tasks.
    """

    task_type: str | None = None
    status: str | None = None
    partition: int | None = None
    due: int | None = None
    targets: str | None = None
    owner: str | None = None
    incarnation: str | None = None
    waiting_on: str | None = None
    created: int | None = None
    last_execution: int | None = None
    next_execution: int | None = None
    failures: int | None = None
    successes: int | None = None
    deleting: bool = False
    quarantine: str | None = None
    record_of: str | None = None


def name_in(name: str) -> str:
    """
    Return the text to look for in a JSON text of names: quotes stand only around whole names there.
    """
    return orjson.dumps(name).decode()


def node_target(node_id: str) -> str:
    """
    Return how `SearchFields.targets` names a node.
    """
    return f"node:{node_id}"


def tag_target(tag: str) -> str:
    """
    Return how `SearchFields.targets` names a tag.
    """
    return f"tag:{tag}"


def fields_of(record: Task | Malformed) -> SearchFields:
    """
    Return the search fields of a record about to be written.
    """
    return _of_task(record) if isinstance(record, Task) else fields_of_document(orjson.loads(encode(record)))


def _of_task(task: Task) -> SearchFields:
    waits = task.enabled and task.status is TaskStatus.WAITING
    return SearchFields(
        task.task_type,
        task.status.value,
        partition_of(task),
        due_at(task),
        _target_text(task.on_nodes, task.on_tags) if task.targeted else None,
        task.lock_owner,
        task.owner_incarnation,
        _text_of(task.waiting_on_tasks) if waits else None,
        task.creation_date,
        task.last_execution_date,
        task.next_scheduled_execution,
        task.failure_count,
        task.success_count,
        task.delete_requested,
        record_of=task.all_nodes_of,
    )


def fields_of_document(document: JsonObject) -> SearchFields:
    """
    Return the search fields of a raw document; what is missing or of the wrong kind is None.
    """
    waits = document.get("status") == TaskStatus.WAITING and document.get("enabled") is True
    task_type = _text(document.get("taskType"))
    return SearchFields(
        task_type=task_type,
        status=_text(document.get("status")),
        # Without a type no search for due work meets it, so its place says nothing.
        partition=_number(document.get("partition")) if task_type else None,
        due=_number(document.get("dueDate")),
        targets=_target_text(_names(document.get("onNodes")), _names(document.get("onTags"))),
        owner=_text(document.get("lockOwner")),
        incarnation=_text(document.get("ownerIncarnation")),
        waiting_on=_text_of(_names(document.get("waitingOnTasks"))) if waits else None,
        created=_moment(document.get("creationDate")),
        last_execution=_moment(document.get("lastExecutionDate")),
        next_execution=_moment(document.get("nextScheduledExecution")),
        failures=_number(document.get("failureCount")),
        successes=_number(document.get("successCount")),
        deleting=document.get("deleteRequested") is True,
        quarantine=_text(document.get("quarantineReason")),
        record_of=_text(document.get("allNodesOf")),
    )


def _text_of(names: Sequence[str]) -> str:
    return orjson.dumps(names).decode()


def _target_text(nodes: Sequence[str], tags: Sequence[str]) -> str | None:
    names = [*map(node_target, nodes), *map(tag_target, tags)]
    return _text_of(names) if names else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and -_LARGEST <= value < _LARGEST else None


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _moment(value: Any) -> int | None:
    if not isinstance(value, str):
        return _number(value)
    try:
        return from_iso(value)
    except ValueError:
        return None
