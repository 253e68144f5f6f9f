"""
The tables of the SQLite store.

A row may be put in or edited by hand: `INSERT INTO tasks (id, body) VALUES (…)` is enough, and so is an `UPDATE` of a
body. Triggers give such a row a new version and take its partition away, so that the next search for unplaced documents
finds it and a node writes it back with its search fields.
"""

from __future__ import annotations

import sqlite3
from uuid import uuid4

from ..errors import ConfigurationError
from . import sqlite_audit
from .batches import Kind

SCHEMA_VERSION = 2

_META = "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value NOT NULL) WITHOUT ROWID"
_TASKS = """
CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text'),
    seq_no INTEGER,
    task_type TEXT,
    status TEXT,
    partition INTEGER,
    due INTEGER,
    targets TEXT,
    owner TEXT,
    incarnation TEXT,
    waiting_on TEXT,
    created INTEGER,
    last_execution INTEGER,
    next_execution INTEGER,
    failures INTEGER,
    successes INTEGER,
    deleting INTEGER NOT NULL DEFAULT 0,
    quarantine TEXT,
    record_of TEXT,
    body TEXT
)
"""
_OTHERS = """
CREATE TABLE IF NOT EXISTS {kind} (
    id TEXT NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text'), seq_no INTEGER, body TEXT
)
"""

# The one tree holds a task's rows side by side; the end is part of the id, so the key says that an id is there once.
_HISTORY = (
    """
    CREATE TABLE IF NOT EXISTS history (
        task_id TEXT NOT NULL,
        ended INTEGER NOT NULL,
        id TEXT NOT NULL,
        record_of TEXT,
        body TEXT NOT NULL,
        PRIMARY KEY (task_id, ended, id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS history_ended ON history (ended)",
    "CREATE INDEX IF NOT EXISTS history_records ON history (record_of, ended, id) WHERE record_of IS NOT NULL",
)

# Each search reads one index; those of rare states hold only the rows in that state.
_INDEXES = (
    "CREATE INDEX tasks_due ON tasks (due, id, task_type, partition, targets) WHERE due IS NOT NULL",
    "CREATE INDEX tasks_owned ON tasks (id, incarnation) WHERE owner IS NOT NULL",
    "CREATE INDEX tasks_waiting ON tasks (id, waiting_on) WHERE waiting_on IS NOT NULL",
    "CREATE INDEX tasks_unplaced ON tasks (id) WHERE partition IS NULL AND quarantine IS NULL",
    "CREATE INDEX tasks_completed ON tasks (last_execution, id) WHERE status = 'COMPLETED' AND owner IS NULL",
    "CREATE INDEX tasks_deleting ON tasks (id) WHERE deleting = 1 AND owner IS NULL",
    """
    CREATE INDEX tasks_listed ON tasks
    (created, id, task_type, status, last_execution, next_execution, failures, successes)
    WHERE quarantine IS NULL AND record_of IS NULL
    """,
    "CREATE INDEX tasks_records ON tasks (record_of, id) WHERE record_of IS NOT NULL",
)
# For who watches the tasks: what is only added needs no new schema.
_CHANGED = "CREATE INDEX IF NOT EXISTS tasks_changed ON tasks (seq_no) WHERE quarantine IS NULL"
_UPGRADES = {
    1: ("ALTER TABLE tasks ADD COLUMN record_of TEXT", "DROP INDEX tasks_listed", *_INDEXES[-2:]),
}
"""What makes the next schema of one."""

_NEW_VERSION = (
    "UPDATE meta SET value = value + 1 WHERE key = 'seq_no';"
    " UPDATE {kind} SET {also}seq_no = (SELECT value FROM meta WHERE key = 'seq_no') WHERE id = NEW.id;"
)
_INSERTED = (
    "CREATE TRIGGER IF NOT EXISTS {kind}_inserted AFTER INSERT ON {kind}"
    f" WHEN NEW.seq_no IS NULL BEGIN {_NEW_VERSION} END"
)
_EDITED = (
    "CREATE TRIGGER IF NOT EXISTS {kind}_edited AFTER UPDATE OF body ON {kind}"
    f" WHEN NEW.seq_no IS OLD.seq_no BEGIN {_NEW_VERSION} END"
)


_NOTES = tuple(statement.format(kind=Kind.NOTES, also="") for statement in (_OTHERS, _INSERTED, _EDITED))


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """
    Make the tables in an empty database, or check and upgrade those that are there; the caller holds the gate.

    Raises:
        ConfigurationError: another program's database, or a newer version's.
    """
    if not _is_empty(connection):
        _upgrade(connection, _version_of(connection, path))
    elif connection.execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
        raise ConfigurationError(f"{path}: this file system cannot keep a write-ahead log; use a local disk")
    else:
        _create(connection)
    for statement in (*_HISTORY, *_NOTES, _CHANGED, *sqlite_audit.TABLE):
        # Also in a database that an earlier version made: what is only added needs no new schema.
        connection.execute(statement)


def _is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _version_of(connection: sqlite3.Connection, path: str) -> int:
    try:
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except sqlite3.OperationalError as error:
        raise ConfigurationError(f"{path} is another program's database: name a file of its own") from error
    there = row[0] if row else "none"
    if there != SCHEMA_VERSION and there not in _UPGRADES:
        raise ConfigurationError(
            f"{path} has schema {there}, this version knows {SCHEMA_VERSION}: upgrade the scheduler"
        )
    return int(there)


def _upgrade(connection: sqlite3.Connection, there: int) -> None:
    if there == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for version in range(there, SCHEMA_VERSION):
        for step in _UPGRADES[version]:
            connection.execute(step)
    connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (SCHEMA_VERSION,))
    connection.execute("COMMIT")


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_META)
    connection.execute(_TASKS)
    for kind in (Kind.HEARTBEATS, Kind.SLOTS):
        connection.execute(_OTHERS.format(kind=kind))
    for index in _INDEXES:
        connection.execute(index)
    for kind in (Kind.TASKS, Kind.HEARTBEATS, Kind.SLOTS):
        also = "partition = NULL, " if kind is Kind.TASKS else ""
        connection.execute(_INSERTED.format(kind=kind, also=""))
        connection.execute(_EDITED.format(kind=kind, also=also))
    meta = {"schema": SCHEMA_VERSION, "identity": f"sqlite-{uuid4().hex}", "seq_no": 0}
    connection.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", meta.items())
    connection.execute("COMMIT")
