"""
Paths as they were sent: an id may hold a slash, and only there `%2F` is something else than `/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

import falcon


class RawPath:
    """
    The middleware that has requests routed by the path's segments as they were sent, and resources get them decoded.

    It stands before all others, so that they see the same path as the router. Where the server does not tell how a path
    was sent, no id with a slash can be asked for.
    """

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Encode each segment of the path in one way, whatever way it was sent.
        """
        sent = _sent(req.env)
        segments = req.path.split("/") if sent is None else map(_decoded, sent.split("/"))
        path = "/".join(quote(segment, safe="") for segment in segments)
        req.path = path.removesuffix("/") or "/"

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """
        Decode what the router took from the path.
        """
        params.update({name: unquote(value) if isinstance(value, str) else value for name, value in params.items()})


def _sent(environ: Mapping[str, Any]) -> str | None:
    target: str | None = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if target is None:
        return None
    path = target.partition("?")[0] if target.startswith("/") else urlsplit(target).path
    return path.partition("#")[0].removeprefix(str(environ.get("SCRIPT_NAME", "")))


def _decoded(segment: str) -> str:
    # The server hands over bytes as Latin-1 letters.
    return unquote_to_bytes(segment.encode("latin-1", "replace")).decode("utf-8", "replace")
