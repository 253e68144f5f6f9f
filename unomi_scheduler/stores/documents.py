"""
The codec between records and their JSON documents (contract section 1): camelCase, dates as ISO 8601 UTC, null fields
left out.

Fields that we do not know are kept in `Task.extra` and written back. Four fields are derived at each write and never
read back: `partition` and `dueDate` (epoch ms; absent while the task may not be claimed), which exist for searches
alone, and `statusOrder` and `totalExecutionCount`, by which lists are sorted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from operator import itemgetter
from typing import Any

import orjson
from pydantic import TypeAdapter
from pydantic.alias_generators import to_camel

from ..errors import InvalidTask
from ..model import Heartbeat, Json, JsonObject, Malformed, Note, Record, Slot, Task, TaskStatus
from ..rules.placement import partition_of
from ..rules.readiness import due_at
from ..timestamps import to_iso
from .reading import decode_task
from .shape import DATES, HISTORY_KEY, ITEM_TYPE, wire_name

__all__ = ["HISTORY_KEY", "decode_heartbeat", "decode_note", "decode_slot", "decode_task", "encode", "task_document"]

_STATUS_ORDER = {status: number for number, status in enumerate(TaskStatus)}


def _default(name: str) -> Any:
    field = next(one for one in fields(Task) if one.name == name)
    return field.default_factory() if field.default_factory is not MISSING else field.default


# The contract's own fields are written even when they hold their default; ours only when they differ from it.
_OURS = {
    name: _default(name)
    for name in (
        "max_crashes",
        "keep_checkpoint",
        "dependency_policy",
        "on_nodes",
        "on_tags",
        "crash_count",
        "dependents",
        "run_requests",
        "resume_requested",
        "delete_requested",
        "history_flushed",
    )
}
_NULLABLE = tuple(
    (name, wire_name(name))
    for name in (
        "current_step",
        "checkpoint_data",
        "last_executed_by",
        "last_error",
        "waiting_for_task_type",
        "lock_owner",
        "executing_node_id",
        "owner_incarnation",
        "claim_id",
        "all_nodes_of",
    )
)
_DATED = tuple((name, wire_name(name)) for name in sorted(DATES - {"creation_date"}))
_DEFAULTED = tuple((name, wire_name(name), default) for name, default in _OURS.items())
_ours_of = itemgetter(*_OURS)
_NOTHING_OF_OURS = tuple(_OURS.values())


def task_document(task: Task) -> dict[str, Json]:
    """
    Return the JSON document of a task as the contract shows it (without the derived search fields).
    """
    # One literal instead of a loop over names: every run writes two documents.
    document: dict[str, Json] = {
        "itemType": ITEM_TYPE,
        **task.extra,
        "itemId": task.id,
        "taskType": task.task_type,
        "parameters": task.parameters,
        "initialDelay": task.initial_delay,
        "period": task.period,
        "timeUnit": task.time_unit,
        "fixedRate": task.fixed_rate,
        "oneShot": task.one_shot,
        "allowParallelExecution": task.allow_parallel_execution,
        "persistent": task.persistent,
        "runOnAllNodes": task.run_on_all_nodes,
        "systemTask": task.system_task,
        "maxRetries": task.max_retries,
        "retryDelay": task.retry_delay,
        "dependsOn": task.depends_on,
        "enabled": task.enabled,
        "status": task.status,
        "statusDetails": {**task.status_details, HISTORY_KEY: task.history},
        "failureCount": task.failure_count,
        "successCount": task.success_count,
        "waitingOnTasks": task.waiting_on_tasks,
        "lockLeaseMillis": task.lock_lease_millis,
        "fence": task.fence,
        "creationDate": to_iso(task.creation_date),
    }
    _add_optional(document, task)
    return document


def _add_optional(document: dict[str, Json], task: Task) -> None:
    values = task.__dict__
    for name, wire in _NULLABLE:
        value = values[name]
        if value is not None:
            document[wire] = value
    for name, wire in _DATED:
        value = values[name]
        if value is not None:
            document[wire] = to_iso(value)
    if _ours_of(values) != _NOTHING_OF_OURS:
        document.update({wire: values[name] for name, wire, default in _DEFAULTED if values[name] != default})
    if task.initial_delay_unit is not task.time_unit:
        document["initialDelayUnit"] = task.initial_delay_unit


def _encode_task(task: Task) -> dict[str, Json]:
    document = task_document(task)
    document["partition"] = partition_of(task)
    document["statusOrder"] = _STATUS_ORDER[task.status]
    document["totalExecutionCount"] = task.success_count + task.failure_count
    due = due_at(task)
    if due is not None:
        document["dueDate"] = due
    return document


def _encode_malformed(record: Malformed) -> dict[str, Json]:
    document = {name: value for name, value in record.document.items() if name != "dueDate"}
    return document | {"quarantineReason": record.reason}


_HEARTBEAT = TypeAdapter(Heartbeat)
_SLOT = TypeAdapter(Slot)
_NOTE = TypeAdapter(Note)
_HEARTBEAT_NAMES = {to_camel(one.name): one.name for one in fields(Heartbeat)}
_SLOT_NAMES = {to_camel(one.name): one.name for one in fields(Slot)}


def _encode_heartbeat(beat: Heartbeat) -> dict[str, Json]:
    return {wire: getattr(beat, name) for wire, name in _HEARTBEAT_NAMES.items()}


def _encode_slot(slot: Slot) -> dict[str, Json]:
    return {wire: getattr(slot, name) for wire, name in _SLOT_NAMES.items()}


def _encode_note(note: Note) -> dict[str, Json]:
    return {"kind": note.kind, "name": note.name, "body": note.body}


_ENCODERS: dict[type, Callable[[Any], dict[str, Json]]] = {
    Task: _encode_task,
    Malformed: _encode_malformed,
    Heartbeat: _encode_heartbeat,
    Slot: _encode_slot,
    Note: _encode_note,
}


def encode(record: Record) -> bytes:
    """
    Return a record as the bytes of its JSON document, search fields included.

    Raises:
        InvalidTask: a value in it is not JSON.
    """
    try:
        return orjson.dumps(_ENCODERS[type(record)](record))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidTask(f"{record.id}: only JSON values can be stored: {error}") from error


def decode_heartbeat(document: JsonObject) -> Heartbeat:
    """
    Return the heartbeat of a document; fields of a newer version are ignored.
    """
    return _HEARTBEAT.validate_python(
        {_HEARTBEAT_NAMES[wire]: value for wire, value in document.items() if wire in _HEARTBEAT_NAMES}
    )


def decode_slot(document: JsonObject) -> Slot:
    """
    Return the slot of a document; fields of a newer version are ignored.
    """
    return _SLOT.validate_python({_SLOT_NAMES[wire]: value for wire, value in document.items() if wire in _SLOT_NAMES})


def decode_note(document: JsonObject) -> Note:
    """
    Return the note of a document; fields of a newer version are ignored.
    """
    return _NOTE.validate_python({name: document[name] for name in ("kind", "name", "body") if name in document})
