"""
Who this node is: one process a node id, and what became of the incarnations before (P9).
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..clock import Clock
from ..errors import ConfigurationError, StoreUnavailable
from ..model import Heartbeat, Stored
from ..ports import Action, Result, TaskStore, Write
from .lease import OBSERVER_SHARE

TRIES = 20
LOOK_EVERY = 0.2
MOST_NOTED = 50
"""How many incarnations before this one a lock file remembers."""


class NodeLock:
    """
    The lock file of a node id on this host. It names the incarnations that ran under it: whoever holds it proves those
    dead. Of others it proves nothing: a process with another state folder has another lock file.
    """

    def __init__(self, folder: Path, node_id: str) -> None:
        safe = "".join(one if one.isalnum() or one in "-_." else "_" for one in node_id)
        self.path = folder / f"node-{safe}.lock"
        self._node_id = node_id
        self._file: int | None = None
        self.former: frozenset[str] = frozenset()

    def acquire(self) -> None:
        """
        Take the lock.

        Raises:
            ConfigurationError: another process on this host runs under this id.
            OSError: the file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _lines(descriptor)[0]
            os.close(descriptor)
            raise ConfigurationError(
                f"Node id {self._node_id!r} is in use by process {holder or 'unknown'} on this host ({self.path}). "
                "Stop that process, or give this one another node_id."
            ) from error
        noted = _lines(descriptor)[1:][-MOST_NOTED:]
        self.former = frozenset(noted)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, "".join(f"{one}\n" for one in (os.getpid(), *noted)).encode(), 0)
        self._file = descriptor

    def note(self, incarnation: str) -> None:
        """
        Write down an incarnation before it beats first; what cannot be written down is watched for a lease instead.
        """
        if self._file is not None:
            with suppress(OSError):
                os.lseek(self._file, 0, os.SEEK_END)
                os.write(self._file, f"{incarnation}\n".encode())

    def release(self) -> None:
        """
        Let go of the lock; harmless when it is not held.
        """
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lines(descriptor: int) -> list[str]:
    text = os.pread(descriptor, 100_000, 0).decode(errors="replace")
    return text.split("\n")[:-1] or [""]


def host_name() -> str:
    """
    Return the name of this host.
    """
    return socket.gethostname()


def settle_predecessors(
    store: TaskStore,
    *,
    node_id: str,
    lease_millis: int,
    proven: frozenset[str],
    clock: Clock,
    pause: Callable[[float], object],
    own: frozenset[str] = frozenset(),
) -> list[Stored[Heartbeat]]:
    """
    Return the dead earlier incarnations of a node id, each marked by an acknowledged write.

    Those that the lock file proves dead are dead at once; others are watched for a lease (at most, once for all).

    Args:
        proven: the incarnations that ran under the lock file that is held now.
        own: incarnations of this very process, which may be alive: of a binding that waits for a body.

    Raises:
        ConfigurationError: one of them is alive.
        StoreUnavailable: the store did not answer.
    """
    store.refresh()
    former = [
        stored
        for stored in store.heartbeats()
        if stored.record.node_id == node_id and stored.record.incarnation not in own
    ]
    watched = [
        stored
        for stored in former
        if stored.record.dead_by is None
        and not (stored.record.incarnation in proven and stored.record.host == host_name())
    ]
    if watched:
        _watch(store, watched, lease_millis=lease_millis, clock=clock, pause=pause)
    return [dead for stored in former if (dead := _declare(store, stored.record, node_id, proven)) is not None]


def _watch(
    store: TaskStore,
    watched: list[Stored[Heartbeat]],
    *,
    lease_millis: int,
    clock: Clock,
    pause: Callable[[float], object],
) -> None:
    counters = {stored.record.id: stored.record.counter for stored in watched}
    lease = max([lease_millis, *(stored.record.lease_millis for stored in watched)])
    began = clock.now().boot
    while clock.now().boot - began < lease * OBSERVER_SHARE:
        pause(LOOK_EVERY)
        for stored in store.heartbeats(list(counters)):
            beat = stored.record
            if beat.counter != counters[beat.id] and beat.dead_by is None:
                raise _alive(beat)


def _alive(beat: Heartbeat) -> ConfigurationError:
    return ConfigurationError(
        f"Node id {beat.node_id!r} is alive on host {beat.host or 'unknown'} (process {beat.pid}). "
        "Stop that node, or give this one another node_id."
    )


def _declare(store: TaskStore, watched: Heartbeat, node_id: str, proven: frozenset[str]) -> Stored[Heartbeat] | None:
    for _ in range(TRIES):
        found = store.heartbeats([watched.id])
        if not found:
            return None
        beat = found[0].record
        if beat.dead_by is None and beat.counter != watched.counter and beat.incarnation not in proven:
            # It was only paused while it was watched.
            raise _alive(beat)
        marked = beat if beat.dead_by else replace(beat, dead_by=node_id)
        outcome = store.write([Write(Action.REPLACE, marked, found[0].version)])[0]
        if outcome.result is Result.WRITTEN and outcome.version is not None:
            return Stored(marked, outcome.version)
        if outcome.result is Result.MISSING:
            return None
        if outcome.error is not None and outcome.result is Result.REFUSED:
            raise outcome.error
    raise StoreUnavailable(f"The heartbeat {watched.id} of an earlier start could not be settled in {TRIES} tries")
