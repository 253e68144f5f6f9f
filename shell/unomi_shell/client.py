"""
Tasks from a server, over REST.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from .failures import Exit, Failure
from .signin import Credentials, find_left
from .tasks import Document

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
_QUERIED = frozenset({"maxRetries", "retryDelay"})
_PORTS = {"http": 80, "https": 443}


class RestTasks:
    """
    The tasks of a cluster, through one of its REST servers. No proxy and no redirect gets to see the password.
    """

    def __init__(self, url: str, given: Credentials | None, *, token: str | None = None) -> None:
        self._url = urlsplit(url)
        if self._url.scheme not in _PORTS or not self._url.hostname:
            raise Failure(f"--url: expected http://HOST:PORT or https://HOST:PORT, got {url}", Exit.USAGE)
        self._shown = f"{self._url.scheme}://{self._url.hostname}:{_port(self._url)}"
        self._headers = {"Accept": "application/json"}
        named = _in_url(self._url)
        if token and named is None:
            self._headers["Authorization"] = f"Bearer {_checked(token)}"
        elif credentials := named or given or _left(self._url):
            encoded = base64.b64encode(":".join(credentials).encode()).decode()
            self._headers["Authorization"] = f"Basic {encoded}"

    def page(self, **query: Any) -> Document:
        """
        Return a page of tasks.
        """
        return self._request("GET", f"/cxs/tasks?{urlencode(query)}")

    def task(self, task_id: str) -> Document:
        """
        Return a task.
        """
        return self._request("GET", _path(task_id))

    def cancel(self, task_id: str) -> None:
        """
        Cancel a task.
        """
        self._request("DELETE", f"{_path(task_id)}?strict=true")

    def delete(self, task_id: str) -> None:
        """
        Remove a task.
        """
        self._request("DELETE", f"{_path(task_id)}?remove=true")

    def retry(self, task_id: str, *, reset: bool) -> Document:
        """
        Retry a task.
        """
        query = urlencode({"resetFailureCount": str(reset).lower(), "strict": "true"})
        return self._request("POST", f"{_path(task_id)}/retry?{query}")

    def resume(self, task_id: str) -> Document:
        """
        Let a task go on.
        """
        return self._request("POST", f"{_path(task_id)}/resume?strict=true")

    def run(self, task_id: str) -> Document:
        """
        Ask for a run now.
        """
        return self._request("POST", f"{_path(task_id)}/run")

    def configure(self, task_id: str, **changes: Any) -> Document:
        """
        Change a definition; what the original knew goes as it does there, the rest in a body.
        """
        query = {name: value for name, value in changes.items() if name in _QUERIED}
        rest = {name: value for name, value in changes.items() if name not in _QUERIED}
        return self._request("PUT", f"{_path(task_id)}/config?{urlencode(query)}", rest or None)

    def purge(self, days: int) -> int:
        """
        Remove what completed so many days ago.
        """
        return int(self._request("POST", f"/cxs/tasks/purge?days={days}")["count"])

    def explain(self, task_id: str) -> list[str]:
        """
        Return why a task does not run.
        """
        return list(self._request("GET", f"{_path(task_id)}/explain")["reasons"])

    def history(self, task_id: str, *, offset: int, limit: int) -> Document:
        """
        Return a page of runs.
        """
        return self._request("GET", f"{_path(task_id)}/history?{urlencode({'offset': offset, 'limit': limit})}")

    def nodes(self) -> list[Document]:
        """
        Return the nodes.
        """
        return sorted(self._request("GET", "/cxs/nodes")["list"], key=lambda node: str(node["nodeId"]))

    def types(self) -> list[Document]:
        """
        Return the types.
        """
        return list(self._request("GET", "/cxs/types")["list"])

    def set_executor(self, node_id: str, *, enabled: bool) -> None:
        """
        Let a node run tasks, or no longer.
        """
        self._request("PUT", f"/cxs/nodes/{quote(node_id, safe='')}/executor?enabled={str(enabled).lower()}")

    def metrics(self) -> dict[str, float]:
        """
        Return the counters of the node that answers.
        """
        status, body = self._answer("GET", "/metrics")
        if status >= _BAD_REQUEST:
            raise _refusal(status, _document(body))
        return read_metrics(body.decode(errors="replace"))

    def audit(self, *, task_id: str | None, who: str | None, offset: int, limit: int) -> Document:
        """
        Return a page of the audit.
        """
        query = {"task": task_id, "who": who, "offset": offset, "limit": limit}
        given = {name: value for name, value in query.items() if value is not None}
        return self._request("GET", f"/cxs/audit?{urlencode(given)}")

    def tokens(self) -> list[Document]:
        """
        Return the tokens.
        """
        return list(self._request("GET", "/cxs/tokens")["list"])

    def make_token(self, name: str, roles: Sequence[str], *, days: int) -> Document:
        """
        Make a token.
        """
        return self._request("POST", "/cxs/tokens", {"name": name, "roles": list(dict.fromkeys(roles)), "days": days})

    def revoke_token(self, token_id: str) -> None:
        """
        Revoke a token.
        """
        self._request("DELETE", f"/cxs/tokens/{quote(token_id, safe='')}")

    def _request(self, method: str, target: str, content: Document | None = None) -> Document:
        status, body = self._answer(method, target, content)
        document = _document(body)
        if status >= _BAD_REQUEST:
            raise _refusal(status, document)
        if document is None:
            raise Failure(f"{self._shown} answered {status} without a JSON document; is it unomi-scheduler?")
        return document

    def _answer(self, method: str, target: str, content: Document | None = None) -> tuple[int, bytes]:
        try:
            return self._exchange(method, target, content)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Failure(f"{self._shown} is out of reach: {reason}", Exit.OUT_OF_REACH) from error

    def _exchange(self, method: str, target: str, content: Document | None) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", _port(self._url), timeout=TIMEOUT_SECONDS)
        try:
            body = None if content is None else json.dumps(content).encode()
            headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
            connection.request(method, self._url.path.rstrip("/") + target, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def read_metrics(text: str) -> dict[str, float]:
    """
    Return the values of a page for Prometheus, by name and labels; what is no number is left out.
    """
    found = {}
    for line in text.splitlines():
        name, space, value = line.rpartition(" ")
        if space and not line.startswith("#"):
            with suppress(ValueError):
                found[name] = float(value)
    # JSON has no words for what is infinite or no number.
    return {name: int(value) if value.is_integer() else value for name, value in found.items() if math.isfinite(value)}


def _path(task_id: str) -> str:
    return f"/cxs/tasks/{quote(task_id, safe='')}"


def _checked(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise Failure("--token, UNOMI_TASK_TOKEN: expected us_<id>_<secret>, got something else", Exit.USAGE)
    return token


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
        text = f"{text}. Set UNOMI_TASK_TOKEN, or UNOMI_TASK_USER and UNOMI_TASK_PASSWORD, to one who may do this."
    return Failure(str(text), _EXITS.get(status, Exit.FAILED))
