"""
One write call of the SQLite store: one transaction, each item decided in it on its own condition.
"""

# What is put into a statement's text are names and numbers of this package; values are parameters.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..errors import ConfigurationError, StoreUnavailable
from ..model import Malformed, Task, Version
from ..ports import Action, Outcome, Result, Write
from .batches import Kind, kind_of
from .fields import SearchFields, fields_of
from .sqlite_errors import explained, surely_not_committed
from .sqlite_queries import rows_by_id

PRIMARY_TERM = 1

_FIELDS = SearchFields._fields


class Item(NamedTuple):
    """
    One write, and the body and search fields it stores.
    """

    write: Write
    kind: Kind
    body: str
    fields: tuple[Any, ...]


def item_of(write: Write, body: bytes) -> Item:
    """
    Return a write with all that its transaction needs.
    """
    record = write.record
    fields = fields_of(record) if isinstance(record, Task | Malformed) and body else ()
    return Item(write, kind_of(record), body.decode(), fields)


Statements = dict[tuple[Action, Kind], list[tuple[Any, ...]]]


def _statement(action: Action, kind: Kind) -> str:
    columns = ("seq_no", "body", *(_FIELDS if kind is Kind.TASKS else ()))
    if action is Action.DELETE:
        return f"DELETE FROM {kind} WHERE id = ?"
    if action is Action.CREATE:
        return f"INSERT INTO {kind} ({', '.join(columns)}, id) VALUES ({', '.join('?' * (len(columns) + 1))})"
    return f"UPDATE {kind} SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?"


_SQL = {(action, kind): _statement(action, kind) for action in Action for kind in Kind}


def commit(connection: sqlite3.Connection, items: Sequence[Item], path: str) -> list[Outcome]:
    """
    Do the writes in one transaction, and give outcomes for what SQLite refuses too; the caller holds the gate.

    Raises:
        ConfigurationError: the file is damaged; nothing was done.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = _apply(connection, items)
    except sqlite3.Error as error:
        # A rollback that fails leaves the transaction uncommitted all the same.
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        return [Outcome(Result.REFUSED, error=explained(error, path))] * len(items)
    return _committed(connection, outcomes, path)


def _committed(connection: sqlite3.Connection, outcomes: list[Outcome], path: str) -> list[Outcome]:
    try:
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if surely_not_committed(error):
            return [Outcome(Result.REFUSED, error=explained(error, path))] * len(outcomes)
        # The last frame may stand in the log without having been synced: a recovery may still find it.
        unknown = StoreUnavailable(f"{path}: {error} in COMMIT; whether it was done is unknown")
        return [Outcome(Result.UNKNOWN, error=unknown)] * len(outcomes)
    return outcomes


def _apply(connection: sqlite3.Connection, items: Sequence[Item]) -> list[Outcome]:
    identity, last = _meta(connection)
    present = _present(connection, items)
    statements: Statements = defaultdict(list)
    outcomes, seq_no = [], last
    for item in items:
        write, kind = item.write, item.kind
        refusal = _refusal(write, present.get((kind, write.record.id)), identity)
        if refusal is not None:
            outcomes.append(Outcome(refusal))
            continue
        seq_no += 1
        statements[write.action, kind].append(_parameters(item, seq_no))
        outcomes.append(Outcome(Result.WRITTEN, Version(identity, seq_no, PRIMARY_TERM)))
    for key, rows in statements.items():
        connection.executemany(_SQL[key], rows)
    if seq_no != last:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'seq_no'", (seq_no,))
    return outcomes


def _meta(connection: sqlite3.Connection) -> tuple[str, int]:
    values = dict(connection.execute("SELECT key, value FROM meta"))
    try:
        return values["identity"], int(values["seq_no"])
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"the table meta is damaged ({error}): put a backup there") from error


def _present(connection: sqlite3.Connection, items: Iterable[Item]) -> dict[tuple[Kind, str], int]:
    ids: dict[Kind, list[str]] = defaultdict(list)
    for item in items:
        ids[item.kind].append(item.write.record.id)
    return {
        (kind, row[0]): row[1]
        for kind, wanted in ids.items()
        for query in rows_by_id(kind, wanted, "id, seq_no")
        for row in connection.execute(*query)
    }


def _refusal(write: Write, present: int | None, identity: str) -> Result | None:
    if write.condition is None:
        return None if present is None else Result.CONFLICT
    if present is None or write.condition.index != identity:
        return Result.MISSING
    return None if write.condition[1:] == (present, PRIMARY_TERM) else Result.CONFLICT


def _parameters(item: Item, seq_no: int) -> tuple[Any, ...]:
    record_id = item.write.record.id
    return (record_id,) if item.write.action is Action.DELETE else (seq_no, item.body, *item.fields, record_id)
