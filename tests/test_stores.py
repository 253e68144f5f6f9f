"""
The embedded stores keep the contract of the port.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.store_contract import MakeStore, Plant, StoreContract
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.ports import TaskStore
from unomi_scheduler.stores.fields import fields_of_document
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.stores.sqlite import SqliteStore


class TestMemoryStore(StoreContract):
    """
    The memory store, with searches that see writes only after a refresh.
    """

    @pytest.fixture
    def store(self) -> MemoryStore:
        """
        An empty store whose own next refresh is an age away.
        """
        return MemoryStore(SystemClock(), refresh_interval_ms=10**15)

    @pytest.fixture
    def make_store(self, store: MemoryStore) -> MakeStore:
        """
        Handles that share the store's data.
        """
        return lambda: store.lane(1.0)

    @pytest.fixture
    def plant(self, store: MemoryStore) -> Plant:
        """
        Raw documents go in by the store's own door for tests.
        """
        return store.plant


class TestSqliteStore(StoreContract):
    """
    The SQLite store, on a file of its own for each test.
    """

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        """
        A new file.
        """
        store = SqliteStore(tmp_path / "tasks.db")
        store.open()
        yield store
        store.close()

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[MakeStore]:
        """
        Handles on the same file, as another process would have.
        """
        made: list[SqliteStore] = []

        def make() -> TaskStore:
            made.append(SqliteStore(tmp_path / "tasks.db"))
            made[-1].open()
            return made[-1]

        yield make
        for one in made:
            one.close()

    @pytest.fixture
    def plant(self, store: SqliteStore, tmp_path: Path) -> Plant:
        """
        Raw documents are rows that another program wrote, with the search columns that the document asks for.
        """

        def plant(task_id: str, document: dict[str, Any]) -> None:
            fields = fields_of_document(document)
            columns = ", ".join(("id", "body", *fields._fields))
            marks = ", ".join("?" * (len(fields) + 2))
            with closing(sqlite3.connect(tmp_path / "tasks.db")) as connection, connection:
                connection.execute(
                    f"INSERT INTO tasks ({columns}) VALUES ({marks})", (task_id, json.dumps(document), *fields)
                )

        return plant
