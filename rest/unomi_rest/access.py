"""
Access: the tokens, and the audit. For administrators alone.
"""

from __future__ import annotations

from typing import Any

import falcon

from unomi_scheduler import AuditRow, Scheduler, audit_document, token_document

from . import parameters
from .accounts import Caller
from .bodies import read_body
from .pages import page_document, send
from .schemas import TokenRequest

_PRIVATE = frozenset({"id", "address", "byToken", "taskId", "leftOut"})


class TokensResource:
    """
    `GET` and `POST /cxs/tokens`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._tokens = scheduler.tokens

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer the tokens, the newest first, without their secrets.
        """
        tokens = [token_document(token) for token in self._tokens.all()]
        send(resp, {"list": tokens, "totalSize": len(tokens)})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Make a token, and answer it with its secret, this once.
        """
        caller: Caller = req.context.account
        request = read_body(req, TokenRequest)
        # Only an administrator comes here, so nobody gives what they have not.
        token, text = self._tokens.make(
            request.name, request.roles, created_by=caller.name, until=caller.until, **request.time()
        )
        resp.context.subjects = {"token_id": token.id}
        resp.status = falcon.HTTP_201
        send(resp, {**token_document(token), "token": text})


class TokenResource:
    """
    `DELETE /cxs/tokens/{id}`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._tokens = scheduler.tokens

    def on_delete(self, req: falcon.Request, resp: falcon.Response, token_id: str) -> None:
        """
        Revoke the token: every process refuses it within 5 seconds.
        """
        if self._tokens.revoke(token_id) is None:
            raise falcon.HTTPNotFound(title="Token not found", description=f"Token not found: {token_id:.100}")
        resp.status = falcon.HTTP_204


class AuditResource:
    """
    `GET /cxs/audit`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._audit = scheduler.audit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer a page of the audit, the newest first.
        """
        page = self._audit.page(
            task_id=parameters.TASK.of(req),
            who=parameters.WHO.of(req),
            offset=parameters.OFFSET.of(req),
            limit=parameters.LIMIT.of(req),
        )
        send(resp, page_document(page, audit_document))


def change_document(row: AuditRow) -> dict[str, Any]:
    """
    Return a row as the history of its task shows it to everybody who may look: without addresses.
    """
    return {name: value for name, value in audit_document(row).items() if name not in _PRIVATE}
