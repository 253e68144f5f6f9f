"""
Sums by type: what the searches of the stores count, put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..model import Activity, TaskStatus, TypeSummary
from ..ports import MOST_TYPES
from ..rules.history import CRASHED, FAILED

BAD_ENDS = (FAILED, CRASHED)
"""The kinds of rows that stand for a run that went wrong."""


class Runs(NamedTuple):
    """
    How many runs of one type there were, how many went wrong, and how long they took, together and the longest (ms).
    """

    runs: int
    failures: int
    run_millis: int
    longest_millis: int


def summed(tasks: Mapping[tuple[str | None, str | None], int], runs: Mapping[str, Runs]) -> list[TypeSummary]:
    """
    Return the summaries of counts by type and status and of runs by type; what is no status of ours is left out.
    """
    counts: dict[str, dict[TaskStatus, int]] = {}
    for (task_type, status), number in tasks.items():
        if task_type and status and status in TaskStatus.__members__:
            counts.setdefault(task_type, {})[TaskStatus(status)] = number
    most = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))[:MOST_TYPES]
    ran = sorted(runs, key=lambda name: (-runs[name].runs, name))[:MOST_TYPES]
    none = Runs(0, 0, 0, 0)
    return [
        TypeSummary(task_type=name, counts=counts.get(name, {}), **runs.get(name, none)._asdict())
        for name in sorted({*most, *ran})
    ]


def active(stretches: Mapping[int, Runs], *, since: int, step: int) -> list[Activity]:
    """
    Return the runs of stretches of `step` milliseconds behind `since`, by their place, as they are told; by time.
    """
    return [Activity(start=since + place * step, **stretches[place]._asdict()) for place in sorted(stretches)]
