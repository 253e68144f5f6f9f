"""
The nudge: what nodes tell each other, on the port of a node's health and beside REST.

It is between nodes, so it is no part of the described interface; instead of a user it has a signature. Nobody learns
from the answer more than whether the signature fits.
"""

from __future__ import annotations

from typing import Any

import falcon

from unomi_scheduler import Scheduler

PATH = "/nudge"
MOST_BYTES = 256_000
_CHALLENGE = "HMAC-SHA256"


class NudgeSink:
    """
    `POST /nudge`: 204 when it was let in.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        """
        Hand it to the node.
        """
        if req.method != "POST":
            raise falcon.HTTPMethodNotAllowed(["POST"])
        if (req.content_length or 0) > MOST_BYTES:
            raise falcon.HTTPContentTooLarge(
                title="Body too large", description=f"A nudge has at most {MOST_BYTES} bytes, got {req.content_length}"
            )
        body = req.bounded_stream.read()
        if not self._scheduler.nudged(body, req.auth or ""):
            raise falcon.HTTPUnauthorized(
                title="Not let in",
                description="Expected a nudge for this node, signed by another one of its cluster and sent once",
                challenges=[_CHALLENGE],
            )
        resp.status = falcon.HTTP_204
