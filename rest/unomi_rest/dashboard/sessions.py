"""
Sessions: who has signed in at the dashboard. Each is kept in the store as tokens are, so that every process knows it,
and what the browser's cookie holds is its only key.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from unomi_scheduler import Clock, Tokens

from ..accounts import ADMINISTRATOR, VIEWER, Account
from ..auth import SignIn
from ..bearer import Bearer

LIFETIME_MILLIS = 12 * 3_600_000
"""How long a session lasts."""
_FORMS = b"forms"


@dataclass(frozen=True, slots=True)
class Session:
    """
    One sign-in: its id, the account's name and roles, and the token that its forms must carry.
    """

    id: str
    name: str
    roles: frozenset[str]
    form_token: str = field(repr=False)

    @property
    def may_change(self) -> bool:
        """
        Whether it may do more than look.
        """
        return ADMINISTRATOR in self.roles

    def accepts(self, form_token: object) -> bool:
        """
        Tell whether a form came from one of this session's own pages.
        """
        return isinstance(form_token, str) and hmac.compare_digest(self.form_token.encode(), form_token.encode())


class Sessions:
    """
    The sessions of a store. One that was ended is refused at once in this process, and within 5 seconds in the others.
    """

    def __init__(self, tokens: Tokens, sign_in: SignIn, clock: Clock) -> None:
        self._tokens = tokens
        self._sign_in = sign_in
        self._clock = clock
        self._keys = Bearer(tokens, clock, sign_in.throttle)

    def open(self, account: Account) -> str:
        """
        Begin a session and return its key.

        Raises:
            Conflict: there are too many.
            StoreUnavailable: the store did not take it.
        """
        until = self._clock.now().wall + LIFETIME_MILLIS
        _, key = self._tokens.make(account.name, sorted(account.roles), created_by=account.name, expires_at=until)
        return key

    def find(self, key: str, address: str) -> Session | None:
        """
        Return the session of a key, or None when it has ended or never was.

        Raises:
            StoreUnavailable: the store does not tell.
            HTTPTooManyRequests: too many wrong ones came from this address.
        """
        caller = self._keys.check(key, address) if key else None
        if caller is None or caller.token_id is None:
            return None
        # What the settings say now: whoever was taken from them, or lost a role there, has lost it here too.
        roles = self._sign_in.roles(caller.name)
        if not roles & {ADMINISTRATOR, VIEWER}:
            return None
        form_token = hmac.new(key.encode(), _FORMS, hashlib.sha256).hexdigest()
        return Session(caller.token_id, caller.name, roles, form_token)

    def end(self, session: Session) -> None:
        """
        End a session; harmless when it has ended.
        """
        self._tokens.revoke(session.id)
        self._keys.forget(session.id)
