"""
The history as users read it, and what the service flushes of it: entries that a request or a removal would drop from
their document (P20). What is left in a document is flushed by the nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from ..errors import InvalidTask, SchedulerError, StoreUnavailable
from ..model import HISTORY_LIMIT, HistoryRow, Page, Task
from ..ports import LIST_CAP, HistoryQuery, Result, TaskStore
from ..rules.history import evicts, flushed_of, rows_of
from .edits import Rule

_log = logging.getLogger(__name__)
MOST_ROWS = 1_000
CLOCKS_APART = 20
"""Rows read beyond a page, since the ends in a document come from several clocks and may stand out of order."""
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """
    Whether a history is kept, and for how long.
    """

    enabled: bool
    ttl: timedelta

    def oldest(self, now: int) -> int:
        """
        Return the end (epoch ms) of the oldest row that is kept.
        """
        return now - self.ttl // _MILLISECOND

    def flush(self, store: TaskStore, tasks: Iterable[Task], *, now: int) -> None:
        """
        See that every entry of these documents has its row.

        Raises:
            StoreUnavailable, ConfigurationError: the store did not acknowledge it.
        """
        if not self.enabled:
            return
        oldest = self.oldest(now)
        rows = {row.id: row for task in tasks for row in rows_of(task, after=flushed_of(task)) if row.end >= oldest}
        waiting = iter(rows.values())
        while batch := list(islice(waiting, MOST_ROWS)):
            _add(store, batch)

    def flush_if_possible(self, store: TaskStore, *tasks: Task, now: int) -> bool:
        """
        Flush documents' entries; what the store does not take now is logged, and stays in the documents.
        """
        try:
            self.flush(store, tasks, now=now)
        except SchedulerError as error:
            first = next((task.id for task in tasks), "")
            more = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
            _log.warning(
                "The history of %s%s is not flushed: %s", first, more, error,
                extra={"action": "history_refused", "task_id": first},
            )  # fmt: skip
            return False
        return True

    def before_changes(self, store: TaskStore, changes: Iterable[tuple[Task, Task]], *, now: int) -> None:
        """
        Flush what changes (from, to) are about to drop from the documents; a store that takes no rows stops no request.
        """
        dropping = [before for before, after in changes if _drops(before, after)]
        if dropping:
            self.flush_if_possible(store, *dropping, now=now)

    def guarded(self, store: TaskStore, rule: Rule, *, now: Callable[[], int]) -> Rule:
        """
        Return the rule with `before_changes` behind it.
        """

        def guarded(before: Task) -> Task:
            after = rule(before)
            self.before_changes(store, [(before, after)], now=now())
            return after

        return guarded


def _drops(before: Task, after: Task) -> bool:
    return (
        len(after.history) == len(before.history)
        and after.history[:1] != before.history[:1]
        and evicts(before, flushed_of(before))
    )


def _add(store: TaskStore, rows: Sequence[HistoryRow]) -> None:
    for row, outcome in zip(rows, store.add_history(rows), strict=True):
        # A row that no store takes must not keep its task for ever.
        if outcome.result is not Result.WRITTEN and not isinstance(outcome.error, InvalidTask):
            raise outcome.error or StoreUnavailable(f"the store did not take the row {row.id} of the history")


def page_of_history(
    store: TaskStore | None, task_id: str, tasks: Sequence[Task], *, offset: int, limit: int
) -> Page[HistoryRow]:
    """
    Return one page of a task's rows, the newest first: those of the store, and those still only in documents.

    Args:
        tasks: the documents: the task's, if there is one, and those of its run records.

    Raises:
        InvalidTask: a number is out of range.
    """
    most = LIST_CAP - offset if limit == -1 else limit
    if offset < 0 or limit < -1 or offset + most > LIST_CAP:
        raise InvalidTask(
            f"Invalid page: expected an offset of 0 or more, a limit of -1 or more, and at most {LIST_CAP:,} together, "
            f"got {offset} and {limit}"
        )
    own = {row.id: row for task in tasks for row in rows_of(task)}
    read = min(offset + most + len(own) + CLOCKS_APART, LIST_CAP)
    nothing: Page[HistoryRow] = Page(list=(), offset=0, page_size=read, total_size=0)
    page = store.history(HistoryQuery(task_id=task_id, limit=read)) if store is not None else nothing
    stored = {row.id: row for row in page.list}
    merged = sorted({**own, **stored}.values(), key=_newest_first)
    return Page(
        list=tuple(merged[offset : offset + most]),
        offset=offset,
        page_size=limit,
        total_size=page.total_size + len(own.keys() - stored.keys() - _further(store, page, own)),
    )


def _further(store: TaskStore | None, page: Page[HistoryRow], own: Mapping[str, HistoryRow]) -> set[str]:
    # The last entries of a node that is gone may have their rows far behind those of the others.
    if store is None or page.total_size <= len(page.list):
        return set()
    shown = {row.id for row in page.list}
    tasks = {row.task_id for row in own.values() if row.all_nodes_of is not None and row.id not in shown}
    queries = (HistoryQuery(task_id=one, limit=HISTORY_LIMIT + CLOCKS_APART) for one in sorted(tasks))
    return {row.id for query in queries for row in store.history(query).list}


def _newest_first(row: HistoryRow) -> tuple[int, int, str]:
    return (-row.end, -(row.fence or 0), row.id)
