"""
What `doctor` shows of a SQLite store.
"""

# What is put into a statement's text are names and numbers of this package; values are parameters.
# ruff: noqa: S608

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import SchedulerError
from ..ports import OVERDUE, StoreReport, TaskStore
from . import sqlite_queries as queries
from .batches import Kind
from .findings import SHOWN, quarantine_problem, unreadable_problem
from .local_disk import file_system_of, on_network
from .sqlite_connections import Connections
from .sqlite_schema import SCHEMA_VERSION

# Before it, two connections that write or checkpoint at once could damage the file; the gate keeps ours apart.
_WAL_RESET_FIXED = (3, 51, 3)
_LOW_SPACE = 100_000_000
_UNREAD_LOOKED_AT = 100


def missing_folder(path: str) -> str | None:
    """
    Return what is wrong and what to do where the folder of a file is not there.
    """
    folder = Path(path).parent
    return None if folder.is_dir() else f"{path}: the folder {folder} does not exist: make it, or name another file"


def report_of_nothing(path: str) -> StoreReport:
    """
    Look at the place of a file that no node has made yet, which is nothing wrong.
    """
    problems: list[str] = []
    if (problem := missing_folder(path)) is not None:
        return StoreReport(facts={"store": "sqlite", "path": path}, problems=(problem,))
    facts = {"store": "sqlite", "path": path, "content": "nothing there yet; the first node makes it"}
    facts |= {"sqlite": _version()} | _place(path, problems)
    return StoreReport(facts=facts, problems=tuple(problems))


def report(store: TaskStore, path: str, connections: Connections) -> StoreReport:
    """
    Look at the file, its place and its content.
    """
    problems: list[str] = []
    facts = {"store": "sqlite", "path": path, "sqlite": _version()}
    facts |= _place(path, problems)
    try:
        with connections.one() as connection:
            facts |= _content(connection)
            problems.extend(_schema(facts, path))
            problems.extend(_damage(connection, path))
        return _with_documents(store, connections, StoreReport(facts=facts, problems=tuple(problems)))
    except (SchedulerError, LookupError, UnicodeError) as error:
        problems.append(str(error))
    return StoreReport(facts=facts, problems=tuple(problems))


def defects(path: str, connections: Connections) -> tuple[str, ...]:
    """
    Return what is wrong with the tables themselves.
    """
    with connections.one() as connection:
        facts = {key: str(value) for key, value in connection.execute("SELECT key, value FROM meta")}
    return tuple(_schema(facts, path))


def _with_documents(store: TaskStore, connections: Connections, so_far: StoreReport) -> StoreReport:
    now = store.clock()
    with connections.one() as connection:
        (count,) = connection.execute("SELECT count(*) FROM tasks WHERE quarantine IS NOT NULL").fetchone()
        some = connection.execute(*queries.quarantined(limit=SHOWN)).fetchall()
        overdue = dict(connection.execute(*queries.overdue(before=now - OVERDUE)))
    unread = store.find_unplaced(limit=_UNREAD_LOOKED_AT).malformed
    return replace(
        so_far,
        problems=(*so_far.problems, *quarantine_problem(count, some), *unreadable_problem(unread)),
        now=now,
        nodes=tuple(one.record for one in store.heartbeats() if one.record.dead_by is None),
        overdue=overdue,
        quarantined=count,
    )


def _version() -> str:
    if sqlite3.sqlite_version_info >= _WAL_RESET_FIXED:
        return sqlite3.sqlite_version
    fixed = ".".join(map(str, _WAL_RESET_FIXED))
    return (
        f"{sqlite3.sqlite_version} (before {fixed} programs that write past the gate, at the same time as a node,"
        " may damage the file: edit by hand only while the nodes are stopped)"
    )


def _place(path: str, problems: list[str]) -> dict[str, str]:
    file_system = file_system_of(path)
    if on_network(file_system):
        problems.append(f"{path} is on {file_system}: use a local disk")
    facts = {"file system": file_system or "unknown: make sure that it is a local disk"}
    try:
        free = shutil.disk_usage(Path(path).parent).free
        if Path(path).exists():
            facts["size"] = f"{Path(path).stat().st_size} bytes"
    except OSError:
        return facts
    if free < _LOW_SPACE:
        problems.append(f"only {free} bytes are free beside {path}: make room")
    return facts | {"free": f"{free} bytes"}


def _content(connection: sqlite3.Connection) -> dict[str, str]:
    facts = {
        pragma.replace("_", " "): str(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
        for pragma in ("journal_mode", "synchronous")
    }
    facts |= {key: str(value) for key, value in connection.execute("SELECT key, value FROM meta ORDER BY key")}
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for kind in [kind for kind in Kind if kind in tables]:
        facts[kind.value] = str(connection.execute(f"SELECT count(*) FROM {kind}").fetchone()[0])
    return facts


def _schema(facts: Mapping[str, str], path: str) -> Iterator[str]:
    there = facts.get("schema", "none")
    if there.isdigit() and int(there) < SCHEMA_VERSION:
        yield f"{path} has schema {there}, this version makes {SCHEMA_VERSION} of it: start a node once"
    elif there != str(SCHEMA_VERSION):
        yield f"{path} has schema {there}, this version knows {SCHEMA_VERSION}: upgrade the scheduler"


def _damage(connection: sqlite3.Connection, path: str) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA quick_check(5)"):
        if line != "ok":
            yield f"{path}: {line}: stop the nodes and put a backup there"
