"""
Whether a failed run is tried again.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, make_due_task, make_task
from unomi_scheduler.model import TaskStatus
from unomi_scheduler.rules.claims import Claimant, claim
from unomi_scheduler.rules.outcomes import fail
from unomi_scheduler.rules.retry import retry_at

_NODE = Claimant(node_id="node-a", incarnation="first", lease_millis=10_000)


@pytest.mark.parametrize(
    ("failures", "max_retries", "expected"),
    [
        (1, 0, None),  # no retries at all
        (1, 1, NOW + 500),
        (2, 1, None),
        (3, 3, NOW + 500),  # the last retry
        (4, 3, None),
        (9, 3, None),  # after manual retries without a reset
    ],
)
def test_retries_are_counted(failures: int, max_retries: int, expected: int | None) -> None:
    """
    As many retries as the task says, each after its delay.
    """
    assert expected == retry_at(make_task(max_retries=max_retries, retry_delay=500), failures=failures, now=NOW)


@given(st.integers(0, 12))
def test_attempts_are_one_more_than_the_retries(max_retries: int) -> None:
    """
    A task that always fails ends FAILED after 1 + max_retries runs, with as many failures counted.
    """
    task = make_due_task(max_retries=max_retries, retry_delay=500)
    runs = 0
    while task.status is TaskStatus.SCHEDULED:
        running = claim(task, by=_NODE, claim_id=str(runs), now=NOW + runs)
        task = fail(running, error="no", now=NOW + runs, duration=1)
        runs += 1

    assert (TaskStatus.FAILED, 1 + max_retries, 1 + max_retries) == (task.status, runs, task.failure_count)
    assert task.enabled
    assert task.next_scheduled_execution is None
