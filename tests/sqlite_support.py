"""
What the tests of the SQLite store share.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.factories import NOW
from unomi_scheduler.errors import SchedulerError
from unomi_scheduler.model import Task, Version
from unomi_scheduler.ports import Action, DueQuery, Result, Write
from unomi_scheduler.stores.sqlite import SqliteStore

DUE = DueQuery(
    node_id="node-a",
    tags=(),
    shares=(),
    task_types=frozenset({"sample"}),
    due_before=NOW,
    overdue_before=NOW,
    limit=10,
)


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    """
    Lend a connection of another program; what it did is committed.
    """
    with closing(sqlite3.connect(path, timeout=1)) as connection, connection:
        yield connection


def create(store: SqliteStore, *tasks: Task) -> list[Version]:
    """
    Create tasks that must not exist and return their versions.
    """
    versions = [outcome.version for outcome in store.write([Write(Action.CREATE, task) for task in tasks])]
    return [version for version in versions if version is not None]


def refusals(store: SqliteStore, *tasks: Task) -> list[type[SchedulerError] | None]:
    """
    Try to create tasks that must all be refused; return the kinds of errors.
    """
    outcomes = store.write([Write(Action.CREATE, task) for task in tasks])

    assert {outcome.result for outcome in outcomes} == {Result.REFUSED}
    return [type(outcome.error) if outcome.error else None for outcome in outcomes]
