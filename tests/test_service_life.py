"""
The service with a real node: settings, start, stop, wait, late stores.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event, get_ident
from time import monotonic
from typing import Any

import pytest

from tests.factories import SetClock, make_task
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.config import Settings
from unomi_scheduler.errors import ConfigurationError, SchedulerError
from unomi_scheduler.model import Task, TaskStatus
from unomi_scheduler.node.identity import host_name
from unomi_scheduler.service import Scheduler, waiting
from unomi_scheduler.stores.memory import MemoryStore

_LIMIT = 20.0


def _until(holds: Callable[[], bool]) -> None:
    pause, end = Event(), monotonic() + _LIMIT
    while not holds():
        assert monotonic() < end
        pause.wait(0.01)


def _in_memory(**settings: Any) -> Scheduler:
    return Scheduler(store=MemoryStore(SystemClock()), **{"drain_timeout": "2s", **settings})


def test_settings_and_overrides(tmp_path: Path) -> None:
    """
    Settings ready-made, single ones over them, and the whole is checked.
    """
    settings = Settings(store=None, threads=6, node_id="mine")
    scheduler = Scheduler(settings, threads=4, completed_task_ttl="1d")

    assert (4, "mine", timedelta(days=1)) == (
        scheduler.settings.threads,
        scheduler.node_id,
        scheduler.settings.completed_task_ttl,
    )
    assert Scheduler(settings).settings is settings
    for wrong in ({"threads": 1}, {"thread": 4}, {"store": "oracle://x"}):
        with pytest.raises(ConfigurationError):
            Scheduler(settings, **wrong)


def test_making_one_touches_nothing(tmp_path: Path) -> None:
    """
    No file is made before the first use.
    """
    scheduler = Scheduler(store=f"sqlite:///{tmp_path}/x.db")
    scheduler.executor("sample")(print)
    scheduler.stop()

    assert list(tmp_path.iterdir()) == []


def test_a_stored_and_a_memory_task_run() -> None:
    """
    Scheduled before the start, one with the context and one without.
    """
    scheduler, seen = _in_memory(), []

    @scheduler.executor("stored")
    def body(context: Any) -> None:
        seen.append(context.parameters["n"])

    stored = scheduler.new_task("stored").with_parameters({"n": 1}).schedule()
    memory = scheduler.new_task("memory").non_persistent().with_simple_executor(lambda: seen.append(2)).schedule()
    with scheduler:
        _until(lambda: scheduler.get_metric("tasks.completed") >= 3)
        statuses = {scheduler.get_task(task.id).status for task in (stored, memory)}

    assert [1, 2] == sorted(seen)
    assert {TaskStatus.COMPLETED} == statuses


def test_the_purge_task_is_made_once() -> None:
    """
    By whatever number of nodes; what a user changed of its rhythm is put back, and it runs in the system pool.
    """
    store = MemoryStore(SystemClock())
    for _ in range(2):
        with Scheduler(store=store) as scheduler:
            _until(lambda: scheduler.get_task("task-purge").success_count >= 1)
            scheduler.update_task_config("task-purge", period=(5, "DAYS"), enabled=False)
            (task,) = scheduler.find_tasks(task_type="task-purge").list
    with Scheduler(store=store) as scheduler:
        again = scheduler.get_task("task-purge")

    assert (5, False, "task-purge", True) == (task.period, task.enabled, task.id, task.system_task)
    assert (1, True, task.creation_date) == (again.period, again.enabled, again.creation_date)


def test_a_cancelled_purge_task_stays_cancelled() -> None:
    """
    A start must not fail on it.
    """
    store = MemoryStore(SystemClock())
    with Scheduler(store=store) as scheduler:
        _until(lambda: scheduler.get_task("task-purge").success_count >= 1)
        assert scheduler.cancel_task("task-purge")
    with Scheduler(store=store) as scheduler:
        assert scheduler.get_task("task-purge").status is TaskStatus.CANCELLED
        assert not scheduler.get_task("task-purge").enabled


@pytest.mark.parametrize("settings", [{"purge_enabled": False}, {"executor_node": False}])
def test_no_purge_task_where_it_is_not_wanted(settings: dict[str, Any]) -> None:
    """
    Switched off, or on a node that runs nothing.
    """
    with _in_memory(**settings) as scheduler:
        assert scheduler.get_all_tasks() == []


def test_start_and_stop_bear_every_order() -> None:
    """
    Stop before start, start twice, stop twice, and a start after the stop, with the memory tasks that were left.
    """
    scheduler = _in_memory()
    scheduler.stop()
    scheduler.start()
    scheduler.start()
    task = scheduler.new_task("nobody").non_persistent().with_initial_delay(1, "HOURS").schedule()
    scheduler.stop()
    scheduler.stop()
    running_after_stop = scheduler.running
    scheduler.start()
    memory = [one.id for one in scheduler.get_memory_tasks()]
    running_again = scheduler.running
    scheduler.stop()

    assert (False, True) == (running_after_stop, running_again)
    assert [task.id] == memory


def test_a_store_may_come_late() -> None:
    """
    Memory tasks run without one; stored ones once it is bound; and after it is taken away, lists are empty.
    """
    ran = Event()
    with Scheduler(store=None, drain_timeout="2s") as scheduler:
        scheduler.new_task("memory").non_persistent().with_simple_executor(ran.set).schedule()
        assert ran.wait(_LIMIT)
        scheduler.bind_store(MemoryStore(SystemClock()))
        task = scheduler.new_task("stored").with_simple_executor(lambda: None).schedule()
        _until(lambda: scheduler.get_task(task.id).status is TaskStatus.COMPLETED)
        assert {task.id, "task-purge"} == {one.id for one in scheduler.get_persistent_tasks()}
        scheduler.bind_store(None)
        assert scheduler.get_persistent_tasks() == []


def test_an_address_is_opened_at_its_first_use_and_closed_at_the_stop(tmp_path: Path) -> None:
    """
    And opened anew by the next use.
    """
    scheduler = Scheduler(store=f"sqlite:///{tmp_path}/x.db")
    task = scheduler.new_task("sample").schedule()
    scheduler.stop()

    assert scheduler.get_task(task.id) == task
    scheduler.bind_store(f"sqlite:///{tmp_path}/y.db")
    assert scheduler.get_persistent_tasks() == []
    scheduler.stop()


def test_nodes_of_one_host_take_different_names(tmp_path: Path) -> None:
    """
    Each the lowest that is free, so that it is the same again after a restart.
    """
    address = f"sqlite:///{tmp_path}/x.db"
    one, two = Scheduler(store=address), Scheduler(store=address)
    names = (one.node_id, two.node_id)
    one.stop()
    three = Scheduler(store=address)

    assert (f"{host_name()}-1", f"{host_name()}-2") == names
    assert three.node_id == names[0]
    for scheduler in (two, three):
        scheduler.stop()


def test_a_folder_that_cannot_be_written_gives_a_random_name(tmp_path: Path) -> None:
    """
    A node does not fail for its name.
    """
    blocker = tmp_path / "file"
    blocker.touch()
    names = {Scheduler(store=f"sqlite:///{tmp_path}/x.db", state_dir=blocker / "below").node_id for _ in range(2)}

    assert len(names) == 2


def test_wait_ends_with_the_stop() -> None:
    """
    For everyone who waits, in whatever thread; or with its own time-out.
    """
    scheduler = _in_memory()
    with scheduler, ThreadPoolExecutor(2) as pool:
        assert not scheduler.wait(timedelta(milliseconds=1))
        waiting = [pool.submit(scheduler.wait, timedelta(seconds=_LIMIT)) for _ in range(2)]
        _until(lambda: len(scheduler._bell._waiting) == 2)
        scheduler.stop()

        assert [True, True] == [one.result(_LIMIT) for one in waiting]


def test_wait_without_a_start_is_an_error() -> None:
    """
    Nothing would ever end it.
    """
    scheduler = _in_memory()

    with pytest.raises(SchedulerError, match="call start"):
        scheduler.wait(timedelta(seconds=_LIMIT))


def test_wait_after_the_stop_returns_at_once() -> None:
    """
    Until the next start.
    """
    scheduler = _in_memory()
    with scheduler:
        pass
    after = scheduler.wait(timedelta(seconds=_LIMIT))
    with scheduler:
        again = scheduler.wait(timedelta(milliseconds=1))

    assert (True, False) == (after, again)


def test_the_runs_under_way_are_counted() -> None:
    """
    Those of stored and of memory tasks.
    """
    scheduler, go = _in_memory(), Event()
    scheduler.new_task("stored").with_simple_executor(lambda: go.wait(_LIMIT)).schedule()
    scheduler.new_task("memory").non_persistent().with_simple_executor(lambda: go.wait(_LIMIT)).schedule()
    with scheduler:
        _until(lambda: scheduler.active_runs == 2)
        go.set()
        _until(lambda: scheduler.active_runs == 0)


def test_a_node_shows_its_address() -> None:
    """
    From its first heartbeat, and when it changes, and after it has started again.
    """
    scheduler = _in_memory()
    shown = []
    scheduler.advertise("http://127.0.0.1:1")
    with scheduler:
        shown.append(scheduler.nodes()[0].address)
        scheduler.advertise("http://127.0.0.1:2")
        _until(lambda: scheduler.nodes()[0].address == "http://127.0.0.1:2")
    with scheduler:
        shown.append(scheduler.nodes()[0].address)

    assert ["http://127.0.0.1:1", "http://127.0.0.1:2"] == shown


@pytest.mark.parametrize("use", [lambda one: one.start(), lambda one: one.find_tasks(), lambda one: one.node_id])
def test_a_missing_folder_is_not_made(tmp_path: Path, use: Callable[[Scheduler], Any]) -> None:
    """
    A word mistyped must not become a cluster of its own.
    """
    scheduler = Scheduler(store=f"sqlite:///{tmp_path}/typo/x.db")

    with pytest.raises(ConfigurationError, match="typo does not exist: make it, or name another file"):
        use(scheduler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_wait_ends_with_a_signal(number: signal.Signals) -> None:
    """
    In the main thread; the handlers from before are put back.
    """
    before = signal.getsignal(number)
    scheduler = Scheduler(store=None)
    scheduler.start()

    def send() -> None:
        _until(lambda: signal.getsignal(number) is not before)
        os.kill(os.getpid(), number)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        woken = scheduler.wait(timedelta(seconds=_LIMIT))
        sent.result(_LIMIT)
    scheduler.stop()

    assert woken
    assert signal.getsignal(number) is before


def test_a_signal_that_wakes_nobody_is_heard_all_the_same() -> None:
    """
    The system gave it to another thread, or it came right before the wait began: no call of the main thread breaks off.
    """
    before, main = signal.getsignal(signal.SIGTERM), get_ident()
    scheduler = Scheduler(store=None)
    scheduler.start()

    def send() -> None:
        _until(lambda: signal.getsignal(signal.SIGTERM) is not before)
        _until(lambda: sys._current_frames()[main].f_code.co_filename == waiting.__file__)
        signal.pthread_kill(get_ident(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        woken = scheduler.wait(timedelta(seconds=_LIMIT))
        sent.result(_LIMIT)
    scheduler.stop()

    assert woken


def test_a_clock_of_the_tests_own() -> None:
    """
    Dates come from it alone.
    """
    clock = SetClock(5_000)
    task = Scheduler(store=MemoryStore(clock), clock=clock).schedule_task(make_task())

    assert isinstance(task, Task)
    assert (5_000, 5_000) == (task.creation_date, task.next_scheduled_execution)


def test_recovery_can_be_asked_for() -> None:
    """
    Started or not, it answers at once.
    """
    scheduler = _in_memory()
    scheduler.recover_crashed_tasks()
    with scheduler:
        scheduler.recover_crashed_tasks()
