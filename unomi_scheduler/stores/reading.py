"""
Reading task documents: quickly what is just as we write it, and with every leniency and explanation all else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..errors import InvalidTask
from ..model import DependencyPolicy, Json, Malformed, Misplaced, Stored, Task, TaskStatus, TimeUnit, task_from
from ..timestamps import from_iso
from .shape import DATES, DERIVED, HISTORY_KEY, TaskDocument, wire_name

_DECODER = TypeAdapter(TaskDocument)
_KNOWN = frozenset(TaskDocument.__annotations__)


def decode_task(document: Mapping[str, Json]) -> Task:
    """
    Return the task of a document.

    Raises:
        InvalidTask: the document is no task; the message names each field that is wrong.
    """
    # What we wrote ourselves needs no leniency: reading it is most of what a search costs.
    task = quick(document)
    return task if task is not None else checked(document)


def placed(document_id: str, document: Mapping[str, Json]) -> Task | Malformed:
    """
    Return the task of a document with this id, or why it is none of ours.

    A claim of a document that carries another id would be written to that other document.
    """
    try:
        task = decode_task(document)
    except InvalidTask as error:
        return Malformed(id=document_id, reason=str(error), document=document)
    if task.id == document_id:
        return task
    if document_id == f"{task.extra.get('tenantId')}_{task.id}" and "partition" not in document:
        reason = f"it has the id that Apache Unomi gives its documents; a running node moves it to {task.id!r}"
        return Misplaced(id=document_id, reason=reason, document=document, task=task)
    reason = f"itemId: {document_id!r} is required, got {task.id!r:.80}: it must be the document's id"
    return Malformed(id=document_id, reason=reason, document=document)


def listed(record: Task | Malformed) -> Task | None:
    """
    Return what a list shows of a document, or None when it is no task.
    """
    if isinstance(record, Misplaced):
        return record.task
    return record if isinstance(record, Task) else None


def told(ids: Sequence[str], documents: Sequence[Stored[Any] | None]) -> dict[str, Task | None]:
    """
    Return what documents tell of their tasks, by id: the task, also of one that has not been moved to its id yet, or
    None where there is none. A document in quarantine tells nothing: it may be put right, so its id is left out.
    """
    tasks = {name: None if one is None else listed(one.record) for name, one in zip(ids, documents, strict=True)}
    return {name: tasks[name] for name, one in zip(ids, documents, strict=True) if one is None or tasks[name]}


def checked(document: Mapping[str, Json]) -> Task:
    """
    Return the task of a document, or raise `InvalidTask` naming each field that is wrong.
    """
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
    return _DATE_KIND if name in DATES else _KINDS[str(field.type).removesuffix(" | None")]


# Values of the members, so that a value is looked up without calling the enumeration.
_MEMBERS: dict[object, dict[Json, Any]] = {
    kind: {member.value: member for member in kind} for kind in (TimeUnit, TaskStatus, DependencyPolicy)
}
_QUICK = {wire_name(name): (name, _kind(name)) for name in TaskDocument.__annotations__}
_REQUIRED = ("id", "task_type", "creation_date", "status_details")


def quick(document: Mapping[str, Json]) -> Task | None:
    """
    Return the task of a document whose every value is just as we write it, or None.
    """
    values: dict[str, Any] = {}
    extra: dict[str, Json] = {}
    for wire, value in document.items():
        known = _QUICK.get(wire)
        if known is None:
            if wire not in DERIVED:
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
            raise InvalidTask(f"{wire_name(required)}: a text is required, it is missing or empty")
    extra = {name: values.pop(name) for name in values.keys() - _KNOWN}
    for name in DERIVED:
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
