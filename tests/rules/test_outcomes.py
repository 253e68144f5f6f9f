"""
How runs end.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.factories import NOW, make_running_task
from tests.strategies import tasks
from unomi_scheduler.errors import InvalidTransition
from unomi_scheduler.model import HISTORY_LIMIT, Task, TaskStatus, evolve
from unomi_scheduler.rules.outcomes import SHUTDOWN, complete, crash, fail
from unomi_scheduler.rules.requests import EDITABLE, edit

_S = TaskStatus
_END = NOW + 50


def _complete(task: Task) -> Task:
    return complete(task, now=_END, duration=40)


def _fail(task: Task) -> Task:
    return fail(task, error="boom", now=_END, duration=40)


def _crash(task: Task) -> Task:
    return crash(task, now=_END, found_by="node-b", reason="node failure")


@pytest.mark.parametrize(
    ("over", "status", "enabled", "due"),
    [
        ({}, _S.COMPLETED, True, None),  # a plain single run stays enabled
        ({"one_shot": True}, _S.COMPLETED, False, None),
        ({"period": 1_000}, _S.SCHEDULED, True, NOW + 1_000),
        ({"period": 1_000, "fixed_rate": False}, _S.SCHEDULED, True, _END + 1_000),
        ({"period": 1_000, "enabled": False}, _S.SCHEDULED, False, NOW + 1_000),  # paused during the run
        ({"run_requests": 1}, _S.SCHEDULED, True, None),  # asked for once more during the run
        ({"run_requests": 1, "one_shot": True}, _S.SCHEDULED, True, None),
    ],
)
def test_success(over: dict[str, Any], status: TaskStatus, enabled: bool, due: int | None) -> None:  # noqa: FBT001 - a table's column
    """
    COMPLETED, or armed again in the same step.
    """
    task = _complete(make_running_task(**over))

    assert (status, enabled, due) == (task.status, task.enabled, task.next_scheduled_execution)


def test_success_resets_the_counters_and_frees_the_task() -> None:
    """
    Failures and crashes are counted in a row; the last error stays to be read.
    """
    task = _complete(
        make_running_task(failure_count=2, crash_count=1, success_count=4, last_error="old", current_step="x")
    )

    assert (0, 0, 5, "old", None) == (
        task.failure_count,
        task.crash_count,
        task.success_count,
        task.last_error,
        task.current_step,
    )
    assert (None, None, None, "node-a", _END) == (
        task.lock_owner,
        task.owner_incarnation,
        task.executing_node_id,
        task.last_executed_by,
        task.last_execution_date,
    )
    assert task.history == (
        {
            "timestamp": "2025-06-15T15:06:40.050Z",
            "status": "SUCCESS",
            "nodeId": "node-a",
            "executionTime": 40,
            "claimId": "claim-1",
            "fence": NOW,
            "attempt": 4,
        },
    )


@pytest.mark.parametrize(
    ("over", "status", "failures", "due"),
    [
        ({"max_retries": 1}, _S.SCHEDULED, 1, _END + 500),
        ({"max_retries": 0}, _S.FAILED, 1, None),
        ({"max_retries": 1, "failure_count": 1}, _S.FAILED, 2, None),
        ({"max_retries": 1, "failure_count": 1, "one_shot": True}, _S.FAILED, 2, None),
        ({"max_retries": 1, "period": 1_000}, _S.SCHEDULED, 1, _END + 500),
        ({"max_retries": 0, "period": 1_000}, _S.SCHEDULED, 0, NOW + 1_000),  # the next period has all its retries
        ({"max_retries": 0, "run_requests": 1}, _S.SCHEDULED, 1, None),
    ],
)
def test_failure(over: dict[str, Any], status: TaskStatus, failures: int, due: int | None) -> None:
    """
    Tried again, armed for the next period, or FAILED and enabled for a manual retry.
    """
    task = _fail(make_running_task(retry_delay=500, **over))

    assert (status, failures, due) == (task.status, task.failure_count, task.next_scheduled_execution)
    assert (True, "boom", _END, None) == (task.enabled, task.last_error, task.last_execution_date, task.lock_owner)
    assert (task.history[-1]["status"], task.history[-1]["error"]) == ("FAILED", "boom")


@pytest.mark.parametrize(
    ("crashes", "status", "step"),
    [(0, _S.CRASHED, "CRASHED"), (1, _S.CRASHED, "CRASHED"), (2, _S.FAILED, None)],
)
def test_crash(crashes: int, status: TaskStatus, step: str | None) -> None:
    """
    CRASHED and free up to the limit, FAILED beyond it; failures are not counted.
    """
    task = _crash(make_running_task(crash_count=crashes, max_crashes=2, failure_count=1))

    assert (status, step, crashes + 1, 1) == (task.status, task.current_step, task.crash_count, task.failure_count)
    assert (None, None, None) == (task.lock_owner, task.owner_incarnation, task.claim_id)
    assert (task.status_details["crashedNode"], task.status_details["crashTime"]) == (
        "node-a",
        "2025-06-15T15:06:40.050Z",
    )
    assert (_END if status is _S.FAILED else None) == task.last_execution_date


def test_a_crash_is_in_the_history() -> None:
    """
    With whom it hit and who found it.
    """
    (entry,) = _crash(make_running_task()).history

    assert ("CRASHED", "crash", "node-a", "node-b", "claim-1") == (
        entry["status"],
        entry["type"],
        entry["previousOwner"],
        entry["recoveryNode"],
        entry["claimId"],
    )


def test_a_stop_is_not_counted_as_a_crash() -> None:
    """
    However often a node is stopped.
    """
    task = crash(
        make_running_task(crash_count=5, max_crashes=5), now=NOW, found_by="node-a", reason=SHUTDOWN, counted=False
    )

    assert (_S.CRASHED, 5, SHUTDOWN) == (task.status, task.crash_count, task.last_error)


@pytest.mark.parametrize("end", [_complete, _fail, _crash])
@pytest.mark.parametrize("status", [one for one in TaskStatus if one is not TaskStatus.RUNNING])
def test_only_a_running_task_ends(end: Any, status: TaskStatus) -> None:
    """
    A late outcome is refused; a SCHEDULED task may still be crashed by a shutdown.
    """
    if end is _crash and status is TaskStatus.SCHEDULED:
        return
    with pytest.raises(InvalidTransition):
        end(make_running_task(status=status))


@given(tasks(status=TaskStatus.RUNNING))
def test_the_history_never_exceeds_ten(task: Task) -> None:
    """
    Whatever ends it, and the newest entry is the last.
    """
    for end, kind in ((_complete, "SUCCESS"), (_fail, "FAILED"), (_crash, "CRASHED")):
        ended = end(task)

        assert len(ended.history) == min(HISTORY_LIMIT, len(task.history) + 1)
        assert ended.history[-1]["status"] == kind


@given(tasks(status=TaskStatus.RUNNING), tasks())
def test_edits_during_a_run_are_kept(task: Task, other: Task) -> None:
    """
    An outcome is a function of the document that stands, so what a user changed meanwhile stays changed.
    """
    changes = {name: getattr(other, name) for name in EDITABLE if name != "next_scheduled_execution"}
    edited = edit(task, now=NOW, **changes)
    for end in (_complete, _fail, _crash):
        ended = end(edited)
        kept = {name: getattr(ended, name) for name in changes}

        assert kept == {**changes, "enabled": ended.enabled}
        assert not ended.enabled or changes["enabled"]


def test_twelve_failures_leave_the_last_ten() -> None:
    """
    The oldest entries go first.
    """
    task = make_running_task(max_retries=20)
    for number in range(12):
        task = evolve(fail(task, error=f"err-{number}", now=NOW + number, duration=1), status=TaskStatus.RUNNING)

    assert [f"err-{number}" for number in range(2, 12)] == [entry["error"] for entry in task.history]
