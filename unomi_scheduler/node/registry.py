"""
The registry: which executor runs which task type on this node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import NamedTuple

from ..ports import Executor
from .executors import FunctionExecutor, ObjectExecutor, prepared
from .runs import ExecutorInfo, Pool

_log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    given: Executor | FunctionExecutor
    body: FunctionExecutor | ObjectExecutor
    info: ExecutorInfo


class Registry:
    """
    One executor per task type; safe from any thread. Reading takes no lock: a change replaces the whole table.

    `changed` is called after each change, outside of any lock, in the thread that made it.
    """

    def __init__(self, changed: Callable[[], None] | None = None) -> None:
        self._changed = changed or _nobody
        self._lock = Lock()
        self._entries: dict[str, _Entry] = {}

    def on_change(self, changed: Callable[[], None]) -> None:
        """
        Call `changed` from now on, instead of what was called before.
        """
        self._changed = changed

    def register(self, executor: Executor | FunctionExecutor) -> None:
        """
        Make this the executor of its type; another one of the same type is replaced with a warning.

        Raises:
            InvalidTask: it is no executor, or its type is blank.
        """
        entry = _entry(executor)
        with self._lock:
            before = self._entries.get(entry.info.task_type)
            self._entries = {**self._entries, entry.info.task_type: entry}
        if before is not None and not _same(before.given, executor):
            _warn_replaced(entry.info.task_type, before.given, executor)
        self._changed()

    def unregister(self, executor: Executor | FunctionExecutor | None) -> None:
        """
        Forget this very executor; another one of the same type stays, and what runs goes on.
        """
        with self._lock:
            kept = {name: entry for name, entry in self._entries.items() if entry.given is not executor}
            found = len(kept) < len(self._entries)
            self._entries = kept
        if found:
            self._changed()

    def clear(self) -> None:
        """
        Forget all executors.
        """
        with self._lock:
            found = bool(self._entries)
            self._entries = {}
        if found:
            self._changed()

    def body(self, task_type: str) -> FunctionExecutor | ObjectExecutor | None:
        """
        Return what the workers call for a type, or None.
        """
        entry = self._entries.get(task_type)
        return entry.body if entry else None

    def info(self, task_type: str) -> ExecutorInfo | None:
        """
        Return what the core must know of a type's executor, or None.
        """
        entry = self._entries.get(task_type)
        return entry.info if entry else None

    def types(self) -> frozenset[str]:
        """
        Return the types that have an executor here.
        """
        return frozenset(self._entries)

    def executors(self) -> Mapping[str, Executor | FunctionExecutor]:
        """
        Return the executors by type, as they are now; the mapping cannot be changed.
        """
        return MappingProxyType({name: entry.given for name, entry in self._entries.items()})


def _nobody() -> None:
    return None


def _entry(executor: Executor | FunctionExecutor) -> _Entry:
    body = prepared(executor)
    pool = Pool.LOOP if body.is_async else Pool.TASKS
    return _Entry(executor, body, ExecutorInfo(task_type=body.task_type, pool=pool, resumable=body.resumable))


def _same(before: Executor | FunctionExecutor, after: Executor | FunctionExecutor) -> bool:
    if isinstance(before, FunctionExecutor) and isinstance(after, FunctionExecutor):
        # Methods are new objects at each access, so they are compared by value.
        return bool(before.function == after.function)
    return before is after


def _warn_replaced(task_type: str, before: object, after: object) -> None:
    _log.warning(
        "The executor of %s is replaced: %r by %r",
        task_type,
        before,
        after,
        extra={"action": "executor_replaced", "task_type": task_type},
    )
