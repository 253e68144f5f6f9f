"""
Binding and unbinding the store of a scheduler that runs: on the memory store and on SQLite (scenarios S26, S27, S28).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest

from tests.factories import make_heartbeat
from tests.lossy_store import Fault, LossyStore
from tests.waiting import eventually, told
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.errors import ConfigurationError, LeaseLost, StoreUnavailable
from unomi_scheduler.model import Task, TaskStatus
from unomi_scheduler.node.context import TaskContext
from unomi_scheduler.node.workers import Workers
from unomi_scheduler.ports import Action, Outcome, Result, Write
from unomi_scheduler.service import Scheduler
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.stores.opening import open_store

LIMIT = 20.0
LEASE = 2.0
Address = Callable[[], str]


@pytest.fixture(params=["memory", "sqlite"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """
    Return a function that gives the address of a new store each time.
    """
    if request.param == "memory":
        return lambda: f"memory://{uuid4().hex}"
    return lambda: f"sqlite:///{tmp_path}/{uuid4().hex}.db"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Scheduler]]:
    """
    Return a function that makes schedulers; what still runs at the end is stopped.
    """
    made: list[Scheduler] = []

    def one(**settings: Any) -> Scheduler:
        quick = {"lease": f"{LEASE}s", "drain_timeout": "1s", "purge_enabled": False, "poll_interval": "100ms"}
        scheduler = Scheduler(**{**quick, "state_dir": tmp_path / "state", "node_id": "node-a", **settings})
        made.append(scheduler)
        return scheduler

    yield one
    for scheduler in made:
        scheduler.stop(timedelta(seconds=1))


class Body:
    """
    The executor of the type `long`: each run says that it has begun and waits until it is told, or only for `gate`.
    """

    def __init__(self, scheduler: Scheduler, *, stubborn: bool = False) -> None:
        self.begun = Event()
        self.gate = Event()
        self.returned = Event()
        self.refused = Event()
        self.runs = 0
        self._stubborn = stubborn
        scheduler.executor("long")(self._run)

    def _run(self, context: TaskContext) -> None:
        self.runs += 1
        self.begun.set()
        try:
            if self._stubborn:
                self.gate.wait(LIMIT)
            elif context.wait_cancelled(LIMIT):
                context.save_checkpoint({"n": 1})
        except LeaseLost:
            self.refused.set()
            raise
        finally:
            self.returned.set()


def status(store: str, task_id: str) -> Task:
    """
    Return a task as it stands in a store.
    """
    (found,) = open_store(store, clock=SystemClock()).tasks([task_id])
    assert found is not None
    assert isinstance(found.record, Task)
    return found.record


def heartbeats(store: str) -> list[str]:
    """
    Return the ids of the nodes that beat in a store, or did.
    """
    return [one.record.node_id for one in open_store(store, clock=SystemClock()).heartbeats()]


def runs_one(scheduler: Scheduler, task_id: str) -> Task:
    """
    Schedule a task and return it once it is completed.
    """
    scheduler.new_task("short").with_id(task_id).with_simple_executor(lambda: None).schedule()

    def completed() -> Task | None:
        task = scheduler.get_task(task_id)
        return task if task.status is TaskStatus.COMPLETED else None

    return eventually(completed, f"{task_id} is not completed", LIMIT)


# --- the scenarios


def test_s26_without_a_store_only_memory_tasks_run(make: Callable[..., Scheduler]) -> None:
    """
    A memory task completes, the lists are empty without an error, and a stored task is refused with what to do.
    """
    scheduler, ran = make(store=None), Event()
    with scheduler:
        task = scheduler.new_task("memory").non_persistent().with_simple_executor(ran.set).schedule()
        assert ran.wait(LIMIT)
        eventually(lambda: scheduler.get_task(task.id).status is TaskStatus.COMPLETED, "not completed", LIMIT)

        assert ([], []) == (scheduler.get_persistent_tasks(), scheduler.nodes())
        assert [task.id] == [one.id for one in scheduler.get_all_tasks()]
        assert 1 == scheduler.find_tasks().total_size
        assert scheduler.clock_trusted
        with pytest.raises(ConfigurationError, match=r"No store is bound.*bind_store"):
            scheduler.new_task("stored").with_simple_executor(ran.set).schedule()
        with pytest.raises(ConfigurationError, match="No store is bound"):
            scheduler.schedule_many([scheduler.create_task("stored")])


def test_s27_a_store_may_come_late_and_go(make: Callable[..., Scheduler], address: Address) -> None:
    """
    Bound: a stored task runs, is completed and listed. Unbound: the list is empty, without an error.
    """
    store = address()
    with make(store=None) as scheduler:
        scheduler.bind_store(store)
        task = runs_one(scheduler, "one")
        assert ["one"] == [one.id for one in scheduler.get_persistent_tasks()]
        assert ["node-a"] == [node.node_id for node in scheduler.nodes()]
        scheduler.bind_store(None)

        assert ([], []) == (scheduler.get_persistent_tasks(), scheduler.nodes())
        assert 0 == scheduler.find_tasks().total_size
        assert [] == heartbeats(store)
        assert task == status(store, "one")
        with pytest.raises(ConfigurationError, match="No store is bound"):
            scheduler.new_task("stored").with_simple_executor(lambda: None).schedule()


def test_s28_three_threads_bind_and_unbind(make: Callable[..., Scheduler], address: Address) -> None:
    """
    Three stores at once, with readers beside: all finish, and then one store is bound, beats and works as it should.
    """
    stores = [address() for _ in range(3)]
    with make(store=None) as scheduler:

        def turn(store: str) -> None:
            for _ in range(5):
                scheduler.bind_store(store)
                scheduler.get_persistent_tasks()
                scheduler.bind_store(None)

        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(turn, store) for store in stores]:
                done.result(2 * LIMIT)
        assert [] == scheduler.get_persistent_tasks()
        assert [[]] * 3 == [heartbeats(store) for store in stores]
        scheduler.bind_store(stores[1])
        task = runs_one(scheduler, "after")

        assert task == status(stores[1], "after")
        assert [[], ["node-a"], []] == [heartbeats(store) for store in stores]


# --- with runs in flight


def test_runs_in_flight_are_told_and_go_on_elsewhere(make: Callable[..., Scheduler], address: Address) -> None:
    """
    As with a lost lease: the body's writes are refused, its task is crashed, free and uncounted, and memory tasks see
    nothing of it.
    """
    store = address()
    scheduler, ticks = make(store=store), []
    body, gate, going = Body(scheduler), Event(), Event()

    def stay(context: TaskContext) -> None:
        going.set()
        while not gate.is_set():
            ticks.append(context.cancelled)
            gate.wait(0.01)

    scheduler.executor("stay")(stay)
    with scheduler:
        memory = scheduler.new_task("stay").non_persistent().schedule()
        scheduler.new_task("long").with_id("one").schedule()
        assert body.begun.wait(LIMIT)
        assert going.wait(LIMIT)
        scheduler.bind_store(None)
        left = status(store, "one")
        gate.set()
        eventually(lambda: scheduler.get_task(memory.id).status is TaskStatus.COMPLETED, "not completed", LIMIT)

        assert body.refused.is_set()
        assert (TaskStatus.CRASHED, None, 0) == (left.status, left.lock_owner, left.crash_count)
        assert [] == heartbeats(store)
        assert not any(ticks)
        scheduler.bind_store(store)
        eventually(lambda: body.runs == 2, "it does not go on", LIMIT)


def test_from_one_store_to_another(make: Callable[..., Scheduler], address: Address) -> None:
    """
    Each has its own tasks, and the node beats in one of them.
    """
    first, second = address(), address()
    with make(store=first) as scheduler:
        runs_one(scheduler, "one")
        scheduler.bind_store(second)
        runs_one(scheduler, "two")

        assert ["two"] == [one.id for one in scheduler.get_persistent_tasks()]
        assert ([], ["node-a"]) == (heartbeats(first), heartbeats(second))


@pytest.mark.parametrize("moves", ["while it is stopped", "before the start", "while it runs, then a new start"])
def test_what_a_memory_task_waits_for_is_not_taken_for_deleted(
    make: Callable[..., Scheduler], address: Address, moves: str
) -> None:
    """
    The other store never had it, so its absence there says nothing; once it is there, its end counts.
    """
    first, second = address(), address()
    scheduler = make(store=first)
    scheduler.executor("short")(lambda _: None)
    scheduler.new_task("short").with_id("far").with_initial_delay(timedelta(hours=1)).schedule()
    near = scheduler.new_task("short").non_persistent().with_dependencies("far").schedule()
    if moves != "before the start":
        scheduler.start()
    if moves == "while it runs, then a new start":
        scheduler.bind_store(second)
    scheduler.stop()
    if moves != "while it runs, then a new start":
        scheduler.bind_store(second)
    with scheduler:
        reads = _reads_of(scheduler, "far")
        eventually(lambda: len(reads) >= 2, "it is not looked for", LIMIT)
        assert TaskStatus.WAITING is scheduler.get_task(near.id).status
        runs_one(scheduler, "far")
        eventually(lambda: scheduler.get_task(near.id).status is TaskStatus.COMPLETED, "not completed", LIMIT)


def _reads_of(scheduler: Scheduler, task_id: str) -> list[Sequence[str]]:
    store, reads = scheduler._wiring.required_store(), []
    read = store.tasks

    def noted(ids: Sequence[str]) -> Any:
        found = read(ids)
        if task_id in ids:
            reads.append(ids)
        return found

    store.tasks = noted  # type: ignore[method-assign]
    return reads


def test_a_body_that_does_not_return_keeps_its_task_and_its_heartbeat(
    make: Callable[..., Scheduler], address: Address, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Binding does not wait for it for ever; a peer does not begin its task; its end goes to the store it came from.
    """
    first, second = address(), address()
    scheduler, peer = make(store=first), make(store=first, node_id="node-b")
    body, other = Body(scheduler, stubborn=True), Body(peer)
    with scheduler:
        scheduler.new_task("long").with_id("one").schedule()
        assert body.begun.wait(LIMIT)
        with peer:
            scheduler.bind_store(second)
            assert 1 == len(told(caplog, "store_left_behind"))
            runs_one(scheduler, "two")
            eventually(lambda: _beats(first, "node-a") >= 5, "its heartbeat has stopped", LIMIT)
            assert TaskStatus.RUNNING is status(first, "one").status
            assert {"node-a": (), "node-b": ("long",)} == {node.node_id: node.task_types for node in peer.nodes()}
            body.gate.set()
            eventually(lambda: status(first, "one").status is TaskStatus.COMPLETED, "its end is not written", LIMIT)
            eventually(lambda: heartbeats(first) == ["node-b"], "its heartbeat is left", LIMIT)

        assert (1, 0) == (body.runs, other.runs)
        assert ["node-a"] == heartbeats(second)


