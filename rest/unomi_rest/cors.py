"""
CORS: web pages of the origins that the settings name may use REST; all others get no answer a browser would show them.
"""

from __future__ import annotations

from collections.abc import Iterable

import falcon

_METHODS = "GET, POST, PUT, DELETE"
_HEADERS = "Authorization, Content-Type"
_MAX_AGE_SECONDS = "600"


class Cors:
    """
    The middleware; it stands before sign-in, since a browser asks for permission without credentials.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer a browser's question what it may send.
        """
        asks = req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method")
        if asks and req.get_header("Origin") in self._origins:
            resp.set_header("Access-Control-Allow-Methods", _METHODS)
            resp.set_header("Access-Control-Allow-Headers", _HEADERS)
            resp.set_header("Access-Control-Max-Age", _MAX_AGE_SECONDS)
            resp.status = falcon.HTTP_204
            resp.complete = True

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: object
    ) -> None:
        """
        Name the origin that may read the answer.
        """
        origin = req.get_header("Origin")
        if not self._origins:
            return
        resp.append_header("Vary", "Origin")
        if origin in self._origins:
            resp.set_header("Access-Control-Allow-Origin", origin)
            resp.set_header("Access-Control-Allow-Credentials", "true")
