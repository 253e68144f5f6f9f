"""
Sign-in: who asks (Basic or a token), how often they may guess, and what their roles allow.
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

from .accounts import ADMINISTRATOR, VIEWER, Account, Caller, make_account
from .bearer import Bearer
from .throttle import Throttle, too_many

REMEMBERED_MILLIS = 60_000
READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing."""
CHALLENGES = ('Basic realm="unomi-scheduler", charset="UTF-8"', 'Bearer realm="unomi-scheduler"')
_MOST_REMEMBERED = 1_000
# Each check takes 19 MiB; more at once gain nothing on a small machine.
_CHECKS_AT_ONCE = 4


@cache
def _nobody() -> Account:
    # Checked in place of an unknown name, which takes as long as a known one then.
    return make_account("", secrets.token_urlsafe(), ())


class SignIn:
    """
    Checks credentials; right ones are remembered for a minute under a keyed hash, never as they are.

    `throttle` counts the wrong ones.
    """

    def __init__(self, accounts: Iterable[Account], clock: Clock, throttle: Throttle | None = None) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._clock = clock
        self.throttle = Throttle(clock) if throttle is None else throttle
        self._checks = BoundedSemaphore(_CHECKS_AT_ONCE)
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._remembered: dict[bytes, tuple[Account, int]] = {}
        _nobody()

    @property
    def names(self) -> tuple[str, ...]:
        """
        The names of those who may sign in.
        """
        return tuple(self._accounts)

    def roles(self, name: str) -> frozenset[str]:
        """
        Return the roles of an account; none where nobody has this name.
        """
        account = self._accounts.get(name)
        return frozenset() if account is None else account.roles

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
        wait = self.throttle.take((user, address))
        if wait:
            raise too_many(f"Too many wrong passwords for {user!r:.100} from {address}", wait)
        account = self._accounts.get(user, _nobody())
        with self._checks:
            accepted = account.accepts(password)
        if not accepted or account is _nobody():
            return None
        self.throttle.clear((user, address))
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

    To change something one must be ADMINISTRATOR; to look, VIEWER is enough, but for the routes of administrators.
    """

    def __init__(
        self, sign_in: SignIn, bearer: Bearer, *, public_paths: Collection[str], private_paths: Collection[str]
    ) -> None:
        self._sign_in = sign_in
        self._bearer = bearer
        self._public_paths = frozenset(public_paths)
        self._private_paths = frozenset(private_paths)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Find out who asks, before anything else is looked at.
        """
        if req.path in self._public_paths:
            return
        token = _token(req.auth)
        req.context.account = self._basic(req) if token is None else self._holder(req, token)

    def _basic(self, req: falcon.Request) -> Caller:
        credentials = _credentials(req.auth)
        if credentials is None:
            raise _unauthorized("Sign in with user and password (HTTP Basic), or with a token (Bearer)")
        req.context.claimed = credentials[0]
        account = self._sign_in.check(*credentials, address=req.remote_addr)
        if account is None:
            raise _unauthorized("Wrong user or password")
        return Caller(account.name, account.roles)

    def _holder(self, req: falcon.Request, token: str) -> Caller:
        caller = self._bearer.check(token, req.remote_addr)
        if caller is None:
            raise _unauthorized("This token is unknown, revoked or expired; an administrator makes a new one")
        # An answer that goes on for minutes must end with its token.
        req.context.still_allowed = lambda: self._bearer.check(token, req.remote_addr) is not None
        return caller

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """
        Refuse an account without a role that the method asks for.
        """
        if req.path in self._public_paths:
            return
        viewers = req.method in READING and req.uri_template not in self._private_paths
        needed = {ADMINISTRATOR, VIEWER} if viewers else {ADMINISTRATOR}
        account: Caller = req.context.account
        if not needed & account.roles:
            raise falcon.HTTPForbidden(
                title="Not allowed", description=f"{account.name} needs the role {' or '.join(sorted(needed))}"
            )


def _unauthorized(message: str) -> falcon.HTTPUnauthorized:
    return falcon.HTTPUnauthorized(title="Not signed in", description=message, challenges=CHALLENGES)


def _token(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _credentials(header: str | None) -> tuple[str, str] | None:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (user, password) if colon else None