def _beats(store: str, node_id: str) -> int:
    found = open_store(store, clock=SystemClock()).heartbeats()
    return next((one.record.counter for one in found if one.record.node_id == node_id), 0)


def test_back_to_a_store_that_still_has_a_body(make: Callable[..., Scheduler], address: Address) -> None:
    """
    The node works in it beside its own former incarnation, which is no other process under its id.
    """
    store = address()
    scheduler = make(store=store)
    body = Body(scheduler, stubborn=True)
    with scheduler:
        scheduler.new_task("long").with_id("one").schedule()
        assert body.begun.wait(LIMIT)
        scheduler.bind_store(None)
        scheduler.bind_store(store)
        runs_one(scheduler, "two")
        assert ["node-a", "node-a"] == heartbeats(store)
        body.gate.set()
        eventually(lambda: heartbeats(store) == ["node-a"], "two incarnations", LIMIT)

        assert TaskStatus.COMPLETED is status(store, "one").status
        assert 1 == body.runs
        runs_one(scheduler, "three")


def test_stop_waits_for_what_was_left_behind(make: Callable[..., Scheduler], address: Address) -> None:
    """
    And a stop that does not wait keeps the heartbeat, as in a store that is bound (P18).
    """
    store = address()
    scheduler = make(store=store)
    body = Body(scheduler, stubborn=True)
    scheduler.start()
    scheduler.new_task("long").with_id("one").schedule()
    assert body.begun.wait(LIMIT)
    scheduler.bind_store(None)
    scheduler.stop(timedelta(0))
    running = [scheduler.running]
    assert ["node-a"] == heartbeats(store)
    body.gate.set()
    scheduler.stop()
    running.append(scheduler.running)

    assert [True, False] == running
    assert TaskStatus.COMPLETED is status(store, "one").status
    assert [] == heartbeats(store)


