"""
Bulk: one action for many tasks, each by its own conditional write, and many of these writes in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import InvalidTask, InvalidTransition, SchedulerError, TaskNotFound
from ..model import Task, TaskStatus
from ..ports import LIST_CAP
from . import batching
from .listing import status_of
from .together import Became, BulkAction, Together

T = TypeVar("T")
SHOWN = 100
"""How many ids, and how many failures, a result names."""
_AT_ONCE = 8
"""A store gains nothing from more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """
    Which tasks: what is given must all hold. `everything` says that nothing is left out on purpose.
    """

    status: TaskStatus | str | None = None
    task_type: str | None = None
    ids: tuple[str, ...] | None = None
    everything: bool = False
    _known: frozenset[str] = field(init=False, repr=False, default=frozenset())

    def __post_init__(self) -> None:
        given = (self.status, self.task_type, self.ids)
        if self.everything == any(one is not None for one in given):
            raise InvalidTask(
                "Invalid filter: expected a status, a type or ids, or nothing but `all`, which takes every task"
            )
        if self.ids is not None and len(self.ids) > LIST_CAP:
            raise InvalidTask(f"Invalid filter: expected at most {LIST_CAP:,} ids, got {len(self.ids):,}")
        object.__setattr__(self, "_known", frozenset(self.ids or ()))
        if self.status is not None:
            object.__setattr__(self, "status", status_of(self.status))

    def takes(self, task: Task) -> bool:
        """
        Tell whether a task is selected.
        """
        return (
            self.status in (None, task.status)
            and self.task_type in (None, task.task_type)
            and (self.ids is None or task.id in self._known)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkResult:
    """
    What became of the selected tasks: `matched` = changed + unchanged + failed + remaining.

    One call takes up to 10,000 tasks; `remaining` tells how many more there are. With a dry run they all remain. `ids`
    are the first hundred, `errors` the first hundred failures by id; `changed_ids` are all that were changed.
    """

    action: BulkAction
    dry_run: bool
    matched: int
    changed: int = 0
    unchanged: int = 0
    failed: int = 0
    remaining: int = 0
    ids: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    changed_ids: tuple[str, ...] = ()


class Bulk(Together):
    """
    The part of a scheduler that changes many tasks at once.
    """

    def bulk(
        self,
        action: BulkAction | str,
        selection: Selection,
        *,
        reset_failure_count: bool = False,
        dry_run: bool = False,
    ) -> BulkResult:
        """
        Do something to each selected task that still is as selected at its turn; the oldest come first.

        A task whose state does not allow the action stays unchanged; one that fails does not stop the others.

        Args:
            reset_failure_count: of a retry: give all retries again.
            dry_run: change nothing, and tell how many there are and which come first.

        Raises:
            InvalidTask: there is no such action.
            StoreUnavailable: the tasks could not be listed; nothing was changed.
        """
        wanted = _action_of(action)
        ids, matched = self._selected(selection)
        if dry_run:
            return BulkResult(action=wanted, dry_run=True, matched=matched, remaining=matched, ids=tuple(ids[:SHOWN]))
        steps: dict[BulkAction, Callable[[str], bool]] = {
            BulkAction.CANCEL: self.cancel_task,
            BulkAction.DELETE: self._deleted,
            BulkAction.RETRY: lambda task_id: self.retry_task(task_id, reset_failure_count),
            BulkAction.RESUME: self.resume_task,
            BulkAction.RUN: self._asked,
            BulkAction.ENABLE: lambda task_id: self._enabled(task_id, enabled=True),
            BulkAction.DISABLE: lambda task_id: self._enabled(task_id, enabled=False),
        }
        results: list[Became] = []
        for start in range(0, len(ids), batching.SIZE):
            some = ids[start : start + batching.SIZE]
            rule = self._rule(wanted, reset_failure_count=reset_failure_count)
            done = self._together(wanted, some, selection.takes, rule)
            # Memory tasks, those that are more than one document, and those with which others were faster.
            alone = [task_id for task_id in some if task_id not in done]
            done.update(zip(alone, _each(lambda one: self._step(one, selection, steps[wanted]), alone), strict=True))
            results += [done[task_id] for task_id in some]
        return _result(wanted, ids, results, matched=matched)

    def _selected(self, selection: Selection) -> tuple[list[str], int]:
        if selection.ids is not None:
            # A document that Apache Unomi made is found by two ids.
            found = list(dict.fromkeys(task.id for task in self._read_all(selection.ids) if selection.takes(task)))
            return found, len(found)
        store = self._wiring.store()
        if store is not None:
            # People select by what they have just seen or made.
            store.refresh()
        page = self.find_tasks(status=selection.status, task_type=selection.task_type, limit=-1)
        return [task.id for task in page.list], page.total_size

    def _read_all(self, ids: Iterable[str]) -> list[Task]:
        names = list(dict.fromkeys(ids))
        there = self._read_together(names)
        alone = [name for name in names if name not in there]
        found = {**there, **dict(zip(alone, _each(self._read, alone), strict=True))}
        return [task for task in map(found.get, names) if task is not None]

    def _read(self, task_id: str) -> Task | None:
        try:
            return self.get_task(task_id)
        except (TaskNotFound, InvalidTask):
            return None

    def _step(self, task_id: str, selection: Selection, step: Callable[[str], bool]) -> Became:
        try:
            # It may have moved on since it was listed: what was FAILED then may be running by now.
            return selection.takes(self.get_task(task_id)) and step(task_id)
        except (TaskNotFound, InvalidTransition):
            return False
        except SchedulerError as error:
            return error

    def _deleted(self, task_id: str) -> bool:
        self.delete_task(task_id)
        return True

    def _asked(self, task_id: str) -> bool:
        self.run_now(task_id)
        return True

    def _enabled(self, task_id: str, *, enabled: bool) -> bool:
        before = self.get_task(task_id).enabled
        return self.update_task_config(task_id, enabled=enabled).enabled is not before


def _each(step: Callable[[str], T], ids: Iterable[str]) -> list[T]:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="unomi-bulk") as threads:
        return list(threads.map(step, ids))


def _action_of(action: BulkAction | str) -> BulkAction:
    try:
        return BulkAction(action)
    except ValueError:
        raise InvalidTask(f"Invalid action: expected one of {', '.join(BulkAction)}, got {action!r}") from None


def _result(action: BulkAction, ids: list[str], results: list[Became], *, matched: int) -> BulkResult:
    errors = {task_id: str(one) for task_id, one in zip(ids, results, strict=True) if isinstance(one, SchedulerError)}
    return BulkResult(
        action=action,
        dry_run=False,
        matched=matched,
        changed=results.count(True),
        unchanged=results.count(False),
        failed=len(errors),
        remaining=max(0, matched - len(ids)),
        ids=tuple(ids[:SHOWN]),
        errors=dict(list(errors.items())[:SHOWN]),
        changed_ids=tuple(task_id for task_id, one in zip(ids, results, strict=True) if one is True),
    )
