"""
The audit: who changed what, from where, and with what outcome.

A row is written *behind* its change. One written before could only tell what somebody meant to do, and of a change
whose outcome is unknown (P3) nobody could say later which it was; the document alone proves a change (P1), and the row
tells who asked for it and what they were answered. So a row that the store does not take never makes a change that was
done look failed: it is logged as an error, whole, and counted.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from ..clock import Clock
from ..errors import SchedulerError
from ..metrics import Metric, Metrics
from ..model import AuditRow, Page
from ..ports import AuditQuery, Result, TaskStore
from ..rules.auditing import LONGEST_NAME, bounded, text
from ..stores.audit_rows import row_document

_log = logging.getLogger(__name__)
_SENDS = 2
_AT_ONCE = 1_000
OUT_OF_REACH = 503


class Audit:
    """
    The audit of a scheduler's store.
    """

    def __init__(self, store: Callable[[], TaskStore | None], *, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._process = secrets.token_hex(8)
        self._numbers = count()

    def record(
        self,
        *,
        who: str,
        action: str,
        status: int,
        asked: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> bool:
        """
        Write one row; answer whether it is in the store. Never raises for a failure of the store.

        Args:
            asked: the parameters, as they came; they are cut, and rid of secrets, here.
            more: other fields of `AuditRow`.
        """
        return self._keep([self._row(who, action, status, asked, more)])

    def record_each(self, task_ids: Iterable[str], *, who: str, action: str, status: int, **more: Any) -> bool:
        """
        Write one row for each of these tasks, to which one request did the same; otherwise as `record`.
        """
        rows = [self._row(who, action, status, None, {**more, "task_id": task_id}) for task_id in task_ids]
        kept = [self._keep(rows[start : start + _AT_ONCE]) for start in range(0, len(rows), _AT_ONCE)]
        return all(kept)

    def _row(
        self, who: str, action: str, status: int, asked: Mapping[str, Any] | None, more: Mapping[str, Any]
    ) -> AuditRow:
        texts: dict[str, Any] = {
            name: text(value, LONGEST_NAME) if isinstance(value, str) else value for name, value in more.items()
        }
        return AuditRow(
            # Those of one millisecond and process stay in their order.
            id=f"{self._process}-{next(self._numbers):012}",
            at=self._clock.now().wall,
            who=text(who),
            action=action,
            status=status,
            parameters=bounded(asked or {}),
            **texts,
        )

    def _keep(self, rows: list[AuditRow]) -> bool:
        try:
            store = self._store()
            lost = self._sent(store, rows) if store is not None else {}
        except SchedulerError as error:
            store, lost = None, {row.id: error for row in rows}
        for row in rows:
            if row.id in lost:
                self._metrics.add(Metric.AUDIT_LOST)
                _log.error("A row of the audit is not in the store: %s", lost[row.id], extra=_fields(row))
            elif store is None:
                _log.info("A row of the audit, and no store is bound to keep it", extra=_fields(row))
        return store is not None and not lost

    def _sent(self, store: TaskStore, rows: list[AuditRow]) -> dict[str, SchedulerError]:
        lost: dict[str, SchedulerError] = {}
        left = rows
        # The same row meets itself (P3). Where the change met no store, there is none for the row to wait for.
        for _ in range(1 if rows[0].status == OUT_OF_REACH else _SENDS):
            outcomes = store.add_audit(left)
            lost = {
                row.id: outcome.error or SchedulerError(f"the store answered {outcome.result.value}")
                for row, outcome in zip(left, outcomes, strict=True)
                if outcome.result is not Result.WRITTEN
            }
            left = [row for row in left if row.id in lost]
            if not left:
                break
        return lost

    def page(
        self,
        *,
        task_id: str | None = None,
        who: str | None = None,
        offset: int = 0,
        limit: int = 50,
        refresh: bool = True,
    ) -> Page[AuditRow]:
        """
        Return one page of the rows, the newest first: of one task, of one account or token, or all.

        Args:
            limit: -1 means all, up to 10,000.
            refresh: show what was recorded just now, too; on Elasticsearch that costs, and without it takes a second.

        Raises:
            InvalidTask: a number is out of range.
        """
        store = self._store()
        if store is None:
            return Page(list=(), offset=offset, page_size=limit, total_size=0)
        if refresh:
            store.refresh()
        return store.audit(AuditQuery(task_id=task_id, who=who, offset=offset, limit=limit))


def _fields(row: AuditRow) -> dict[str, Any]:
    return {"action": "audit", "row": row_document(row)}
