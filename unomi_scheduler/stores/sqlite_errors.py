"""
What SQLite's errors mean to the port.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigurationError, SchedulerError, StoreRefused

_ROOM = 1_000_000
_BROKEN = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_ACCESS = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}
# Before COMMIT wrote its last frame: the log without it is no transaction.
_NOT_COMMITTED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL}


def explained(error: sqlite3.Error, path: str) -> SchedulerError:
    """
    Return the error of the port for a statement that failed: nothing was done.
    """
    code = _primary(error)
    if code in _BROKEN:
        return ConfigurationError(f"{path}: {error}; move the file away, or put a sound database there")
    if code in _ACCESS and not _accessible(path):
        return ConfigurationError(f"{path}: {error}; the file and its folder must be readable and writable")
    folder = Path(path).parent
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(folder)):
        return StoreRefused(f"{path}: {error}; free space in {folder}, then it goes on by itself; nothing was done")
    if code == sqlite3.SQLITE_IOERR:
        return StoreRefused(f"{path}: {error}; look after the disk of {folder}, then try again; nothing was done")
    if code == sqlite3.SQLITE_ERROR:
        return ConfigurationError(f"{path}: {error}; this is no database of the scheduler, or it was never opened")
    return StoreRefused(f"{path}: {error}; nothing was done")


def surely_not_committed(error: sqlite3.Error) -> bool:
    """
    Tell whether a COMMIT that failed with this error has left nothing behind, not even for a recovery to find.
    """
    return _primary(error) in _NOT_COMMITTED


@contextmanager
def translated(path: str) -> Iterator[None]:
    """
    Turn SQLite's errors in the block into the port's.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise explained(error, path) from error


def _primary(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_full(folder: Path) -> bool:
    # SQLite says so only where it was the log that did not fit.
    try:
        return shutil.disk_usage(folder).free < _ROOM
    except OSError:
        return False


def _accessible(path: str) -> bool:
    # Too many open files look the same to SQLite as a missing permission.
    return os.access(path, os.R_OK | os.W_OK) and os.access(Path(path).parent, os.W_OK)