def test_a_body_may_unbind_its_own_store(make: Callable[..., Scheduler], address: Address) -> None:
    """
    It waits for itself, and not for ever.
    """
    store = address()
    scheduler, done = make(store=store), Event()

    @scheduler.executor("self")
    def unbind(context: TaskContext) -> None:
        scheduler.bind_store(None)
        done.set()

    with scheduler:
        scheduler.new_task("self").with_id("one").schedule()
        assert done.wait(LIMIT)
        eventually(lambda: status(store, "one").status is TaskStatus.COMPLETED, "its end is not written", LIMIT)
        eventually(lambda: heartbeats(store) == [], "its heartbeat is left", LIMIT)


class Breakable(MemoryStore):
    """
    A store, and its lanes, that answer no write while it is broken, or none of a task.
    """

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.broken = Event()
        self.takes_no_tasks = Event()

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """
        Write, or give no answer.
        """
        has_tasks = any(isinstance(write.record, Task) for write in writes)
        if self.broken.is_set() or (has_tasks and self.takes_no_tasks.is_set()):
            return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * len(writes)
        return super().write(writes)


def test_the_end_of_a_former_lease_is_nothing_to_the_other_store(
    make: Callable[..., Scheduler], caplog: pytest.LogCaptureFixture
) -> None:
    """
    What runs under a lease that is held goes on.
    """
    first, second = Breakable(), MemoryStore(SystemClock())
    scheduler = make(store=first)
    stubborn = Body(scheduler, stubborn=True)
    with scheduler:
        scheduler.new_task("long").with_id("one").schedule()
        assert stubborn.begun.wait(LIMIT)
        scheduler.bind_store(second)
        body = Body(scheduler)
        scheduler.new_task("long").with_id("two").schedule()
        assert body.begun.wait(LIMIT)
        first.broken.set()
        eventually(lambda: told(caplog, "lease_lapsed"), "the lease does not end", LIMIT)
        runs_one(scheduler, "three")

        assert not body.returned.is_set()
        first.broken.clear()
        stubborn.gate.set()


