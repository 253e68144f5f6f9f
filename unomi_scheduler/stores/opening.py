"""
From a URL to a store.
"""

from __future__ import annotations

import threading

from ..clock import Clock, SystemClock
from ..config import Settings
from ..errors import ConfigurationError, SchedulerError
from ..ports import StoreReport, TaskStore
from .memory import MemoryStore
from .options import ElasticsearchOptions
from .sqlite import SqliteStore

_FORMS = "sqlite:///PATH (sqlite:////ABSOLUTE/PATH), http(s)://HOST:9200[,HOST:9200…], or memory://[NAME]"

_named: dict[str, MemoryStore] = {}
_lock = threading.Lock()


def open_store(
    url: str,
    *,
    clock: Clock,
    index_prefix: str = "context",
    elasticsearch: ElasticsearchOptions | None = None,
) -> TaskStore:
    """
    Return the opened store of a URL. The same `memory://` URL is the same store all through the process.

    Raises:
        ConfigurationError: the URL has none of the three forms, or a person must put the store right.
        StoreUnavailable: the store did not answer.
    """
    store = _store(url, clock=clock, index_prefix=index_prefix, options=elasticsearch or ElasticsearchOptions())
    store.open()
    return store


def examine_store(settings: Settings, *, clock: Clock | None = None) -> StoreReport:
    """
    Look at the store of these settings as it stands, without making or changing anything. Never raises for its state.
    """
    if settings.store is None:
        return StoreReport(problems=("no store is bound: only memory tasks run; set `store` or call bind_store(url)",))
    options = ElasticsearchOptions(**settings.elasticsearch.options())
    try:
        store = _store(
            settings.store, clock=clock or SystemClock(), index_prefix=settings.index_prefix, options=options
        )
    except SchedulerError as error:
        return StoreReport(problems=(str(error),))
    try:
        return store.check()
    finally:
        store.close()


def _store(url: str, *, clock: Clock, index_prefix: str, options: ElasticsearchOptions) -> TaskStore:
    scheme, found, rest = url.strip().partition("://")
    if found and scheme in {"http", "https"} and rest:
        # The client is loaded only where it is used.
        from .elasticsearch import ElasticsearchStore  # noqa: PLC0415

        return ElasticsearchStore.from_url(url.strip(), index_prefix=index_prefix, options=options)
    if found and scheme == "memory":
        return _memory(rest, clock)
    if found and scheme == "sqlite":
        return SqliteStore(_path(url, rest), clock=clock)
    raise _unknown(url)


def _memory(name: str, clock: Clock) -> MemoryStore:
    with _lock:
        return _named.setdefault(name, MemoryStore(clock))


def _path(url: str, rest: str) -> str:
    path = rest.removeprefix("/")
    # Two slashes name a host, as in sqlite://tasks.db; SQLite has none.
    if path == rest or path in {"", "/"} or path.endswith("/"):
        raise _unknown(url)
    if path == ":memory:":
        raise ConfigurationError(f"{url}: a store in memory is memory://")
    return path


def _unknown(url: str) -> ConfigurationError:
    return ConfigurationError(f"no store has the URL {_without_password(url)!r}; a store is {_FORMS}")


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    before, at, after = rest.rpartition("@")
    return f"{scheme}{found}***@{after}" if at and before else url
