"""
Types: what there is of each task type, and how its runs of late went.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from ..model import Activity, HistoryRow, Task, TaskStatus, TypeSummary
from ..rules.history import CRASHED, FAILED, rows_of

_BAD = frozenset({FAILED, CRASHED})


def summaries_of(tasks: Iterable[Task], *, since: int) -> list[TypeSummary]:
    """
    Return the summaries of memory tasks, whose runs are those that their documents still name.
    """
    by_type = sorted(tasks, key=lambda task: task.task_type)
    return [_of_type(name, list(group), since) for name, group in groupby(by_type, lambda task: task.task_type)]


def _of_type(task_type: str, tasks: Sequence[Task], since: int) -> TypeSummary:
    rows = [row for task in tasks for row in rows_of(task) if row.end >= since]
    counts = Counter(task.status for task in tasks)
    return with_runs(TypeSummary(task_type=task_type, counts=counts), rows)


def with_runs(summary: TypeSummary, rows: Iterable[HistoryRow]) -> TypeSummary:
    """
    Return a summary with these rows added: those with a duration are runs.
    """
    runs = [row for row in rows if row.duration is not None]
    return added(
        summary,
        TypeSummary(
            task_type=summary.task_type,
            runs=len(runs),
            failures=sum(row.status in _BAD for row in runs),
            run_millis=sum(row.duration or 0 for row in runs),
            longest_millis=max((row.duration or 0 for row in runs), default=0),
        ),
    )


def merged(*lists: Iterable[TypeSummary]) -> list[TypeSummary]:
    """
    Return one summary a type, by name.
    """
    by_type: dict[str, TypeSummary] = {}
    for one in (summary for summaries in lists for summary in summaries):
        known = by_type.get(one.task_type)
        by_type[one.task_type] = one if known is None else added(known, one)
    return [by_type[name] for name in sorted(by_type)]


def added(one: TypeSummary, other: TypeSummary) -> TypeSummary:
    """
    Return two summaries of a type as one.
    """
    counts = {
        status: total for status in TaskStatus if (total := one.counts.get(status, 0) + other.counts.get(status, 0))
    }
    return TypeSummary(
        task_type=one.task_type,
        counts=counts,
        runs=one.runs + other.runs,
        failures=one.failures + other.failures,
        run_millis=one.run_millis + other.run_millis,
        longest_millis=max(one.longest_millis, other.longest_millis),
    )


def stretches(
    stored: Iterable[Activity], tasks: Iterable[Task], *, since: int, step: int, parts: int
) -> list[Activity]:
    """
    Return every stretch behind `since`, by time: what the store added up, and what memory tasks' documents name.
    """
    by_place = {place: Activity(start=since + place * step) for place in range(parts)}
    rows = [row for task in tasks for row in rows_of(task) if row.end >= since and row.duration is not None]
    mine = [
        Activity(
            start=since + (row.end - since) // step * step,
            runs=1,
            failures=int(row.status in _BAD),
            run_millis=row.duration or 0,
            longest_millis=row.duration or 0,
        )
        for row in rows
    ]
    for one in (*stored, *mine):
        place = (one.start - since) // step
        if place in by_place:
            by_place[place] = _joined(by_place[place], one)
    return list(by_place.values())


def _joined(one: Activity, other: Activity) -> Activity:
    return Activity(
        start=one.start,
        runs=one.runs + other.runs,
        failures=one.failures + other.failures,
        run_millis=one.run_millis + other.run_millis,
        longest_millis=max(one.longest_millis, other.longest_millis),
    )
