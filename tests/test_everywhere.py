"""
All-nodes tasks through the `Scheduler`: several of them on one store, in this process.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest

from tests.factories import NOW, make_heartbeat, make_task
from tests.service_kit import Kit, make_kit
from tests.waiting import eventually
from unomi_scheduler import InvalidTask, Scheduler, SystemClock, Task, TaskContext, TaskNotFound, TaskStatus, TaskStore
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.stores.sqlite import SqliteStore

_S = TaskStatus
MakeStore = Callable[[], TaskStore]


class Nodes:
    """
    Schedulers on one store that count the runs of the type `everyone`, by node id.
    """

    def __init__(self, make_store: MakeStore, stack: ExitStack) -> None:
        self._make_store = make_store
        self._stack = stack
        self._lock = Lock()
        self.runs: Counter[str] = Counter()
        self.hold = Event()
        self.hold.set()
        self.told: list[str] = []

    def start(self, name: str, **settings: Any) -> Scheduler:
        """
        Start one.
        """
        scheduler = self.make(name, **settings)
        self._stack.callback(scheduler.stop)
        scheduler.start()
        return scheduler

    def make(self, name: str, **settings: Any) -> Scheduler:
        """
        Return one that is not started.
        """
        own = {"node_id": name, "lease": "2s", "drain_timeout": "2s", "purge_enabled": False, **settings}
        scheduler = Scheduler(store=self._make_store(), **own)
        scheduler.executor("everyone")(self._body)
        scheduler.executor("plain")(self._body)
        return scheduler

    def _body(self, context: TaskContext) -> None:
        with self._lock:
            self.runs[f"{context.task.task_type} {context.node_id}"] += 1
        while not self.hold.is_set():
            if context.wait_cancelled(0.05):
                self.told.append(context.node_id)
                return

    def ran(self, *names: str, times: int = 1) -> None:
        """
        Return when each of these nodes has run it so often.
        """
        eventually(lambda: all(self.runs[f"everyone {name}"] >= times for name in names), f"{self.runs}")


@pytest.fixture(params=["memory", "sqlite"])
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nodes]:
    """
    Return schedulers on one store in memory, or one file.
    """
    shared = MemoryStore(SystemClock())

    def make_store() -> TaskStore:
        return shared if request.param == "memory" else SqliteStore(tmp_path / "tasks.db")

    with ExitStack() as stack:
        yield Nodes(make_store, stack)


def _everyone(scheduler: Scheduler, **definition: Any) -> Task:
    made = scheduler.create_task("everyone", id="all", **{"period": 200, **definition}, run_on_all_nodes=True)
    return scheduler.schedule_task(made)


@pytest.fixture
def kit() -> Kit:
    """
    Return a scheduler that is not started.
    """
    return make_kit()


def test_x14_every_node_runs_each_period(nodes: Nodes) -> None:
    """
    The one that is no executor node too, which runs nothing else.
    """
    anna = nodes.start("anna")
    nodes.start("berta")
    nodes.start("clara", executor_node=False)
    began = time.monotonic()
    _everyone(anna)
    anna.schedule_task(anna.create_task("plain", period=100))
    nodes.ran("anna", "berta", "clara", times=8)
    periods = (time.monotonic() - began) / 0.2
    runs = anna.node_runs("all")

    assert list(runs) == ["anna", "berta", "clara"]
    assert all(one.alive and one.success_count >= 7 and one.next_at for one in runs.values())
    assert max(nodes.runs[f"everyone {name}"] for name in ("anna", "berta", "clara")) <= periods + 2
    assert nodes.runs["plain clara"] == 0


def test_s7_a_node_that_is_no_executor_runs_only_what_is_for_all(nodes: Nodes) -> None:
    """
    Two recurring tasks, one for all nodes, and an exclusive run whose owner is in its document.

    Beyond the original, where a non-executor ran neither (design.md, the contract's hardened §13). Its lock is taken
    away from a task by an edit of the document there; S17 does so.
    """
    anna, berta = nodes.start("anna"), nodes.start("berta")
    nodes.start("clara", executor_node=False)
    _everyone(anna, period=100)
    anna.schedule_task(anna.create_task("plain", period=100))
    eventually(lambda: nodes.runs["plain anna"] + nodes.runs["plain berta"] >= 2, "the plain one ran")
    nodes.ran("anna", "berta", "clara", times=2)
    nodes.hold.clear()
    held = anna.schedule_task(anna.create_task("plain", id="held", allow_parallel_execution=False))
    running = eventually(lambda: _running(berta, held.id), "the exclusive one runs")
    nodes.hold.set()

    assert nodes.runs["plain clara"] == 0
    assert running.lock_owner in ("anna", "berta")
    assert running.lock_date is not None


def _running(scheduler: Scheduler, task_id: str) -> Task | None:
    task = scheduler.get_task(task_id)
    return task if task.status is _S.RUNNING else None


def test_a_late_joiner_waits_for_the_next_period(nodes: Nodes) -> None:
    """
    And does not run at all what has no period.
    """
    anna = nodes.start("anna")
    _everyone(anna, period=0)
    nodes.ran("anna")
    berta = nodes.start("berta")
    berta.schedule_task(berta.create_task("everyone", id="every-second", period=1_000, run_on_all_nodes=True))
    nodes.ran("berta", times=2)

    assert berta.node_runs("all")["berta"].status is None
    assert anna.get_task("all@anna").success_count == 1
    assert nodes.runs["everyone anna"] >= 2


def test_what_is_scheduled_before_the_start_runs_in_its_first_period(nodes: Nodes) -> None:
    """
    The process that scheduled it is no late joiner.
    """
    scheduler = nodes.make("anna")
    _everyone(scheduler, period=0)
    with scheduler:
        nodes.ran("anna")


def test_what_is_scheduled_between_a_stop_and_a_start_runs_too(nodes: Nodes) -> None:
    """
    The same, for the node that takes the place of the one that was stopped.
    """
    scheduler = nodes.start("anna")
    scheduler.stop()
    _everyone(scheduler, period=0)
    with scheduler:
        nodes.ran("anna")


def test_what_is_scheduled_in_a_store_that_is_being_bound_runs_there(tmp_path: Path) -> None:
    """
    The process uses it already, the node works in the former one still, which never hears of it.
    """
    here, there = (f"sqlite:///{tmp_path}/{name}.db" for name in ("here", "there"))
    ran: list[Task] = []
    scheduler = Scheduler(store=here, node_id="anna", state_dir=tmp_path / "state", purge_enabled=False)
    scheduler.executor("everyone")(lambda context: ran.append(context.task))
    with scheduler:
        scheduler._wiring.bind(there, prepare=lambda: _everyone(scheduler, period=0))
        eventually(lambda: ran, "it runs in the store that was bound")
        scheduler.bind_store(here)

        assert [one.id for one in ran] == ["all@anna"]
        assert scheduler.find_tasks(records=True).total_size == 0


def test_the_same_definition_in_two_stores_runs_in_each() -> None:
    """
    Scheduled in both before the node works in either: it is no late joiner in the one that is bound first, nor in the
    one that is bound again later.
    """
    here, there = MemoryStore(SystemClock()), MemoryStore(SystemClock())
    ran: list[Task] = []
    scheduler = Scheduler(store=here, node_id="anna", purge_enabled=False)
    scheduler.executor("everyone")(lambda context: ran.append(context.task))
    _everyone(scheduler, period=0)
    scheduler.bind_store(there)
    _everyone(scheduler, period=0)
    with scheduler:
        eventually(lambda: ran, "it runs in the store that is bound")
        scheduler.bind_store(here)
        eventually(lambda: len(ran) == 2, "it runs in the store that was bound first", within=10)

    assert {one.id for one in ran} == {"all@anna"}


def test_a_cancel_reaches_every_node(nodes: Nodes) -> None:
    """
    Running bodies are told, and records are cancelled. However short the period, no node begins one turn more for not
    having heard of it yet.
    """
    anna = nodes.start("anna")
    nodes.start("berta")
    nodes.hold.clear()
    _everyone(anna)
    nodes.ran("anna", "berta")
    anna.node_runs("all")
    assert anna.cancel_task("all")
    eventually(lambda: set(nodes.told) == {"anna", "berta"}, "both are told")
    eventually(lambda: _all_cancelled(anna), "both are cancelled and free")

    assert anna.get_task("all").status is _S.CANCELLED
    nodes.hold.set()
    assert nodes.runs == {"everyone anna": 1, "everyone berta": 1}


def _all_cancelled(scheduler: Scheduler) -> bool:
    records = [one for one in scheduler.find_tasks(records=True).list if one.id != "all"]
    free = [one for one in records if one.lock_owner is None and one.status is _S.CANCELLED]
    return len(free) == len(records) == 2


def test_a_deletion_leaves_nothing(nodes: Nodes) -> None:
    """
    Neither the definition nor a record, on whatever node.
    """
    anna = nodes.start("anna")
    berta = nodes.start("berta")
    _everyone(anna)
    nodes.ran("anna", "berta", times=2)
    berta.delete_task("all")

    with pytest.raises(TaskNotFound):
        anna.get_task("all")
    eventually(lambda: anna.find_tasks(records=True).total_size == 0, "no record is left")
    before = nodes.runs.total()
    _everyone(anna)
    eventually(lambda: nodes.runs.total() > before, "the new one of the id runs")


def test_memory_tasks_are_each_processs_own() -> None:
    """
    One that is for all nodes runs on a node that is no executor node as well; another one does not.
    """
    ran: list[str] = []
    scheduler = Scheduler(store=None, executor_node=False, node_id="anna")
    plain = scheduler.new_task("plain").non_persistent().with_simple_executor(lambda: ran.append("plain")).schedule()
    builder = scheduler.new_task("mine").non_persistent().run_on_all_nodes().with_period(50)
    mine = builder.with_simple_executor(lambda: ran.append("mine")).schedule()
    with scheduler:
        eventually(lambda: len(ran) > 3, "it runs")
        runs = scheduler.node_runs(mine.id)

    assert set(ran) == {"mine"}
    assert scheduler.get_task(plain.id).status is _S.SCHEDULED
    assert (list(runs), runs["anna"].alive) == (["anna"], True)
    assert runs["anna"].success_count >= 1


def _record(node_id: str, **over: Any) -> Task:
    fields = {"run_on_all_nodes": True, "all_nodes_of": "all", "all_nodes_period": NOW, "on_nodes": (node_id,)}
    return make_task(id=f"all@{node_id}", **{**fields, **over})


def test_lists_leave_records_out(kit: Kit) -> None:
    """
    Unless they are asked for; the definition shows its next period, which nobody writes down.
    """
    kit.put(
        make_task(id="all", run_on_all_nodes=True, period=1_000, next_scheduled_execution=NOW - 5_300),
        _record("a"), _record("b"),
    )  # fmt: skip
    scheduler = kit.scheduler

    assert [one.id for one in scheduler.find_tasks().list] == ["all"]
    assert [one.id for one in scheduler.get_all_tasks()] == ["all"]
    assert [one.id for one in scheduler.find_tasks(records=True, sort_by="id").list] == ["all", "all@a", "all@b"]
    assert scheduler.get_task("all").next_scheduled_execution == NOW + 700
    assert scheduler.find_tasks().list[0].next_scheduled_execution == NOW + 700


def test_each_nodes_outcome_is_told(kit: Kit) -> None:
    """
    By mapping and in sentences: who ran, how, who comes next, who is gone.
    """
    beats = [make_heartbeat(node_id=name, task_types=("sample",)) for name in ("a", "b", "new")]
    kit.store.write([Write(Action.CREATE, beat) for beat in (*beats, make_heartbeat(node_id="other"))])
    kit.put(
        make_task(id="all", run_on_all_nodes=True, period=1_000, next_scheduled_execution=NOW - 5_300),
        _record("a", status=_S.COMPLETED, success_count=3, last_execution_date=NOW),
        _record("b", failure_count=1, last_error="boom", next_scheduled_execution=NOW + 60_000),
        _record("gone", status=_S.FAILED, failure_count=1, last_error="node failure"),
    )
    runs = kit.scheduler.node_runs("all")
    explained = kit.scheduler.explain("all")

    assert [(name, one.status, one.next_at, one.alive) for name, one in runs.items()] == [
        ("a", _S.COMPLETED, NOW + 700, True),
        ("b", _S.SCHEDULED, NOW + 60_000, True),
        ("gone", _S.FAILED, None, False),
        ("new", None, NOW + 700, True),
    ]
    began, coming = "2025-06-15T15:06:40.000Z", "2025-06-15T15:06:40.700Z"
    assert explained == (
        "runs on all nodes in each period of 1000 MILLISECONDS, by a run record on each",
        f"on node a: COMPLETED in the period of {began}, last run ended at {began}, next at {coming}",
        f"on node b: SCHEDULED in the period of {began}, last error: boom, next at 2025-06-15T15:07:40.000Z",
        f"on node gone: FAILED in the period of {began}, last error: node failure, does not take part now",
        f"on node new: has not run yet, next at {coming}",
    )


def test_only_such_a_task_has_a_run_for_each_node(kit: Kit) -> None:
    """
    Another one is told apart from an id that nobody has.
    """
    kit.put(make_task(id="one"))
    with pytest.raises(InvalidTask, match="does not run on all nodes"):
        kit.scheduler.node_runs("one")
    with pytest.raises(TaskNotFound):
        kit.scheduler.node_runs("none")


def test_cancel_and_delete_work_without_a_node(kit: Kit) -> None:
    """
    What is open is cancelled with the definition, what has ended keeps its outcome; a deletion takes all.
    """
    kit.put(
        make_task(id="all", run_on_all_nodes=True, period=1_000, next_scheduled_execution=NOW),
        _record("a", status=_S.COMPLETED),
        _record("b", status=_S.CRASHED),
    )
    kit.scheduler.cancel_task("all")
    after = [one.status for one in kit.scheduler.find_tasks(records=True, sort_by="id").list]
    kit.scheduler.delete_task("all")

    assert after == [_S.CANCELLED, _S.COMPLETED, _S.CANCELLED]
    assert kit.scheduler.find_tasks(records=True).total_size == 0


def test_s16_the_builders_words_are_in_the_task(kit: Kit) -> None:
    """
    Parameters, initial delay, period, fixed delay, memory, all nodes.
    """
    builder = kit.scheduler.new_task("sample").with_parameters({"a": 1}).with_initial_delay(100, "MILLISECONDS")
    builder.with_period(200, "MILLISECONDS").with_fixed_delay().non_persistent().run_on_all_nodes()
    task = builder.schedule()

    assert (task.parameters, task.initial_delay_millis, task.period_millis) == ({"a": 1}, 100, 200)
    assert (task.fixed_rate, task.persistent, task.run_on_all_nodes) == (False, False, True)
    assert task.allow_parallel_execution


def test_a_definition_that_others_wait_for_gets_no_period(kit: Kit) -> None:
    """
    It would never be done; one that nobody waits for may have one.
    """
    for name in ("all", "alone"):
        kit.scheduler.new_task("sample").with_id(name).run_on_all_nodes().schedule()
    kit.scheduler.new_task("sample").with_id("after").with_dependencies("all").schedule()
    kit.scheduler.update_task_config("alone", period=1_000)

    with pytest.raises(InvalidTask, match="expected none for all, as after may wait for it"):
        kit.scheduler.update_task_config("all", period=1_000)
