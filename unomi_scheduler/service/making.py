"""
Making: new tasks, and the code that runs them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, TypeVar
from uuid import uuid4

from ..builder import Draft, IfExists, TaskBuilder
from ..errors import Conflict, InvalidTask, SchedulerError
from ..model import Json, Task, TaskStatus, TimeUnit
from ..node.executors import FunctionExecutor
from ..ports import Executor
from ..rules import requests
from ..rules.requests import EDITABLE
from ..units import amount_of
from .bulk import Bulk
from .creation import Created, Creation, NotAllScheduled
from .definitions import DEFINED, checked, definition_of, edit_values
from .dependencies import reach_dependencies, waves
from .wiring import Wiring

_log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., object])


class Making(Bulk):
    """
    The part of a scheduler that makes tasks and knows their code.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._creation = Creation(
            clock=wiring.clock,
            metrics=wiring.metrics,
            offer=lambda stored, store: wiring.node.offer(stored, store, created=True),
            near=lambda task_id: wiring.node.memory_get(task_id) is not None,
            dependents=self._dependents,
        )

    def new_task(self, task_type: str) -> TaskBuilder:
        """
        Begin the definition of a task; `schedule()` at its end stores it.
        """
        wiring = self._wiring
        return TaskBuilder(task_type, clock=wiring.clock, submit=self._submit, max_crashes=wiring.settings.max_crashes)

    def create_task(
        self,
        task_type: str,
        parameters: Mapping[str, Json] | None = None,
        initial_delay: int | timedelta = 0,
        period: int | timedelta = 0,
        unit: str | TimeUnit | None = None,
        **definition: Any,
    ) -> Task:
        """
        Return a task without storing it: hand it to `schedule_task`.

        Args:
            unit: of the delay and the period where they are numbers; milliseconds by default.
            definition: `id`, and the other fields of a definition (`fixed_rate`, `one_shot`, `persistent`, …).

        Raises:
            InvalidTask: the definition breaks a rule.
        """
        unknown = definition.keys() - {*DEFINED, "id", "next_scheduled_execution"}
        if unknown:
            raise InvalidTask(
                f"{', '.join(sorted(unknown))}: no field of a definition; these are: {', '.join(DEFINED)}"
            )
        delay = amount_of("initial delay", initial_delay, None if isinstance(initial_delay, timedelta) else unit)
        every = amount_of("period", period, None if isinstance(period, timedelta) else unit)
        values = {
            "id": task_type if definition.get("system_task") else str(uuid4()),
            "max_crashes": self._wiring.settings.max_crashes,
            "initial_delay": delay.number,
            "initial_delay_unit": delay.unit,
            "period": every.number,
            "time_unit": every.unit,
            **edit_values(definition),
        }
        return checked(Task(task_type=task_type, creation_date=self._now(), parameters=parameters or {}, **values))

    def create_recurring_task(
        self,
        task_type: str,
        period: int | timedelta,
        unit: str | TimeUnit | None,
        function: Callable[..., object],
        persistent: bool = True,  # noqa: FBT001, FBT002 - the original's argument
    ) -> Task:
        """
        Schedule a function at a fixed rate, and return its task.

        Raises:
            InvalidTask: the period is not above 0, or it is a number without a unit.
        """
        if unit is None and not isinstance(period, timedelta):
            raise InvalidTask(f"Invalid unit: expected one of {', '.join(TimeUnit)}, got None")
        if amount_of("period", period, unit).number == 0:
            raise InvalidTask(f"Invalid period: expected more than 0, got {period!r}")
        builder = self.new_task(task_type).with_period(period, unit).with_simple_executor(function)
        return (builder if persistent else builder.non_persistent()).schedule()

    def schedule_task(self, task: Task, *, if_exists: IfExists = "raise") -> Task:
        """
        Store a task as new, and return it as stored; of the one handed over only the definition and the id count.

        A disabled task is stored too, and runs once it is enabled. A system task that exists keeps its definition.

        Raises:
            InvalidTask: the definition breaks a rule, or a dependency is missing or leads back.
            Conflict: the id exists.
            StoreUnavailable: the store refused, or it did not answer; the message says what is known.
        """
        return self._submit(Draft(task=task, if_exists=if_exists))

    def schedule_many(self, tasks: Iterable[Task], *, if_exists: IfExists = "raise") -> list[Task]:
        """
        Store many tasks as new in few calls of the store, and return them as stored, in order.

        Each task stands for itself: one that fails does not keep the others out. They may depend on each other.

        Raises:
            NotAllScheduled: some failed; it names each with its reason, and has those that were stored.
        """
        keep = _keeps(if_exists)
        given = list(tasks)
        plain = [task for task in given if _is_plain(task)]
        stored = iter(self._all_stored(plain, keep=keep, beside={task.id for task in given if not task.persistent}))
        alone = iter(self._all_alone([task for task in given if not _is_plain(task)], if_exists))
        results = [next(stored) if _is_plain(task) else next(alone) for task in given]
        failed = {
            task.id: result for task, result in zip(given, results, strict=True) if isinstance(result, SchedulerError)
        }
        made = [result.task for result in results if isinstance(result, Created)]
        if failed:
            raise NotAllScheduled(failed, made)
        return made

    def register_executor(self, executor: Executor | FunctionExecutor) -> None:
        """
        Let this executor run its task type on this node; another one of the same type is replaced with a warning.

        Raises:
            InvalidTask: it is no executor, or its type is blank.
        """
        self._wiring.registry.register(executor)

    def unregister_executor(self, executor: Executor | FunctionExecutor | None) -> None:
        """
        Forget this very executor; what runs goes on.
        """
        self._wiring.registry.unregister(executor)

    def executor(self, task_type: str, can_resume: bool = False) -> Callable[[F], F]:  # noqa: FBT001, FBT002 - reads well: executor("sync", can_resume=True)
        """
        Register the decorated function (`def` or `async def`) for a task type; it is returned as it is.

        Args:
            can_resume: it goes on from `context.checkpoint_data` after a crash.
        """

        def register(function: F) -> F:
            self.register_executor(FunctionExecutor(task_type, function, can_resume=can_resume))
            return function

        return register

    def _all_stored(
        self, tasks: Sequence[Task], *, keep: bool, beside: Collection[str]
    ) -> list[Created | SchedulerError]:
        if not tasks:
            return []
        return self._creation.create_all(self._wiring.required_store(), tasks, keep=keep, beside=beside)

    def _all_alone(self, tasks: Sequence[Task], if_exists: IfExists) -> list[Created | SchedulerError]:
        ordered, circular = waves(tasks)
        rank = {task.id: number for number, task in enumerate(chain(*ordered))}
        results: dict[int, Created | SchedulerError] = {
            place: InvalidTask(f"Task {task.id}: its dependencies lead back to itself")
            for place, task in enumerate(tasks)
            if task in circular
        }
        for place in sorted(range(len(tasks)), key=lambda place: rank.get(tasks[place].id, 0)):
            if place not in results:
                results[place] = self._alone(tasks[place], if_exists)
        return [results[place] for place in range(len(tasks))]

    def _alone(self, task: Task, if_exists: IfExists) -> Created | SchedulerError:
        try:
            return Created(self.schedule_task(task, if_exists=if_exists))
        except SchedulerError as error:
            return error

    def _submit(self, draft: Draft) -> Task:
        keep = _keeps(draft.if_exists)
        if draft.executor is not None:
            self.register_executor(draft.executor)
        if draft.function is not None:
            self.register_executor(FunctionExecutor(draft.task.task_type, draft.function))
        if not draft.task.persistent:
            return self._create_memory(draft.task, keep=keep)
        store = self._wiring.required_store()
        if not draft.task.system_task:
            return self._creation.create(store, draft.task, keep=keep).task
        created = self._creation.create(store, draft.task, keep=True)
        return self._reuse(created.task, draft) if created.existed else created.task

    def _create_memory(self, task: Task, *, keep: bool) -> Task:
        node = self._wiring.node
        known = reach_dependencies(task, near=node.memory_get, store=self._wiring.store)
        made = self._creation.prepare(task, known)
        try:
            node.memory_put(made)
        except Conflict:
            existing = node.memory_get(task.id)
            if not keep or existing is None:
                raise
            return existing
        self._creation.created(made)
        return made

    def _reuse(self, existing: Task, draft: Draft) -> Task:
        if not existing.system_task:
            raise Conflict(f"Task {existing.id} exists already, and it is no system task")
        wanted = draft.task
        differing = sorted(name for name, value in definition_of(existing).items() if value != getattr(wanted, name))
        updates = _applicable(existing, draft.updates or {})
        if differing and not updates:
            shown = {"action": "system_task_kept", "task_id": existing.id, "differing": differing}
            _log.info("System task %s keeps its own %s", existing.id, ", ".join(differing), extra=shown)
        if not updates:
            return existing
        now = self._now()
        return self._change(existing.id, lambda task: checked(requests.edit(task, now=now, **updates)))


def _is_plain(task: Task) -> bool:
    # What goes to the store in batches.
    return task.persistent and not task.system_task


def _applicable(existing: Task, updates: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in updates.items()
        if name in EDITABLE and getattr(existing, name) != value and not (name == "enabled" and _is_over(existing))
    }


def _is_over(task: Task) -> bool:
    return task.status is TaskStatus.CANCELLED


def _keeps(if_exists: str) -> bool:
    if if_exists not in ("raise", "keep"):
        raise InvalidTask(f'Invalid if_exists: expected "raise" or "keep", got {if_exists!r}')
    return if_exists == "keep"
