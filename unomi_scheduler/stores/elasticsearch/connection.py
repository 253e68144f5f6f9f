"""
One client: hosts, credentials and a time-out, and what a failed request means.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import orjson
from elastic_transport import ConnectionError as Disconnected
from elastic_transport import JsonSerializer, TransportError
from elasticsearch import ApiError, Elasticsearch

from ...errors import ConfigurationError, StoreUnavailable
from ...ports import Outcome
from ..options import ElasticsearchOptions
from . import answers

CONNECTIONS = 10
# It warns at each failed request; whoever asked says it in our words, and not each time.
logging.getLogger("elastic_transport.node_pool").setLevel(logging.ERROR)
_DEFAULT_PORT = 9200
_JSON = {"accept": "application/json"}
_JSON_BODY = {"accept": "application/json", "content-type": "application/json"}
_NDJSON_BODY = {"accept": "application/json", "content-type": "application/x-ndjson"}
# Nothing but what an outcome needs: a bulk's full answer is as long as the bulk itself.
_ITEMS = "items.*.status,items.*._seq_no,items.*._primary_term,items.*.error"


class _Serializer(JsonSerializer):
    """
    Bodies come as bytes and are sent as they are; answers are read by orjson.
    """

    def json_loads(self, data: bytes) -> Any:
        return orjson.loads(data)

    def json_dumps(self, data: Any) -> bytes:
        return orjson.dumps(data)


class Connection:
    """
    Requests to one cluster through connections of its own. Safe to call from several threads.
    """

    def __init__(self, url: str, options: ElasticsearchOptions, *, timeout: float, size: int = CONNECTIONS) -> None:
        parsed = [_host(part) for part in _parts(url)]
        self.hosts = [host for host, _ in parsed]
        self.timeout = timeout
        credentials = _credentials(parsed[0][1], options)
        self.authenticated = bool(credentials)
        self._client = Elasticsearch(
            self.hosts,
            **credentials,
            **_encryption(self.hosts, options),
            connections_per_node=size,
            request_timeout=timeout,
            # A repeated write would turn a won race into a lost one.
            max_retries=0,
            retry_on_timeout=False,
            retry_on_status=(),
            serializers={"application/json": _Serializer(), "application/x-ndjson": _Serializer()},
        )
        # The server must not go on waiting for a shard long after we have stopped waiting for the server.
        self._bulk_params = {"require_alias": "true", "filter_path": _ITEMS, "timeout": f"{int(timeout * 800)}ms"}

    def close(self) -> None:
        """
        Close the connections; harmless when repeated.
        """
        self._client.close()

    def read(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """
        Make a request that changes nothing, once more when the connection breaks, and return the parsed answer.

        Raises:
            StoreUnavailable: no answer, or one of the server's own failures.
            ConfigurationError: a person must act.
        """
        try:
            return self._ask(method, path, body, params)
        except Disconnected:
            return self.change(method, path, body, **params)
        except (ApiError, TransportError) as error:
            raise answers.failure(error)[1] from error

    def change(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """
        Make a request that changes something, never repeated, and return the parsed answer. It raises as `read` does.
        """
        try:
            return self._ask(method, path, body, params)
        except (ApiError, TransportError) as error:
            raise answers.failure(error)[1] from error

    def bulk(self, body: bytes) -> Sequence[Mapping[str, Any]] | Outcome:
        """
        Send the lines of a bulk and return the items of the answer, or the one outcome of all of them.
        """
        try:
            answer = self._send("POST", "/_bulk", params=self._bulk_params, headers=_NDJSON_BODY, body=body)
        except (ApiError, TransportError) as error:
            result, problem = answers.failure(error)
            return Outcome(result, error=problem)
        return list((answer or {}).get("items", ()))

    def _ask(self, method: str, path: str, body: Any, params: Mapping[str, str]) -> Any:
        headers, data = (_JSON, None) if body is None else (_JSON_BODY, orjson.dumps(body))
        return self._send(method, path, params=params, headers=headers, body=data)

    def _send(self, method: str, path: str, **request: Any) -> Any:
        """
        Make a request; a host that cannot be reached at all has done nothing, so the next one is asked.
        """
        for _ in self.hosts[1:]:
            try:
                return self._client.perform_request(method, path, **request).body
            except TransportError as error:
                if not answers.unsent(error):
                    raise
        return self._client.perform_request(method, path, **request).body


def out_of_reach(hosts: Sequence[str], error: StoreUnavailable) -> str:
    """
    Return what to say when nobody answers at these addresses, and what to do.
    """
    return (
        f"Elasticsearch at {', '.join(hosts)} cannot be used: {error}; is it running? Start it, or set `store` to the "
        "right address, then try again"
    )


def _parts(url: str) -> list[str]:
    scheme, separator, hosts = url.partition("://")
    if scheme not in ("http", "https") or not separator or not hosts.strip(","):
        raise ConfigurationError(f"not the address of an Elasticsearch: {_hidden(url)!r}; expected http(s)://host:port")
    return [part if "://" in part else f"{scheme}://{part}" for part in hosts.split(",") if part]


def _hidden(url: str) -> str:
    credentials, at, rest = url.rpartition("@")
    return f"…@{rest}" if at and credentials else url


def _host(part: str) -> tuple[str, SplitResult]:
    split = urlsplit(part)
    try:
        port = split.port or _DEFAULT_PORT
    except ValueError as error:
        raise ConfigurationError(f"not an address: {_hidden(part)!r}: {error}") from error
    if not split.hostname:
        raise ConfigurationError(f"not an address: {_hidden(part)!r}: the host is missing")
    name = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    return f"{split.scheme}://{name}:{port}{split.path.rstrip('/')}", split


def _credentials(first: SplitResult, options: ElasticsearchOptions) -> dict[str, Any]:
    if options.api_key:
        return {"api_key": options.api_key}
    user = options.user or unquote(first.username or "")
    password = options.password or unquote(first.password or "")
    return {"basic_auth": (user, password)} if user else {}


def _encryption(hosts: Sequence[str], options: ElasticsearchOptions) -> dict[str, Any]:
    if not any(host.startswith("https:") for host in hosts):
        return {}
    return {
        "verify_certs": options.verify_certs,
        "ssl_show_warn": False,
        **({"ca_certs": options.ca_certs} if options.ca_certs else {}),
    }
