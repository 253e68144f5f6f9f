"""
The rules of a definition.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import make_task
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.model import TimeUnit
from unomi_scheduler.rules.validation import ID_LIMIT, LONGEST_MILLIS, PARAMETERS_LIMIT, check_dependencies, validate


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"task_type": ""}, "task type"),
        ({"task_type": " \t"}, "task type"),
        ({"task_type": "t" * (ID_LIMIT + 1)}, "task type"),
        ({"id": ""}, "task id"),
        ({"id": "  "}, "task id"),
        ({"id": "é" * (ID_LIMIT // 2 + 1)}, "task id"),
        ({"id": "bulk"}, "task id"),
        ({"id": "purge"}, "task id"),
        ({"id": "events"}, "task id"),
        ({"depends_on": ("a", " ")}, "dependency"),
        ({"period": -1}, "period"),
        ({"initial_delay": -1}, "initial delay"),
        ({"max_retries": -1}, "max retries"),
        ({"retry_delay": -1}, "retry delay"),
        ({"max_crashes": -1}, "max crashes"),
        ({"period": 999_999, "time_unit": TimeUnit.NANOSECONDS}, "period"),
        ({"period": LONGEST_MILLIS + 1}, "period"),
        ({"initial_delay": 10**9, "initial_delay_unit": TimeUnit.DAYS}, "initial delay"),
        ({"retry_delay": LONGEST_MILLIS + 1}, "retry delay"),
        ({"one_shot": True, "period": 1}, "period"),
        ({"run_on_all_nodes": True, "allow_parallel_execution": False}, "run on all nodes"),
        ({"run_on_all_nodes": True, "one_shot": True}, "run on all nodes"),
        ({"system_task": True, "persistent": False}, "system task"),
    ],
)
def test_what_is_refused(over: dict[str, Any], message: str) -> None:
    """
    The message names what, what was expected, and what came.
    """
    with pytest.raises(InvalidTask, match=f"^Invalid {message}: expected .*, got "):
        validate(make_task(**over))


@pytest.mark.parametrize(
    "over",
    [
        {},
        {"id": "i" * ID_LIMIT, "task_type": "t" * ID_LIMIT},
        {"period": LONGEST_MILLIS},
        {"period": 1_000_000, "time_unit": TimeUnit.NANOSECONDS},
        {"max_retries": 0, "retry_delay": 0, "max_crashes": 0},
        {"one_shot": True, "initial_delay": 5},
        {"run_on_all_nodes": True, "period": 5},
        {"period": 5, "persistent": False},
    ],
)
def test_what_is_accepted(over: dict[str, Any]) -> None:
    """
    The edges of every limit.
    """
    validate(make_task(**over))


def _graph(**edges: str) -> dict[str, Any]:
    return {name: make_task(id=name, depends_on=tuple(others)) for name, others in edges.items()}


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (_graph(a="a"), "lead back to itself"),
        (_graph(a="b", b="a"), "lead back to itself"),
        (_graph(a="b", b="c", c="d", d="a"), "lead back to itself"),
        (_graph(a="bc", b="", c="ba"), "lead back to itself"),
        (_graph(a="bx", b=""), "dependency not found: x"),
    ],
)
def test_wrong_dependencies(known: dict[str, Any], message: str) -> None:
    """
    A cycle of any length, and an id that does not exist.
    """
    with pytest.raises(InvalidTask, match=f"Task a: .*{message}"):
        check_dependencies(known["a"], {name: task for name, task in known.items() if name != "a"})


@pytest.mark.parametrize("known", [_graph(a=""), _graph(a="bc", b="d", c="d", d=""), _graph(a="b", b="c", c="c")])
def test_right_dependencies(known: dict[str, Any]) -> None:
    """
    A diamond is no cycle, and a cycle among others that does not lead to this task is not its fault.
    """
    check_dependencies(known["a"], known)


def test_parameters_are_bounded() -> None:
    """
    Exactly the limit is kept, one byte more is told; a memory task's are never written.
    """
    longest = PARAMETERS_LIMIT - len(b'{"a":""}')
    validate(make_task(parameters={"a": "x" * longest}))
    validate(make_task(parameters={"a": "x" * (longest + 1)}, persistent=False))

    with pytest.raises(
        InvalidTask, match="parameters: expected at most 1,000,000 bytes of JSON, got '1,000,001 bytes'"
    ):
        validate(make_task(parameters={"a": "x" * (longest + 1)}))
