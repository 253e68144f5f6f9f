"""
Sessions: who has signed in at the dashboard, by a random key that only the browser's cookie and this process know.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from threading import Lock

from unomi_scheduler import Clock

from ..accounts import ADMINISTRATOR, Account

LIFETIME_MILLIS = 12 * 3_600_000
"""How long a session lasts."""
_KEY_BYTES = 32
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Session:
    """
    One sign-in: the account's name, its roles, the token that its forms must carry, and when it ends (boot clock, ms).
    """

    name: str
    roles: frozenset[str]
    form_token: str = field(repr=False)
    until: int

    @property
    def may_change(self) -> bool:
        """
        Whether it may do more than look.
        """
        return ADMINISTRATOR in self.roles

    def accepts(self, form_token: str | None) -> bool:
        """
        Tell whether a form came from one of this session's own pages.
        """
        return hmac.compare_digest(self.form_token, form_token or "")


class Sessions:
    """
    The sessions of this process. Safe to call from several threads; beyond a thousand the oldest ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._open: dict[bytes, Session] = {}

    def open(self, account: Account) -> str:
        """
        Begin a session and return its key.
        """
        key = secrets.token_urlsafe(_KEY_BYTES)
        until = self._clock.now().boot + LIFETIME_MILLIS
        session = Session(account.name, account.roles, secrets.token_urlsafe(_KEY_BYTES), until)
        with self._lock:
            if len(self._open) >= _MOST:
                del self._open[next(iter(self._open))]
            self._open[_place(key)] = session
        return key

    def find(self, key: str) -> Session | None:
        """
        Return the session of a key, or None when it has ended or never was.
        """
        with self._lock:
            session = self._open.get(_place(key))
            if session is not None and session.until <= self._clock.now().boot:
                del self._open[_place(key)]
                return None
        return session

    def end(self, key: str) -> None:
        """
        End a session; harmless when it has ended.
        """
        with self._lock:
            self._open.pop(_place(key), None)


def _place(key: str) -> bytes:
    # Looked up by its hash, so that the time of a comparison tells nothing about the keys.
    return hashlib.sha256(key.encode()).digest()
