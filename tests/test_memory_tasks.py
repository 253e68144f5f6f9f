"""
Memory tasks on the real core, turned by hand: who may run when, what is removed meanwhile, who waits for whom.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

import pytest

from tests.core_bench import Bench
from tests.factories import NOW, make_due_task, make_task
from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.model import DependencyPolicy, Json, Task, TaskStatus, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.memory import MemoryTimers
from unomi_scheduler.node.runs import (
    ExecutorInfo,
    Failed,
    Interrupted,
    NotStarted,
    Pool,
    RunEnded,
    Succeeded,
    TellRun,
    Verdict,
)
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.rules import requests
from unomi_scheduler.rules.outcomes import SHUTDOWN
from unomi_scheduler.timestamps import to_iso

_S = TaskStatus
HOUR = 3_600_000
_TYPES = ("sample", "other")


class MemoryBench(Bench):
    """
    A core with memory tasks; its timers fire as the bench's clock goes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.timers: dict[str, int] = {}
        self.core.board.options = replace(self.core.board.options, **options)
        self.core.board.executor_node = self.core.board.options.executor_node
        self.post(m.ExecutorsChanged({name: ExecutorInfo(task_type=name, pool=Pool.TASKS) for name in _TYPES}))
        self.settle()

    def add(self, *tasks: Task) -> None:
        """
        Schedule memory tasks.
        """
        for task in tasks:
            self.core.locals.table.put(evolve(task, persistent=False))
            self.post(m.MemoryChanged(task.id))
        self.turn()

    def change(self, task_id: str, rule: Callable[[Task], Task]) -> None:
        """
        Change a memory task as a user's thread does.
        """
        self.core.locals.table.change(task_id, rule)
        self.post(m.MemoryChanged(task_id))
        self.turn()

    def memory(self, task_id: str) -> Task | None:
        """
        Return a memory task as it stands.
        """
        return self.core.locals.table.get(task_id)

    def turn(self, millis: int = 0) -> None:
        """
        Let time go by, and fire what is due until nothing is.
        """
        self.clock.advance(millis)
        while True:
            self.settle()
            for command in [one for one in self.given if isinstance(one, m.SetTimer)]:
                self.given.remove(command)
                self.timers.pop(command.task_id, None)
                if command.at is not None:
                    self.timers[command.task_id] = command.at
            due = sorted((at, one) for one, at in self.timers.items() if at <= self.clock.wall)
            if not due:
                return
            for _, task_id in due:
                del self.timers[task_id]
                self.post(m.TimerFired(task_id))

    def started(self) -> list[str]:
        """
        Return the ids of the tasks whose runs began, in order.
        """
        return [ticket.task.id for ticket in self.starts()]

    def end_task(self, task_id: str, verdict: Verdict | None = None) -> None:
        """
        End the newest run of a task.
        """
        ticket = next(one for one in reversed(self.starts()) if one.task.id == task_id)
        self.post(RunEnded(ticket.claim_id, verdict or Succeeded(), 1))
        self.turn()

    def count(self, name: str) -> int:
        """
        Return a counter.
        """
        self.core.board.flush_counts()
        return self.core.board._metrics.get(name)


def _exclusive(task_id: str, **over: Any) -> Task:
    return make_due_task(id=task_id, allow_parallel_execution=False, **over)


# --- exclusive types


