"""
How runs begin and are given back, and whose a task is.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, make_due_task, make_running_task
from tests.strategies import tasks
from unomi_scheduler.errors import InvalidTransition
from unomi_scheduler.model import Task, TaskStatus, evolve
from unomi_scheduler.rules import requests
from unomi_scheduler.rules.claims import (
    UNOWNED,
    Claimant,
    Standing,
    claim,
    give_back,
    hands_checkpoint,
    released,
    resumes,
    standing,
)
from unomi_scheduler.rules.outcomes import complete, crash, fail

_NODE = Claimant(node_id="node-b", incarnation="second", lease_millis=4_000)
_CLAIMABLE = st.sampled_from([TaskStatus.SCHEDULED, TaskStatus.CRASHED, TaskStatus.WAITING])
_free_tasks = _CLAIMABLE.flatmap(lambda status: tasks(status=status, **UNOWNED))


def _claimed(task: Task) -> Task:
    return claim(task, by=_NODE, claim_id="claim-2", now=NOW + 1)


def test_a_claim_names_its_owner() -> None:
    """
    Node, incarnation, lease, claim and moment; and what the original shows while it runs.
    """
    claimed = _claimed(make_due_task(status_details={"old": 1}))

    assert (TaskStatus.RUNNING, "node-b", "node-b", "second", 4_000, NOW + 1, "claim-2") == (
        claimed.status,
        claimed.lock_owner,
        claimed.executing_node_id,
        claimed.owner_incarnation,
        claimed.lock_lease_millis,
        claimed.lock_date,
        claimed.claim_id,
    )
    assert {"startTime": "2025-06-15T15:06:40.001Z", "executingNode": "node-b"} == claimed.status_details


def test_a_claim_consumes_requests_and_waits() -> None:
    """
    They would otherwise make a second run.
    """
    task = make_due_task(
        run_requests=2,
        run_requested_at=NOW,
        resume_requested=True,
        waiting_on_tasks=("a",),
        waiting_for_task_type="b",
        current_step="CRASHED",
    )
    claimed = _claimed(task)

    assert (0, None, False, (), None, None) == (
        claimed.run_requests,
        claimed.run_requested_at,
        claimed.resume_requested,
        claimed.waiting_on_tasks,
        claimed.waiting_for_task_type,
        claimed.current_step,
    )


@given(_free_tasks)
def test_the_fence_grows_by_one(task: Task) -> None:
    """
    At each claim, and it stays above the creation of the task, which is above any deleted one with the same id.
    """
    claimed = _claimed(task)

    assert claimed.fence == max(task.fence, task.creation_date) + 1


@pytest.mark.parametrize("status", [TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED])
def test_other_states_are_not_claimed(status: TaskStatus) -> None:
    """
    The table forbids it.
    """
    with pytest.raises(InvalidTransition):
        _claimed(make_due_task(status=status))


@given(_free_tasks)
def test_given_back_is_as_before(task: Task) -> None:
    """
    Everything but the fence, which is never used again.
    """
    claimed = _claimed(task)

    assert evolve(task, fence=claimed.fence) == give_back(claimed, before=task)


def test_what_users_changed_meanwhile_is_kept_when_given_back() -> None:
    """
    The claim is undone, not the edit and not the request.
    """
    before = make_due_task(run_requests=1, run_requested_at=NOW - 5)
    edited = requests.edit(requests.run_now(_claimed(before), now=NOW + 2), now=NOW + 2, max_retries=9)
    back = give_back(edited, before=before)

    assert (TaskStatus.SCHEDULED, 9, 2, NOW + 2) == (
        back.status,
        back.max_retries,
        back.run_requests,
        back.run_requested_at,
    )


_SUCCESS, _FAILED, _CRASHED = ({"status": name} for name in ("SUCCESS", "FAILED", "CRASHED"))


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"history": ()}, True),
        ({"history": (_FAILED,)}, True),  # through retries
        ({"history": (_SUCCESS, _CRASHED)}, True),  # through crashes
        ({"history": (_SUCCESS, {"status": "RETRIED"})}, True),
        ({"history": (_CRASHED, _SUCCESS)}, False),  # not to the next period
        ({"history": (_CRASHED, _SUCCESS), "keep_checkpoint": True}, True),
    ],
)
def test_who_gets_the_checkpoint(over: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table's column
    """
    The next run, unless the last one succeeded and the task does not keep it.
    """
    task = make_due_task(checkpoint_data={"at": 1}, **over)

    assert hands_checkpoint(task) is expected
    assert _claimed(task).checkpoint_data == ({"at": 1} if expected else None)


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, False),
        ({"status": TaskStatus.CRASHED}, True),
        ({"resume_requested": True}, True),
    ],
)
def test_who_resumes(over: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table's column
    """
    After a crash, or when a user asked; then the status details go on too.
    """
    task = make_due_task(status_details={"done": 3}, **over)

    assert resumes(task) is expected
    assert ("done" in _claimed(task).status_details) is expected


def test_released_names_no_owner() -> None:
    """
    The body of a cancelled task has returned.
    """
    task = released(make_running_task(status=TaskStatus.CANCELLED))

    assert (None, None, None, None, 0) == (
        task.lock_owner,
        task.executing_node_id,
        task.owner_incarnation,
        task.claim_id,
        task.lock_lease_millis,
    )


_RUN = make_running_task(period=1_000)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (None, Standing.LOST),
        (_RUN, Standing.HELD),
        (evolve(_RUN, claim_id="another"), Standing.LOST),
        (complete(_RUN, now=NOW, duration=1), Standing.ENDED),
        (fail(_RUN, error="no", now=NOW, duration=1), Standing.ENDED),
        (crash(_RUN, now=NOW, found_by="node-b", reason="dead"), Standing.LOST),
        (requests.cancel(_RUN, now=NOW, node_id="node-b"), Standing.LOST),
        # Our end was written and what came after it does not hide it.
        (requests.cancel(complete(_RUN, now=NOW, duration=1), now=NOW, node_id="node-b"), Standing.ENDED),
        (claim(complete(_RUN, now=NOW, duration=1), by=_NODE, claim_id="claim-2", now=NOW), Standing.ENDED),
    ],
)
def test_what_a_document_says_of_our_claim(task: Task | None, expected: Standing) -> None:
    """
    Held, ended by our own write, or lost to somebody else.
    """
    assert standing(task, "claim-1") is expected


def test_a_manual_retry_does_not_hide_our_end() -> None:
    """
    The entry of the retry belongs to no run.
    """
    failed = fail(make_running_task(max_retries=0), error="no", now=NOW, duration=1)
    again = requests.retry(failed, now=NOW, node_id="node-b", reset_failure_count=False)

    assert standing(again, "claim-1") is Standing.ENDED
