"""
When a task may be claimed.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import NOW, make_due_task
from unomi_scheduler.model import TaskStatus
from unomi_scheduler.rules.claims import claimable
from unomi_scheduler.rules.readiness import ALWAYS_DUE, due_at

_S = TaskStatus


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, NOW),
        ({"next_scheduled_execution": None}, None),
        ({"enabled": False}, None),
        ({"delete_requested": True}, None),
        ({"status": _S.WAITING}, None),
        ({"status": _S.RUNNING}, None),
        ({"status": _S.COMPLETED}, None),
        ({"status": _S.FAILED}, None),
        ({"status": _S.CANCELLED}, None),
        ({"status": _S.CRASHED}, ALWAYS_DUE),  # whatever its next due time
        ({"status": _S.CRASHED, "enabled": False}, None),
        ({"status": _S.CRASHED, "delete_requested": True}, None),
        ({"run_requests": 1, "run_requested_at": NOW - 5}, NOW - 5),
        ({"run_requests": 1, "run_requested_at": NOW + 5}, NOW),  # the schedule comes first
        ({"run_requests": 1, "run_requested_at": NOW, "next_scheduled_execution": None}, NOW),
        ({"run_requests": 1}, ALWAYS_DUE),
        ({"run_requests": 1, "enabled": False}, None),
    ],
)
def test_due(over: dict[str, Any], expected: int | None) -> None:
    """
    The moment from which a claim may be tried, or None.
    """
    assert expected == due_at(make_due_task(**over))


@pytest.mark.parametrize(("offset", "expected"), [(-1, False), (0, True), (1, True)])
def test_a_task_is_claimable_from_its_due_time_on(offset: int, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """
    Equal is due.
    """
    assert claimable(make_due_task(), now=NOW + offset) is expected
