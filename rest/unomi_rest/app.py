"""
The application: the routes, and what stands before and behind all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import falcon

from unomi_scheduler import Clock, ConfigurationError, Scheduler, Settings, SystemClock

from . import problems
from .accounts import Account, configured_accounts
from .auditing import Auditing
from .auth import Authentication, SignIn
from .bearer import Bearer
from .cors import Cors
from .known import KnownParameters
from .limits import BodyLimit, SafeHeaders
from .nudge import PATH as NUDGE
from .nudge import NudgeSink
from .raw_path import RawPath
from .routes import HEALTH, METRICS, ROUTES, Route
from .throttle import Throttle

App = falcon.App[falcon.Request, falcon.Response]


def sign_in_for(settings: Settings, accounts: Iterable[Account], clock: Clock) -> SignIn:
    """
    Return the sign-in of these accounts, or without any of those whom the settings name.

    Raises:
        ConfigurationError: nobody could sign in.
    """
    allowed = tuple(accounts) or configured_accounts(settings)
    if not allowed:
        raise ConfigurationError("Nobody could sign in: set rest.admin_password or [[rest.users]]")
    return SignIn(allowed, clock, Throttle(clock, attempts=settings.rest.sign_in_attempts))


def create_app(
    scheduler: Scheduler,
    settings: Settings,
    *,
    accounts: Iterable[Account] = (),
    clock: Clock | None = None,
    sign_in: SignIn | None = None,
) -> App:
    """
    Return the WSGI application of REST.

    Args:
        accounts: who may sign in; without, those whom the settings name.
        sign_in: what checks credentials, instead of these accounts.

    Raises:
        ConfigurationError: nobody could sign in.
    """
    clock = clock or SystemClock()
    sign_in = sign_in or sign_in_for(settings, accounts, clock)
    before = (
        SafeHeaders(),
        Cors(settings.rest.cors_origins),
        Auditing(scheduler.audit, ROUTES, sign_in.names, clock),
        _authentication(scheduler, sign_in, clock),
        BodyLimit(),
        KnownParameters(ROUTES),
    )
    return _app(scheduler, ROUTES, *before)


def _authentication(scheduler: Scheduler, sign_in: SignIn, clock: Clock) -> Authentication:
    return Authentication(
        sign_in,
        Bearer(scheduler.tokens, clock, sign_in.throttle),
        public_paths=[NUDGE, *(route.path for route in ROUTES if route.public)],
        private_paths=[route.path for route in ROUTES if route.private],
    )


def create_health_app(scheduler: Scheduler) -> App:
    """
    Return the WSGI application of a node's small port: health, metrics and the nudge, without sign-in.
    """
    return _app(scheduler, (*HEALTH, METRICS), SafeHeaders(), BodyLimit())


def _app(scheduler: Scheduler, routes: Iterable[Route], *middleware: Any) -> App:
    app: App = falcon.App(middleware=[RawPath(), *middleware])
    problems.install(app)
    for route in routes:
        app.add_route(route.path, route.resource(scheduler))
    app.add_sink(NudgeSink(scheduler), f"^{NUDGE}$")
    return app
