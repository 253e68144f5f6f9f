"""
Limits that hold for every request, and headers that stand on every answer.
"""

from __future__ import annotations

import falcon

MOST_BODY_BYTES = 1_000_000


class BodyLimit:
    """
    The middleware that refuses bodies which are too long, or which do not say how long they are.
    """

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Look at the length a request announces; the server reads no more than that.
        """
        if req.get_header("Transfer-Encoding"):
            raise falcon.HTTPLengthRequired(
                title="Length required", description="A body needs the header Content-Length; chunks are not accepted"
            )
        if (req.content_length or 0) > MOST_BODY_BYTES:
            raise falcon.HTTPContentTooLarge(
                title="Body too large",
                description=f"A body may have {MOST_BODY_BYTES} bytes, this one has {req.content_length}",
            )


class SafeHeaders:
    """
    The middleware that keeps answers out of caches and browsers from guessing what they are.
    """

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: object
    ) -> None:
        """
        Set the headers.
        """
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Content-Type-Options", "nosniff")
