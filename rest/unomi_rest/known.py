"""
Known parameters: a query parameter that an operation does not have is refused, so that a mistyped one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import falcon

from .routes import Route


class KnownParameters:
    """
    The middleware. Health checks may add to their question what they like.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._names = {
            (route.path, operation.method): [one.name for one in operation.query]
            for route in routes
            if not route.public
            for operation in route.operations
        }

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """
        Refuse a request that says what nobody would read.
        """
        known = self._names.get((req.uri_template or "", req.method))
        unknown = None if known is None else next((name for name in req.params if name not in known), None)
        if known is None or unknown is None:
            return
        near = get_close_matches(unknown, known, n=1)
        expected = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known) or 'none'}"
        raise falcon.HTTPBadRequest(
            title="Invalid parameter", description=f"{unknown:.100}: no parameter of this request; {expected}"
        )
