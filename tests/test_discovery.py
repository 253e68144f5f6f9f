"""
Discovery under pressure: what a full pool leaves lying about hides no other work.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.core_bench import Bench
from tests.factories import NOW, make_due_task
from unomi_scheduler.model import Stored, Task
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import Pool

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
