"""
Connections to one SQLite file: each serves one call at a time and is kept for the next.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ..errors import ConfigurationError
from .sqlite_errors import explained, translated

_PRAGMAS = (
    # With NORMAL a power cut may take back acknowledged claims, and a fence would be given twice.
    "PRAGMA synchronous=FULL",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-16384",
)


class _Connection(NamedTuple):
    connection: sqlite3.Connection
    file: tuple[int, int]
    process: int


class Connections:
    """
    Connections of one store handle.

    The database file itself is never opened by other means: closing it would drop SQLite's locks.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        # Closed only by `close`, under the gate, since the last connection to close writes the log back into the file.
        self._retired: list[_Connection] = []

    def __bool__(self) -> bool:
        """
        Whether any connection is kept.
        """
        with self._lock:
            return bool(self._idle or self._retired)

    @contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        """
        Lend a connection for the block; a transaction left open is rolled back.

        Raises:
            SchedulerError: the block failed in SQLite, or there is no database at the path.
        """
        taken = self._take()
        try:
            with translated(self._path):
                yield taken.connection
        finally:
            self._give_back(taken)

    def close(self) -> None:
        """
        Close every connection not in use.
        """
        with self._lock:
            all_unused = [*self._retired, *self._idle]
            # A connection must not be used after a fork, not even to close it.
            self._retired = [one for one in all_unused if one.process != os.getpid()]
            self._idle = []
        for one in all_unused:
            if one.process == os.getpid():
                with suppress(sqlite3.Error):
                    one.connection.close()

    def _take(self) -> _Connection:
        file = self._file()
        while True:
            with self._lock:
                if not self._idle:
                    break
                taken = self._idle.pop()
                if taken.file == file and taken.process == os.getpid():
                    return taken
                # Of a replaced file, or of the process that forked us; the garbage collector must not close it.
                self._retired.append(taken)
        return _Connection(connect(self._path, timeout=self._timeout), file, os.getpid())

    def _give_back(self, taken: _Connection) -> None:
        sound = _rolled_back(taken.connection)
        with self._lock:
            if sound:
                self._idle.append(taken)
            else:
                self._retired.append(taken)

    def _file(self) -> tuple[int, int]:
        try:
            status = Path(self._path).stat()
        except OSError as error:
            raise ConfigurationError(
                f"{self._path}: {error.strerror}; open the store to make a new database, or put the file back"
            ) from error
        return status.st_dev, status.st_ino


def connect(path: str, *, timeout: float, create: bool = False) -> sqlite3.Connection:
    """
    Open a connection in autocommit mode.

    Raises:
        SchedulerError: there is no database, or it cannot be opened.
    """
    mode = "rwc" if create else "rw"
    try:
        connection = sqlite3.connect(
            f"file:{quote(path)}?mode={mode}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise explained(error, path) from error
    # Bytes that are no UTF-8 must not stop a search.
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
    except sqlite3.Error as error:
        connection.close()
        raise explained(error, path) from error
    return connection


def _rolled_back(connection: sqlite3.Connection) -> bool:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return False
    return True
