"""
A snapshot of an index: all documents as they were at one moment, page by page, as often as wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from ...errors import SchedulerError
from .connection import Connection

_log = logging.getLogger(__name__)
_KEEP_ALIVE = "5m"


class Snapshot:
    """
    A point in time of an index, open between `with` and its end.
    """

    def __init__(self, connection: Connection, index: str, *, page: int) -> None:
        self._connection = connection
        self._index = index
        self._page = page
        self._id = ""

    def __enter__(self) -> Self:
        answer = self._connection.read("POST", f"/{self._index}/_pit", keep_alive=_KEEP_ALIVE)
        self._id = str(answer["id"])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._connection.change("DELETE", "/_pit", {"id": self._id})
        except SchedulerError as problem:
            # The server closes it by itself soon.
            _log.info("A snapshot was not closed: %s", problem, extra={"action": "snapshot-left"})

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """
        Yield the documents as hits, in pages that are not empty, always in the same order.

        Raises:
            StoreUnavailable, ConfigurationError: a page could not be read.
        """
        after: list[Any] | None = None
        while True:
            hits = self._hits(after)
            if hits:
                yield hits
            if len(hits) < self._page:
                return
            after = hits[-1]["sort"]

    def _hits(self, after: list[Any] | None) -> list[dict[str, Any]]:
        body: dict[str, Any] = {
            "size": self._page,
            "pit": {"id": self._id, "keep_alive": _KEEP_ALIVE},
            "sort": ["_shard_doc"],
            "track_total_hits": False,
        }
        if after is not None:
            body["search_after"] = after
        # Half an answer would look like the end of the index.
        answer = self._connection.read("POST", "/_search", body, allow_partial_search_results="false")
        self._id = str(answer.get("pit_id") or self._id)
        return list(answer["hits"]["hits"])
