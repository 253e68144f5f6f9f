"""
What is the memory store's own: visibility by the clock it is given, and the same answers each time.
"""

from __future__ import annotations

from tests.factories import NOW, make_due_task
from unomi_scheduler.clock import Instant
from unomi_scheduler.model import Task, Version
from unomi_scheduler.ports import Action, DueQuery, TaskQuery, Write
from unomi_scheduler.stores.memory import MemoryStore

DUE = DueQuery(
    node_id="node-a",
    tags=(),
    shares=(),
    task_types=frozenset({"sample"}),
    due_before=NOW,
    overdue_before=NOW,
    limit=10,
)


class SetClock:
    """
    A clock that stands where it is set.
    """

    def __init__(self) -> None:
        self.boot = 10_250

    def now(self) -> Instant:
        """
        Return the moment set.
        """
        return Instant(NOW + self.boot, self.boot)


def due(store: MemoryStore) -> list[str]:
    """
    Return the ids of due tasks.
    """
    return [one.record.id for one in store.find_due(DUE).tasks]


def create(store: MemoryStore, task: Task) -> Version | None:
    """
    Create a task.
    """
    return store.write([Write(Action.CREATE, task)])[0].version


def test_searches_see_a_write_after_the_next_refresh() -> None:
    """
    Refreshes come at multiples of the interval, for creations and deletions alike; reads by id do not wait.
    """
    clock = SetClock()
    store = MemoryStore(clock, refresh_interval_ms=500)
    task = make_due_task(id="a")
    version = create(store, task)

    assert due(store) == []
    clock.boot = 10_499
    assert due(store) == []
    clock.boot = 10_500
    assert due(store) == ["a"]

    store.write([Write(Action.DELETE, task, version)])
    assert store.tasks(["a"]) == [None]
    clock.boot = 10_999
    assert due(store) == ["a"]
    assert store.find(TaskQuery()).total_size == 1
    clock.boot = 11_000
    assert due(store) == []


def test_a_search_sees_the_document_of_its_refresh() -> None:
    """
    A change after the refresh is not mixed into it: the old document comes with its old version.
    """
    clock = SetClock()
    store = MemoryStore(clock, refresh_interval_ms=500)
    task = make_due_task(id="a")
    version = create(store, task)
    store.refresh()
    assert version is not None
    store.write([Write(Action.REPLACE, make_due_task(id="a", current_step="new"), version)])
    (found,) = store.find_due(DUE).tasks

    assert (found.record, found.version) == (task, version)


def test_without_an_interval_searches_see_all_at_once() -> None:
    """
    The default, for memory tasks.
    """
    store = MemoryStore(SetClock())
    create(store, make_due_task(id="a"))

    assert due(store) == ["a"]


def test_versions_are_the_same_each_time_with_a_given_identity() -> None:
    """
    Simulations repeat themselves; other stores differ by a random identity.
    """
    given = [create(MemoryStore(SetClock(), identity="sim"), make_due_task()) for _ in range(2)]
    random = [create(MemoryStore(SetClock()), make_due_task()) for _ in range(2)]

    assert given == [Version("sim", 0, 1)] * 2
    assert random[0] != random[1]


def test_the_clock_is_the_given_one() -> None:
    """
    No other is read.
    """
    assert MemoryStore(SetClock()).clock() == NOW + 10_250
