"""
The history of a memory store: rows of this process, the newest ends kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model import HistoryRow, Page
from ..ports import LIST_CAP, HistoryQuery, Outcome, Result
from .summing import BAD_ENDS, Runs

MOST_ROWS = 200_000
"""How many rows are kept; beyond, the oldest tenth goes, as nothing else bounds a process's memory."""


class MemoryHistory:
    """
    Rows by task. Not locked: the store's lock covers it.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, HistoryRow]] = {}
        self._records: dict[str, set[str]] = {}
        self._count = 0

    def add(self, rows: Sequence[HistoryRow]) -> list[Outcome]:
        """
        Do what `TaskStore.add_history` says.
        """
        for row in rows:
            mine = self._tasks.setdefault(row.task_id, {})
            if row.all_nodes_of is not None:
                self._records.setdefault(row.all_nodes_of, set()).add(row.task_id)
            if row.id not in mine:
                mine[row.id] = row
                self._count += 1
        if self._count > MOST_ROWS:
            ends = sorted(row.end for mine in self._tasks.values() for row in mine.values())
            self.drop(before=ends[self._count - MOST_ROWS + MOST_ROWS // 10])
        return [Outcome(Result.WRITTEN)] * len(rows)

    def listed(self, query: HistoryQuery) -> Page[HistoryRow]:
        """
        Do what `TaskStore.history` says.
        """
        ids = {query.task_id} | self._records.get(query.task_id, set())
        mine = [row for task_id in ids for row in self._tasks.get(task_id, {}).values()]
        rows = sorted(mine, key=lambda row: (-row.end, -(row.fence or 0), row.id))
        limit = LIST_CAP if query.limit < 0 else min(query.limit, LIST_CAP)
        return Page(
            list=tuple(rows[query.offset : query.offset + limit]),
            offset=query.offset,
            page_size=query.limit,
            total_size=len(rows),
        )

    def runs(self, *, since: int) -> dict[str, Runs]:
        """
        Return what the runs of each type were that ended at or after a moment.
        """
        found: dict[str, list[HistoryRow]] = {}
        for mine in self._tasks.values():
            for row in mine.values():
                if row.end >= since and row.duration is not None:
                    found.setdefault(row.task_type, []).append(row)
        return {task_type: _runs(rows) for task_type, rows in found.items()}

    def stretches(self, *, since: int, step: int) -> dict[int, Runs]:
        """
        Return what the runs were that ended in each stretch behind a moment, by its place.
        """
        found: dict[int, list[HistoryRow]] = {}
        for mine in self._tasks.values():
            for row in mine.values():
                if row.end >= since and row.duration is not None:
                    found.setdefault((row.end - since) // step, []).append(row)
        return {place: _runs(rows) for place, rows in found.items()}

    def drop(self, *, before: int) -> int:
        """
        Do what `TaskStore.drop_history` says.
        """
        kept = {
            task_id: {row.id: row for row in mine.values() if row.end >= before}
            for task_id, mine in self._tasks.items()
        }
        former = self._count
        self._tasks = {task_id: mine for task_id, mine in kept.items() if mine}
        left = ((of, ids & self._tasks.keys()) for of, ids in self._records.items())
        self._records = {of: ids for of, ids in left if ids}
        self._count = sum(len(mine) for mine in self._tasks.values())
        return former - self._count


def _runs(rows: Sequence[HistoryRow]) -> Runs:
    took = [row.duration or 0 for row in rows]
    return Runs(len(rows), sum(row.status in BAD_ENDS for row in rows), sum(took), max(took))
