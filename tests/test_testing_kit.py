"""
The public test kit: the page that describes it, and what it promises beyond the page.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import unomi_scheduler.testing as kit
from unomi_scheduler import Callback, Scheduler, SchedulerError, Task, TaskContext, TaskStatus
from unomi_scheduler.errors import ConfigurationError, StoreRefused, StoreUnavailable
from unomi_scheduler.node.context import AsyncTaskContext
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.testing import NOW, Fault, FaultyStore, ManualNode, RunOutcome, SettableClock, a_task

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "testing-your-tasks.md"
HOUR = timedelta(hours=1)
PLUGIN = "unomi_scheduler.testing.pytest_plugin"


@pytest.fixture
def scheduler() -> Scheduler:
    """
    A scheduler with three executors.
    """
    made = Scheduler(store=None)
    made.register_executor(_function("good", lambda: None))
    made.register_executor(_function("bad", _boom))
    return made


@pytest.fixture
def node(scheduler: Scheduler) -> Iterator[ManualNode]:
    """
    A manual node for it.
    """
    with ManualNode(scheduler) as made:
        yield made


def _function(name: str, body: Callable[..., object]) -> Any:
    from unomi_scheduler import FunctionExecutor  # noqa: PLC0415 - only here

    return FunctionExecutor(name, body)


def _boom() -> None:
    raise RuntimeError("boom")


def _pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Not found by its entry point: an installation of this tree may be older than it, or name it a second time.
    places = [str(ROOT), str(ROOT / "rest"), str(ROOT / "shell"), str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


# --- the page


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    """
    Its application, and all of its tests as one file.
    """
    app, *tests = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "myapp.py").write_text(app)
    (tmp_path / "test_myapp.py").write_text("\n\n".join(tests))

    done = _pytest(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(block.count('def test_') for block in tests)} passed" in done.stdout
    assert not list(tmp_path.glob("*.db*"))


def test_a_run_that_does_not_use_the_plugin_pays_for_one_module(tmp_path: Path) -> None:
    """
    Neither the scheduler nor its libraries are loaded for other people's tests.
    """
    (tmp_path / "test_other.py").write_text(
        "import sys\n\n\ndef test_other():\n"
        "    ours = sorted(name for name in sys.modules if name.startswith('unomi'))\n"
        f"    assert ours == ['unomi_scheduler', 'unomi_scheduler.testing', {PLUGIN!r}]\n"
        "    assert not {'pydantic', 'apscheduler', 'elasticsearch'} & set(sys.modules)\n"
    )

    done = _pytest(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plugin_is_named_for_pytest() -> None:
    """
    The entry point is declared, and names the module.
    """
    import tomllib  # noqa: PLC0415 - only here

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["pytest11"] == {"unomi_scheduler": PLUGIN}


@pytest.mark.parametrize("name", kit.__all__)
def test_every_name_can_be_used(name: str) -> None:
    """
    It is there, in order, and listed once.
    """
    assert getattr(kit, name) is not None
    assert name in dir(kit)
    assert sorted(set(kit.__all__), key=lambda one: (not one.isupper(), one)) == kit.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """
    As of any module.
    """
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = kit.nonsense


# --- the node


def test_nothing_happens_by_itself(node: ManualNode, scheduler: Scheduler) -> None:
    """
    No thread is started, and a due task stays due until the node is told to.
    """
    before = threading.active_count()
    task = scheduler.new_task("good").schedule()

    assert scheduler.get_task(task.id).status is TaskStatus.SCHEDULED
    run = node.tick()

    assert run is not None
    assert (run.task_id, run.type, run.outcome) == (task.id, "good", "succeeded")
    assert threading.active_count() == before
    assert node.tick() is None


def test_a_day_of_an_hourly_task_is_24_runs_at_the_full_hours(node: ManualNode, scheduler: Scheduler) -> None:
    """
    Each at the moment at which it is due, however far time moves at once.
    """
    scheduler.new_task("good").with_period(1, "HOURS").schedule()
    node.run_due()

    runs = node.advance(timedelta(days=1))

    start = datetime.fromtimestamp(NOW / 1000, UTC)
    assert [run.at for run in runs] == [start + number * HOUR for number in range(1, 25)]
    assert node.clock.date == start + timedelta(days=1)


def test_memory_tasks_and_all_nodes_tasks_keep_their_periods(node: ManualNode, scheduler: Scheduler) -> None:
    """
    What has no due date in the store is executed in time, too.
    """
    scheduler.new_task("good").non_persistent().with_period(10, "MINUTES").schedule()
    scheduler.new_task("good").run_on_all_nodes().with_period(30, "MINUTES").schedule()
    node.run_due()

    runs = node.advance(HOUR)

    assert sum(run.task.persistent for run in runs) == 2
    assert sum(not run.task.persistent for run in runs) == 6


def test_the_same_test_has_the_same_ids(scheduler: Scheduler) -> None:
    """
    Claims and jitter come from numbers that are the same each time.
    """
    claims = []
    for _ in range(2):
        with ManualNode(scheduler) as node:
            scheduler.new_task("bad").with_id("one").schedule()
            claims.append([(run.task.claim_id, run.at) for run in node.drain()])

    assert len(claims[0]) == 4
    assert claims[0] == claims[1]


def test_afterwards_the_scheduler_is_as_before(scheduler: Scheduler) -> None:
    """
    Its settings, tasks and counters are its own again, also after a failing test.
    """
    before = dict(vars(scheduler))
    with pytest.raises(ZeroDivisionError), ManualNode(scheduler):
        _ = scheduler.new_task("good").non_persistent().schedule().max_retries / 0

    assert vars(scheduler) == before
    assert scheduler.get_all_tasks() == []
    assert not scheduler.running


def test_what_takes_no_manual_node_is_told() -> None:
    """
    A scheduler that runs, a node outside of its block, and a store that is bound meanwhile.
    """
    with Scheduler(store=None) as running, pytest.raises(SchedulerError, match="stop"):
        ManualNode(running).__enter__()
    with pytest.raises(SchedulerError, match="outside"):
        ManualNode().tick()
    with ManualNode() as node, pytest.raises(ConfigurationError, match="keeps its store"):
        node.scheduler.bind_store("memory://")


def test_a_failure_can_be_raised(scheduler: Scheduler) -> None:
    """
    Once it is written: the task is in its retry.
    """
    with ManualNode(scheduler, raise_failures=True) as node:
        task = scheduler.new_task("bad").schedule()
        with pytest.raises(RuntimeError, match="boom"):
            node.run_due()
        assert scheduler.get_task(task.id).failure_count == 1


def test_what_is_meant_for_the_test_ends_it(node: ManualNode, scheduler: Scheduler) -> None:
    """
    What pytest.fail raises in a body is no failure of the task alone.
    """
    scheduler.register_executor(_function("picky", lambda: pytest.fail("seen")))
    scheduler.new_task("picky").schedule()

    with pytest.raises(pytest.fail.Exception, match="seen"):
        node.run_due()


def test_a_wait_in_a_body_moves_the_clock(node: ManualNode, scheduler: Scheduler) -> None:
    """
    In both kinds of functions, and the lease is kept meanwhile.
    """

    def sync(context: TaskContext) -> None:
        assert not context.wait_cancelled(900)
        context.save_checkpoint({"waited": True})

    async def not_sync(context: AsyncTaskContext) -> None:
        assert not await context.wait_cancelled(900)
        await context.save_checkpoint({"waited": True})

    for name, body in (("sync", sync), ("async", not_sync)):
        scheduler.register_executor(_function(name, body))
        scheduler.new_task(name).schedule()
        (run,) = node.run_due()
        assert (run.outcome, run.duration) == ("succeeded", timedelta(minutes=15))


def test_a_wait_for_nobody_is_told(node: ManualNode, scheduler: Scheduler) -> None:
    """
    The body fails; the test does not hang.
    """
    scheduler.register_executor(_function("forever", lambda context: context.wait_cancelled()))
    scheduler.new_task("forever").schedule()

    (run,) = node.run_due()

    assert run.outcome is RunOutcome.FAILED
    assert "nobody else acts" in str(run.error)


def test_an_async_body_runs_inside_an_event_loop_too(node: ManualNode, scheduler: Scheduler) -> None:
    """
    A test that is a coroutine can tell the node to go on.
    """

    async def body() -> None:
        await asyncio.sleep(0)

    async def test() -> list[kit.Run]:
        return node.run_due()

    scheduler.register_executor(_function("async", body))
    scheduler.new_task("async").schedule()

    assert [run.outcome for run in asyncio.run(test())] == ["succeeded"]


class Late:
    """
    An object executor that calls back when somebody else does.
    """

    task_type = "late"

    def __init__(self) -> None:
        self.callbacks: list[Callback] = []

    def execute(self, task: Task, callback: Callback) -> None:
        """
        Keep the callback.
        """
        self.callbacks.append(callback)

    def can_resume(self, task: Task) -> bool:
        """
        Never.
        """
        return False

    def resume(self, task: Task, callback: Callback) -> None:
        """
        Never.
        """


def test_an_object_executor_may_call_back_later(node: ManualNode, scheduler: Scheduler) -> None:
    """
    Its run is unfinished until then, and fails once the time for it is over.
    """
    late = Late()
    scheduler.register_executor(late)
    tasks = [scheduler.new_task("late").as_one_shot().with_max_retries(0).schedule() for _ in range(2)]

    assert [run.outcome for run in node.run_due()] == ["unfinished"] * 2
    late.callbacks[0].complete()
    node.advance(timedelta(hours=2))

    assert {scheduler.get_task(task.id).status for task in tasks} == {TaskStatus.COMPLETED, TaskStatus.FAILED}


def test_a_crash_takes_the_memory_tasks(node: ManualNode, scheduler: Scheduler) -> None:
    """
    And leaves the stored ones, which the restarted node goes on with.
    """
    scheduler.new_task("good").non_persistent().with_period(1, "HOURS").schedule()
    stored = scheduler.new_task("good").schedule()
    node.crash()

    assert [run.task_id for run in node.run_due()] == [stored.id]
    assert scheduler.get_memory_tasks() == []


def test_a_stop_gives_back_what_has_not_begun(node: ManualNode, scheduler: Scheduler) -> None:
    """
    A program's own stop and start work, and the tasks go on.
    """
    task = scheduler.new_task("good").schedule()
    scheduler.stop()
    with pytest.raises(SchedulerError, match="stopped"):
        node.tick()
    scheduler.start()

    assert [run.task_id for run in node.run_due()] == [task.id]


def test_a_task_that_schedules_itself_is_told(node: ManualNode, scheduler: Scheduler, monkeypatch: Any) -> None:
    """
    The test ends with a sentence, not never.
    """
    monkeypatch.setattr("unomi_scheduler.testing.node.MOST_RUNS", 5)
    scheduler.register_executor(_function("again", lambda: scheduler.new_task("again").schedule()))
    scheduler.new_task("again").schedule()

    with pytest.raises(SchedulerError, match="More than 5 runs"):
        node.run_due()


def test_what_the_store_refused_is_done_a_little_later(scheduler: Scheduler) -> None:
    """
    As soon as the node tries again, not at the end of the time that passes.
    """
    clock = SettableClock()
    store = FaultyStore(MemoryStore(clock), clock=clock)
    with ManualNode(scheduler, clock=clock, store=store) as node:
        scheduler.new_task("good").schedule()
        store.faults.extend([Fault.REFUSED] * 3)
        assert node.run_due() == []

        (run,) = node.advance(HOUR)

    assert run.at < datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(seconds=30)


def test_a_task_that_nobody_here_may_run_stops_no_time(node: ManualNode, scheduler: Scheduler) -> None:
    """
    Without an executor, or meant for other nodes: a month passes at once.
    """
    scheduler.new_task("unknown").schedule()
    scheduler.new_task("good").on_tags("gpu").schedule()

    assert node.advance(timedelta(days=30)) == []
    assert node.clock.date == datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(days=30)


def test_a_setting_may_be_another_for_the_test(scheduler: Scheduler) -> None:
    """
    And is its own again afterwards.
    """
    with ManualNode(scheduler, tags=("gpu",), node_id="with-gpu") as node:
        scheduler.new_task("good").on_tags("gpu").schedule()
        assert len(node.run_due()) == 1
        assert scheduler.node_id == "with-gpu"
    assert scheduler.settings.tags == ()


def test_expectations_say_what_there_is(node: ManualNode, scheduler: Scheduler) -> None:
    """
    What was asked, and what is scheduled instead.
    """
    scheduler.new_task("good").with_parameters({"n": 1, "more": True}).with_initial_delay(1, "HOURS").schedule()

    task = node.assert_scheduled("good", parameters={"n": 1}, at=node.clock.date + HOUR, count=1)
    assert task.parameters["more"]
    with pytest.raises(AssertionError, match=r"type 'good', parameters \{'n': 2\}, found 0(.|\n)*'more': True"):
        node.assert_scheduled("good", parameters={"n": 2})
    with pytest.raises(AssertionError, match="2 scheduled tasks"):
        node.assert_scheduled("good", count=2)
    with pytest.raises(AssertionError, match="no scheduled task"):
        node.assert_not_scheduled("good")
    with pytest.raises(AssertionError, match="any type, found 0"):
        _drained(node).assert_scheduled()


def _drained(node: ManualNode) -> ManualNode:
    node.drain()
    return node


# --- clock and store


def test_the_clock_moves_only_when_told() -> None:
    """
    Forwards with both times, to a date with the wall clock alone.
    """
    clock = SettableClock(datetime(2026, 1, 1, tzinfo=UTC))
    began = clock.now()
    clock.advance(timedelta(seconds=2))
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))

    assert clock.now().boot - began.boot == 2_000
    assert clock.date == datetime(2025, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="not negative"):
        clock.advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="time zone"):
        SettableClock(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


def test_a_store_fails_as_it_is_told() -> None:
    """
    Refused, lost before or behind the write, late, or down; and it counts.
    """
    clock = SettableClock()
    store = FaultyStore(
        MemoryStore(clock), Fault.REFUSED, Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.DELAYED, clock=clock
    )
    scheduler = Scheduler(store=store, clock=clock)
    with pytest.raises(StoreRefused):
        scheduler.schedule_task(a_task(id="refused"))
    kept = scheduler.schedule_task(a_task(id="kept"))

    assert clock.wall == NOW + 1_000
    assert [task.id for task in scheduler.get_all_tasks()] == [kept.id]
    assert {fault: store.counts[fault] for fault in Fault if fault is not Fault.NONE} == dict.fromkeys(
        (Fault.REFUSED, Fault.LOST_REQUEST, Fault.LOST_ANSWER, Fault.DELAYED), 1
    )
    store.read_faults.append(Fault.REFUSED)
    with pytest.raises(StoreRefused):
        scheduler.get_task("kept")
    store.down = True
    with pytest.raises(StoreUnavailable):
        scheduler.get_task("kept")


def test_a_delay_needs_a_clock() -> None:
    """
    Without one there is nothing that could pass.
    """
    store = FaultyStore(MemoryStore(SettableClock()), Fault.DELAYED)

    with pytest.raises(ValueError, match="clock"):
        Scheduler(store=store).schedule_task(a_task())
