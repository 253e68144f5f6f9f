"""
Bulk changes in the service: what a selection takes, and how many tasks one call takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from unomi_scheduler import BulkAction, InvalidTask, Scheduler, Selection, Settings, TaskStatus
from unomi_scheduler.ports import LIST_CAP

HOUR = 3_600_000


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """
    A scheduler on an empty store.
    """
    made = Scheduler(Settings(store=f"memory://{uuid4().hex}"))
    yield made
    made.stop()


@pytest.mark.parametrize(
    "wrong",
    [{}, {"everything": True, "status": "FAILED"}, {"status": "BROKEN"}, {"ids": ("x",) * (LIST_CAP + 1)}],
)
def test_a_selection_says_what_it_takes(wrong: dict[str, Any]) -> None:
    """
    Nothing is everything by accident.
    """
    with pytest.raises(InvalidTask, match="Invalid"):
        Selection(**wrong)


def test_a_selection_without_ids_takes_none(scheduler: Scheduler) -> None:
    """
    An empty list of ids is a list.
    """
    scheduler.schedule_task(scheduler.create_task("a", initial_delay=HOUR))

    assert scheduler.bulk("cancel", Selection(ids=())).matched == 0


def test_one_call_takes_ten_thousand_and_tells_what_remains(scheduler: Scheduler) -> None:
    """
    The oldest come first; the next call takes the rest.
    """
    scheduler.schedule_many([scheduler.create_task("a", initial_delay=HOUR) for _ in range(LIST_CAP + 5)])
    failed = Selection(task_type="a", status=TaskStatus.SCHEDULED)
    first, second = (scheduler.bulk(BulkAction.CANCEL, failed) for _ in range(2))

    assert (first.matched, first.changed, first.remaining, len(first.ids)) == (LIST_CAP + 5, LIST_CAP, 5, 100)
    assert (second.matched, second.changed, second.remaining) == (5, 5, 0)


def test_memory_tasks_are_changed_too(scheduler: Scheduler) -> None:
    """
    Those of this process.
    """
    scheduler.schedule_task(scheduler.create_task("a", id="m", persistent=False, initial_delay=HOUR))

    assert scheduler.bulk("disable", Selection(task_type="a")).changed == 1
    assert scheduler.get_task("m").enabled is False


def test_an_action_that_is_none_is_refused(scheduler: Scheduler) -> None:
    """
    With those that are.
    """
    with pytest.raises(InvalidTask, match="cancel, delete, retry"):
        scheduler.bulk("explode", Selection(everything=True))
