"""
The builder.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from tests.factories import NOW, SetClock
from unomi_scheduler.builder import Draft, TaskBuilder
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.model import DependencyPolicy, Task, TaskStatus, TimeUnit


class _Desk:
    """
    Takes what builders hand over.
    """

    def __init__(self) -> None:
        self.drafts: list[Draft] = []

    def __call__(self, draft: Draft) -> Task:
        self.drafts.append(draft)
        return draft.task


def _new(task_type: str = "sample", desk: _Desk | None = None) -> TaskBuilder:
    return TaskBuilder(task_type, clock=SetClock(), submit=desk or _Desk())


def test_the_defaults() -> None:
    """
    Parallel, persistent, fixed rate, three retries a minute apart, and a plain single run.
    """
    task = _new().build()

    assert Task(id=task.id, task_type="sample", creation_date=NOW) == task
    assert (False, False, 0, 3, 60_000, True) == (
        task.periodic,
        task.one_shot,
        task.period,
        task.max_retries,
        task.retry_delay,
        task.enabled,
    )


def test_each_build_is_a_task_of_its_own() -> None:
    """
    Building stores nothing; without an id each has a new one.
    """
    desk = _Desk()
    builder = _new(desk=desk)

    assert builder.build().id != builder.build().id
    assert builder.with_id("mine").build().id == builder.build().id == "mine"
    assert desk.drafts == []


def test_everything_is_reflected() -> None:
    """
    Each method sets its field.
    """
    task = (
        _new()
        .with_id("one")
        .with_parameters({"a": 1})
        .with_initial_delay(100)
        .with_period(200, "seconds")
        .with_fixed_delay()
        .disallow_parallel_execution()
        .on_nodes("n1", "n2")
        .on_tags("gpu")
        .keep_checkpoint()
        .with_max_crashes(2)
        .with_max_retries(0)
        .with_retry_delay(2, "Minutes")
        .with_dependencies("a", "b")
        .with_dependencies("b", "c")
        .with_dependency_policy("run")
        .build()
    )

    assert task == Task(
        id="one",
        task_type="sample",
        creation_date=NOW,
        parameters={"a": 1},
        initial_delay=100,
        period=200,
        time_unit=TimeUnit.SECONDS,
        fixed_rate=False,
        allow_parallel_execution=False,
        on_nodes=("n1", "n2"),
        on_tags=("gpu",),
        keep_checkpoint=True,
        max_crashes=2,
        max_retries=0,
        retry_delay=120_000,
        depends_on=("a", "b", "c"),
        dependency_policy=DependencyPolicy.RUN,
        status=TaskStatus.SCHEDULED,
    )


def test_the_last_word_counts() -> None:
    """
    Opposites may follow each other.
    """
    task = _new().with_fixed_delay().with_fixed_rate().disallow_parallel_execution().allow_parallel_execution().build()

    assert (True, True) == (task.fixed_rate, task.allow_parallel_execution)


def test_delay_and_period_keep_their_own_units() -> None:
    """
    The original's one shared unit made days of seconds.
    """
    task = _new().with_initial_delay(30, "SECONDS").with_period(1, "DAYS").build()

    assert (30_000, 86_400_000) == (task.initial_delay_millis, task.period_millis)


@pytest.mark.parametrize(
    ("arguments", "millis"),
    [
        ((5,), 5),
        ((5, "SECONDS"), 5_000),
        ((5, "seconds"), 5_000),
        ((5, TimeUnit.HOURS), 18_000_000),
        ((timedelta(minutes=2),), 120_000),
        ((timedelta(microseconds=1_500),), 1),
        ((3_000, "Microseconds"), 3),
    ],
)
def test_amounts(arguments: tuple[Any, ...], millis: int) -> None:
    """
    A number with a unit in any case, or a timedelta alone.
    """
    task = _new().with_period(*arguments).with_initial_delay(*arguments).with_retry_delay(*arguments).build()

    assert (millis, millis, millis) == (task.period_millis, task.initial_delay_millis, task.retry_delay)


def _changed(change: Callable[[TaskBuilder], TaskBuilder]) -> Callable[[TaskBuilder], TaskBuilder]:
    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one.with_period(-1), "period"),
        (lambda one: one.with_period(timedelta(seconds=-1)), "period"),
        (lambda one: one.with_period(1, "WEEKS"), "unit"),
        (lambda one: one.with_period(1, 5), "unit"),
        (lambda one: one.with_period(1.5, "SECONDS"), "period"),
        (lambda one: one.with_period("1"), "period"),
        (lambda one: one.with_period(True), "period"),
        (lambda one: one.with_period(timedelta(1), "DAYS"), "period"),
        (lambda one: one.with_initial_delay(-1), "initial delay"),
        (lambda one: one.with_retry_delay(-1, "SECONDS"), "retry delay"),
        (lambda one: one.with_max_retries(-1), "max retries"),
        (lambda one: one.with_max_retries(1.0), "max retries"),
        (lambda one: one.with_max_crashes(-1), "max crashes"),
        (lambda one: one.with_dependencies("a", " "), "dependency"),
        (lambda one: one.with_dependencies(None), "dependency"),
        (lambda one: one.with_dependency_policy("shrug"), "dependency policy"),
        (lambda one: one.as_one_shot().with_period(1), "period"),
        (lambda one: one.with_period(1).as_one_shot(), "period"),
        (lambda one: one.as_system_task().non_persistent(), "system task"),
        (lambda one: one.non_persistent().as_system_task(), "system task"),
    ],
)
def test_what_is_refused_at_once(change: Callable[[TaskBuilder], TaskBuilder], message: str) -> None:
    """
    The call that breaks a rule raises, and leaves the builder as it was.
    """
    builder = _new().with_id("x")
    with pytest.raises(InvalidTask, match=f"^Invalid {message}"):
        _changed(change)(builder)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (_new(""), "task type"),
        (_new("  "), "task type"),
        (_new().with_id(""), "task id"),
        (_new().with_id("purge"), "task id"),
        (_new().as_system_task().with_id("other"), "task id"),
        (_new().run_on_all_nodes().disallow_parallel_execution(), "run on all nodes"),
        (_new().run_on_all_nodes().as_one_shot(), "run on all nodes"),
    ],
)
def test_what_is_refused_when_it_is_built(builder: TaskBuilder, message: str) -> None:
    """
    Rules that only the whole can break.
    """
    with pytest.raises(InvalidTask, match=f"^Invalid {message}"):
        builder.build()


def test_no_period_is_a_plain_single_run() -> None:
    """
    Said as 0 or not at all; only `as_one_shot` makes a one-shot, in any order.
    """
    one_shots = [_new().as_one_shot().with_period(0), _new().with_period(0).as_one_shot()]

    assert not _new().with_period(0).build().one_shot
    assert [True, True] == [builder.build().one_shot for builder in one_shots]


def test_all_nodes_means_parallel() -> None:
    """
    In whatever order it is said with the rest.
    """
    for order in permutations([TaskBuilder.run_on_all_nodes, TaskBuilder.with_fixed_delay, TaskBuilder.non_persistent]):
        builder = _new()
        for step in order:
            builder = step(builder)

        assert builder.build().allow_parallel_execution
    assert _new().disallow_parallel_execution().run_on_all_nodes().build().allow_parallel_execution


def test_a_system_task_has_its_type_as_id() -> None:
    """
    So that N nodes starting together leave one.
    """
    assert _new("daily").as_system_task().build().id == "daily"
    assert _new("daily").as_system_task().with_id("daily").build().id == "daily"


def test_parameters_are_copied() -> None:
    """
    What the caller does to the mapping later is the caller's.
    """
    parameters = {"a": 1}
    builder = _new().with_parameters(parameters)
    parameters["a"] = 2

    assert builder.build().parameters == {"a": 1}


def test_schedule_hands_everything_over() -> None:
    """
    The task, the code, and what to do when it exists; the last executor named counts.
    """
    desk = _Desk()
    code = object()
    _new(desk=desk).with_executor(code).with_simple_executor(print).schedule(if_exists="keep")  # type: ignore[arg-type]
    _new(desk=desk).as_system_task().with_period(5).update_existing().with_executor(code).schedule()  # type: ignore[arg-type]
    kept, updated = desk.drafts

    assert (None, print, "keep", None) == (kept.executor, kept.function, kept.if_exists, kept.updates)
    assert (code, None, "raise") == (updated.executor, updated.function, updated.if_exists)
    assert {"system_task": True, "period": 5, "time_unit": TimeUnit.MILLISECONDS} == updated.updates
