"""
The SQLite store, the embedded default: one file on a local disk, and the processes that open it are a cluster.

Every write call is one synced transaction behind a gate (`stores.gate`); reads and searches take neither, and see all
that was acknowledged.
"""

# The port documents the verbs; an adapter does not repeat it.
# ruff: noqa: D102

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ..clock import Clock, SystemClock
from ..errors import ConfigurationError, InvalidTask, SchedulerError
from ..model import (
    Activity,
    AuditRow,
    Heartbeat,
    HistoryRow,
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
from . import sqlite_audit, sqlite_changes, sqlite_history
from . import sqlite_queries as queries
from .batches import Kind, body_of, check_batch
from .bodies import found, read_heartbeats, read_notes, read_slots, read_task, stored_task
from .gate import Gate
from .local_disk import file_system_of, on_network
from .reading import listed
from .sqlite_connections import Connections, connect
from .sqlite_errors import translated
from .sqlite_report import defects, missing_folder, report, report_of_nothing
from .sqlite_schema import prepare
from .sqlite_transaction import PRIMARY_TERM, Item, commit, item_of
from .summing import active, summed

DEFAULT_TIMEOUT = 10.0

_Row = tuple[str, object, Version]


class SqliteStore:
    """
    A store in one SQLite file.

    Args:
        path: the database file; its folder must exist.
        clock: what `clock()` answers with.
        timeout: how many seconds a write waits for its turn.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Clock | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        # One gate for one file, by whatever link it is reached.
        self._path = os.path.realpath(path)
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._gate = Gate(f"{self._path}.gate")
        self._connections = Connections(self._path, timeout)
        self._opened = False

    def open(self) -> None:
        self._check_place()
        with self._gate.held(self._timeout):
            connection = connect(self._path, timeout=self._timeout, create=True)
            try:
                with translated(self._path):
                    prepare(connection, self._path)
            finally:
                connection.close()
        self._opened = True

    def close(self) -> None:
        if not self._connections:
            # Without a connection there is nothing to write back, nor a reason to make the gate's file.
            return
        try:
            with self._gate.held(self._timeout):
                self._connections.close()
        except SchedulerError:
            # Who holds the gate has the file open, so this is not the last connection and writes nothing back.
            self._connections.close()

    def lane(self, timeout: float) -> SqliteStore:
        return SqliteStore(self._path, clock=self._clock, timeout=timeout)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        check_batch(writes)
        bodies = [body_of(write) for write in writes]
        items = [
            item_of(write, body) for write, body in zip(writes, bodies, strict=True) if not isinstance(body, Outcome)
        ]
        done = iter(self._commit(items) if items else ())
        return [body if isinstance(body, Outcome) else next(done) for body in bodies]

    def tasks(self, ids: Sequence[str]) -> list[Stored[Task] | Stored[Malformed] | None]:
        rows = {row[0]: row for row in self._by_id(Kind.TASKS, ids)}
        return [stored_task(*rows[task_id]) if task_id in rows else None for task_id in ids]

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
        if not query.task_types:
            return Found()
        raw = self._raw(queries.due(query))
        due = {row[0]: row[4] for row in raw}
        return found(_versioned(raw), limit=query.limit, cursor=lambda row: (due[row[0]], row[0]))

    def find_owned(self, query: OwnedQuery) -> Found:
        return self._found(queries.owned(query), limit=query.limit)

    def find_waiting(self, *, on: str | None, limit: int, after: str | None = None) -> Found:
        return self._found(queries.waiting(on=on, limit=limit, after=after), limit=limit)

    def find_unplaced(self, *, limit: int) -> Found:
        return self._found(queries.unplaced(limit=limit), limit=limit)

    def find_purgeable(self, *, before: int, limit: int) -> Found:
        return self._found(queries.marked(limit=limit), queries.completed(before=before, limit=limit), limit=limit)

    def find_ended(self, query: EndedQuery) -> Found:
        raw = self._raw(queries.ended(query))
        moments = {row[0]: row[4] for row in raw}
        return found(_versioned(raw), limit=query.limit, cursor=lambda row: (moments[row[0]], row[0]))

    def position(self) -> Position:
        with self._connections.one() as connection:
            return sqlite_changes.position(connection)

    def knows(self, position: Position) -> bool:
        return sqlite_changes.fits(position, self.position())

    def changes(self, since: Position, *, skip: Collection[Mark] = (), limit: int) -> Changes | None:
        with self._connections.one() as connection:
            return sqlite_changes.since(connection, since, skip=skip, limit=limit)

    def add_history(self, rows: Sequence[HistoryRow]) -> list[Outcome]:
        if not rows:
            return []
        encoded = sqlite_history.encoded(rows)
        try:
            with self._gate.held(self._timeout), self._connections.one() as connection:
                outcome = sqlite_history.add(connection, encoded, self._path)
        except SchedulerError as error:
            outcome = Outcome(Result.REFUSED, error=error)
        return [outcome] * len(rows)

    def add_audit(self, rows: Sequence[AuditRow]) -> list[Outcome]:
        if not rows:
            return []
        try:
            encoded = sqlite_audit.encoded(rows)
            with self._gate.held(self._timeout), self._connections.one() as connection:
                outcome = sqlite_audit.add(connection, encoded, self._path)
        except TypeError as error:
            outcome = Outcome(Result.REFUSED, error=InvalidTask(f"not a row of the audit: {error}"))
        except SchedulerError as error:
            outcome = Outcome(Result.REFUSED, error=error)
        return [outcome] * len(rows)

    def audit(self, query: AuditQuery) -> Page[AuditRow]:
        with self._connections.one() as connection:
            return sqlite_audit.listed(connection, query)

    def drop_audit(self, *, before: int) -> int:
        return self._drop(lambda connection: sqlite_audit.drop(connection, before=before))

    def history(self, query: HistoryQuery) -> Page[HistoryRow]:
        with self._connections.one() as connection:
            return sqlite_history.listed(connection, query)

    def drop_history(self, *, before: int) -> int:
        return self._drop(lambda connection: sqlite_history.drop(connection, before=before))

    def _drop(self, some: Callable[[sqlite3.Connection], int]) -> int:
        dropped = 0
        while True:
            with self._gate.held(self._timeout), self._connections.one() as connection:
                gone = some(connection)
            dropped += gone
            if not gone:
                return dropped

    def summaries(self, *, since: int) -> list[TypeSummary]:
        with self._connections.one() as connection:
            tasks = {(row[0], row[1]): row[2] for row in connection.execute(*queries.counted())}
            return summed(tasks, sqlite_history.runs(connection, since=since))

    def activity(self, *, since: int, step: int) -> list[Activity]:
        with self._connections.one() as connection:
            return active(sqlite_history.stretches(connection, since=since, step=step), since=since, step=step)

    def find(self, query: TaskQuery) -> Page:
        with self._connections.one() as connection:
            # One snapshot for the count and the page.
            connection.execute("BEGIN")
            (total,) = connection.execute(*queries.listed_count(query)).fetchone()
            ids = [row[0] for row in connection.execute(*queries.listed_ids(query))]
            rows = {row[0]: row for chunk in queries.rows_by_id(Kind.TASKS, ids) for row in connection.execute(*chunk)}
        records = [listed(read_task(task_id, rows[task_id][2])) for task_id in ids]
        tasks = tuple(record for record in records if record is not None)
        # What turns out to be no task is not yet in quarantine; it counts no more than one that is.
        return Page(
            list=tasks,
            offset=query.offset,
            page_size=query.limit,
            total_size=total - (len(records) - len(tasks)),
        )

    def refresh(self) -> None:
        pass

    def clock(self) -> int:
        return self._clock.now().wall

    def defects(self) -> tuple[str, ...]:
        return defects(self._path, self._connections)

    def check(self) -> StoreReport:
        if not self._opened and not Path(self._path).exists():
            return report_of_nothing(self._path)
        return report(self, self._path, self._connections)

    def _check_place(self) -> None:
        if (problem := missing_folder(self._path)) is not None:
            raise ConfigurationError(problem)
        file_system = file_system_of(self._path)
        if on_network(file_system):
            raise ConfigurationError(
                f"{self._path} is on {file_system}, and SQLite's log works on local disks alone:"
                " name a local file, or use Elasticsearch for several machines"
            )

    def _commit(self, items: list[Item]) -> list[Outcome]:
        try:
            with self._gate.held(self._timeout), self._connections.one() as connection:
                return commit(connection, items, self._path)
        except SchedulerError as error:
            return [Outcome(Result.REFUSED, error=error)] * len(items)

    def _raw(self, *several: queries.Query) -> list[Any]:
        with self._connections.one() as connection:
            return [row for query in several for row in connection.execute(*query)]

    def _by_id(self, kind: Kind, ids: Sequence[str]) -> list[_Row]:
        try:
            return _versioned(self._raw(*queries.rows_by_id(kind, ids)))
        except UnicodeEncodeError:
            # What is no Unicode text cannot be an id.
            return self._by_id(kind, [one for one in ids if _is_unicode(one)])

    def _others(self, kind: Kind, ids: Sequence[str] | None) -> list[_Row]:
        if ids is None:
            return _versioned(self._raw(queries.all_rows(kind)))
        rows = {row[0]: row for row in self._by_id(kind, ids)}
        return [rows[one] for one in ids if one in rows]

    def _found(self, *several: queries.Query, limit: int) -> Found:
        return found(_versioned(self._raw(*several))[: limit + 1], limit=limit, cursor=lambda row: row[0])


def _versioned(rows: Sequence[Any]) -> list[_Row]:
    return [(row[0], row[2], Version(row[3], row[1], PRIMARY_TERM)) for row in rows]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
