"""
The table of transitions.
"""

from __future__ import annotations

import pytest

from tests.factories import make_task
from unomi_scheduler.errors import InvalidTransition
from unomi_scheduler.model import TaskStatus
from unomi_scheduler.rules.lifecycle import TRANSITIONS, advance, allows

# The contract's section 2 (read by target there, by source here) and the four edges of P19.
_ALLOWED = {
    ("SCHEDULED", "RUNNING"),
    ("SCHEDULED", "WAITING"),
    ("SCHEDULED", "CANCELLED"),
    ("SCHEDULED", "CRASHED"),
    ("WAITING", "SCHEDULED"),
    ("WAITING", "RUNNING"),
    ("WAITING", "CANCELLED"),
    ("WAITING", "FAILED"),
    ("RUNNING", "COMPLETED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLED"),
    ("RUNNING", "CRASHED"),
    ("RUNNING", "WAITING"),
    ("COMPLETED", "SCHEDULED"),
    ("COMPLETED", "CANCELLED"),
    ("FAILED", "SCHEDULED"),
    ("FAILED", "CANCELLED"),
    ("CRASHED", "SCHEDULED"),
    ("CRASHED", "RUNNING"),
    ("CRASHED", "FAILED"),
    ("CRASHED", "CANCELLED"),
}
_PAIRS = [(one, other) for one in TaskStatus for other in TaskStatus]


@pytest.mark.parametrize(("current", "target"), _PAIRS)
def test_every_edge_is_as_the_contract_says(current: TaskStatus, target: TaskStatus) -> None:
    """
    What the table allows happens; what it forbids raises, and names the task and both states.
    """
    task = make_task(id="one", status=current)
    wanted = (current.value, target.value) in _ALLOWED

    assert allows(current, target) is wanted
    if wanted:
        assert advance(task, target).status is target
    else:
        with pytest.raises(InvalidTransition, match=f"one is {current} and cannot become {target}"):
            advance(task, target)


def test_every_state_is_in_the_table() -> None:
    """
    Also CANCELLED, which has no way out.
    """
    assert set(TaskStatus) == set(TRANSITIONS)
    assert not TRANSITIONS[TaskStatus.CANCELLED]


def test_a_path_is_checked_edge_by_edge() -> None:
    """
    One step may carry several edges; a forbidden one in the middle stops it, though start and end would fit.
    """
    task = make_task(status=TaskStatus.RUNNING)

    assert advance(task, TaskStatus.COMPLETED, TaskStatus.SCHEDULED).status is TaskStatus.SCHEDULED
    with pytest.raises(InvalidTransition, match="COMPLETED and cannot become WAITING"):
        advance(task, TaskStatus.COMPLETED, TaskStatus.WAITING, TaskStatus.SCHEDULED)


def test_changes_go_with_the_step() -> None:
    """
    Other fields change in the same copy, and the original stays.
    """
    task = make_task()
    running = advance(task, TaskStatus.RUNNING, fence=7)

    assert (running.status, running.fence) == (TaskStatus.RUNNING, 7)
    assert (task.status, task.fence) == (TaskStatus.SCHEDULED, 0)
