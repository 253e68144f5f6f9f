"""
The site: REST and the dashboard behind one port, each an application of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from unomi_scheduler import Clock, Scheduler, Settings, SystemClock

from .accounts import Account
from .app import create_app, sign_in_for
from .dashboard.app import create_dashboard
from .nudge import PATH as NUDGE
from .routes import ROUTES

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def create_site(
    scheduler: Scheduler, settings: Settings, *, accounts: Iterable[Account] = (), clock: Clock | None = None
) -> Wsgi:
    """
    Return the WSGI application of everything that `serve` and `api` answer.

    Raises:
        ConfigurationError: nobody could sign in.
    """
    clock = clock or SystemClock()
    sign_in = sign_in_for(settings, accounts, clock)
    rest = create_app(scheduler, settings, sign_in=sign_in)
    pages = create_dashboard(scheduler, sign_in, clock)
    roots = frozenset(path.split("/")[1] for path in (NUDGE, *(route.path for route in ROUTES)))

    def site(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        root = str(environ.get("PATH_INFO", "")).lstrip("/").partition("/")[0]
        return (rest if root in roots else pages)(environ, start_response)

    return site
