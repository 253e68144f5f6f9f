"""
Purge.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.factories import NOW, SetClock, make_task
from tests.lossy_store import Fault, LossyStore
from unomi_scheduler.errors import StoreRefused, StoreUnavailable
from unomi_scheduler.model import Task, TaskStatus
from unomi_scheduler.ports import Action, TaskStore, Write
from unomi_scheduler.rules.purging import purgeable
from unomi_scheduler.service import purge as module
from unomi_scheduler.service.history import Keeping
from unomi_scheduler.service.purge import PURGE_TYPE, PurgeExecutor, purge
from unomi_scheduler.stores.memory import MemoryStore

KEEPING = Keeping(enabled=True, ttl=timedelta(days=30))


def purged(store: TaskStore, keeping: Keeping = KEEPING) -> int:
    """
    Purge what completed until `NOW`.
    """
    return purge(store, before=NOW, keeping=keeping, now=NOW)


def _done(**over: Any) -> Task:
    return make_task(**{"status": TaskStatus.COMPLETED, "last_execution_date": NOW, **over})


def _store(*tasks: Task, refresh_interval_ms: int = 0) -> MemoryStore:
    store = MemoryStore(SetClock(), refresh_interval_ms=refresh_interval_ms)
    store.write([Write(Action.CREATE, task) for task in tasks])
    return store


def _ids(store: MemoryStore, *tasks: Task) -> set[str]:
    return {found.record.id for found in store.tasks([task.id for task in tasks]) if found is not None}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, True),
        ({"last_execution_date": NOW - 1}, True),
        ({"last_execution_date": NOW + 1}, False),
        ({"last_execution_date": None}, False),
        ({"one_shot": True, "enabled": False}, True),
        ({"period": 5}, False),
        ({"lock_owner": "node-a"}, False),
        ({"owner_incarnation": "first"}, False),
        ({"status": TaskStatus.FAILED}, False),
        ({"status": TaskStatus.CANCELLED}, False),
        ({"status": TaskStatus.CRASHED}, False),
        ({"status": TaskStatus.SCHEDULED}, False),
        ({"status": TaskStatus.CANCELLED, "delete_requested": True, "last_execution_date": None}, True),
        ({"status": TaskStatus.CANCELLED, "delete_requested": True, "lock_owner": "node-a"}, False),
    ],
)
def test_what_may_go(over: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table's column
    """
    Completed for good at or before the moment, or marked; never while somebody owns it.
    """
    assert purgeable(_done(**over), before=NOW) is expected


def test_purge_removes_and_counts() -> None:
    """
    Old completed tasks and marked ones; everything else stays.
    """
    gone = [_done(), _done(last_execution_date=NOW - 9), make_task(status=TaskStatus.FAILED, delete_requested=True)]
    kept = [_done(last_execution_date=NOW + 1), _done(period=5), make_task(status=TaskStatus.FAILED), make_task()]
    store = _store(*gone, *kept)

    assert purged(store) == 3
    assert {task.id for task in kept} == _ids(store, *gone, *kept)
    assert purged(store) == 0


def test_purge_goes_on_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Also where a search shows removals late.
    """
    monkeypatch.setattr(module, "PAGE", 10)
    tasks = [_done() for _ in range(35)]
    store = _store(*tasks, refresh_interval_ms=1_000)

    assert purged(store) == 35
    assert _ids(store, *tasks) == set()


def test_what_changed_since_it_was_found_stays() -> None:
    """
    The removal is conditional: a task that was run again meanwhile is not lost.
    """
    task = _done()
    inner = _store(task)
    store = LossyStore(inner)
    store.before.append(lambda: _run_again(inner, task))

    assert purged(store) == 0
    assert _ids(inner, task) == {task.id}


def _run_again(store: MemoryStore, task: Task) -> None:
    (stored,) = store.tasks([task.id])
    assert stored is not None
    store.write([Write(Action.REPLACE, make_task(id=task.id), stored.version)])


@pytest.mark.parametrize(("fault", "error"), [(Fault.REFUSED, StoreRefused), (Fault.LOST_ANSWER, StoreUnavailable)])
def test_a_store_out_of_reach_is_told(fault: Fault, error: type[Exception]) -> None:
    """
    The purge fails and is tried again as any task.
    """
    with pytest.raises(error):
        purged(LossyStore(_store(_done()), fault))


class _Callback:
    """
    Remembers what an executor reports.
    """

    def __init__(self) -> None:
        self.details: dict[str, Any] = {}
        self.completed = False

    def update_step(self, step: str, details: Mapping[str, Any] | None = None) -> None:
        raise NotImplementedError

    def update_status_details(self, details: Mapping[str, Any]) -> None:
        self.details.update(details)

    def checkpoint(self, data: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def complete(self) -> None:
        self.completed = True

    def fail(self, error: str) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(("age", "expected"), [(0, 1), (1_000, 1), (1_001, 0)])
def test_the_executor_goes_by_the_age(age: int, expected: int) -> None:
    """
    Exactly as old as the limit goes; the count is left in the status details.
    """
    clock, callback = SetClock(NOW + 1_000), _Callback()
    store = _store(_done())
    executor = PurgeExecutor(
        lambda: store, clock=clock, age=timedelta(milliseconds=age), keeping=KEEPING, audit_age=timedelta(days=1)
    )
    executor.execute(make_task(task_type=PURGE_TYPE), callback)

    assert (callback.completed, callback.details) == (
        True,
        {"purgedTasks": expected, "purgedHistory": 0, "purgedAudit": 0},
    )


def test_without_a_store_there_is_nothing_to_do() -> None:
    """
    It completes; and a broken-off purge starts again.
    """
    callback = _Callback()
    executor = PurgeExecutor(
        lambda: None, clock=SetClock(), age=timedelta(), keeping=KEEPING, audit_age=timedelta(days=1)
    )
    executor.resume(make_task(task_type=PURGE_TYPE), callback)

    assert (callback.completed, callback.details) == (True, {"purgedTasks": 0, "purgedHistory": 0, "purgedAudit": 0})
    assert not executor.can_resume(make_task())
