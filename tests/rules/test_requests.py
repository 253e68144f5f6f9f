"""
What users ask of a task, in every state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.factories import NOW, make_running_task, make_task
from unomi_scheduler.errors import InvalidTask, InvalidTransition
from unomi_scheduler.model import Task, TaskStatus, TimeUnit
from unomi_scheduler.rules import requests
from unomi_scheduler.rules.readiness import due_at

_S = TaskStatus
_LATER = NOW + 900


def _cancel(task: Task) -> Task:
    return requests.cancel(task, now=_LATER, node_id="node-b")


def _delete(task: Task) -> Task:
    return requests.mark_deleted(task, now=_LATER, node_id="node-b")


def _retry(task: Task, *, reset: bool = False) -> Task:
    return requests.retry(task, now=_LATER, node_id="node-b", reset_failure_count=reset)


def _resume(task: Task) -> Task:
    return requests.resume(task, now=_LATER, node_id="node-b")


def _run_now(task: Task) -> Task:
    return requests.run_now(task, now=_LATER)


_OUTCOMES: list[tuple[Callable[[Task], Task], dict[TaskStatus, TaskStatus]]] = [
    (_cancel, dict.fromkeys(set(_S) - {_S.CANCELLED}, _S.CANCELLED)),
    (_retry, {_S.FAILED: _S.SCHEDULED}),
    (_resume, {_S.CRASHED: _S.SCHEDULED}),
    (
        _run_now,
        {
            _S.SCHEDULED: _S.SCHEDULED,
            _S.RUNNING: _S.RUNNING,
            _S.CRASHED: _S.CRASHED,
            _S.COMPLETED: _S.SCHEDULED,
            _S.FAILED: _S.SCHEDULED,
        },
    ),
    (
        _delete,
        {
            **dict.fromkeys((_S.SCHEDULED, _S.WAITING, _S.RUNNING, _S.CRASHED, _S.CANCELLED), _S.CANCELLED),
            _S.COMPLETED: _S.COMPLETED,
            _S.FAILED: _S.FAILED,
        },
    ),
]


@pytest.mark.parametrize(("request_of", "outcomes"), _OUTCOMES)
@pytest.mark.parametrize("status", list(TaskStatus))
def test_every_request_in_every_state(
    request_of: Callable[[Task], Task], outcomes: dict[TaskStatus, TaskStatus], status: TaskStatus
) -> None:
    """
    It changes the state as the table says, or raises.
    """
    task = make_task(status=status)
    if status in outcomes:
        assert request_of(task).status is outcomes[status]
    else:
        with pytest.raises(InvalidTransition):
            request_of(task)


def test_cancel_leaves_nothing_due() -> None:
    """
    Neither a request nor a wait survives, and the history says who did it.
    """
    asked = {"run_requests": 1, "run_requested_at": NOW, "resume_requested": True, "waiting_for_task_type": "b"}
    task = _cancel(make_task(next_scheduled_execution=NOW, **asked))

    assert due_at(task) is None
    assert (None, False, 0, None, False, None) == (
        task.next_scheduled_execution,
        task.enabled,
        task.run_requests,
        task.run_requested_at,
        task.resume_requested,
        task.waiting_for_task_type,
    )
    assert task.history == (
        {"timestamp": "2025-06-15T15:06:40.900Z", "status": "CANCELLED", "nodeId": "node-b", "fence": 0},
    )


def test_cancel_of_a_run_keeps_its_owner_and_takes_its_claim() -> None:
    """
    Its body may still be at work; whatever it writes is refused.
    """
    task = _cancel(make_running_task())

    assert ("node-a", "first", None) == (task.lock_owner, task.owner_incarnation, task.claim_id)
    assert task.history[-1]["claimId"] == "claim-1"


def test_cancel_of_a_task_without_a_run_clears_the_owner() -> None:
    """
    A lock that a foreign program left is gone.
    """
    task = _cancel(make_task(lock_owner="x", lock_date=NOW))

    assert (None, None) == (task.lock_owner, task.lock_date)


def test_delete_marks() -> None:
    """
    A marked task is never due again, whatever its state was.
    """
    for status in TaskStatus:
        task = _delete(make_task(status=status, next_scheduled_execution=NOW))

        assert (True, False, None) == (task.delete_requested, task.enabled, due_at(task))


@pytest.mark.parametrize(("reset", "failures"), [(True, 0), (False, 4)])
def test_retry(reset: bool, failures: int) -> None:  # noqa: FBT001 - a table's column
    """
    Due now, with all its retries or with one attempt.
    """
    failed = make_task(status=_S.FAILED, failure_count=4, crash_count=6, last_execution_date=NOW, enabled=False)
    task = _retry(failed, reset=reset)

    assert (failures, 0, None, True, _LATER) == (
        task.failure_count,
        task.crash_count,
        task.last_execution_date,
        task.enabled,
        due_at(task),
    )
    assert task.history[-1]["status"] == "RETRIED"


def test_resume() -> None:
    """
    Due now, marked to go on from the checkpoint, which stays.
    """
    task = _resume(make_task(status=_S.CRASHED, checkpoint_data={"at": 3}, enabled=False))

    assert (True, {"at": 3}, True, _LATER) == (
        task.resume_requested,
        task.checkpoint_data,
        task.enabled,
        due_at(task),
    )
    assert task.history[-1]["status"] == "RESUMED"


def test_run_now_stands_beside_the_schedule() -> None:
    """
    The due time of the schedule stays, and the first request's moment.
    """
    task = _run_now(make_task(period=1_000, next_scheduled_execution=NOW + 5_000))
    again = requests.run_now(task, now=_LATER + 50)

    assert (1, _LATER, NOW + 5_000, _LATER) == (
        task.run_requests,
        task.run_requested_at,
        task.next_scheduled_execution,
        due_at(task),
    )
    assert (2, _LATER) == (again.run_requests, again.run_requested_at)


def test_run_now_of_an_ended_task() -> None:
    """
    It is due by the request alone.
    """
    task = _run_now(make_task(status=_S.COMPLETED, one_shot=True, enabled=False, last_execution_date=NOW))

    assert (None, True, _LATER) == (task.next_scheduled_execution, task.enabled, due_at(task))


@pytest.mark.parametrize("field", ["id", "status", "task_type", "history", "claim_id", "nonsense"])
def test_what_cannot_be_edited(field: str) -> None:
    """
    The message names the field and those that can.
    """
    with pytest.raises(InvalidTask, match=rf"^{field}: cannot be edited; these can: .*max_retries"):
        requests.edit(make_task(), now=NOW, **{field: "x"})


_PERIODIC = {"period": 10, "time_unit": TimeUnit.SECONDS, "next_scheduled_execution": NOW + 7_000}


@pytest.mark.parametrize(
    ("over", "changes", "due"),
    [
        (_PERIODIC, {"period": 20}, _LATER + 20_000),  # counts from now
        (_PERIODIC, {"period": 10}, NOW + 7_000),  # the same again moves nothing
        (_PERIODIC, {"period": 10_000, "time_unit": TimeUnit.MILLISECONDS}, NOW + 7_000),  # in other words
        (_PERIODIC, {"period": 20, "next_scheduled_execution": NOW + 1}, NOW + 1),
        (_PERIODIC, {"period": 0}, NOW + 7_000),  # runs once more
        ({**_PERIODIC, "failure_count": 1}, {"period": 20}, NOW + 7_000),  # a retry keeps its time
        (_PERIODIC, {"parameters": {"a": 1}}, NOW + 7_000),
        ({"next_scheduled_execution": NOW + 5}, {"initial_delay": 60_000}, _LATER + 60_000),
        (
            {"next_scheduled_execution": NOW + 5, "history": ({"status": "SUCCESS"},)},
            {"initial_delay": 60_000},
            NOW + 5,  # its first run is over
        ),
    ],
)
def test_an_edit_moves_the_due_time_only_where_it_must(over: dict[str, Any], changes: dict[str, Any], due: int) -> None:
    """
    A new period or a new delay of a task that waits for it counts from the edit.
    """
    assert due == requests.edit(make_task(**over), now=_LATER, **changes).next_scheduled_execution


def test_a_period_brings_a_completed_task_back() -> None:
    """
    And does nothing to the state of a running one.
    """
    done = requests.edit(make_task(status=_S.COMPLETED), now=_LATER, period=50)
    running = requests.edit(make_running_task(), now=_LATER, period=50)

    assert (_S.SCHEDULED, _LATER + 50) == (done.status, done.next_scheduled_execution)
    assert (_S.RUNNING, NOW, 50) == (running.status, running.next_scheduled_execution, running.period)
