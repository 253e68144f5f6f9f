"""
The memory store: a `TaskStore` in this process, for memory tasks, tests and the simulation.

It behaves like an index: reads by id are realtime, searches see a write only after the next refresh, and only JSON
survives. It starts no thread and reads no clock but the one it is given.
"""

# The port documents the verbs; an adapter does not repeat it.
# ruff: noqa: D102

from __future__ import annotations

import copy
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from uuid import uuid4

import orjson

from ..clock import Clock
from ..model import (
    Activity,
    AuditRow,
    Heartbeat,
    HistoryRow,
    JsonObject,
    Malformed,
    Note,
    Page,
    Slot,
    Stored,
    Task,
    TypeSummary,
    Version,
)
from ..ports import (
    LIST_CAP,
    OVERDUE,
    Action,
    AuditQuery,
    Changes,
    DueQuery,
    EndedQuery,
    Found,
    HistoryQuery,
    Mark,
    Outcome,
    OwnedQuery,
    Position,
    Result,
    StoreReport,
    TaskQuery,
    Write,
)
from ..rules.readiness import ALWAYS_DUE
from .batches import Kind, body_of, check_batch, kind_of
from .bodies import changed, fits, found, read_heartbeats, read_notes, read_slots, read_task, stored_task
from .fields import fields_of, fields_of_document
from .findings import quarantine_problem, unreadable_problem
from .memory_audit import MemoryAudit
from .memory_history import MemoryHistory
from .memory_view import Row, TaskView
from .reading import listed
from .summing import active, summed

PRIMARY_TERM = 1


class _Data:
    """
    The documents of one store, and what searches see of them.
    """

    def __init__(self, identity: str) -> None:
        self.lock = threading.Lock()
        self.identity = identity
        self.seq_no = -1
        self.rows: dict[Kind, dict[str, Row]] = {kind: {} for kind in Kind}
        self.pending: deque[tuple[int, Kind, str, Row | None]] = deque()
        self.tasks = TaskView()
        self.history = MemoryHistory()
        self.audit = MemoryAudit()
        self.others: dict[Kind, dict[str, Row]] = {kind: {} for kind in Kind if kind is not Kind.TASKS}

    def show(self, written_before: float) -> None:
        """
        Let searches see what was written before a moment.
        """
        while self.pending and self.pending[0][0] < written_before:
            _, kind, record_id, row = self.pending.popleft()
            if kind is Kind.TASKS:
                self.tasks.put(record_id, row)
            elif row is None:
                self.others[kind].pop(record_id, None)
            else:
                self.others[kind][record_id] = row


