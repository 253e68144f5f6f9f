"""
What a run reports while it goes on.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.factories import make_running_task
from tests.strategies import objects
from unomi_scheduler.rules.progress import Progress, progressed

_reports = st.builds(Progress, step=st.none() | st.text(), details=objects, checkpoint=st.none() | objects)


@given(_reports, _reports)
def test_two_reports_are_one(first: Progress, second: Progress) -> None:
    """
    Gathered or one after the other, the task is the same.
    """
    task = make_running_task(status_details={"kept": 1}, history=({"status": "FAILED"},))

    assert progressed(progressed(task, first), second) == progressed(task, first.then(second))


def test_details_are_merged_and_the_checkpoint_is_replaced() -> None:
    """
    The history is not touched.
    """
    task = make_running_task(status_details={"a": 1, "b": 1}, checkpoint_data={"a": 1}, history=({"status": "FAILED"},))
    after = progressed(task, Progress(step="half", details={"b": 2}, checkpoint={"b": 2}))

    assert ("half", {"a": 1, "b": 2}, {"b": 2}, task.history) == (
        after.current_step,
        after.status_details,
        after.checkpoint_data,
        after.history,
    )


def test_an_empty_report_changes_nothing() -> None:
    """
    None means unchanged; an empty checkpoint is one.
    """
    task = make_running_task(current_step="one", checkpoint_data={"a": 1})

    assert progressed(task, Progress()) == task
    assert progressed(task, Progress(checkpoint={})).checkpoint_data == {}
