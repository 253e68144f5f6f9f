"""
Sign-in: who asks (Basic), how often they may guess, and what their roles allow.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterable
from functools import cache
from threading import BoundedSemaphore, Lock
from typing import Any

import falcon
import orjson

from unomi_scheduler import Clock

from .accounts import ADMINISTRATOR, VIEWER, Account, make_account
from .throttle import Throttle

REMEMBERED_MILLIS = 60_000
READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing."""
CHALLENGE = 'Basic realm="unomi-scheduler", charset="UTF-8"'
_MOST_REMEMBERED = 1_000
# Each check takes 19 MiB; more at once gain nothing on a small machine.
_CHECKS_AT_ONCE = 4
_SECOND_IN_MILLIS = 1_000


@cache
def _nobody() -> Account:
    # Checked in place of an unknown name, which takes as long as a known one then.
    return make_account("", secrets.token_urlsafe(), ())


class SignIn:
    """
    Checks credentials; right ones are remembered for a minute under a keyed hash, never as they are.
    """

    def __init__(self, accounts: Iterable[Account], clock: Clock) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._clock = clock
        self._throttle = Throttle(clock)
        self._checks = BoundedSemaphore(_CHECKS_AT_ONCE)
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._remembered: dict[bytes, tuple[Account, int]] = {}
        _nobody()

    def check(self, user: str, password: str, address: str) -> Account | None:
        """
        Return the account, or None when name or password is wrong.

        Raises:
            HTTPTooManyRequests: too many wrong ones came for this user from this address.
        """
        key = hmac.digest(self._key, orjson.dumps([user, password]), hashlib.sha256)
        return self._recall(key) or self._verify(key, user, password, address)

    def _recall(self, key: bytes) -> Account | None:
        with self._lock:
            account, until = self._remembered.get(key, (None, 0))
            if account is not None and until <= self._clock.now().boot:
                del self._remembered[key]
                return None
        return account

    def _verify(self, key: bytes, user: str, password: str, address: str) -> Account | None:
        wait = self._throttle.take((user, address))
        if wait:
            raise falcon.HTTPTooManyRequests(
                title="Too many attempts",
                description=f"Too many wrong passwords for {user!r:.100} from {address}; try again later",
                retry_after=-(-wait // _SECOND_IN_MILLIS),
            )
        account = self._accounts.get(user, _nobody())
        with self._checks:
            accepted = account.accepts(password)
        if not accepted or account is _nobody():
            return None
        self._throttle.clear((user, address))
        self._remember(key, account)
        return account

    def _remember(self, key: bytes, account: Account) -> None:
        with self._lock:
            if len(self._remembered) >= _MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = account, self._clock.now().boot + REMEMBERED_MILLIS


class Authentication:
    """
    The middleware: nothing but the public paths is answered to anyone who has not signed in.

    To change something one must be ADMINISTRATOR; to look, VIEWER is enough.
    """

    def __init__(self, sign_in: SignIn, public_paths: Collection[str]) -> None:
        self._sign_in = sign_in
        self._public_paths = frozenset(public_paths)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Find out who asks, before anything else is looked at.
        """
        if req.path in self._public_paths:
            return
        credentials = _credentials(req.auth)
        if credentials is None:
            raise _unauthorized("Sign in with user and password (HTTP Basic)")
        account = self._sign_in.check(*credentials, address=req.remote_addr)
        if account is None:
            raise _unauthorized("Wrong user or password")
        req.context.account = account

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """
        Refuse an account without a role that the method asks for.
        """
        if req.path in self._public_paths:
            return
        needed = {ADMINISTRATOR, VIEWER} if req.method in READING else {ADMINISTRATOR}
        account: Account = req.context.account
        if not needed & account.roles:
            raise falcon.HTTPForbidden(
                title="Not allowed", description=f"{account.name} needs the role {' or '.join(sorted(needed))}"
            )


def _unauthorized(message: str) -> falcon.HTTPUnauthorized:
    return falcon.HTTPUnauthorized(title="Not signed in", description=message, challenges=[CHALLENGE])


def _credentials(header: str | None) -> tuple[str, str] | None:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (user, password) if colon else None
