"""
What `doctor` shows of a SQLite store.
"""

# What is put into a statement's text are names and numbers of this package; values are parameters.
# ruff: noqa: S608

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..errors import SchedulerError
from ..ports import StoreReport
from .batches import Kind
from .local_disk import file_system_of, on_network
from .sqlite_connections import Connections

# Before it, two connections that write or checkpoint at once could damage the file; the gate keeps ours apart.
_WAL_RESET_FIXED = (3, 51, 3)
_LOW_SPACE = 100_000_000


def report(path: str, connections: Connections) -> StoreReport:
    """
    Look at the file, its place and its content.
    """
    problems: list[str] = []
    facts = {"store": "sqlite", "path": path, "sqlite": _version()}
    facts |= _place(path, problems)
    try:
        with connections.one() as connection:
            facts |= _content(connection)
            problems.extend(_damage(connection, path))
    except (SchedulerError, LookupError, UnicodeError) as error:
        problems.append(str(error))
    return StoreReport(facts=facts, problems=tuple(problems))


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
    for kind in Kind:
        facts[kind.value] = str(connection.execute(f"SELECT count(*) FROM {kind}").fetchone()[0])
    return facts


def _damage(connection: sqlite3.Connection, path: str) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA quick_check(5)"):
        if line != "ok":
            yield f"{path}: {line}: stop the nodes and put a backup there"
