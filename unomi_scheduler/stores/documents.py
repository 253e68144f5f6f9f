"""
The codec between records and their JSON documents (contract section 1): camelCase, dates as ISO 8601 UTC, null fields
left out.

Fields that we do not know are kept in `Task.extra` and written back. Four fields are derived at each write and never
read back: `partition` and `dueDate` (epoch ms; absent while the task may not be claimed), which exist for searches
alone, and `statusOrder` and `totalExecutionCount`, by which lists are sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from ..errors import InvalidTask
from ..model import (
    DependencyPolicy,
    Heartbeat,
    Json,
    JsonObject,
    Malformed,
    Record,
    Slot,
    Task,
    TaskStatus,
    TimeUnit,
    task_from,
)
from ..rules.placement import partition_of
from ..rules.readiness import due_at
from ..timestamps import from_iso, to_iso

ITEM_TYPE = "scheduledTask"
HISTORY_KEY = "executionHistory"
_DERIVED = frozenset({"itemType", "partition", "dueDate", "statusOrder", "totalExecutionCount", "quarantineReason"})
_STATUS_ORDER = {status: number for number, status in enumerate(TaskStatus)}


def _to_millis(value: object) -> object:
    return from_iso(value) if isinstance(value, str) else value


def _to_tuple(value: object) -> object:
    # The original writes sets as arrays; a null set is an empty one.
    return () if value is None else value


Date = Annotated[int, BeforeValidator(_to_millis)]
Names = Annotated[tuple[str, ...], BeforeValidator(_to_tuple)]
_SPECIAL = {"id": "itemId", "history": HISTORY_KEY}


def _wire_name(name: str) -> str:
    return _SPECIAL.get(name) or to_camel(name)


@with_config(ConfigDict(alias_generator=_wire_name, extra="allow"))
class TaskDocument(TypedDict, total=False):
    """
    The shape of a task document; a missing field takes the default of `Task`.
    """

    id: str
    task_type: str
    creation_date: Date
    parameters: dict[str, Any] | None
    initial_delay: int
    initial_delay_unit: TimeUnit
    period: int
    time_unit: TimeUnit
    fixed_rate: bool
    one_shot: bool
    allow_parallel_execution: bool
    persistent: bool
    run_on_all_nodes: bool
    system_task: bool
    max_retries: int
    retry_delay: int
    max_crashes: int
    keep_checkpoint: bool
    depends_on: Names
    dependency_policy: DependencyPolicy
    on_nodes: Names
    on_tags: Names
    enabled: bool
    status: TaskStatus
    status_details: dict[str, Any] | None
    current_step: str | None
    checkpoint_data: dict[str, Any] | None
    next_scheduled_execution: Date | None
    last_execution_date: Date | None
    last_executed_by: str | None
    last_error: str | None
    failure_count: int
    success_count: int
    crash_count: int
    waiting_for_task_type: str | None
    waiting_on_tasks: Names
    run_requests: int
    run_requested_at: Date | None
    resume_requested: bool
    delete_requested: bool
    lock_owner: str | None
    lock_date: Date | None
    lock_lease_millis: int
    executing_node_id: str | None
    owner_incarnation: str | None
    claim_id: str | None
    fence: int


_DECODER = TypeAdapter(TaskDocument)
_KNOWN = frozenset(TaskDocument.__annotations__)
_DATES = frozenset(name for name, kind in TaskDocument.__annotations__.items() if "Date" in str(kind))


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
        "run_requests",
        "resume_requested",
        "delete_requested",
    )
}
_PLAIN = tuple(
    (name, _wire_name(name))
    for name in TaskDocument.__annotations__
    if name not in _DATES and name not in _OURS and name not in {"initial_delay_unit", "status_details"}
)
_DATED = tuple((name, _wire_name(name)) for name in TaskDocument.__annotations__ if name in _DATES)
_DEFAULTED = tuple((name, _wire_name(name), default) for name, default in _OURS.items())


def task_document(task: Task) -> dict[str, Json]:
    """
    Return the JSON document of a task as the contract shows it (without the derived search fields).
    """
    document: dict[str, Json] = {"itemType": ITEM_TYPE}
    if task.extra:
        document.update(task.extra)
    values = task.__dict__
    for name, wire in _PLAIN:
        value = values[name]
        if value is not None:
            document[wire] = value
    for name, wire in _DATED:
        value = values[name]
        if value is not None:
            document[wire] = to_iso(value)
    for name, wire, default in _DEFAULTED:
        value = values[name]
        if value != default:
            document[wire] = value
    if task.initial_delay_unit is not task.time_unit:
        document["initialDelayUnit"] = task.initial_delay_unit
    document["statusDetails"] = {**task.status_details, HISTORY_KEY: task.history}
    return document


def decode_task(document: Mapping[str, Json]) -> Task:
    """
    Return the task of a document.

    Raises:
        InvalidTask: the document is no task; the message names each field that is wrong.
    """
    # What we wrote ourselves needs no leniency: reading it is most of what a search costs.
    quick = _quick(document)
    if quick is not None:
        return quick
    return _decode_checked(document)


def _decode_checked(document: Mapping[str, Json]) -> Task:
    try:
        values: dict[str, Any] = dict(_DECODER.validate_python(document))
        return _build(values)
    except ValidationError as error:
        raise InvalidTask(_explain(error)) from error
    except (TypeError, ValueError) as error:
        raise InvalidTask(f"not a task document: {error}") from error


_NAMES_KIND, _DATE_KIND = object(), object()


_KINDS: dict[str, object] = {
    "str": str,
    "int": int,
    "bool": bool,
    "TimeUnit": TimeUnit,
    "TaskStatus": TaskStatus,
    "DependencyPolicy": DependencyPolicy,
    "JsonObject": dict,
    "tuple[str, ...]": _NAMES_KIND,
}


def _kind(name: str) -> object:
    field = next(one for one in fields(Task) if one.name == name)
    return _DATE_KIND if name in _DATES else _KINDS[str(field.type).removesuffix(" | None")]


# Values of the members, so that a value is looked up without calling the enumeration.
_MEMBERS: dict[object, dict[Json, Any]] = {
    kind: {member.value: member for member in kind} for kind in (TimeUnit, TaskStatus, DependencyPolicy)
}
_QUICK = {_wire_name(name): (name, _kind(name)) for name in TaskDocument.__annotations__}
_REQUIRED = ("id", "task_type", "creation_date", "status_details")


def _quick(document: Mapping[str, Json]) -> Task | None:
    values: dict[str, Any] = {}
    extra: dict[str, Json] = {}
    for wire, value in document.items():
        known = _QUICK.get(wire)
        if known is None:
            if wire not in _DERIVED:
                extra[wire] = value
            continue
        name, kind = known
        if type(value) is kind:
            values[name] = value
        elif kind is _DATE_KIND and type(value) is str:
            try:
                values[name] = from_iso(value)
            except ValueError:
                return None
        elif kind is _NAMES_KIND and type(value) is list and all(type(one) is str for one in value):
            values[name] = tuple(value)
        elif kind in _MEMBERS and type(value) is str and value in _MEMBERS[kind]:
            values[name] = _MEMBERS[kind][value]
        else:
            return None
    return _quick_build(values, extra)


def _quick_build(values: dict[str, Any], extra: dict[str, Json]) -> Task | None:
    if not all(values.get(name) for name in _REQUIRED):
        return None
    details = dict(values["status_details"])
    history = details.pop(HISTORY_KEY, ())
    if not isinstance(history, list) or not all(type(entry) is dict for entry in history):
        return None
    values["status_details"], values["history"], values["extra"] = details, tuple(history), extra
    if "initial_delay_unit" not in values:
        values["initial_delay_unit"] = values.get("time_unit", TimeUnit.MILLISECONDS)
    return task_from(values)


def _build(values: dict[str, Any]) -> Task:
    for required in ("id", "task_type"):
        if not values.get(required):
            raise InvalidTask(f"{_wire_name(required)}: a text is required, it is missing or empty")
    extra = {name: values.pop(name) for name in values.keys() - _KNOWN}
    for name in _DERIVED:
        extra.pop(name, None)
    details = values.pop("status_details", None) or {}
    history = details.pop(HISTORY_KEY, None) or ()
    if not isinstance(history, list | tuple) or not all(isinstance(entry, dict) for entry in history):
        raise InvalidTask(f"statusDetails.{HISTORY_KEY}: a list of objects is required")
    if values.get("parameters", ()) is None:
        del values["parameters"]
    values.setdefault("creation_date", 0)
    values.setdefault("initial_delay_unit", values.get("time_unit", TimeUnit.MILLISECONDS))
    values["status_details"], values["history"], values["extra"] = details, tuple(history), extra
    return task_from(values)


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}, got {one['input']!r:.80}"
        for one in error.errors()
    )


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
_HEARTBEAT_NAMES = {to_camel(one.name): one.name for one in fields(Heartbeat)}
_SLOT_NAMES = {to_camel(one.name): one.name for one in fields(Slot)}


def _encode_heartbeat(beat: Heartbeat) -> dict[str, Json]:
    return {wire: getattr(beat, name) for wire, name in _HEARTBEAT_NAMES.items()}


def _encode_slot(slot: Slot) -> dict[str, Json]:
    return {wire: getattr(slot, name) for wire, name in _SLOT_NAMES.items()}


_ENCODERS: dict[type, Callable[[Any], dict[str, Json]]] = {
    Task: _encode_task,
    Malformed: _encode_malformed,
    Heartbeat: _encode_heartbeat,
    Slot: _encode_slot,
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
