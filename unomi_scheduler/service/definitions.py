"""
Definitions: what a user may state about a task, checked and made ready to be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson

from ..errors import InvalidTask
from ..model import Task, evolve
from ..rules.schedule import first_run
from ..rules.validation import validate
from ..stores.documents import decode_task, encode
from ..units import amount_of, unit_of

DEFINED = (
    "task_type",
    "parameters",
    "initial_delay",
    "initial_delay_unit",
    "period",
    "time_unit",
    "fixed_rate",
    "one_shot",
    "allow_parallel_execution",
    "persistent",
    "run_on_all_nodes",
    "system_task",
    "max_retries",
    "retry_delay",
    "max_crashes",
    "keep_checkpoint",
    "depends_on",
    "dependency_policy",
    "on_nodes",
    "on_tags",
    "enabled",
)
"""The fields of a task that are its definition; all others are its identity and its state."""


def definition_of(task: Task) -> dict[str, Any]:
    """
    Return the definition of a task by field name.
    """
    return {name: getattr(task, name) for name in DEFINED}


def fresh(task: Task, *, now: int, token: str) -> Task:
    """
    Return the definition of a task as a task created now: never run, its first run computed unless it was given.

    Args:
        token: a random text that tells this creation from any other (P3).

    Raises:
        InvalidTask: the definition breaks a rule.
    """
    given = task.next_scheduled_execution
    made = Task(id=task.id, creation_date=now, fence=now, claim_id=token, extra=task.extra, **definition_of(task))
    made = checked(made)
    return evolve(made, next_scheduled_execution=first_run(made, now=now) if given is None else given)


def checked(task: Task) -> Task:
    """
    Return the task if its definition has the right types and keeps every rule, as a copy that shares nothing.

    Raises:
        InvalidTask: a value has the wrong type, is not JSON in a task that is stored, or breaks a rule.
    """
    stated = {name: getattr(task, name) for name in (*DEFINED, "next_scheduled_execution")}
    parameters = stated["parameters"]
    if task.persistent is False:
        # A memory task never leaves the process: its parameters may be anything.
        stated["parameters"] = {}
    typed = _typed(Task(id=task.id, creation_date=0, **stated))
    values = {name: getattr(typed, name) for name in stated}
    if task.persistent is False:
        values["parameters"] = dict(parameters)
    made = evolve(task, **values)
    validate(made)
    _check_kind(made)
    return made


def _typed(task: Task) -> Task:
    try:
        return decode_task(orjson.loads(encode(task)))
    except (AttributeError, UnicodeEncodeError, OverflowError) as error:
        raise InvalidTask(f"Task {task.id!r}: a value has the wrong type: {error}") from error


def _check_kind(task: Task) -> None:
    if task.system_task and task.id != task.task_type:
        raise InvalidTask(f"Invalid task id: a system task's is its type, {task.task_type!r}, got {task.id!r}")


def edit_values(changes: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the fields that a user's edit changes; None means unchanged.

    `period`, `initial_delay` and `retry_delay` may be a `timedelta`, a number with its unit as a tuple, or a number in
    the unit that the task has (a retry delay: milliseconds).
    """
    values = {name: value for name, value in changes.items() if value is not None}
    for unit in ("time_unit", "initial_delay_unit"):
        if unit in values:
            values[unit] = unit_of(values[unit])
    for name, unit in (("period", "time_unit"), ("initial_delay", "initial_delay_unit")):
        if isinstance(values.get(name), timedelta | tuple):
            values[name], values[unit] = _amount(name, values[name])
    if isinstance(values.get("retry_delay"), timedelta | tuple):
        values["retry_delay"] = _amount("retry delay", values["retry_delay"]).millis
    for names in ("on_nodes", "on_tags"):
        if names in values:
            values[names] = (values[names],) if isinstance(values[names], str) else tuple(values[names])
    return values


def _amount(what: str, value: Any) -> Any:
    number, unit = value if isinstance(value, tuple) else (value, None)
    return amount_of(what, number, unit)
