"""
Discovery under pressure: what a full pool leaves lying about hides no other work.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.core_bench import Bench
from tests.factories import NOW, SetClock, make_due_task, make_heartbeat, make_running_task
from unomi_scheduler.model import Stored, Task
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import Pool
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.rules.placement import partition_of, share_of
from unomi_scheduler.stores.memory import MemoryStore

MANY = 3_000
_BOTH = {"slow": Pool.TASKS, "quick": Pool.LOOP}


def _backlog(number: int = MANY, **over: Any) -> list[Task]:
    return [
        make_due_task(task_type="slow", next_scheduled_execution=NOW - 60_000 + place, **over)
        for place in range(number)
    ]


@pytest.mark.parametrize("over", [{}, {"system_task": True}, {"allow_parallel_execution": False}])
def test_a_stuck_pool_hides_no_other(over: dict[str, Any]) -> None:
    """
    Far more due work than fits the timeline, none of which ends: what another pool can run starts at once.
    """
    bench = Bench(types=_BOTH)
    bench.put(*_backlog(**over), *(make_due_task(task_type="quick", id=f"quick-{n}") for n in range(2)))
    bench.settle()
    first = {one.task.id for one in bench.starts()}
    bench.put(make_due_task(task_type="slow"), make_due_task(task_type="quick", id="later"))
    bench.end(next(one for one in bench.starts() if one.task.id == "quick-0"))
    bench.pass_time(1_100)

    assert {"quick-0", "quick-1"} <= first
    assert "later" in {one.task.id for one in bench.starts()}


def test_many_types_of_a_stuck_pool_hide_no_other() -> None:
    """
    None of them has much due work; together they fill the pool.
    """
    crowd = {f"slow-{n}": Pool.TASKS for n in range(100)}
    bench = Bench(types={**crowd, "quick": Pool.LOOP})
    bench.put(
        *(make_due_task(task_type=f"slow-{n % 100}", next_scheduled_execution=NOW - 60_000 + n) for n in range(MANY)),
        make_due_task(task_type="quick", id="quick"),
    )
    bench.settle()

    assert "quick" in {one.task.id for one in bench.starts()}


def test_a_system_task_is_found_beside_a_stuck_pool() -> None:
    """
    It has a type of its own and runs in another pool.
    """
    bench = Bench(types={"slow": Pool.TASKS, "sweep": Pool.TASKS})
    bench.put(*_backlog(), make_due_task(task_type="sweep", id="sweep", system_task=True))
    bench.settle()

    assert "sweep" in {one.task.id for one in bench.starts()}


def test_a_backlog_is_worked_off_by_due_time_and_to_its_end() -> None:
    """
    What was left out is searched again as the pool gets through: nothing is skipped and nothing waits for a sweep.
    """
    bench = Bench(types=_BOTH)
    tasks = _backlog()
    bench.put(*tasks)
    bench.settle()
    done = 0
    while done < len(bench.starts()):
        for ticket in bench.starts()[done:]:
            done += 1
            bench.end(ticket)
        bench.settle()

    assert [task.id for task in tasks] == [one.task.id for one in bench.starts()]
    assert len(bench.asked(m.AskDue)) <= MANY // 1_000 + 2


def test_pressure_costs_few_searches() -> None:
    """
    A stuck backlog is looked at once a sweep, and a second time past it.
    """
    bench = Bench(types=_BOTH)
    bench.put(*_backlog(10_000))
    bench.settle()
    before = len(bench.asked(m.AskDue))
    bench.pass_time(5_000)

    assert len(bench.asked(m.AskDue)) - before <= 2 * 6


def test_an_idle_node_searches_once_a_sweep() -> None:
    """
    As cheap as can be when there is nothing to do.
    """
    bench = Bench(types=_BOTH)
    bench.settle()
    before = len(bench.asked(m.AskDue))
    bench.pass_time(5_000)

    assert 4 <= len(bench.asked(m.AskDue)) - before <= 5


def test_nearer_work_of_a_full_timeline_is_found_by_the_next_sweep() -> None:
    """
    The timeline holds all it should of a type, for later; what another node schedules for now comes first.
    """
    bench = Bench()
    bench.put(*(make_due_task(next_scheduled_execution=NOW + 20_000 + n) for n in range(MANY)))
    bench.settle()
    bench.put(make_due_task(id="now", next_scheduled_execution=NOW + 500))
    bench.pass_time(1_200)

    assert [one.task.id for one in bench.starts()] == ["now"]


def test_what_falls_off_the_timeline_is_found_again() -> None:
    """
    A node schedules more than it holds; the rest comes back from the store once there is room.
    """
    bench = Bench()
    bench.core.board.slots = dict.fromkeys(Pool, 1_000)
    tasks = [make_due_task(next_scheduled_execution=NOW - 60_000 + n) for n in range(8_000)]
    versions = bench.put(*tasks)
    for task, version in zip(tasks, versions, strict=True):
        assert version is not None
        bench.post(m.Offered(Stored(task, version)))
    done = 0
    bench.settle()
    while done < len(bench.starts()):
        for ticket in bench.starts()[done:]:
            done += 1
            bench.end(ticket)
        bench.settle()

    assert done == len(tasks)


class _Beside:
    """
    A node beside `node-a`, whose share a new task is in; searches see a write 250 ms later.
    """

    def __init__(self, phase: int) -> None:
        clock = SetClock()
        self.bench = Bench(store=MemoryStore(clock, refresh_interval_ms=250), clock=clock)
        self.bench.put(make_heartbeat(lease_millis=60_000, task_types=("sample",)))
        self.bench.pass_time(1_500)
        self.swept()
        self.bench.pass_time(phase)
        self.due = clock.now().wall
        theirs = share_of("node-a", frozenset({"node-a", "node-b"}))
        named = (make_due_task(id=f"theirs-{place}", next_scheduled_execution=self.due) for place in range(100))
        self.task = next(task for task in named if partition_of(task) in theirs)
        (version,) = self.bench.put(self.task)
        assert version is not None
        self.version = version

    def swept(self) -> None:
        before = self.searches()
        while self.searches() == before:
            self.bench.pass_time(20)

    def searches(self) -> int:
        return len(self.bench.asked(m.AskDue))

    def waited(self) -> int:
        while not self.bench.starts():
            assert self.bench.clock.now().wall - self.due < 5_000
            self.bench.pass_time(20)
        return self.bench.clock.now().wall - self.due


@pytest.mark.parametrize("phase", range(0, 1_000, 100))
def test_what_its_owner_does_not_claim_starts_elsewhere_soon(phase: int) -> None:
    """
    Wherever in the pause between two sweeps it came: a second after it was due, or when a sweep first sees it.
    """
    assert 1_000 <= _Beside(phase).waited() <= 1_340


@pytest.mark.parametrize("late", [0, 400, 700])
@pytest.mark.parametrize("phase", range(0, 1_000, 200))
def test_what_its_owner_claims_late_is_not_fought_over(phase: int, late: int) -> None:
    """
    The other one looks once more at the moment when it might claim, and sees the claim, as soon as that can be seen.
    """
    beside = _Beside(phase)
    beside.bench.pass_time(late)
    claimed = make_running_task(id=beside.task.id, next_scheduled_execution=beside.due)
    beside.bench.store.write([Write(Action.REPLACE, claimed, beside.version)])
    before = beside.searches()
    beside.bench.pass_time(2_000)

    assert [write for write in beside.bench.writes if isinstance(write.record, Task)] == []
    assert beside.searches() - before <= 3
