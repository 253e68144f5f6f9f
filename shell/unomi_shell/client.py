"""
Where the commands get their tasks: from REST, or straight from a store. Both answer the same JSON documents.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from .failures import Exit, Failure
from .signin import Credentials, find_left

Document = dict[str, Any]
TIMEOUT_SECONDS = 30
ALL = -1
_BAD_REQUEST = 400
_EXITS = {
    400: Exit.USAGE,
    401: Exit.NOT_ALLOWED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.WRONG_STATE,
    503: Exit.OUT_OF_REACH,
}
_PORTS = {"http": 80, "https": 443}


class Tasks(Protocol):
    """
    What the commands need. Every verb may raise `Failure`.
    """

    def page(self, **query: Any) -> Document:
        """
        Return a page as `GET /cxs/tasks` answers it, for the same parameters.
        """
        ...

    def task(self, task_id: str) -> Document:
        """
        Return a task.
        """
        ...

    def cancel(self, task_id: str) -> None:
        """
        Cancel a task; one that cannot be cancelled any more is a failure.
        """
        ...


class RestTasks:
    """
    The tasks of a cluster, through one of its REST servers. No proxy and no redirect gets to see the password.
    """

    def __init__(self, url: str, given: Credentials | None) -> None:
        self._url = urlsplit(url)
        if self._url.scheme not in _PORTS or not self._url.hostname:
            raise Failure(f"--url: expected http://HOST:PORT or https://HOST:PORT, got {url}", Exit.USAGE)
        self._shown = f"{self._url.scheme}://{self._url.hostname}:{_port(self._url)}"
        self._headers = {"Accept": "application/json"}
        credentials = _in_url(self._url) or given or _left(self._url)
        if credentials is not None:
            token = base64.b64encode(":".join(credentials).encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    def page(self, **query: Any) -> Document:
        """
        Return a page of tasks.
        """
        return self._request("GET", f"/cxs/tasks?{urlencode(query)}")

    def task(self, task_id: str) -> Document:
        """
        Return a task.
        """
        return self._request("GET", f"/cxs/tasks/{quote(task_id, safe='')}")

    def cancel(self, task_id: str) -> None:
        """
        Cancel a task.
        """
        self._request("DELETE", f"/cxs/tasks/{quote(task_id, safe='')}?strict=true")

    def _request(self, method: str, target: str) -> Document:
        try:
            status, body = self._exchange(method, target)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Failure(f"{self._shown} is out of reach: {reason}", Exit.OUT_OF_REACH) from error
        document = _document(body)
        if status >= _BAD_REQUEST:
            raise _refusal(status, document)
        if document is None:
            raise Failure(f"{self._shown} answered {status} without a JSON document; is it unomi-scheduler?")
        return document

    def _exchange(self, method: str, target: str) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", _port(self._url), timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, self._url.path.rstrip("/") + target, headers=self._headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _port(url: SplitResult) -> int:
    try:
        return url.port or _PORTS[url.scheme]
    except ValueError as error:
        raise Failure(f"--url: {error}", Exit.USAGE) from error


def _in_url(url: SplitResult) -> Credentials | None:
    return Credentials(unquote(url.username), unquote(url.password or "")) if url.username else None


def _left(url: SplitResult) -> Credentials | None:
    host = url.hostname or ""
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host == "localhost"
    return find_left(_port(url)) if near else None


def _document(body: bytes) -> Document | None:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _refusal(status: int, document: Mapping[str, Any] | None) -> Failure:
    problem = document or {}
    text = problem.get("message") or problem.get("error") or f"The server answered {status}"
    if _EXITS.get(status) is Exit.NOT_ALLOWED:
        text = f"{text}. Set UNOMI_TASK_USER and UNOMI_TASK_PASSWORD to a user who may do this."
    return Failure(str(text), _EXITS.get(status, Exit.FAILED))
