"""
How a document that others wrote has to stand among ours.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.factories import NOW, make_due_task, make_running_task, make_task
from tests.strategies import tasks
from unomi_scheduler.model import Task, TaskStatus, TimeUnit, evolve
from unomi_scheduler.rules.adoption import ORIGIN, broken_off, folded, home_of, landed, moved
from unomi_scheduler.rules.claims import UNOWNED

DAY = 86_400_000


def _landed(task: Task) -> Task:
    return landed(task, now=NOW, found_by="node-a")


def test_the_id_of_a_system_task_is_its_type() -> None:
    """
    So that there is one of each; any other task is called as its item.
    """
    task = make_task(id="one", task_type="purge")

    assert ("one", "purge") == (home_of(task), home_of(evolve(task, system_task=True)))


def test_a_moved_task_says_where_it_came_from() -> None:
    """
    Beside everything it had.
    """
    task = make_task(extra={"tenantId": "acme"})

    assert evolve(task, id="new", extra={"tenantId": "acme", ORIGIN: "index/old"}) == moved(task, "new", "index/old")


@given(tasks(fence=NOW))
def test_what_a_node_of_ours_claimed_is_left_alone(task: Task) -> None:
    """
    A person who edits a document by hand changes just that.
    """
    assert task == _landed(task)


def test_a_run_without_an_owner_is_over() -> None:
    """
    No search for owned tasks would ever find it.
    """
    task = _landed(make_running_task(fence=0, **UNOWNED))

    assert (TaskStatus.CRASHED, None) == (task.status, task.lock_owner)
    assert ("CRASHED", "node-a") == (task.history[-1]["status"], task.history[-1]["recoveryNode"])


def test_a_run_with_an_owner_is_left_to_the_date_of_its_lock() -> None:
    """
    The recovery judges it (P9).
    """
    task = make_running_task(fence=0, owner_incarnation=None)

    assert task == _landed(task)


@pytest.mark.parametrize("status", [one for one in TaskStatus if one is not TaskStatus.RUNNING])
def test_what_does_not_run_has_no_owner(status: TaskStatus) -> None:
    """
    Else nobody could purge or delete it.
    """
    task = _landed(make_due_task(status=status, lock_owner="gone", lock_date=NOW, executing_node_id="gone"))

    assert (status, None, None, None) == (task.status, task.lock_owner, task.lock_date, task.executing_node_id)


@pytest.mark.parametrize(
    ("over", "due"),
    [
        ({}, NOW),
        ({"initial_delay": 2, "initial_delay_unit": TimeUnit.DAYS}, NOW + 2 * DAY),
        ({"period": 1, "time_unit": TimeUnit.DAYS, "last_execution_date": NOW - 3 * DAY + 5}, NOW + 5),
        ({"next_scheduled_execution": NOW - 7}, NOW - 7),
        ({"last_execution_date": NOW}, None),
        ({"status": TaskStatus.COMPLETED}, None),
        ({"run_requests": 1}, None),
    ],
)
def test_what_is_scheduled_has_a_due_time(over: dict[str, Any], due: int | None) -> None:
    """
    The original looks at the creation date where no due time is set.
    """
    assert due == _landed(make_task(**over)).next_scheduled_execution


@pytest.mark.parametrize(
    ("over", "status"),
    [
        ({}, TaskStatus.FAILED),
        ({"failure_count": 3}, TaskStatus.SCHEDULED),
        ({"last_execution_date": None}, TaskStatus.SCHEDULED),
        ({"period": 1, "time_unit": TimeUnit.DAYS}, TaskStatus.SCHEDULED),
    ],
)
def test_a_single_run_out_of_retries_has_failed(over: dict[str, Any], status: TaskStatus) -> None:
    """
    The original leaves it SCHEDULED and never runs it; a retry that a person asked for has no last run.
    """
    task = make_due_task(**{"failure_count": 4, "max_retries": 3, "last_execution_date": NOW - 1, **over})

    assert status is _landed(task).status


def test_a_broken_off_run_says_whose_it_was() -> None:
    """
    In the words of a recovery.
    """
    task = broken_off(make_running_task(fence=0), now=NOW, found_by="import")

    assert "node failure: the lock of node-a has expired" == task.last_error
    assert {"type": "crash", "previousOwner": "node-a", "recoveryNode": "import"}.items() <= task.history[-1].items()


@pytest.mark.parametrize("status", list(TaskStatus))
def test_a_folded_task_never_runs(status: TaskStatus) -> None:
    """
    Whatever it was; it keeps what it knew, under the id of its document.
    """
    task = make_running_task(status=status, system_task=True, success_count=4, history=({"status": "SUCCESS"},))
    aside = folded(task, document_id="system_x", now=NOW, node_id="node-a")

    assert ("system_x", TaskStatus.CANCELLED, False, None, 4) == (
        aside.id, aside.status, aside.enabled, aside.lock_owner, aside.success_count,
    )  # fmt: skip
    assert {"status": "SUCCESS"} == aside.history[0]
    assert "folded" in str(aside.last_error)
