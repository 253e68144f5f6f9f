"""
The secret that the nodes of a cluster share: 256 random bits in a note of the store, by which a node knows that a nudge
comes from its own cluster. Whoever may read the store may read it, and could do there anything a nudge does.
"""

from __future__ import annotations

from secrets import token_hex
from threading import Lock

from ..errors import StoreUnavailable
from ..model import Note, Stored
from ..ports import Action, Outcome, Result, TaskStore, Write

KIND, NAME = "secret", "cluster"
BYTES = 32
TRIES = 5


class ClusterSecret:
    """
    What this process knows of the secret of one store. Safe from any thread; nothing shows it.
    """

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._lock = Lock()
        self._key: bytes | None = None

    @property
    def key(self) -> bytes | None:
        """
        The key as it was read last, or None while none was found.
        """
        return self._key

    def read(self) -> bytes | None:
        """
        Read it anew.

        Raises:
            SchedulerError: the store refused or did not answer.
        """
        with self._lock:
            found = _find(self._store)
            self._key = None if found is None else _key_of(found.record)
            return self._key

    def ensure(self) -> None:
        """
        Read it, and make it where there is none: of nodes that start together, one's stands.

        Raises:
            SchedulerError: the store refused or did not answer.
        """
        if self.read() is None:
            outcome = self._store.write([Write(Action.CREATE, _fresh())])[0]
            # Whatever the answer was, what stands in the store counts.
            if self.read() is None:
                raise _failure(outcome)


def renew(store: TaskStore) -> None:
    """
    Put a new secret in the place of the one there is.

    Nodes need not be told: one that gets or sends a nudge under the other secret reads it again.

    Raises:
        SchedulerError: it was not written, or that is not known.
    """
    fresh = _fresh()
    outcome = Outcome(Result.UNKNOWN)
    for _ in range(TRIES):
        found = _find(store)
        if found is not None and found.record == fresh:
            return
        write = Write(Action.CREATE, fresh) if found is None else Write(Action.REPLACE, fresh, found.version)
        outcome = store.write([write])[0]
        if outcome.result is Result.WRITTEN:
            return
        if outcome.result is Result.REFUSED:
            break
    raise _failure(outcome)


def _find(store: TaskStore) -> Stored[Note] | None:
    found = store.notes(KIND, [NAME])
    return found[0] if found else None


def _fresh() -> Note:
    return Note(kind=KIND, name=NAME, body={"key": token_hex(BYTES)})


def _key_of(note: Note) -> bytes | None:
    key = note.body.get("key")
    try:
        made = bytes.fromhex(key) if isinstance(key, str) else b""
    except ValueError:
        return None
    # A shorter one was not made here, and could be guessed.
    return made if len(made) >= BYTES else None


def _failure(outcome: Outcome) -> Exception:
    return outcome.error or StoreUnavailable(
        f"The cluster's secret was not written ({outcome.result.value}); try again, or delete the note {KIND}:{NAME} "
        "if somebody changed it by hand"
    )
