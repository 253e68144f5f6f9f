"""
Tokens: what programs sign in with, and what a browser that signed in holds. Each is a note (`model.Note`) of the kind
`token` or `session`.

The store holds a SHA-256 of the secret. A slow hash such as argon2 makes *guessable* passwords dear to guess; a secret
of 256 random bits cannot be guessed at any speed, and a slow hash would only make each request slow.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..clock import Clock
from ..errors import Conflict, InvalidTask
from ..model import Json, Note, Stored
from ..ports import Action, Result, TaskStore, Write
from ..timestamps import to_iso
from .edits import RACES, raise_failure, send

KIND = "token"
SESSION = "session"
PREFIX = "us"
MOST_TOKENS = 1_000
DAYS, MOST_DAYS = 90, 366
"""How long a token lasts, if nothing is said, and at most."""
_DAY = 86_400_000
USE_NOTED_MILLIS = 60_000
"""How old the noted last use may be: one write a minute at most."""
KEPT_MILLIS = 30 * _DAY
"""How long a token stands in the list after it expired."""
_ID_BYTES = 8
_SECRET_BYTES = 32
_LONGEST = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """
    A token as the store has it; instants are epoch milliseconds. `created_by` is an account or a token.
    """

    id: str
    name: str
    roles: tuple[str, ...]
    created_by: str
    created_at: int
    expires_at: int
    digest: str = field(repr=False)
    last_used_at: int | None = None

    def accepts(self, secret: str) -> bool:
        """
        Tell whether this is its secret, in a time that tells nothing about it.
        """
        return hmac.compare_digest(_digest(secret).encode(), self.digest.encode())

    def expired(self, now: int) -> bool:
        """
        Tell whether its time is over.
        """
        return self.expires_at <= now


def token_document(token: Token) -> dict[str, Json]:
    """
    Return a token as JSON, without what its secret could be recognised by.
    """
    document = {
        "id": token.id,
        "name": token.name,
        "roles": token.roles,
        "createdBy": token.created_by,
        "createdAt": to_iso(token.created_at),
        "expiresAt": to_iso(token.expires_at),
    }
    return document | ({} if token.last_used_at is None else {"lastUsedAt": to_iso(token.last_used_at)})


class Tokens:
    """
    The tokens of a scheduler's store.

    Args:
        store: gives the store, or None while none is bound.
        required: gives the store, or raises.
        kind: the kind of their notes.
        kept_millis: how long one stands in the list after it expired.
    """

    def __init__(
        self,
        store: Callable[[], TaskStore | None],
        *,
        required: Callable[[], TaskStore],
        clock: Clock,
        kind: str = KIND,
        kept_millis: int = KEPT_MILLIS,
    ) -> None:
        self._kind = kind
        self._kept = kept_millis
        self._store = store
        self._required = required
        self._clock = clock

    @staticmethod
    def parts(text: str) -> tuple[str, str] | None:
        """
        Return id and secret of `us_<id>_<secret>`, or None when it is no token.
        """
        prefix, _, rest = text.partition("_")
        token_id, _, secret = rest.partition("_")
        known = prefix == PREFIX and text.isascii() and token_id.isalnum() and secret
        return (token_id, secret) if known and len(text) <= _LONGEST else None

    def make(
        self,
        name: str,
        roles: Sequence[str],
        *,
        created_by: str,
        days: int | None = None,
        expires_at: int | None = None,
        until: int | None = None,
    ) -> tuple[Token, str]:
        """
        Make a token; return it and the text to sign in with, which cannot be had again.

        Args:
            days: how long it lasts, or
            expires_at: its end (epoch ms); without both, 90 days.
            until: the end of the one who makes it (epoch ms), which it does not outlive.

        Raises:
            InvalidTask: its end is out of range.
            Conflict: there are too many.
            StoreUnavailable: it may be there, but nobody knows its secret.
        """
        store, now = self._required(), self._clock.now().wall
        end = _end(now, days=days, expires_at=expires_at, until=until)
        self._make_room(store, now)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        token = Token(
            id=secrets.token_hex(_ID_BYTES),
            name=name,
            roles=tuple(sorted(set(roles))),
            created_by=created_by,
            created_at=now,
            expires_at=end,
            digest=_digest(secret),
        )
        outcome, doubtful = send(store, Write(Action.CREATE, self._note(token)))
        # Nobody else makes this id: one that is there after a lost answer is ours (P3).
        if not (doubtful and outcome.result is Result.CONFLICT):
            raise_failure(outcome, f"token {token.id}")
        return token, f"{PREFIX}_{token.id}_{secret}"

    def _make_room(self, store: TaskStore, now: int) -> None:
        store.refresh()
        there = _read(store.notes(self._kind))
        old = [one for one in there if one.record.expires_at + self._kept <= now]
        if old:
            # Best effort: what a race or a refusal leaves goes with the next token.
            store.write([Write(Action.DELETE, self._note(one.record), one.version) for one in old])
        if len(there) - len(old) >= MOST_TOKENS:
            raise Conflict(f"There are {MOST_TOKENS:,} tokens, which is the most there can be: revoke some first")

    def all(self) -> list[Token]:
        """
        Return the tokens, the newest first; those that expired less than 30 days ago too.
        """
        store = self._store()
        if store is None:
            return []
        store.refresh()
        now = self._clock.now().wall
        found = [one.record for one in _read(store.notes(self._kind)) if one.record.expires_at + self._kept > now]
        return sorted(found, key=lambda token: (-token.created_at, token.id))

    def check(self, token_id: str, secret: str) -> Token | None:
        """
        Return the token as the store has it now, if this is its secret, and note the use; expired or not.

        Raises:
            StoreUnavailable, ConfigurationError: the store does not tell.
        """
        store = self._store()
        stored = self._one(store, token_id) if store is not None else None
        if store is None or stored is None or not stored.record.accepts(secret):
            return None
        token, now = stored.record, self._clock.now().wall
        if not token.expired(now) and now - (token.last_used_at or 0) >= USE_NOTED_MILLIS:
            # On condition, so that it never brings a revoked one back; another process's note serves as well.
            store.write([Write(Action.REPLACE, self._note(replace(token, last_used_at=now)), stored.version)])
        return token

    def revoke(self, token_id: str) -> Token | None:
        """
        Remove a token and return it, or None when there is none.

        Raises:
            StoreUnavailable: whether it is gone is unknown.
            Conflict: others were faster each time.
        """
        store = self._required()
        for _ in range(RACES):
            stored = self._one(store, token_id)
            if stored is None:
                return None
            outcome, _ = send(store, Write(Action.DELETE, self._note(stored.record), stored.version))
            if outcome.result in (Result.WRITTEN, Result.MISSING):
                return stored.record
            if outcome.result is not Result.CONFLICT:
                raise_failure(outcome, f"token {token_id}")
        raise Conflict(f"Token {token_id} was changed by others each time; try again")

    def _one(self, store: TaskStore, token_id: str) -> Stored[Token] | None:
        return next(iter(_read(store.notes(self._kind, [token_id]))), None)

    def _note(self, token: Token) -> Note:
        body = {
            "name": token.name,
            "roles": [*token.roles],
            "createdBy": token.created_by,
            "createdAt": token.created_at,
            "expiresAt": token.expires_at,
            "digest": token.digest,
            "lastUsedAt": token.last_used_at,
        }
        kept = {name: value for name, value in body.items() if value is not None}
        return Note(kind=self._kind, name=token.id, body=kept)


def _end(now: int, *, days: int | None, expires_at: int | None, until: int | None) -> int:
    if days is not None and expires_at is not None:
        raise InvalidTask("expected days or expiresAt, got both")
    last = now + MOST_DAYS * _DAY if until is None else min(until, now + MOST_DAYS * _DAY)
    if days is None and expires_at is None:
        return min(now + DAYS * _DAY, last)
    end = now + days * _DAY if days is not None else expires_at or 0
    if not now < end <= last:
        whose = "" if until is None else ", and not beyond that of the token that makes it"
        raise InvalidTask(
            f"expected an end within {MOST_DAYS} days from now{whose}: until {to_iso(last)}, got {to_iso(end)}"
        )
    return end


def _read(notes: Sequence[Stored[Note]]) -> list[Stored[Token]]:
    return [Stored(token, one.version) for one in notes if (token := _token(one.record)) is not None]


def _token(note: Note) -> Token | None:
    # What another program left there signs nobody in.
    try:
        body = dict(note.body)
        return Token(
            id=note.name,
            name=str(body["name"]),
            roles=tuple(body["roles"]),
            created_by=str(body["createdBy"]),
            created_at=int(body["createdAt"]),
            expires_at=int(body["expiresAt"]),
            digest=str(body["digest"]),
            last_used_at=body.get("lastUsedAt"),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
