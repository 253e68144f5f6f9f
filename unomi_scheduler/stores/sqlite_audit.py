"""
The audit of a SQLite store: a table of its own, whose rows are put in and never changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from ..model import AuditRow, Page
from ..ports import AuditQuery, Outcome
from .audit_rows import encode_row, limit_of, readable_rows
from .sqlite_history import MOST_AT_ONCE, put_in

Encoded = list[tuple[int, str, str | None, str, str]]
TABLE = (
    """
    CREATE TABLE IF NOT EXISTS audit (
        at INTEGER NOT NULL,
        id TEXT NOT NULL,
        task_id TEXT,
        who TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (at, id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS audit_tasks ON audit (task_id, at, id) WHERE task_id IS NOT NULL",
)
_INSERT = "INSERT OR IGNORE INTO audit (at, id, task_id, who, body) VALUES (?, ?, ?, ?, ?)"


def encoded(rows: Sequence[AuditRow]) -> Encoded:
    """
    Return rows as the table has them.

    Raises:
        TypeError: something in one is not JSON.
    """
    return [(row.at, row.id, row.task_id, row.who, encode_row(row).decode()) for row in rows]


def add(connection: sqlite3.Connection, rows: Encoded, path: str) -> Outcome:
    """
    Put rows into the table that are not in it, in one transaction; the caller holds the gate.
    """
    return put_in(connection, _INSERT, rows, path)


def listed(connection: sqlite3.Connection, query: AuditQuery) -> Page[AuditRow]:
    """
    Return one page of the rows, the newest first.
    """
    limit = limit_of(query)
    wanted = {"task_id": query.task_id, "who": query.who}
    given = {column: value for column, value in wanted.items() if value is not None}
    where = " AND ".join(["1", *(f"{column} = ?" for column in given)])
    values = tuple(given.values())
    connection.execute("BEGIN")
    # No value is put into the texts.
    (total,) = connection.execute(f"SELECT count(*) FROM audit WHERE {where}", values).fetchone()  # noqa: S608
    found = connection.execute(
        f"SELECT body FROM audit WHERE {where} ORDER BY at DESC, id DESC LIMIT ? OFFSET ?",  # noqa: S608
        (*values, limit, query.offset),
    ).fetchall()
    return Page(
        list=readable_rows(orjson.loads(body) for (body,) in found),
        offset=query.offset,
        page_size=query.limit,
        total_size=total,
    )


def drop(connection: sqlite3.Connection, *, before: int) -> int:
    """
    Remove some of the rows before a moment; return how many, 0 when there are none left.
    """
    keys = "SELECT at, id FROM audit WHERE at < ? LIMIT ?"
    sql = f"DELETE FROM audit WHERE (at, id) IN ({keys})"  # noqa: S608 - no value is put into the text
    return connection.execute(sql, (before, MOST_AT_ONCE)).rowcount
