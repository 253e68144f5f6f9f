"""
The audit of a memory store: rows of this process, the newest kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidTask
from ..model import AuditRow, Page
from ..ports import AuditQuery, Outcome, Result
from .audit_rows import encode_row, limit_of

MOST_ROWS = 50_000
"""How many rows are kept; beyond, the oldest tenth goes, as nothing else bounds a process's memory."""


class MemoryAudit:
    """
    Rows by id. Not locked: the store's lock covers it.
    """

    def __init__(self) -> None:
        self._rows: dict[str, AuditRow] = {}

    def add(self, rows: Sequence[AuditRow]) -> list[Outcome]:
        """
        Do what `TaskStore.add_audit` says.
        """
        outcomes = [self._added(row) for row in rows]
        if len(self._rows) > MOST_ROWS:
            moments = sorted(row.at for row in self._rows.values())
            self.drop(before=moments[len(moments) - MOST_ROWS + MOST_ROWS // 10])
        return outcomes

    def _added(self, row: AuditRow) -> Outcome:
        try:
            encode_row(row)
        except TypeError as error:
            return Outcome(Result.REFUSED, error=InvalidTask(f"not a row of the audit: {error}"))
        self._rows.setdefault(row.id, row)
        return Outcome(Result.WRITTEN)

    def listed(self, query: AuditQuery) -> Page[AuditRow]:
        """
        Do what `TaskStore.audit` says.
        """
        limit = limit_of(query)
        found = [
            row for row in self._rows.values() if query.task_id in (None, row.task_id) and query.who in (None, row.who)
        ]
        found.sort(key=lambda row: (row.at, row.id), reverse=True)
        return Page(
            list=tuple(found[query.offset : query.offset + limit]),
            offset=query.offset,
            page_size=query.limit,
            total_size=len(found),
        )

    def drop(self, *, before: int) -> int:
        """
        Do what `TaskStore.drop_audit` says.
        """
        former = len(self._rows)
        self._rows = {row.id: row for row in self._rows.values() if row.at >= before}
        return former - len(self._rows)
