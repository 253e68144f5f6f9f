"""
The contract's scenarios about the life of a task (section 15), for memory tasks and stored ones alike.

Each says what the original asserts, and where the surface, the protocol or the design rule otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.scenario_kit import LIMIT, PLACES, Place, Runs, place_of, statuses
from tests.waiting import eventually
from unomi_scheduler import LeaseLost, Task, TaskNotFound, TaskStatus, TimeUnit
from unomi_scheduler.rules.outcomes import SHUTDOWN

_S = TaskStatus
NOISE = 10
"""Milliseconds that a gap between two starts may be short of the schedule: starts are seen late by turns."""


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """
    A started node, with the tasks in its memory, in a store in memory, or in SQLite.
    """
    with place_of(request.param, tmp_path) as one:
        yield one


def test_s2_a_fixed_rate_task_whose_runs_outlast_its_period(place: Place) -> None:
    """
    The original: period 100 ms, a run lasts 200, at least 3 runs are seen.

    Beyond it (contract 4.3): missed periods are skipped, so each run begins in phase, and never two at once.
    """
    active, most = [0], [0]

    def script(_number: int, context: Any) -> None:
        active[0] += 1
        most[0] = max(most[0], active[0])
        context.wait_cancelled(0.2)
        active[0] -= 1

    runs = Runs(script)
    task = place.task("s2", runs).with_period(100, "MILLISECONDS").with_fixed_rate().schedule()
    gaps = runs.gaps(4)
    later = place.scheduler.get_task(task.id)

    assert most == [1]
    assert all(gap >= 200 - NOISE for gap in gaps)
    assert (later.next_scheduled_execution or 0) % 100 == (task.next_scheduled_execution or 0) % 100


def test_s3_a_fixed_delay_task(place: Place) -> None:
    """
    The original: period 100 ms, a run lasts 50, three runs are seen at the third, their starts at least 100 apart.

    Ours are at least 150 apart: a fixed delay counts from the end of a run (contract 4.3).
    """
    runs = Runs(lambda _, context: context.wait_cancelled(0.05))
    place.task("s3", runs).with_period(100, "MILLISECONDS").with_fixed_delay().schedule()
    gaps = runs.gaps(3)

    assert all(gap >= 150 - NOISE for gap in gaps)


def test_s5_a_task_is_running_inside_its_body_and_completed_after(place: Place) -> None:
    """
    The original asserts it of a memory task; it holds of stored ones as well (S1, S4).
    """
    seen: list[TaskStatus] = []

    def body(context: Any) -> None:
        seen.append(place.scheduler.get_task(context.task.id).status)
        context.save_checkpoint({"at": 3})

    task = place.task("s5", body).schedule()
    done = place.reach(task, _S.COMPLETED)

    assert seen == [_S.RUNNING]
    assert (done.checkpoint_data, done.current_step, done.success_count) == ({"at": 3}, None, 1)
    assert (statuses(done), done.lock_owner, done.executing_node_id) == (["SUCCESS"], None, None)


def test_s6_a_dependent_runs_after_its_dependencies(place: Place) -> None:
    """
    The original: two plain tasks and a one-shot that depends on both; it runs within about 100 ms after them.

    Beyond it (contract 5.2): until then the dependent is WAITING, and it never starts before both have completed.
    """
    order: list[str] = []

    def first(context: Any) -> None:
        place.gate.wait(LIMIT)
        order.append(context.task.id)

    ids = [place.task("s6-first", first).with_id(name).schedule().id for name in ("s6-a", "s6-b")]
    runs = Runs(lambda _, context: order.append(context.task.id))
    dependent = place.task("s6-second", runs).with_id("s6-c").with_dependencies(*ids).as_one_shot().schedule()
    waiting = place.scheduler.get_task(dependent.id)
    place.gate.set()
    done = place.reach(dependent, _S.COMPLETED)
    ends = [place.scheduler.get_task(one).last_execution_date or 0 for one in ids]

    assert (waiting.status, set(waiting.waiting_on_tasks)) == (_S.WAITING, set(ids))
    assert order[-1] == "s6-c"
    assert (done.waiting_on_tasks, done.enabled) == ((), False)
    assert (done.last_execution_date or 0) - max(ends) < 2_000


def test_s10_history_and_metrics(place: Place) -> None:
    """
    The original: a periodic task succeeds twice and fails once; three entries, the last with its error, successCount 2,
    failureCount 1; tasks.completed and tasks.failed above 0, and 0 after a reset.

    Ours count each event once (contract 16.23): exactly 2 and 1, and the execution time is that of the bodies.
    """

    def script(number: int, context: Any) -> None:
        context.wait_cancelled(0.02)
        if number == 2:
            raise ValueError("third time unlucky")

    task = (
        place.task("s10", Runs(script))
        .with_period(100, "MILLISECONDS").with_retry_delay(1, "HOURS").schedule()
    )  # fmt: skip
    failed = place.wait(task, lambda now: now.failure_count == 1)
    place.metric("tasks.completed", 2)
    place.metric("tasks.failed", 1)
    spent = place.scheduler.get_metric("tasks.execution.time")
    place.scheduler.reset_metrics()

    assert statuses(failed) == ["SUCCESS", "SUCCESS", "FAILED"]
    assert failed.history[2]["error"] == "ValueError: third time unlucky"
    assert [entry["nodeId"] for entry in failed.history] == [place.scheduler.node_id] * 3
    assert all(entry["executionTime"] >= 15 for entry in failed.history)
    assert spent == sum(entry["executionTime"] for entry in failed.history)
    assert (failed.success_count, failed.failure_count, failed.status) == (2, 1, _S.SCHEDULED)
    assert [place.scheduler.get_metric(f"tasks.{name}") for name in ("completed", "failed", "execution.time")] == [
        0
    ] * 3


def test_s15_purge_with_a_time_to_live_of_nothing(place: Place) -> None:
    """
    The original: three plain tasks completed, TTL 0, after a purge none is left.

    Ours purge the memory tasks of the process as well (contract 16.26, where the original never does). What failed or
    recurs stays.
    """

    def failing() -> None:
        raise ValueError

    tasks = [place.task("s15", lambda: None).schedule() for _ in range(3)]
    failed = place.task("s15-failing", failing).with_max_retries(0).schedule()
    recurring = place.task("s15-again", Runs()).with_period(1, "HOURS").schedule()
    for task in tasks:
        place.reach(task, _S.COMPLETED)
    place.reach(failed, _S.FAILED)
    place.wait(recurring, lambda now: now.success_count == 1)
    removed = place.scheduler.purge_old_tasks()

    assert removed == 3
    assert {one.id for one in place.scheduler.get_all_tasks()} == {failed.id, recurring.id}


def test_s16_the_builder_s_words_are_in_the_task(place: Place) -> None:
    """
    The original: parameters, initial delay 100, period 200, fixed delay, memory and all nodes are all reflected.

    Ours keep the units of delay and period apart (contract 16.16). Whether it is in memory is the place's; a stored
    all-nodes task is the cluster tests'.
    """
    builder = place.builder("s16").with_parameters({"param1": "value1", "param2": 42})
    builder = builder.with_initial_delay(100, "MILLISECONDS").with_period(200, "SECONDS").with_fixed_delay()
    task = (builder if place.persistent else builder.run_on_all_nodes()).schedule()
    kept = place.scheduler.get_task(task.id)

    assert kept.parameters == {"param1": "value1", "param2": 42}
    assert (kept.initial_delay, kept.initial_delay_unit) == (100, TimeUnit.MILLISECONDS)
    assert (kept.period, kept.time_unit, kept.fixed_rate) == (200, TimeUnit.SECONDS, False)
    assert (kept.persistent, kept.run_on_all_nodes) == (place.persistent, not place.persistent)
    assert kept.next_scheduled_execution == kept.creation_date + 100


@pytest.mark.parametrize("stubborn", [False, True])
def test_s18_cancel_while_running(place: Place, stubborn: bool) -> None:  # noqa: FBT001 - a table's column
    """
    The original: CANCELLED within 2 s, and the body did not complete (its thread is interrupted).

    Ours tell the body by its context, and no thread is interrupted; a body that ignores it goes on, and its success
    does not count (P4, P17). The task never runs again.
    """
    told: list[str | None] = []

    def script(_number: int, context: Any) -> None:
        if stubborn:
            place.gate.wait(LIMIT)
            return
        context.wait_cancelled(LIMIT)
        told.append(context.reason)

    runs = Runs(script)
    task = place.task("s18", runs).with_period(100, "MILLISECONDS").schedule()
    runs.wait(1)
    began = time.monotonic()
    assert place.scheduler.cancel_task(task.id)
    place.reach(task, _S.CANCELLED, within=2)
    assert time.monotonic() - began < 2
    place.gate.set()
    free = place.wait(task, lambda now: now.lock_owner is None)
    place.metric("tasks.fenced", 1)

    assert (free.status, free.success_count, free.enabled) == (_S.CANCELLED, 0, False)
    assert statuses(free) == ["CANCELLED"]
    assert [place.scheduler.get_metric(f"tasks.{name}") for name in ("cancelled", "completed", "failed")] == [1, 0, 0]
    assert told == ([] if stubborn else ["the task was cancelled"])
    assert not place.scheduler.cancel_task(task.id)


def test_s18_a_cancelled_run_writes_nothing_more(place: Place) -> None:
    """
    Beyond the original: after a cancel a checkpoint is refused, and the failure that follows is not retried.
    """
    refused: list[type[Exception]] = []

    def script(_number: int, context: Any) -> None:
        context.wait_cancelled(LIMIT)
        try:
            context.save_checkpoint({"late": True})
        except LeaseLost as error:
            refused.append(type(error))
            raise

    runs = Runs(script)
    task = place.task("s18-late", runs).with_retry_delay(1, "MILLISECONDS").schedule()
    runs.wait(1)
    place.scheduler.cancel_task(task.id)
    free = place.wait(task, lambda now: now.lock_owner is None)

    assert refused == [LeaseLost]
    assert (free.status, free.checkpoint_data, free.last_error, runs.count) == (_S.CANCELLED, None, None, 1)


def test_s19_cancel_of_a_completed_one_shot(place: Place) -> None:
    """
    The original: CANCELLED, and enabled is false.
    """
    task = place.task("s19", lambda: None).as_one_shot().schedule()
    place.reach(task, _S.COMPLETED)
    assert place.scheduler.cancel_task(task.id)
    cancelled = place.scheduler.get_task(task.id)

    assert (cancelled.status, cancelled.enabled, cancelled.success_count) == (_S.CANCELLED, False, 1)
    assert statuses(cancelled) == ["SUCCESS", "CANCELLED"]


def test_s34_shutdown_marks_what_runs_as_crashed(place: Place) -> None:
    """
    The original: a RUNNING task of this node becomes CRASHED with the shutdown text.

    Ours let it end first (P18); a body that gives up when it is told is not counted as a crash, and it is unlocked.
    What has not begun stays SCHEDULED.
    """

    def script(_number: int, context: Any) -> None:
        context.save_checkpoint({"at": 7})
        context.wait_cancelled(LIMIT)

    runs = Runs(script)
    task = place.task("s34", runs).schedule()
    later = place.builder("s34").with_initial_delay(1, "HOURS").schedule()
    runs.wait(1)
    place.scheduler.stop(timedelta(milliseconds=50))
    crashed = place.scheduler.get_task(task.id)

    assert (crashed.status, crashed.last_error, crashed.crash_count) == (_S.CRASHED, SHUTDOWN, 0)
    assert (crashed.lock_owner, crashed.owner_incarnation, crashed.checkpoint_data) == (None, None, {"at": 7})
    assert statuses(crashed) == ["CRASHED"]
    assert crashed.status_details["crashedNode"] == place.scheduler.node_id
    assert place.scheduler.get_task(later.id).status is _S.SCHEDULED
    assert place.scheduler.get_metric("tasks.crashed") == 1


def test_s34_an_outcome_is_recorded_before_the_node_ends(place: Place) -> None:
    """
    Beyond the original, which interrupts at once: within the drain time-out a run ends as ever (P18).
    """

    def script(_number: int, context: Any) -> None:
        # Only the stop begins to let it go on.
        eventually(lambda: place.scheduler._wiring.node._cores.current.board.stopping, "the node stops")

    runs = Runs(script)
    task = place.task("s34-drain", runs).schedule()
    runs.wait(1)
    place.scheduler.stop()
    done = place.scheduler.get_task(task.id)

    assert (done.status, done.success_count, statuses(done)) == (_S.COMPLETED, 1, ["SUCCESS"])


def test_s35_shutdown_with_a_body_that_ignores_interrupts(place: Place) -> None:
    """
    The original: CRASHED.

    Ours so when the process ends at once (`exiting`, P18): a body that goes on in a living process keeps its task.
    Its late outcome is dropped.
    """
    runs = Runs(lambda *_: place.gate.wait(LIMIT))
    task = place.task("s35", runs).schedule()
    runs.wait(1)
    place.scheduler.stop(timedelta(0), exiting=True)
    crashed = place.scheduler.get_task(task.id)
    place.gate.set()

    assert (crashed.status, crashed.last_error, crashed.lock_owner) == (_S.CRASHED, SHUTDOWN, None)
    assert place.scheduler.get_task(task.id) == crashed


def test_a_task_that_was_crashed_by_a_stop_goes_on_at_the_next_start(place: Place) -> None:
    """
    From its checkpoint, in the same process; the run that goes on by itself counts as resumed.
    """
    seen: list[tuple[bool, dict[str, Any]]] = []

    def script(number: int, context: Any) -> None:
        seen.append((context.resumed, context.checkpoint_data))
        if number == 0:
            context.save_checkpoint({"at": 7})
            context.wait_cancelled(LIMIT)

    runs = Runs(script)
    task = place.task("again", runs, can_resume=True).schedule()
    runs.wait(1)
    place.scheduler.stop(timedelta(milliseconds=50))
    place.scheduler.start()
    done = place.reach(task, _S.COMPLETED)
    place.metric("tasks.resumed", 1)

    assert seen == [(False, {}), (True, {"at": 7})]
    assert (statuses(done), done.crash_count, done.failure_count) == (["CRASHED", "RESUMED", "SUCCESS"], 0, 0)


def test_a_deleted_task_leaves_when_its_run_has_returned(place: Place) -> None:
    """
    Until then it is CANCELLED and marked, so that a task of the same id cannot begin beside its body (P17).
    """
    runs = Runs(lambda *_: place.gate.wait(LIMIT))
    task = place.task("deleted", runs).schedule()
    runs.wait(1)
    place.scheduler.delete_task(task.id)
    marked = place.scheduler.get_task(task.id)
    place.gate.set()
    eventually(lambda: not _exists(place, task.id), "the task is removed")

    assert (marked.status, marked.delete_requested) == (_S.CANCELLED, True)
    assert place.scheduler.get_metric("tasks.cancelled") == 1


def _exists(place: Place, task_id: str) -> bool:
    try:
        return bool(place.scheduler.get_task(task_id))
    except TaskNotFound:
        return False


@pytest.mark.parametrize("when", ["waiting", "running", "failed"])
def test_an_edit_is_merged_and_never_lost(place: Place, when: str) -> None:
    """
    Whether the task waits for its time, runs, or has failed: what the run leaves and what was edited both stand.
    """

    def script(number: int, context: Any) -> None:
        if when == "running":
            context.update_step("half", done=1)
            place.gate.wait(LIMIT)
        if when == "failed" and number == 0:
            raise ValueError

    runs = Runs(script)
    builder = place.task("edited", runs).with_max_retries(0).with_parameters({"a": 1})
    task = (builder.with_initial_delay(1, "HOURS") if when == "waiting" else builder).schedule()
    if when == "running":
        runs.wait(1)
    if when == "failed":
        place.reach(task, _S.FAILED)
    edited = place.scheduler.update_task_config(task.id, max_retries=9, parameters={"a": 2}, retry_delay=5)
    place.gate.set()
    if when == "waiting":
        place.scheduler.run_now(task.id)
    if when == "failed":
        place.scheduler.retry_task(task.id)
    done = place.reach(task, _S.COMPLETED)

    assert (edited.max_retries, edited.parameters, edited.retry_delay) == (9, {"a": 2}, 5)
    assert (done.max_retries, done.parameters, done.retry_delay, done.success_count) == (9, {"a": 2}, 5, 1)


def test_a_disabled_task_rests_until_it_is_enabled(place: Place) -> None:
    """
    Its due time is kept: enabled late, a fixed rate runs once and goes on in phase (contract 4.3).
    """
    runs = Runs()
    task = place.task("rests", runs).with_initial_delay(1, "HOURS").with_period(1, "HOURS").schedule()
    due = (task.next_scheduled_execution or 0) - 3_600_000 * 5 // 2
    place.scheduler.update_task_config(task.id, enabled=False)
    place.scheduler.update_task_config(task.id, next_scheduled_execution=due)
    resting = place.scheduler.explain(task.id)
    place.scheduler.update_task_config(task.id, enabled=True)
    done = place.wait(task, lambda now: now.success_count == 1)

    assert "disabled; set enabled to let it run" in resting
    assert done.next_scheduled_execution == due + 2 * 3_600_000
    assert runs.count == 1


def test_run_now_stands_beside_the_schedule(place: Place) -> None:
    """
    One more run at once, and the phase of the schedule stays; asked for during a run, it follows (P14).
    """
    runs = Runs(lambda number, _: place.gate.wait(LIMIT) if number == 0 else None)
    task = place.task("now", runs).with_initial_delay(1, "HOURS").with_period(1, "HOURS").schedule()
    place.scheduler.run_now(task.id)
    runs.wait(1)
    place.scheduler.run_now(task.id)
    place.gate.set()
    done = place.wait(task, lambda now: now.success_count == 2)

    assert done.next_scheduled_execution == task.next_scheduled_execution
    assert (runs.count, done.run_requests) == (2, 0)


def test_the_history_keeps_ten_entries_of_every_kind(place: Place) -> None:
    """
    The newest last: failures, what users asked for, and the success (contract section 8).
    """

    def script(number: int, _context: Any) -> None:
        if number < 6:
            raise ValueError(number)

    runs = Runs(script)
    task = place.task("history", runs).with_max_retries(0).with_initial_delay(1, "HOURS").schedule()
    place.scheduler.run_now(task.id)
    for number in range(6):
        place.wait(task, _failures(number + 1))
        place.scheduler.retry_task(task.id)
    done = place.reach(task, _S.COMPLETED)
    place.scheduler.cancel_task(task.id)
    kinds = statuses(place.scheduler.get_task(task.id))

    assert kinds == ["FAILED", "RETRIED"] * 4 + ["SUCCESS", "CANCELLED"]
    assert [entry["error"] for entry in done.history if entry["status"] == "FAILED"][-1] == "ValueError: 5"


def _failures(number: int) -> Callable[[Task], bool]:
    return lambda now: now.status is _S.FAILED and now.failure_count == number
