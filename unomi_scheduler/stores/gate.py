"""
The gate: one writer at a time among all processes of a machine, by `flock` on a side file, each in its turn.

SQLite's own wait sleeps and tries again, which can starve a process for seconds, long enough to lose its lease.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConfigurationError, SchedulerError, StoreRefused

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}


class Gate:
    """
    A lock between processes and threads.

    The file is opened anew each time: nothing is inherited by a fork, and a file that somebody removed comes back.
    """

    def __init__(self, path: str) -> None:
        if fcntl is None:
            raise ConfigurationError("the SQLite store needs flock, which this system lacks: use Elasticsearch here")
        self._path = path

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """
        Hold the gate for the block; wait for it up to `timeout` seconds.

        Raises:
            StoreRefused: the wait was too long; nothing was done.
            ConfigurationError: the side file cannot be opened.
        """
        handle = self._open()
        if not _taken_at_once(handle) and not _waited(handle, timeout):
            raise StoreRefused(f"another process has kept {self._path} for {timeout:g} s; nothing was done")
        try:
            yield
        finally:
            # Not by closing alone: a child forked meanwhile shares the lock.
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _refusal(self._path, error) from error


def _refusal(path: str, error: OSError) -> SchedulerError:
    if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EIO}:
        return StoreRefused(f"cannot open {path}: {error.strerror}; nothing was done")
    return ConfigurationError(f"cannot open {path}: {error.strerror}; the folder must exist and be writable")


def _taken_at_once(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        os.close(handle)
        raise StoreRefused(f"flock: {error.strerror}; nothing was done") from error
    return True


def _waited(handle: int, timeout: float) -> bool:
    wait = _Wait(handle)
    try:
        wait.start()
    except RuntimeError as error:
        os.close(handle)
        raise StoreRefused(f"cannot wait for the gate: {error}; nothing was done") from error
    return wait.ended(timeout)


class _Wait:
    """
    One wait in the kernel's queue. `flock` knows no time-out, so a thread waits, and gives back what comes too late.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self._taken = threading.Event()
        self._abandoned = False

    def start(self) -> None:
        """
        Stand in the queue.

        Raises:
            RuntimeError: there are too many threads, or the interpreter is going down.
        """
        threading.Thread(target=self._wait, name="sqlite-gate", daemon=True).start()

    def ended(self, timeout: float) -> bool:
        """
        Wait and tell whether the lock is ours; when not, it will be given back as soon as it comes.
        """
        if self._taken.wait(timeout):
            return True
        with self._lock:
            self._abandoned = not self._taken.is_set()
            return not self._abandoned

    def _wait(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        except OSError:
            # The waiter runs into its time-out.
            os.close(self._handle)
            return
        with self._lock:
            if self._abandoned:
                os.close(self._handle)
            else:
                self._taken.set()
