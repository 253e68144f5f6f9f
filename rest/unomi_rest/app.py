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
from .auth import Authentication, SignIn
from .cors import Cors
from .known import KnownParameters
from .limits import BodyLimit, SafeHeaders
from .raw_path import RawPath
from .routes import HEALTH, METRICS, ROUTES, Route

App = falcon.App[falcon.Request, falcon.Response]


def create_app(
    scheduler: Scheduler, settings: Settings, *, accounts: Iterable[Account] = (), clock: Clock | None = None
) -> App:
    """
    Return the WSGI application.

    Args:
        accounts: who may sign in; without, those whom the settings name.

    Raises:
        ConfigurationError: nobody could sign in.
    """
    allowed = tuple(accounts) or configured_accounts(settings)
    if not allowed:
        raise ConfigurationError("Nobody could sign in: set rest.admin_password or [[rest.users]]")
    sign_in = SignIn(allowed, clock or SystemClock())
    public_paths = [route.path for route in ROUTES if route.public]
    authentication = Authentication(sign_in, public_paths)
    before = (SafeHeaders(), Cors(settings.rest.cors_origins), authentication, BodyLimit(), KnownParameters(ROUTES))
    return _app(scheduler, ROUTES, *before)


def create_health_app(scheduler: Scheduler) -> App:
    """
    Return the WSGI application of a node's small port: health and metrics, without sign-in.
    """
    return _app(scheduler, (*HEALTH, METRICS), SafeHeaders(), BodyLimit())


def _app(scheduler: Scheduler, routes: Iterable[Route], *middleware: Any) -> App:
    app: App = falcon.App(middleware=[RawPath(), *middleware])
    problems.install(app)
    for route in routes:
        app.add_route(route.path, route.resource(scheduler))
    return app
