"""
Validation of a definition (contract section 3). Every broken rule is one message; the first one is raised.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from ..errors import InvalidTask
from ..model import Task

ID_LIMIT = 512
RESERVED_IDS = frozenset({"bulk", "purge", "events"})
LONGEST_MILLIS = 200 * 366 * 24 * 3_600_000
PARAMETERS_LIMIT = 1_000_000
"""The most bytes that the parameters of a stored task have as JSON: each write of the task carries them."""


def validate(task: Task) -> None:
    """
    Check a definition by itself; dependencies that exist are checked by `check_dependencies`.

    Raises:
        InvalidTask: the first rule broken, naming what came and what was expected.
    """
    _names(task)
    _numbers(task)
    _combinations(task)
    if task.persistent:
        _parameters(task)


def _parameters(task: Task) -> None:
    try:
        size = len(orjson.dumps(task.parameters))
    except TypeError:
        # What is no JSON is refused where the document is made, with the place of the fault.
        return
    _require(size <= PARAMETERS_LIMIT, "parameters", f"{size:,} bytes", f"at most {PARAMETERS_LIMIT:,} bytes of JSON")


def _names(task: Task) -> None:
    _require(bool(task.task_type and task.task_type.strip()), "task type", task.task_type, "a text that is not blank")
    _require(len(task.task_type.encode()) <= ID_LIMIT, "task type", task.task_type, f"at most {ID_LIMIT} bytes")
    _require(bool(task.id and task.id.strip()), "task id", task.id, "a text that is not blank")
    _require(len(task.id.encode()) <= ID_LIMIT, "task id", task.id, f"at most {ID_LIMIT} bytes")
    _require(task.id not in RESERVED_IDS, "task id", task.id, "not one of the reserved words")
    for dependency in task.depends_on:
        _require(bool(dependency and dependency.strip()), "dependency", dependency, "an id that is not blank")


def _numbers(task: Task) -> None:
    _require(task.period >= 0, "period", task.period, "0 or more")
    _require(task.initial_delay >= 0, "initial delay", task.initial_delay, "0 or more")
    _require(task.max_retries >= 0, "max retries", task.max_retries, "0 or more")
    _require(task.retry_delay >= 0, "retry delay", task.retry_delay, "0 ms or more")
    _require(task.max_crashes >= 0, "max crashes", task.max_crashes, "0 or more")
    _require(task.period == 0 or task.period_millis >= 1, "period", f"{task.period} {task.time_unit}", "1 ms or more")
    for name, millis in (
        ("period", task.period_millis),
        ("initial delay", task.initial_delay_millis),
        ("retry delay", task.retry_delay),
    ):
        _require(millis <= LONGEST_MILLIS, name, f"{millis} ms", "at most 200 years")


def _combinations(task: Task) -> None:
    _require(not (task.one_shot and task.period), "period", task.period, "0 for a one-shot task")
    if task.run_on_all_nodes:
        _require(
            task.allow_parallel_execution, "run on all nodes", f"task {task.id}, of which one may run at a time",
            "a task that allows parallel execution, as the nodes run it beside each other",
        )  # fmt: skip
        _require(
            not task.one_shot, "run on all nodes", f"one-shot task {task.id}",
            "a task that is not one-shot: leave that out, without a period each node runs it once",
        )  # fmt: skip
    _require(task.persistent or not task.system_task, "system task", task.id, "a persistent task")


def check_dependencies(task: Task, known: Mapping[str, Task]) -> None:
    """
    Check that every dependency exists and that none leads back to the task, through however many others.

    Args:
        known: the dependencies that exist, and theirs, as far as they reach.
    """
    for dependency in task.depends_on:
        if dependency != task.id and dependency not in known:
            raise InvalidTask(f"Task {task.id}: dependency not found: {dependency}")
        if dependency != task.id and known[dependency].everywhere and known[dependency].periodic:
            raise InvalidTask(
                f"Task {task.id}: cannot wait for {dependency}, which runs on all nodes in each period and is never "
                "done; depend on one without a period, or on a task of its own"
            )
    seen: set[str] = set()
    pending = list(task.depends_on)
    while pending:
        current = pending.pop()
        if current == task.id:
            raise InvalidTask(f"Task {task.id}: its dependencies lead back to itself")
        if current not in seen:
            seen.add(current)
            pending.extend(known[current].depends_on if current in known else ())


def _require(holds: object, what: str, came: object, expected: str) -> None:
    if not holds:
        raise InvalidTask(f"Invalid {what}: expected {expected}, got {came!r}")
