"""
Sign-in by tokens: `Authorization: Bearer us_<id>_<secret>`.

What the store says of a token holds for 4 seconds, counted from before it was asked: so long may a revoked one be
accepted, in any process, and so long a good one while the store is out of reach. Then the store must answer. The
promise is 5 seconds; the last one is for requests under way.
"""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

from unomi_scheduler import Clock, Token, Tokens

from .accounts import Caller
from .throttle import Throttle, too_many

REMEMBERED_MILLIS = 4_000
_MOST_REMEMBERED = 2_000


class _Read(NamedTuple):
    token: Token
    asked_at: int


class Bearer:
    """
    Checks tokens. Wrong ones are counted by address; who holds a good one is never held up by another's guesses.
    """

    def __init__(self, tokens: Tokens, clock: Clock, throttle: Throttle) -> None:
        self._tokens = tokens
        self._clock = clock
        self._throttle = throttle
        self._lock = Lock()
        self._reads: dict[str, _Read] = {}

    def forget(self, token_id: str) -> None:
        """
        Ask the store anew about a token, which was just revoked here.
        """
        with self._lock:
            self._reads.pop(token_id, None)

    def check(self, text: str, address: str) -> Caller | None:
        """
        Return who holds the token, or None when it is unknown, revoked or expired.

        Raises:
            StoreUnavailable, ConfigurationError: the store does not tell.
            HTTPTooManyRequests: too many wrong ones came from this address.
        """
        now, parts = self._clock.now(), self._tokens.parts(text)
        read = self._recall(*parts) if parts else None
        if parts and (read is None or now.boot - read.asked_at >= REMEMBERED_MILLIS):
            # Whose secret was right before does not guess.
            read = self._ask(*parts, guess=read is None, now=now.boot, address=address)
        elif read is None:
            self._count(address)
        if read is None or read.token.expired(now.wall):
            return None
        token = read.token
        return Caller(token.name, frozenset(token.roles), token_id=token.id, until=token.expires_at)

    def _recall(self, token_id: str, secret: str) -> _Read | None:
        with self._lock:
            read = self._reads.get(token_id)
        return read if read is not None and read.token.accepts(secret) else None

    def _ask(self, token_id: str, secret: str, *, guess: bool, now: int, address: str) -> _Read | None:
        if guess and (wait := self._throttle.wait(_key(address))):
            raise too_many(f"Too many wrong tokens from {address}", wait)
        token = self._tokens.check(token_id, secret)
        if token is None and guess:
            self._count(address)
        with self._lock:
            if token is not None:
                self._reads[token_id] = _Read(token, now)
            elif not guess:
                self._reads.pop(token_id, None)
            if len(self._reads) > _MOST_REMEMBERED:
                del self._reads[next(iter(self._reads))]
        return None if token is None else _Read(token, now)

    def _count(self, address: str) -> None:
        if wait := self._throttle.take(_key(address)):
            raise too_many(f"Too many wrong tokens from {address}", wait)


def _key(address: str) -> tuple[str, str]:
    # No user has this name: one of the settings is not empty.
    return ("", address)
