"""
Exclusive types on the real core: order, turns, what waits, and the interleavings that would let two of them run.
"""

from __future__ import annotations

from typing import Any

from tests.core_bench import Bench
from tests.factories import NOW, make_due_task, make_heartbeat, make_slot, make_task
from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.model import Slot, Stored, Task, TaskStatus, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import Interrupted, Pool
from unomi_scheduler.ports import Action, Outcome, Result, Write
from unomi_scheduler.rules import requests
from unomi_scheduler.rules.placement import partition_of, share_of

_TYPES = {"many": Pool.TASKS, "one": Pool.TASKS}


def _lonely(**over: Any) -> Task:
    return make_due_task(allow_parallel_execution=False, **over)


def _ids(bench: Bench) -> list[str]:
    return [one.task.id for one in bench.starts()]


def _slot_writes(bench: Bench) -> int:
    return sum(isinstance(write.record, Slot) for write in bench.writes)


def _other_node(bench: Bench, node_id: str = "node-c") -> Bench:
    return Bench(node_id, f"first-{node_id[-1]}", bench.store, clock=bench.clock)


def _replace(bench: Bench, task: Task) -> None:
    (stored,) = bench.store.tasks([task.id])
    assert stored is not None
    (outcome,) = bench.store.write([Write(Action.REPLACE, task, stored.version)])
    assert outcome.result is Result.WRITTEN


def test_a_long_queue_is_worked_off_by_due_time_and_holds_up_no_other_type() -> None:
    """
    Ten thousand of one type and a single one of another, in a pool of two: the single one starts at once, and of the
    others this node keeps but the next few at hand.
    """
    bench = Bench(types=_TYPES)
    tasks = [_lonely(task_type="many", next_scheduled_execution=NOW - 60_000 + n) for n in range(10_000)]
    bench.put(*reversed(tasks), _lonely(task_type="one", id="one"))
    bench.settle()
    first = _ids(bench)
    held = len(bench.core.board.timeline)
    for place in range(600):
        bench.end(next(one for one in bench.starts() if one.task.id == tasks[place].id))
        bench.settle()

    assert {tasks[0].id, "one"} == set(first)
    assert [task.id for task in tasks[:601]] == [one for one in _ids(bench) if one != "one"]
    assert held < 1_000
    assert len(bench.core.board.timeline) < 1_000


def test_types_take_turns_in_a_small_pool() -> None:
    """
    All of one type are due before the first of another: it does not wait for all of them.
    """
    bench = Bench(types=_TYPES)
    bench.core.board.slots = dict.fromkeys(Pool, 1)
    bench.put(
        *(_lonely(task_type="many", next_scheduled_execution=NOW - 1_000 + n) for n in range(20)),
        _lonely(task_type="one", id="one"),
    )
    bench.settle()
    done = 0
    while done < 4:
        bench.end(bench.starts()[done])
        done += 1
        bench.settle()

    assert "one" in _ids(bench)[:3]


def test_a_task_that_is_due_earlier_goes_first_although_it_came_later() -> None:
    """
    It was scheduled while others of its type were waiting.
    """
    bench = Bench()
    bench.put(*(_lonely(id=f"task-{n}", next_scheduled_execution=NOW + n) for n in range(3)))
    bench.pass_time(100)
    (version,) = bench.put(early := _lonely(id="early", next_scheduled_execution=NOW))
    assert version is not None
    bench.post(m.Offered(Stored(early, version)))
    bench.settle()
    bench.end(bench.starts()[0])
    bench.settle()

    assert ["task-0", "early"] == _ids(bench)