def test_exclusivity_counts_only_among_those_that_say_so() -> None:
    """
    A parallel run of the type holds no exclusive one up, nor the other way round (P15).
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="parallel"))
    bench.add(_exclusive("first"), _exclusive("second"))
    bench.end_task("parallel")
    bench.add(make_due_task(id="another"))

    assert bench.started() == ["parallel", "first", "another"]
    bench.end_task("first")
    assert bench.started()[-1] == "second"


def test_exclusive_tasks_run_by_their_due_time() -> None:
    """
    Whatever order they were scheduled in; those of another type go their own way.
    """
    bench = MemoryBench()
    bench.add(_exclusive("first"))
    bench.add(
        *[_exclusive(name, next_scheduled_execution=NOW - age) for name, age in (("c", 1), ("a", 9), ("b", 5))],
        _exclusive("elsewhere", task_type="other"),
    )
    for one in ("first", "a", "b", "c"):
        assert bench.started()[-1] == ("elsewhere" if one == "first" else one)
        bench.end_task(one)

    assert bench.started() == ["first", "elsewhere", "a", "b", "c"]


def test_due_tasks_take_slots_by_their_due_time() -> None:
    """
    The bench has two slots.
    """
    bench = MemoryBench()
    bench.add(*[make_due_task(id=name) for name in ("one", "two")])
    bench.add(*[make_due_task(id=name, next_scheduled_execution=NOW - age) for name, age in (("c", 1), ("a", 9))])
    bench.end_task("one")
    bench.end_task("two")

    assert bench.started() == ["one", "two", "a", "c"]


@pytest.mark.parametrize(
    "gone",
    [
        lambda task: requests.cancel(task, now=NOW, node_id="node-b"),
        lambda task: evolve(task, enabled=False),
        lambda task: evolve(task, next_scheduled_execution=NOW + HOUR),
        lambda task: evolve(task, on_nodes=("elsewhere",)),
    ],
)
def test_one_that_drops_out_does_not_hold_up_its_lane(gone: Callable[[Task], Task]) -> None:
    """
    Cancelled, disabled, put off or sent elsewhere while it waits behind a run of its type.
    """
    bench = MemoryBench()
    bench.add(*[_exclusive(name) for name in ("first", "second", "third")])
    bench.change("second", gone)
    bench.end_task("first")

    assert bench.started() == ["first", "third"]


def test_one_that_changes_while_nobody_looks_does_not_hold_up_its_lane() -> None:
    """
    The core has not heard of the change when its turn comes.
    """
    bench = MemoryBench()
    bench.add(*[_exclusive(name) for name in ("first", "second", "third")])
    bench.core.locals.table.change("second", lambda task: evolve(task, enabled=False))
    bench.end_task("first")

    assert bench.started() == ["first", "third"]


def test_a_task_made_parallel_leaves_its_lane_and_one_made_exclusive_enters_it() -> None:
    """
    At once, also when it is queued already.
    """
    bench = MemoryBench()
    bench.add(_exclusive("first"), _exclusive("second"))
    bench.change("second", lambda task: evolve(task, allow_parallel_execution=True))
    assert bench.started() == ["first", "second"]

    bench.add(make_due_task(id="third"))
    bench.core.locals.table.change("third", lambda task: evolve(task, allow_parallel_execution=False))
    bench.end_task("second")
    assert bench.started() == ["first", "second"]
    bench.end_task("first")
    assert bench.started() == ["first", "second", "third"]


# --- where


@pytest.mark.parametrize(
    ("options", "over", "expected"),
    [
        ({}, {}, True),
        ({}, {"on_nodes": ("node-b",)}, True),
        ({}, {"on_nodes": ("node-c",)}, False),
        ({"tags": ("gpu",)}, {"on_tags": ("gpu", "fast")}, True),
        ({}, {"on_tags": ("gpu",)}, False),
        ({"executor_node": False}, {}, False),
        ({"executor_node": False}, {"run_on_all_nodes": True}, True),
        ({}, {"task_type": "unknown"}, False),
    ],
)
def test_where_a_memory_task_runs(options: dict[str, Any], over: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table's column
    """
    The same program schedules it on every node; it rests where it names others, or where nothing runs.
    """
    bench = MemoryBench(**options)
    bench.add(make_due_task(id="one", **over))

    assert bench.started() == (["one"] if expected else [])


def test_a_task_sent_here_runs() -> None:
    """
    Its targets may be edited.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="one", on_nodes=("elsewhere",)))
    bench.change("one", lambda task: evolve(task, on_nodes=("node-b",)))

    assert bench.started() == ["one"]


# --- what is removed or changed meanwhile


