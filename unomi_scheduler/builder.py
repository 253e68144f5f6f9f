"""
The builder: a task definition in one chained expression, as the original's `newTask(type)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol
from uuid import uuid4

from .clock import Clock
from .errors import InvalidTask
from .model import DependencyPolicy, Json, Task, TimeUnit
from .ports import Executor
from .rules.validation import validate
from .units import amount_of

IfExists = Literal["raise", "keep"]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """
    What a builder hands over: the task, the code that came with it, and what to do when the id exists.

    `updates` are the fields that were set by name and shall be applied to an existing system task; None keeps it as
    it is.
    """

    task: Task
    executor: Executor | None = None
    function: Callable[..., object] | None = None
    if_exists: IfExists = "raise"
    updates: Mapping[str, Any] | None = field(default=None)


class Submit(Protocol):
    """
    Where a builder's `schedule` goes.
    """

    def __call__(self, draft: Draft) -> Task:
        """
        Register the code, store the task, and return it as stored.
        """
        ...


class TaskBuilder:
    """
    A task definition that grows by chained calls; `schedule()` stores it, `build()` only makes it.

    Wherever `(number, unit)` stands, a `timedelta` alone works; a number without a unit is milliseconds. Delay and
    period
    keep units of their own. A task with neither a period nor `as_one_shot()` runs once and stays enabled ("plain single
    run"); `with_period(0)` leaves it that: the original's setter makes a period of 0 a one-shot, but its builder states
    one-shot explicitly afterwards, and an explicit statement wins.
    """

    def __init__(self, task_type: str, *, clock: Clock, submit: Submit, max_crashes: int = 5) -> None:
        self._task_type = task_type
        self._clock = clock
        self._submit = submit
        self._defaults: dict[str, Any] = {"max_crashes": max_crashes}
        self._set: dict[str, Any] = {}
        self._executor: Executor | None = None
        self._function: Callable[..., object] | None = None
        self._update_existing = False

    def with_id(self, task_id: str) -> TaskBuilder:
        """
        Give the task this id instead of a random one.
        """
        return self._with(id=task_id)

    def with_parameters(self, parameters: Mapping[str, Json]) -> TaskBuilder:
        """
        Hand these parameters to the executor.
        """
        return self._with(parameters=dict(parameters))

    def with_initial_delay(self, number: int | timedelta, unit: str | TimeUnit | None = None) -> TaskBuilder:
        """
        Run first this long after the creation.
        """
        delay = amount_of("initial delay", number, unit)
        return self._with(initial_delay=delay.number, initial_delay_unit=delay.unit)

    def with_period(self, number: int | timedelta, unit: str | TimeUnit | None = None) -> TaskBuilder:
        """
        Run again and again, this far apart; 0 means no recurrence.
        """
        period = amount_of("period", number, unit)
        return self._with(period=period.number, time_unit=period.unit)

    def with_fixed_rate(self) -> TaskBuilder:
        """
        Count the period from due time to due time (the default).
        """
        return self._with(fixed_rate=True)

    def with_fixed_delay(self) -> TaskBuilder:
        """
        Count the period from the end of one run to the next.
        """
        return self._with(fixed_rate=False)

    def as_one_shot(self) -> TaskBuilder:
        """
        Run once and be disabled after the success.
        """
        return self._with(one_shot=True)

    def allow_parallel_execution(self) -> TaskBuilder:
        """
        Let tasks of this type run beside each other (the default); one task never has two runs at once either way.
        """
        return self._with(allow_parallel_execution=True)

    def disallow_parallel_execution(self) -> TaskBuilder:
        """
        Let at most one task of this type run in the whole cluster.
        """
        return self._with(allow_parallel_execution=False)

    def with_executor(self, executor: Executor) -> TaskBuilder:
        """
        Register this executor when the task is scheduled.
        """
        self._executor, self._function = executor, None
        return self

    def with_simple_executor(self, function: Callable[..., object]) -> TaskBuilder:
        """
        Register this function when the task is scheduled: called without arguments or with the context; raising is a
        failure.
        """
        self._executor, self._function = None, function
        return self

    def non_persistent(self) -> TaskBuilder:
        """
        Keep the task in this process's memory alone.
        """
        return self._with(persistent=False)

    def run_on_all_nodes(self) -> TaskBuilder:
        """
        Run on each node that has the executor, executor node or not; the task then allows parallel execution.

        Each node runs it once in each period, counted from the creation and the initial delay for all alike; a fixed
        delay counts as a fixed rate here. Without a period each node of that moment runs it once. A node that joins in
        the middle of a period waits for the next; one whose last run has not ended by then skips that period. With
        `on_nodes` or `on_tags` only those nodes run it. `Scheduler.node_runs(id)` shows what each made of it. A memory
        task with this runs in the process that scheduled it, on a node that is no executor node as well.
        """
        return self._with(run_on_all_nodes=True, allow_parallel_execution=True)

    def on_nodes(self, *node_ids: str) -> TaskBuilder:
        """
        Run on these nodes only (and on those with a tag of `on_tags`).
        """
        return self._with(on_nodes=node_ids)

    def on_tags(self, *tags: str) -> TaskBuilder:
        """
        Run on nodes with one of these tags only (and on those of `on_nodes`).
        """
        return self._with(on_tags=tags)

    def as_system_task(self) -> TaskBuilder:
        """
        Make it the one task of its type in the cluster, with the type as its id; one that exists keeps its definition.
        """
        return self._with(system_task=True)

    def update_existing(self) -> TaskBuilder:
        """
        Apply what this builder sets to the system task that exists; its id, history and counters stay.
        """
        self._update_existing = True
        return self

    def keep_checkpoint(self) -> TaskBuilder:
        """
        Hand the checkpoint to the next period even after a success.
        """
        return self._with(keep_checkpoint=True)

    def with_max_crashes(self, crashes: int) -> TaskBuilder:
        """
        End the task FAILED after more crashes in a row than this.
        """
        return self._with(max_crashes=_count("max crashes", crashes))

    def with_max_retries(self, retries: int) -> TaskBuilder:
        """
        Try a failed run this many times more.
        """
        return self._with(max_retries=_count("max retries", retries))

    def with_retry_delay(self, number: int | timedelta, unit: str | TimeUnit | None = None) -> TaskBuilder:
        """
        Wait this long before each retry.
        """
        return self._with(retry_delay=amount_of("retry delay", number, unit).millis)

    def with_dependencies(self, *task_ids: str, on_failure: str | DependencyPolicy | None = None) -> TaskBuilder:
        """
        Wait until these tasks have succeeded, too; a recurring one counts with its first success from now on.

        Args:
            on_failure: what happens when one of them failed for good, was cancelled or was deleted (the same for all of
                this task's dependencies): FAIL it too, with the reason (the default), WAIT on, so that it runs when
                somebody retries the dependency and that succeeds, or RUN all the same.
        """
        if on_failure is not None:
            self.with_dependency_policy(on_failure)
        for task_id in task_ids:
            if not str(task_id or "").strip():
                raise InvalidTask(f"Invalid dependency: expected an id that is not blank, got {task_id!r}")
        known = self._set.get("depends_on", ())
        return self._with(depends_on=tuple(dict.fromkeys((*known, *task_ids))))

    def with_dependency_policy(self, policy: str | DependencyPolicy) -> TaskBuilder:
        """
        Say what happens when a dependency failed, was cancelled or was deleted: FAIL (the default), WAIT or RUN.
        """
        try:
            return self._with(dependency_policy=DependencyPolicy(policy.upper()))
        except (AttributeError, ValueError):
            expected = ", ".join(DependencyPolicy)
            raise InvalidTask(f"Invalid dependency policy: expected one of {expected}, got {policy!r}") from None

    def build(self) -> Task:
        """
        Return the task as defined so far, created now; nothing is stored.

        Raises:
            InvalidTask: the definition breaks a rule.
        """
        if self._set.get("system_task") and self._set.get("id", self._task_type) != self._task_type:
            raise InvalidTask(
                f"Invalid task id: a system task's is its type, {self._task_type!r}, got {self._set['id']!r}"
            )
        values = {
            "id": self._task_type if self._set.get("system_task") else str(uuid4()),
            **self._defaults,
            **self._set,
        }
        task = Task(task_type=self._task_type, creation_date=self._clock.now().wall, **values)
        validate(task)
        return task

    def schedule(self, *, if_exists: IfExists = "raise") -> Task:
        """
        Store the task, register its executor, and return the task as stored.

        Args:
            if_exists: "keep" returns the task that has the id; "raise" is a Conflict. A system task is always kept.

        Raises:
            InvalidTask: the definition breaks a rule, or a dependency is missing or leads back.
            Conflict: the id exists.
            StoreUnavailable: the store did not answer; the message says what is known.
        """
        return self._submit(
            Draft(
                task=self.build(),
                executor=self._executor,
                function=self._function,
                if_exists=if_exists,
                updates=dict(self._set) if self._update_existing else None,
            )
        )

    def _with(self, **values: Any) -> TaskBuilder:
        merged = {**self._set, **values}
        if merged.get("one_shot") and merged.get("period"):
            raise InvalidTask(f"Invalid period: expected 0 for a one-shot task, got {merged['period']!r}")
        if merged.get("system_task") and not merged.get("persistent", True):
            raise InvalidTask(f"Invalid system task: {self._task_type} cannot be a memory task")
        self._set = merged
        return self


def _count(what: str, number: object) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise InvalidTask(f"Invalid {what}: expected a whole number, 0 or more, got {number!r}")
    return number