def test_what_another_node_ran_costs_no_slot() -> None:
    """
    This node waits for the slot with a lane full of tasks; another one runs all but the last of them meanwhile.
    """
    bench = Bench()
    taken = make_slot(task_id="task-0", claim_id="c", owner="node-z", incarnation="z", since=NOW)
    tasks = [_lonely(id=f"task-{n}", next_scheduled_execution=NOW + n) for n in range(60)]
    bench.put(*tasks, taken)
    bench.put(make_heartbeat(node_id="node-z", incarnation="z", task_types=("sample",)))
    bench.hold = lambda command: (
        isinstance(command, m.Ask) and isinstance(command.query, m.AskDue) and bool(bench.asked(m.AskDue))
    )
    bench.pass_time(1_500)
    for task in tasks[:-1]:
        _replace(bench, evolve(task, status=TaskStatus.COMPLETED, next_scheduled_execution=None))
    (slot,) = bench.store.slots(["sample"])
    bench.store.write([Write(Action.REPLACE, Slot(task_type="sample"), slot.version)])
    before = _slot_writes(bench)
    bench.pass_time(1_000)

    assert ["task-59"] == _ids(bench)
    # The version known before is old: one conflict, one write.
    assert _slot_writes(bench) - before <= 2


def test_the_task_that_holds_the_slot_elsewhere_is_dropped() -> None:
    """
    Another node runs it: there is nothing to look after here.
    """
    bench = Bench()
    bench.put(
        _lonely(id="theirs"), _lonely(id="mine"),
        make_slot(task_id="theirs", claim_id="c", owner="node-z", incarnation="z", since=NOW),
    )  # fmt: skip
    bench.put(make_heartbeat(node_id="node-z", incarnation="z"))
    bench.hold = lambda command: (
        isinstance(command, m.Ask) and isinstance(command.query, m.AskDue) and bool(bench.asked(m.AskDue))
    )
    bench.settle()
    bench.pass_time(1_200)

    assert bench.core.board.timeline.get("theirs") is None
    assert bench.core.board.timeline.get("mine") is not None


def _pair() -> tuple[Bench, Bench]:
    """
    Two nodes that know each other, the first of which owns the type.
    """
    nodes = frozenset({"node-b", "node-c"})
    owner = "node-b" if partition_of(_lonely()) in share_of("node-b", nodes) else "node-c"
    one = Bench(owner, f"first-{owner[-1]}")
    two = _other_node(one, next(iter(nodes - {owner})))
    return one, two


def _together(benches: tuple[Bench, ...], millis: int) -> None:
    for _ in range(millis // 20):
        benches[0].clock.advance(20)
        for bench in benches:
            bench.settle()


def test_two_nodes_that_go_for_the_slot_at_once_start_one_run() -> None:
    """
    Both saw it free, both sent their write: the second is refused, and its task waits.
    """
    one, two = _pair()
    one.put(_lonely(id="a"), _lonely(id="b"))
    for bench in (one, two):
        bench.hold = lambda command: (
            isinstance(command, m.Batch) and any(isinstance(write.record, Slot) for write in command.writes)
        )
    _together((one, two), 1_500)
    assert all(bench.held for bench in (one, two))
    for bench in (one, two):
        bench.hold = lambda _: False
        bench.release()
    _together((one, two), 200)

    assert len(one.starts()) + len(two.starts()) == 1


def test_a_release_that_arrives_late_frees_no_later_run() -> None:
    """
    Its answer was lost, it was sent again, and the slot was taken again before the first one arrives.
    """
    bench = Bench()
    bench.put(_lonely(id="a"), _lonely(id="b"))
    bench.settle()
    late: list[Write] = []

    def lose(batch: m.Batch) -> list[Outcome] | None:
        frees = [one for one in batch.writes if isinstance(one.record, Slot) and one.record.claim_id is None]
        if not frees or late:
            return None
        late.extend(frees)
        no_answer = Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))
        return [no_answer if write in frees else bench.store.write([write])[0] for write in batch.writes]

    bench.fault = lose
    bench.end(bench.starts()[0])
    bench.pass_time(1_000)
    outcomes = bench.store.write(late)
    (slot,) = bench.store.slots(["sample"])

    assert ["a", "b"] == _ids(bench)
    assert [Result.CONFLICT] == [one.result for one in outcomes]
    assert ("b", bench.starts()[1].claim_id) == (slot.record.task_id, slot.record.claim_id)