@pytest.mark.parametrize("verdict", [Succeeded(), Failed("late"), Interrupted("told")])
def test_the_outcome_of_a_removed_task_is_dropped_and_counted(verdict: Verdict) -> None:
    """
    And it costs neither the event nor the slot.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="one"))
    del bench.core.locals.table._tasks["one"]
    bench.end_task("one", verdict)

    assert (bench.memory("one"), bench.count("tasks.fenced"), bench.count("tasks.completed")) == (None, 1, 0)
    assert (len(bench.core.locals), bench.core.locals.occupied[Pool.TASKS]) == (0, 0)


def test_a_task_removed_between_its_timer_and_its_start_is_no_trouble() -> None:
    """
    The others start.
    """
    bench = MemoryBench()
    bench.add(*[_exclusive(name) for name in ("first", "second", "third")])
    del bench.core.locals.table._tasks["second"]
    bench.end_task("first")

    assert bench.started() == ["first", "third"]


def test_a_task_changed_at_the_moment_of_its_claim_is_looked_at_again() -> None:
    """
    The claim is conditional on what was read; a lost one is counted.
    """
    bench = MemoryBench()
    table = bench.core.locals.table
    change = table.change

    def faster(task_id: str, rule: Callable[[Task], Task]) -> Task:
        table.change = change  # type: ignore[method-assign]
        change(task_id, lambda task: evolve(task, parameters={"new": True}))
        return change(task_id, rule)

    table.change = faster  # type: ignore[method-assign]
    bench.add(make_due_task(id="one"))

    assert [ticket.task.parameters for ticket in bench.starts()] == [{"new": True}]
    assert [bench.count(f"tasks.lock.{name}") for name in ("attempts", "conflicts", "acquired")] == [2, 1, 1]


def test_a_cancelled_run_is_told_and_frees_its_task_when_it_returns() -> None:
    """
    Its success does not count, and nothing is due any more (P17).
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="one", period=5))
    bench.change("one", lambda task: requests.cancel(task, now=NOW, node_id="node-b"))
    held = bench.memory("one")
    bench.end_task("one")
    free = bench.memory("one")

    assert ["the task was cancelled"] == [one.signal.value for one in bench.given if isinstance(one, TellRun)]
    assert held is not None
    assert free is not None
    assert (held.lock_owner, free.lock_owner, free.status, free.success_count) == ("node-b", None, _S.CANCELLED, 0)
    assert bench.timers == {}


def test_a_run_that_was_not_started_is_given_back() -> None:
    """
    And tried again, with its requests.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="one", run_requests=2))
    bench.end_task("one", NotStarted())

    assert bench.started() == ["one", "one"]
    assert [bench.count(f"tasks.{name}") for name in ("given.back", "lock.released", "lock.acquired")] == [1, 1, 2]


def test_a_timer_that_fires_early_waits_for_its_time() -> None:
    """
    The wall clock may have been set back.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="one", next_scheduled_execution=NOW + 500))
    bench.post(m.TimerFired("one"))
    bench.post(m.TimerFired("nobody"))
    bench.turn()

    assert bench.started() == []
    bench.turn(500)
    assert bench.started() == ["one"]


def test_a_fixed_rate_that_is_late_runs_once_and_goes_on_in_phase() -> None:
    """
    Three and a half periods late (contract 4.3).
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="one", period=1_000, next_scheduled_execution=NOW - 3_500))
    bench.end_task("one")
    task = bench.memory("one")

    assert task is not None
    assert (bench.started(), task.next_scheduled_execution) == (["one"], NOW + 500)
    bench.turn(500)
    assert bench.started() == ["one", "one"]


# --- the end of the node


def test_an_exiting_stop_accounts_for_every_run() -> None:
    """
    What runs is CRASHED with the shutdown text, what was cancelled is freed, what was deleted is gone; late ends are
    nothing.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="runs"), make_due_task(id="cancelled"))
    bench.change("cancelled", lambda task: requests.mark_deleted(task, now=NOW, node_id="node-b"))
    bench.post(m.StopRequested(deadline=bench.clock.boot, exiting=True))
    bench.settle()
    bench.clock.advance(2_000)
    bench.settle()
    task = bench.memory("runs")
    bench.post(RunEnded(bench.starts()[0].claim_id, Succeeded(), 1))
    bench.settle()

    assert any(isinstance(one, m.Stopped) for one in bench.given)
    assert task is not None
    assert (task.status, task.last_error, task.owner_incarnation, task.crash_count) == (_S.CRASHED, SHUTDOWN, None, 0)
    assert (bench.memory("runs"), bench.memory("cancelled")) == (task, None)
    assert [bench.count(f"tasks.{name}") for name in ("crashed", "interrupted", "completed")] == [1, 1, 0]


# --- dependencies


def _waiting(task_id: str, *names: str, **over: Any) -> Task:
    return make_due_task(id=task_id, status=_S.WAITING, depends_on=names, waiting_on_tasks=names, **over)


def _ended(bench: MemoryBench, how: str, task_id: str) -> None:
    if how == "succeeded":
        bench.end_task(task_id)
    elif how == "failed":
        bench.end_task(task_id, Failed("boom"))
    elif how == "cancelled":
        bench.change(task_id, lambda task: requests.cancel(task, now=NOW, node_id="node-b"))
    else:
        bench.change(task_id, lambda task: requests.mark_deleted(task, now=NOW, node_id="node-b"))