class MemoryStore:
    """
    Documents in this process.

    Args:
        clock: `boot` is what refreshes go by, `wall` is what the store calls the time.
        refresh_interval_ms: searches see a write from the next multiple of this on; 0 means at once.
        identity: what versions name as their index; random unless a test wants the same each time.
    """

    def __init__(self, clock: Clock, *, refresh_interval_ms: int = 0, identity: str | None = None) -> None:
        self._clock = clock
        self._interval = refresh_interval_ms
        self._data = _Data(identity or f"memory-{uuid4().hex}")

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def lane(self, timeout: float) -> MemoryStore:
        return copy.copy(self)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        check_batch(writes)
        bodies = [body_of(write) for write in writes]
        with self._data.lock:
            return [self._apply(write, body) for write, body in zip(writes, bodies, strict=True)]

    def plant(self, task_id: str, document: JsonObject) -> None:
        """
        Put a raw task document into the store, whatever stands there, as another program would; for tests.
        """
        body = orjson.dumps(document)
        readable = listed(read_task(task_id, body)) is not None
        with self._data.lock:
            self._keep(Kind.TASKS, task_id, Row(body, self._next(), fields_of_document(document), readable))

    def tasks(self, ids: Sequence[str]) -> list[Stored[Task] | Stored[Malformed] | None]:
        with self._data.lock:
            rows = [self._data.rows[Kind.TASKS].get(task_id) for task_id in ids]
        return [row and stored_task(task_id, row.body, row.version) for task_id, row in zip(ids, rows, strict=True)]

    def heartbeats(self, ids: Sequence[str] | None = None) -> list[Stored[Heartbeat]]:
        return read_heartbeats(self._others(Kind.HEARTBEATS, ids))

    def slots(self, ids: Sequence[str] | None = None) -> list[Stored[Slot]]:
        slots = read_slots(self._others(Kind.SLOTS, ids))
        return slots if ids is not None else [slot for slot in slots if slot.record.claim_id is not None]

    def notes(self, kind: str, names: Sequence[str] | None = None) -> list[Stored[Note]]:
        ids = None if names is None else [f"{kind}:{name}" for name in names]
        return [one for one in read_notes(self._others(Kind.NOTES, ids)) if one.record.kind == kind]

    def watched(
        self, heartbeats: Sequence[str], notes: Sequence[tuple[str, str]]
    ) -> list[Stored[Heartbeat] | Stored[Note]]:
        ids = [f"{kind}:{name}" for kind, name in notes]
        found = read_notes(self._others(Kind.NOTES, ids)) if ids else []
        return [*(self.heartbeats(heartbeats) if heartbeats else ()), *found]

    def find_due(self, query: DueQuery) -> Found:
        with self._data.lock:
            rows = self._visible().due(query)
        due = {task_id: row.fields.due for task_id, row in rows}
        return found(_plain(rows), limit=query.limit, cursor=lambda row: (due[row[0]], row[0]))

    def find_owned(self, query: OwnedQuery) -> Found:
        with self._data.lock:
            rows = self._visible().owned(query)
        return found(_plain(rows), limit=query.limit, cursor=_by_id)

    def find_waiting(self, *, on: str | None, limit: int, after: str | None = None) -> Found:
        with self._data.lock:
            rows = self._visible().waiting(on=on, limit=limit, after=after)
        return found(_plain(rows), limit=limit, cursor=_by_id)

    def find_unplaced(self, *, limit: int) -> Found:
        with self._data.lock:
            rows = self._visible().unplaced(limit=limit)
        return found(_plain(rows), limit=limit, cursor=_by_id)

    def find_purgeable(self, *, before: int, limit: int) -> Found:
        with self._data.lock:
            rows = self._visible().purgeable(before=before, limit=limit)
        return found(_plain(rows), limit=limit, cursor=_by_id)

    def find_ended(self, query: EndedQuery) -> Found:
        with self._data.lock:
            rows = self._visible().ended(query)
        ended = {task_id: row.fields.last_execution for task_id, row in rows}
        return found(_plain(rows), limit=query.limit, cursor=lambda row: (ended[row[0]], row[0]))

    def position(self) -> Position:
        with self._data.lock:
            return Position(self._data.identity, (self._data.seq_no,))

    def knows(self, position: Position) -> bool:
        return fits(position, self.position())

    def changes(self, since: Position, *, skip: Collection[Mark] = (), limit: int) -> Changes | None:
        if not self.knows(since):
            return None
        with self._data.lock:
            rows = self._visible().changed(since=since.numbers[0], limit=limit)
        return changed(_plain(rows), since=since, skip=skip, limit=limit)

    def add_history(self, rows: Sequence[HistoryRow]) -> list[Outcome]:
        with self._data.lock:
            return self._data.history.add(rows)

    def history(self, query: HistoryQuery) -> Page[HistoryRow]:
        with self._data.lock:
            return self._data.history.listed(query)

    def drop_history(self, *, before: int) -> int:
        with self._data.lock:
            return self._data.history.drop(before=before)

    def add_audit(self, rows: Sequence[AuditRow]) -> list[Outcome]:
        with self._data.lock:
            return self._data.audit.add(rows)

    def audit(self, query: AuditQuery) -> Page[AuditRow]:
        with self._data.lock:
            return self._data.audit.listed(query)

    def drop_audit(self, *, before: int) -> int:
        with self._data.lock:
            return self._data.audit.drop(before=before)

    def summaries(self, *, since: int) -> list[TypeSummary]:
        with self._data.lock:
            rows = self._visible().listed(TaskQuery())
            runs = self._data.history.runs(since=since)
        return summed(Counter((row.fields.task_type, row.fields.status) for _, row in rows), runs)

    def activity(self, *, since: int, step: int) -> list[Activity]:
        with self._data.lock:
            return active(self._data.history.stretches(since=since, step=step), since=since, step=step)

    def find(self, query: TaskQuery) -> Page:
        with self._data.lock:
            rows = self._visible().listed(query)
        limit = LIST_CAP if query.limit < 0 else min(query.limit, LIST_CAP)
        records = [listed(read_task(task_id, row.body)) for task_id, row in rows[query.offset : query.offset + limit]]
        return Page(
            list=tuple(record for record in records if record is not None),
            offset=query.offset,
            page_size=query.limit,
            total_size=len(rows),
        )

    def refresh(self) -> None:
        with self._data.lock:
            self._data.show(float("inf"))

    def clock(self) -> int:
        return self._clock.now().wall

    def defects(self) -> tuple[str, ...]:
        return ()

    def check(self) -> StoreReport:
        now = self.clock()
        with self._data.lock:
            counts = {kind.value: str(len(rows)) for kind, rows in self._data.rows.items()}
            tasks = sorted(self._data.rows[Kind.TASKS].items())
        aside = [(task_id, row.fields.quarantine) for task_id, row in tasks if row.fields.quarantine is not None]
        dated = [(row.fields.due, row.fields) for _, row in tasks if row.fields.due is not None]
        late = [fields for due, fields in dated if ALWAYS_DUE <= due <= now - OVERDUE]
        unread = self.find_unplaced(limit=len(tasks)).malformed
        return StoreReport(
            facts={"store": "memory", "identity": self._data.identity, **counts},
            problems=(*quarantine_problem(len(aside), aside), *unreadable_problem(unread)),
            now=now,
            nodes=tuple(one.record for one in self.heartbeats() if one.record.dead_by is None),
            overdue=Counter(fields.task_type for fields in late if fields.task_type is not None),
            quarantined=len(aside),
        )

    def _apply(self, write: Write, body: bytes | Outcome) -> Outcome:
        if isinstance(body, Outcome):
            return body
        kind, record = kind_of(write.record), write.record
        refusal = self._refusal(write, self._data.rows[kind].get(record.id))
        if refusal is not None:
            return Outcome(refusal)
        version = self._next()
        if write.action is Action.DELETE:
            self._keep(kind, record.id, None)
        elif isinstance(record, Task | Malformed):
            self._keep(kind, record.id, Row(body, version, fields_of(record), isinstance(record, Task)))
        else:
            self._keep(kind, record.id, Row(body, version))
        return Outcome(Result.WRITTEN, version)

    def _refusal(self, write: Write, present: Row | None) -> Result | None:
        if write.condition is None:
            return Result.CONFLICT if present else None
        if present is None or write.condition.index != self._data.identity:
            return Result.MISSING
        return None if write.condition == present.version else Result.CONFLICT

    def _next(self) -> Version:
        self._data.seq_no += 1
        return Version(self._data.identity, self._data.seq_no, PRIMARY_TERM)

    def _keep(self, kind: Kind, record_id: str, row: Row | None) -> None:
        if row is None:
            self._data.rows[kind].pop(record_id, None)
        else:
            self._data.rows[kind][record_id] = row
        self._data.pending.append((self._clock.now().boot, kind, record_id, row))
        self._visible()

    def _visible(self) -> TaskView:
        now = self._clock.now().boot
        self._data.show(now - now % self._interval if self._interval else float("inf"))
        return self._data.tasks

    def _others(self, kind: Kind, ids: Sequence[str] | None) -> list[tuple[str, object, Version]]:
        with self._data.lock:
            self._visible()
            if ids is None:
                return _plain(sorted(self._data.others[kind].items()))
            rows = self._data.rows[kind]
            return _plain((record_id, rows[record_id]) for record_id in ids if record_id in rows)


def _plain(rows: Iterable[tuple[str, Row]]) -> list[tuple[str, object, Version]]:
    return [(record_id, row.body, row.version) for record_id, row in rows]


def _by_id(row: tuple[str, object, Version]) -> str:
    return row[0]