def test_a_slot_taken_without_an_answer_is_confirmed_before_the_claim() -> None:
    """
    The write was done and its answer lost: it is confirmed by one more write, then the task is claimed, once.
    """
    bench = Bench()
    bench.put(_lonely(id="a"), _lonely(id="b"))
    lost: list[m.Batch] = []

    def lose(batch: m.Batch) -> list[Outcome] | None:
        if not lost and any(isinstance(one.record, Slot) for one in batch.writes):
            lost.append(batch)
            bench.store.write(batch.writes)
            return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * len(batch.writes)
        return None

    bench.fault = lose
    bench.pass_time(1_000)
    (slot,) = bench.store.slots(["sample"])

    assert ["a"] == _ids(bench)
    assert slot.record.claim_id == bench.starts()[0].claim_id


def test_a_cancelled_run_keeps_its_slot_until_its_body_returns() -> None:
    """
    Its task looks idle; its body does not listen (P17).
    """
    bench = Bench()
    bench.put(_lonely(id="stubborn"), _lonely(id="next", next_scheduled_execution=NOW + 1))
    bench.pass_time(100)
    _replace(bench, requests.cancel(bench.task("stubborn"), now=NOW, node_id="user"))
    bench.pass_time(5_000)
    while_it_runs = _ids(bench)
    bench.end(bench.starts()[0], Interrupted("cancelled"))
    bench.pass_time(1_000)

    assert ["stubborn"] == while_it_runs
    assert ["stubborn", "next"] == _ids(bench)


def test_a_silent_holder_keeps_the_slot_until_its_death_is_acknowledged() -> None:
    """
    Silence alone frees nothing, however long; the mark in its heartbeat document does, by a conditional write (P8).
    """
    bench = Bench()
    taken = make_slot(task_id="gone", claim_id="c", owner="node-z", incarnation="z", since=NOW)
    bench.put(_lonely(id="waits"), taken, make_heartbeat(node_id="node-z", incarnation="z", lease_millis=3_000))

    def declares(command: m.Command) -> bool:
        return isinstance(command, m.Batch) and any(
            getattr(write.record, "dead_by", None) is not None for write in command.writes
        )

    bench.hold = declares
    bench.pass_time(20_000)
    before = _ids(bench)
    bench.hold = lambda _: False
    bench.release()
    bench.pass_time(6_000)

    assert before == []
    assert ["waits"] == _ids(bench)


def test_a_lost_claim_gives_the_slot_back() -> None:
    """
    Somebody changed the task between the slot and its claim: the slot is not kept for nothing.
    """
    bench = Bench()
    bench.put(task := _lonely(id="edited"))

    def claims(command: m.Command) -> bool:
        return isinstance(command, m.Batch) and any(isinstance(write.record, Task) for write in command.writes)

    bench.hold = claims
    bench.settle()
    _replace(bench, requests.cancel(task, now=NOW, node_id="user"))
    bench.hold = lambda _: False
    bench.release()
    bench.pass_time(200)

    assert _ids(bench) == []
    assert bench.store.slots() == []


def test_a_lane_whose_check_fails_looks_again() -> None:
    """
    The store did not answer the read of its tasks.
    """
    bench = Bench()
    bench.put(
        _lonely(id="waits"), make_slot(task_id="x", claim_id="c", owner="node-z", incarnation="z"),
        make_heartbeat(node_id="node-z", incarnation="z", lease_millis=60_000),
    )  # fmt: skip
    bench.settle()
    bench.hold = lambda command: isinstance(command, m.Ask) and getattr(command.query, "purpose", "") == "lane"
    bench.pass_time(1_000)
    (held,) = bench.held
    assert isinstance(held[0], m.Ask)
    bench.held.clear()
    bench.hold = lambda _: False
    (slot,) = bench.store.slots(["sample"])
    bench.store.write([Write(Action.REPLACE, Slot(task_type="sample"), slot.version)])
    bench.post(m.Answered(held[0].query, held[1], error=StoreUnavailable("no answer")))
    bench.pass_time(1_000)

    assert ["waits"] == _ids(bench)


def test_a_waiting_task_without_a_due_time_is_in_no_lane() -> None:
    """
    Only what may be claimed waits for the slot.
    """
    bench = Bench()
    bench.put(make_task(allow_parallel_execution=False))
    bench.pass_time(1_000)

    assert _slot_writes(bench) == 0