_OUTCOMES: list[tuple[str, DependencyPolicy, TaskStatus]] = [
    ("succeeded", DependencyPolicy.FAIL, _S.RUNNING),
    ("failed", DependencyPolicy.FAIL, _S.FAILED),
    ("cancelled", DependencyPolicy.FAIL, _S.FAILED),
    ("deleted", DependencyPolicy.FAIL, _S.FAILED),
    ("failed", DependencyPolicy.WAIT, _S.WAITING),
    ("deleted", DependencyPolicy.WAIT, _S.WAITING),
    ("failed", DependencyPolicy.RUN, _S.RUNNING),
    ("cancelled", DependencyPolicy.RUN, _S.RUNNING),
]


@pytest.mark.parametrize(("how", "policy", "expected"), _OUTCOMES)
@pytest.mark.parametrize("stored", [False, True])
def test_a_memory_task_waits_for_another(
    how: str,
    policy: DependencyPolicy,
    expected: TaskStatus,
    stored: bool,  # noqa: FBT001 - a table's column
) -> None:
    """
    In this process's memory, or in the store: the policy says what a broken dependency means.
    """
    bench = MemoryBench()
    first = make_due_task(id="first", max_retries=0)
    if stored:
        bench.put(first)
    else:
        bench.add(first)
    bench.add(_waiting("second", "first", dependency_policy=policy))
    bench.turn(100)
    before = bench.memory("second")
    if stored:
        _write(bench, how)
    else:
        _ended(bench, how, "first")
    bench.turn(1_100)
    after = bench.memory("second")

    assert before is not None
    assert after is not None
    assert (before.status, after.status) == (_S.WAITING, expected)
    assert bench.count("tasks.failed") == (how == "failed" and not stored) + (expected is _S.FAILED)
    if expected is _S.FAILED:
        assert "first was" in (after.last_error or "") or "first failed" in (after.last_error or "")


def _write(bench: MemoryBench, how: str) -> None:
    found = bench.store.tasks(["first"])[0]
    assert found is not None
    if how == "deleted":
        bench.store.write([Write(Action.DELETE, found.record, found.version)])
        return
    assert isinstance(found.record, Task)
    status = {"succeeded": _S.COMPLETED, "failed": _S.FAILED, "cancelled": _S.CANCELLED}[how]
    bench.store.write([Write(Action.REPLACE, evolve(found.record, status=status), found.version)])


def test_a_chain_ends_at_once() -> None:
    """
    What depends on a task that failed for its dependency fails with it.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="a", max_retries=0), _waiting("b", "a"), _waiting("c", "b"), _waiting("d", "c"))
    bench.end_task("a", Failed("boom"))

    assert [getattr(bench.memory(one), "status", None) for one in "abcd"] == [_S.FAILED] * 4


def test_a_dependency_that_was_met_may_go() -> None:
    """
    It is off the list as soon as it was seen, so its removal does not break those who wait for others still.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="a"), make_due_task(id="b"), _waiting("c", "a", "b"))
    bench.end_task("a")
    waiting = bench.memory("c")
    bench.change("a", lambda task: requests.mark_deleted(task, now=NOW, node_id="node-b"))
    bench.core.locals.table.remove_marked("a")
    bench.end_task("b")

    assert waiting is not None
    assert waiting.waiting_on_tasks == ("b",)
    assert bench.started() == ["a", "b", "c"]


def test_what_has_ended_already_is_seen_at_the_start() -> None:
    """
    The node comes later than its tasks.
    """
    bench = MemoryBench()
    table = bench.core.locals.table
    table.put(make_task(id="a", status=_S.COMPLETED, persistent=False))
    table.put(evolve(_waiting("b", "a"), persistent=False))
    bench.post(m.ExecutorsChanged(bench.core.board.executors))
    bench.turn()

    assert bench.started() == ["b"]


def test_a_waiting_task_that_is_cancelled_waits_no_more() -> None:
    """
    Its dependency's end changes nothing.
    """
    bench = MemoryBench()
    bench.add(make_due_task(id="a"), _waiting("b", "a"))
    bench.change("b", lambda task: requests.cancel(task, now=NOW, node_id="node-b"))
    bench.end_task("a")

    assert bench.started() == ["a"]
    assert (bench.core.locals.dependents._names, bench.core.locals.dependents._waiting_for) == ({}, {})


def test_a_stored_dependency_that_cannot_be_read_is_read_again() -> None:
    """
    Unknown is not met, and not broken either.
    """
    bench = MemoryBench()
    bench.put(make_task(id="a", status=_S.COMPLETED))

    def asks(command: m.Command) -> bool:
        return isinstance(command, m.Ask) and getattr(command.query, "purpose", "") == "memory"

    bench.hold = asks
    bench.add(_waiting("b", "a"))
    bench.turn(500)
    (command, sent) = bench.held.pop()
    assert isinstance(command, m.Ask)
    assert bench.held == []
    bench.hold = lambda _: False
    bench.post(m.Answered(command.query, sent, error=StoreUnavailable("down")))
    bench.turn()
    before = bench.started()
    bench.turn(1_000)

    assert (before, bench.started()) == ([], ["b"])


