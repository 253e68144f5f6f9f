"""
The changes of the SQLite store: one writer at a time gives the numbers, so they become visible in order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from ..model import Version
from ..ports import Changes, Mark, Position
from .bodies import changed, fits
from .sqlite_queries import changed_since
from .sqlite_transaction import PRIMARY_TERM

__all__ = ["fits", "position", "since"]


def position(connection: sqlite3.Connection) -> Position:
    """
    Return the present position.
    """
    values = dict(connection.execute("SELECT key, value FROM meta"))
    return Position(values["identity"], (int(values["seq_no"]),))


def since(connection: sqlite3.Connection, place: Position, *, skip: Collection[Mark], limit: int) -> Changes | None:
    """
    Return what changed behind a position, or None when it is another database's, or ahead of this one.
    """
    # One snapshot for the identity and the rows.
    connection.execute("BEGIN")
    if not fits(place, position(connection)):
        return None
    rows = connection.execute(*changed_since(place.numbers[0], limit=limit))
    versioned = [(row[0], row[2], Version(row[3], row[1], PRIMARY_TERM)) for row in rows]
    return changed(versioned, since=place, skip=skip, limit=limit)