def test_a_former_heartbeat_that_is_declared_dead_is_not_renewed(
    make: Callable[..., Scheduler], caplog: pytest.LogCaptureFixture
) -> None:
    """
    The node takes no new incarnation in a store that it has left (P8).
    """
    store = MemoryStore(SystemClock())
    scheduler = make(store=store)
    body = Body(scheduler, stubborn=True)
    with scheduler:
        scheduler.new_task("long").with_id("one").schedule()
        assert body.begun.wait(LIMIT)
        scheduler.bind_store(None)

        def marked() -> bool:
            (found,) = store.heartbeats()
            write = Write(Action.REPLACE, replace(found.record, dead_by="node-b"), found.version)
            return store.write([write])[0].result is Result.WRITTEN

        eventually(marked, "the mark is refused", LIMIT)
        eventually(lambda: told(caplog, "fenced"), "it does not notice", LIMIT)
        (found,) = store.heartbeats()
        body.gate.set()
        eventually(lambda: not scheduler._wiring.node._bindings._all, "it is not left", LIMIT)

        assert "node-b" == found.record.dead_by
        assert [found] == store.heartbeats()


def test_what_a_store_did_not_take_is_left_to_its_peers(
    make: Callable[..., Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The heartbeat's document stays, so that a peer declares the death and recovers the run (P10).
    """
    monkeypatch.setattr("unomi_scheduler.node.leaving.GIVE_UP", 300)
    store = Breakable()
    scheduler = make(store=store)
    body = Body(scheduler)
    with scheduler:
        scheduler.new_task("long").with_id("one").schedule()
        assert body.begun.wait(LIMIT)
        store.takes_no_tasks.set()
        scheduler.bind_store(None)
        assert body.returned.is_set()
        eventually(lambda: not scheduler._wiring.node._bindings._all, "it is not left", LIMIT)
        store.takes_no_tasks.clear()
        assert ["node-a"] == [one.record.node_id for one in store.heartbeats()]
        with make(store=store, node_id="node-b") as peer:
            other = Body(peer)
            assert other.begun.wait(LIMIT)
            peer.bind_store(None)


# --- what does not work


class Closed(MemoryStore):
    """
    A store that fails at the first thing a node asks when it joins.
    """

    def refresh(self) -> None:
        """
        Fail.
        """
        raise StoreUnavailable("nobody is there")


def test_a_store_out_of_reach_leaves_the_one_before(make: Callable[..., Scheduler], address: Address) -> None:
    """
    One that cannot be opened, one that cannot be joined, and one where the node id is in use: the error reaches the
    caller, runs go on undisturbed, and nothing of the attempt is left.
    """
    store = address()
    scheduler = make(store=store)
    body = Body(scheduler)
    with scheduler:
        scheduler.new_task("long").with_id("one").schedule()
        assert body.begun.wait(LIMIT)
        with pytest.raises(ConfigurationError, match="does not exist"):
            scheduler.bind_store("sqlite:////nowhere/at/all.db")
        with pytest.raises(StoreUnavailable, match="nobody is there"):
            scheduler.bind_store(Closed(SystemClock()))
        taken = MemoryStore(SystemClock())
        with _beating(taken), pytest.raises(ConfigurationError, match="Node id 'node-a' is alive"):
            scheduler.bind_store(taken)
        runs_one(scheduler, "two")

        assert {"one", "two"} == {task.id for task in scheduler.get_persistent_tasks()}
        assert ["node-a"] == heartbeats(store)
        assert not body.returned.is_set()
        scheduler.bind_store(None)


class _beating:  # noqa: N801 - reads as a word
    """
    Another process that beats under the same node id.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._end = Event()
        self._thread = Thread(target=self._beat)

    def _beat(self) -> None:
        beat = make_heartbeat(lease_millis=1_000)
        version = self._store.write([Write(Action.CREATE, beat)])[0].version
        counter = 1
        while not self._end.wait(0.1):
            counter += 1
            write = Write(Action.REPLACE, make_heartbeat(lease_millis=1_000, counter=counter), version)
            version = self._store.write([write])[0].version

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_a_store_that_takes_no_tasks_leaves_the_one_before(make: Callable[..., Scheduler]) -> None:
    """
    The purge cannot be scheduled there, so the node stays where it is.
    """
    first = MemoryStore(SystemClock())
    full = LossyStore(MemoryStore(SystemClock()), *[Fault.REFUSED] * 10)
    with make(store=first, purge_enabled=True) as scheduler:
        with pytest.raises(StoreUnavailable):
            scheduler.bind_store(full)
        runs_one(scheduler, "one")

        assert first.tasks(["one"])[0] is not None
        assert [] == full.heartbeats()


def test_the_store_that_is_bound_already_stays(make: Callable[..., Scheduler], address: Address) -> None:
    """
    By its address, ready-made, and none at all: the incarnation is the same, and runs are not told.
    """
    store = address()
    scheduler = make(store=store)
    body = Body(scheduler)
    with scheduler:
        scheduler.new_task("long").with_id("one").schedule()
        assert body.begun.wait(LIMIT)
        (before,) = scheduler.nodes()
        scheduler.bind_store(store)
        (after,) = scheduler.nodes()
        assert before.incarnation == after.incarnation
        assert not body.returned.is_set()
        ready = MemoryStore(SystemClock())
        scheduler.bind_store(ready)
        (before,) = scheduler.nodes()
        scheduler.bind_store(ready)
        (after,) = scheduler.nodes()
        assert before.incarnation == after.incarnation
        scheduler.bind_store(None)
        scheduler.bind_store(None)


def test_binding_before_the_start(make: Callable[..., Scheduler], address: Address) -> None:
    """
    Nothing beats until the start; after a stop the store that was bound last is used again.
    """
    store = address()
    scheduler = make(store=None)
    scheduler.bind_store(store)
    assert [] == heartbeats(store)
    for name in ("one", "two"):
        with scheduler:
            runs_one(scheduler, name)

    assert {"one", "two"} == {task.id for task in scheduler.get_persistent_tasks()}


def test_a_store_bound_late_has_its_lock_file(make: Callable[..., Scheduler], tmp_path: Path) -> None:
    """
    So a second process of the node id is refused at once, and after the store was left it is not (P9).
    """
    store = f"sqlite:///{tmp_path}/x.db"
    second = make(store=store)
    with make(store=None) as scheduler:
        scheduler.bind_store(store)
        with pytest.raises(ConfigurationError, match="in use by process"):
            second.start()
        scheduler.bind_store(None)
        with second:
            runs_one(second, "one")


# --- the clock


def test_a_node_that_has_started_is_ready_to_claim(make: Callable[..., Scheduler], address: Address) -> None:
    """
    The clock is compared before `start` returns, and anew in each store.
    """
    with make(store=address()) as scheduler:
        assert scheduler.clock_trusted
        scheduler.bind_store(address())
        eventually(lambda: scheduler.clock_trusted, "the clock was not compared", LIMIT)


class Mute(MemoryStore):
    """
    A store that does not tell its clock until it may.
    """

    answers = False

    def clock(self) -> int:
        """
        Return the clock, or give no answer.
        """
        if not self.answers:
            raise StoreUnavailable("no answer")
        return super().clock()


def test_without_a_clock_nothing_is_claimed_and_no_share_is_given_up(make: Callable[..., Scheduler]) -> None:
    """
    The node says that it is not ready, and its peers do not take it for busy.
    """
    store, ran = Mute(SystemClock()), Event()
    with make(store=store) as scheduler:
        scheduler.new_task("short").with_id("one").with_simple_executor(ran.set).schedule()
        eventually(lambda: any(node.counter > 2 for node in scheduler.nodes()), "no heartbeat", LIMIT)
        (node,) = scheduler.nodes()
        assert (False, False, False) == (scheduler.clock_trusted, node.busy, ran.is_set())
        store.answers = True
        assert ran.wait(LIMIT)

        assert scheduler.clock_trusted


def test_a_run_begins_under_its_own_lease_alone(
    make: Callable[..., Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Right before a body is called its incarnation's lease is looked at: no store bound is no permission.
    """
    asked: list[bool] = []
    may_start = Workers._may_start

    def noted(workers: Workers, run: Any) -> bool:
        asked.append(workers._lease_held("somebody else's"))
        return may_start(workers, run)

    monkeypatch.setattr(Workers, "_may_start", noted)
    with make(store=None) as scheduler:
        ran = Event()
        scheduler.new_task("memory").non_persistent().with_simple_executor(ran.set).schedule()
        assert ran.wait(LIMIT)

    assert [False] == asked