def test_a_stored_dependency_that_ends_here_wakes_at_once() -> None:
    """
    Without waiting for the next read.
    """
    bench = MemoryBench()
    bench.put(make_due_task(id="a"))
    bench.add(_waiting("b", "a"))
    bench.pass_time(1_040)
    bench.end_task("a")
    bench.turn(20)

    assert bench.started() == ["a", "b"]


def test_a_document_in_quarantine_says_nothing() -> None:
    """
    Those who depend on it go on waiting: it may be put right.
    """
    bench = MemoryBench()
    bench.put(make_task(id="a"))
    bench.add(_waiting("b", "a"))
    bench.core.locals.dependents.read(["a"], [_Stored(object())], bench.clock.now())
    bench.turn()
    task = bench.memory("b")

    assert task is not None
    assert task.status is _S.WAITING


class _Stored:
    """
    A stored record of any kind.
    """

    def __init__(self, record: object) -> None:
        self.record = record


# --- old tasks


def _at(status: TaskStatus, age: int, **over: Any) -> Task:
    entry: dict[str, Json] = {"status": "CANCELLED", "timestamp": to_iso(NOW - age)}
    history = (entry,) if status is _S.CANCELLED else ()
    return make_task(id=f"{status}-{age}", status=status, last_execution_date=NOW - age, history=history, **over)


def test_each_process_forgets_its_old_tasks() -> None:
    """
    Completed and cancelled ones, the age counting inclusively; the others stay, and so does what is waited for.
    """
    bench = MemoryBench(memory_ttl_millis=HOUR)
    kept = [
        _at(_S.COMPLETED, HOUR - 1),
        _at(_S.CANCELLED, HOUR - 1),
        _at(_S.FAILED, 2 * HOUR),
        evolve(_at(_S.COMPLETED, 3 * HOUR), period=5),
        evolve(_at(_S.CANCELLED, 4 * HOUR), lock_owner="node-b"),
    ]
    gone = [_at(_S.COMPLETED, HOUR), _at(_S.CANCELLED, HOUR), evolve(_at(_S.CANCELLED, 5 * HOUR), history=())]
    table = bench.core.locals.table
    for task in [*kept, *gone]:
        table.put(evolve(task, persistent=False))
    table.put(evolve(_at(_S.COMPLETED, 6 * HOUR), id="wanted", persistent=False))
    table.put(evolve(_waiting("waits", "wanted", "nobody"), persistent=False))
    bench.turn(HOUR // 10)

    left = {task.id for task in table.all()}
    assert {task.id for task in kept} - left == {f"COMPLETED-{HOUR - 1}", f"CANCELLED-{HOUR - 1}"}
    assert left.isdisjoint(task.id for task in gone)
    assert {"wanted", "waits"} <= left


@pytest.mark.parametrize(
    ("ttl", "pause"), [(0, 60_000), (HOUR, HOUR // 10), (365 * 24 * HOUR, 24 * HOUR), (None, None)]
)
def test_how_often_a_process_forgets(ttl: int | None, pause: int | None) -> None:
    """
    Ten times in the time that tasks are kept, within bounds; never, when the purge is switched off.
    """
    bench = MemoryBench(memory_ttl_millis=ttl)
    old = 400 * 24 * HOUR

    def left_after(millis: int) -> bool:
        bench.core.locals.table.put(evolve(_at(_S.COMPLETED, old), id=f"old-{millis}", persistent=False))
        bench.turn(millis)
        return bench.memory(f"old-{millis}") is not None

    if pause is None:
        assert left_after(24 * HOUR)
    else:
        bench.turn(pause)
        assert (left_after(pause - 1), left_after(1)) == (True, False)


# --- timers


def test_timers_bear_every_order() -> None:
    """
    Cleared when none is set, set anew, long past, and cleared at the moment they fire.
    """
    fired: SimpleQueue[str] = SimpleQueue()
    timers = MemoryTimers(fired.put)
    timers.set("one", None)
    timers.start()
    timers.set("one", int(datetime.now(UTC).timestamp() * 1000) + HOUR)
    timers.set("one", 0)
    try:
        assert fired.get(timeout=10) == "one"
        for _ in range(200):
            timers.set("two", 1)
            timers.set("two", None)
    finally:
        timers.stop()
