"""
The history of a SQLite store: a table of its own, written in transactions of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson

from ..errors import StoreUnavailable
from ..model import HistoryRow, Page
from ..ports import LIST_CAP, HistoryQuery, Outcome, Result
from .history_rows import encode_row, readable_rows
from .sqlite_errors import explained, surely_not_committed
from .summing import BAD_ENDS, Runs

MOST_AT_ONCE = 2_000
"""Old rows that one transaction removes: claims and ends wait behind it."""

Encoded = list[tuple[str, int, str, str | None, str]]
_INSERT = "INSERT OR IGNORE INTO history (task_id, ended, id, record_of, body) VALUES (?, ?, ?, ?, ?)"
# Both halves come in order from an index, and are merged.
_LISTED = """
    SELECT ended, id, body FROM history WHERE task_id = ?
    UNION ALL SELECT ended, id, body FROM history INDEXED BY history_records WHERE record_of = ?
    ORDER BY ended DESC, id LIMIT ? OFFSET ?
"""
_COUNTED = """
    SELECT (SELECT count(*) FROM history WHERE task_id = ?)
    + (SELECT count(*) FROM history INDEXED BY history_records WHERE record_of = ?)
"""
_RAN = """
    SELECT json_extract(body, '$.taskType'), count(*), sum(json_extract(body, '$.status') IN (?, ?)),
    sum(json_extract(body, '$.duration')), max(json_extract(body, '$.duration'))
    FROM history INDEXED BY history_ended
    WHERE ended >= ? AND json_extract(body, '$.duration') IS NOT NULL GROUP BY 1
"""

_RAN_WHEN = """
    SELECT (ended - ?) / ?, count(*), sum(json_extract(body, '$.status') IN (?, ?)),
    sum(json_extract(body, '$.duration')), max(json_extract(body, '$.duration'))
    FROM history INDEXED BY history_ended
    WHERE ended >= ? AND json_extract(body, '$.duration') IS NOT NULL GROUP BY 1
"""


def encoded(rows: Sequence[HistoryRow]) -> Encoded:
    """
    Return rows as the table has them.
    """
    return [(row.task_id, row.end, row.id, row.all_nodes_of, encode_row(row).decode()) for row in rows]


def add(connection: sqlite3.Connection, rows: Encoded, path: str) -> Outcome:
    """
    Put rows into the table that are not in it, in one transaction; the caller holds the gate.
    """
    return put_in(connection, _INSERT, rows, path)


def put_in(connection: sqlite3.Connection, insert: str, rows: Sequence[tuple[Any, ...]], path: str) -> Outcome:
    """
    Insert rows by a statement in one transaction; the caller holds the gate.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
    except sqlite3.Error as error:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        return Outcome(Result.REFUSED, error=explained(error, path))
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if surely_not_committed(error):
            return Outcome(Result.REFUSED, error=explained(error, path))
        unknown = StoreUnavailable(f"{path}: {error} in COMMIT; whether it was done is unknown")
        return Outcome(Result.UNKNOWN, error=unknown)
    return Outcome(Result.WRITTEN)


def listed(connection: sqlite3.Connection, query: HistoryQuery) -> Page[HistoryRow]:
    """
    Return one page of a task's rows.
    """
    limit = LIST_CAP if query.limit < 0 else min(query.limit, LIST_CAP)
    connection.execute("BEGIN")
    both = (query.task_id, query.task_id)
    (total,) = connection.execute(_COUNTED, both).fetchone()
    found = connection.execute(_LISTED, (*both, limit, query.offset)).fetchall()
    return Page(
        list=readable_rows(orjson.loads(body) for _, _, body in found),
        offset=query.offset,
        page_size=query.limit,
        total_size=total,
    )


def runs(connection: sqlite3.Connection, *, since: int) -> dict[str, Runs]:
    """
    Return what the runs of each type were that ended at or after a moment.
    """
    return {row[0]: Runs(*row[1:]) for row in connection.execute(_RAN, (*BAD_ENDS, since)) if isinstance(row[0], str)}


def stretches(connection: sqlite3.Connection, *, since: int, step: int) -> dict[int, Runs]:
    """
    Return what the runs were that ended in each stretch behind a moment, by its place.
    """
    return {row[0]: Runs(*row[1:]) for row in connection.execute(_RAN_WHEN, (since, step, *BAD_ENDS, since))}


def drop(connection: sqlite3.Connection, *, before: int) -> int:
    """
    Remove some of the rows that ended before a moment; return how many, 0 when there are none left.
    """
    keys = "SELECT task_id, ended, id FROM history WHERE ended < ? LIMIT ?"
    sql = f"DELETE FROM history WHERE (task_id, ended, id) IN ({keys})"  # noqa: S608 - no value is put into the text
    return connection.execute(sql, (before, MOST_AT_ONCE)).rowcount
