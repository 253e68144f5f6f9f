"""
A history of which an index does not answer: one that is being made is left out, one that has rows is not.
"""

from __future__ import annotations

from typing import Any, cast

import pytest
from elasticsearch import ApiError

from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.ports import HistoryQuery
from unomi_scheduler.stores.elasticsearch.connection import Connection
from unomi_scheduler.stores.elasticsearch.history import History
from unomi_scheduler.stores.options import ElasticsearchOptions

HISTORY = "u-schedulerhistory"
NOTHING = {"hits": {"hits": [], "total": {"value": 0}}}


class Server:
    """
    A server whose searches fail so often; of each index it tells from what its shard comes.
    """

    def __init__(self, failures: int, sources: dict[str, str], *, answered: bool = True) -> None:
        self.failures = failures
        self.sources = sources
        self.answered = answered
        self.searched: list[str] = []

    def read(self, method: str, path: str, body: object = None, **params: str) -> Any:
        """
        Answer a request.
        """
        if path.startswith("/_cluster/state"):
            return {"routing_table": {"indices": {name: _shards(source) for name, source in self.sources.items()}}}
        self.searched.append(path.removesuffix("/_search").removeprefix("/"))
        if len(self.searched) <= self.failures:
            cause = ApiError("no shards", cast("Any", None), {}) if self.answered else None
            raise StoreUnavailable("the store answered 503") from cause
        return NOTHING


def _shards(source: str) -> dict[str, Any]:
    return {"shards": {"0": [{"recovery_source": {"type": source}}, {}]}}


def _ask(server: Server) -> None:
    History("u", ElasticsearchOptions()).page(HistoryQuery(task_id="one"), cast("Connection", server))


def test_what_is_being_made_is_left_out_with_its_names() -> None:
    """
    What has rows stays in the question.
    """
    server = Server(1, {f"{HISTORY}-2025.07": "EMPTY_STORE", f"{HISTORY}-2025.06": "EXISTING_STORE"})
    _ask(server)

    assert server.searched == [f"{HISTORY}-*", f"{HISTORY}-*,-{HISTORY}-2025.07*"]


def test_what_has_come_meanwhile_is_asked_again() -> None:
    """
    Between the question and the look at the shards.
    """
    server = Server(1, {})
    _ask(server)

    assert server.searched == [f"{HISTORY}-*"] * 2


def test_what_is_lost_is_not_left_out() -> None:
    """
    Its rows would be missing from an answer that looks whole.
    """
    server = Server(9, {f"{HISTORY}-2025.06": "EXISTING_STORE"})
    with pytest.raises(StoreUnavailable):
        _ask(server)

    assert server.searched == [f"{HISTORY}-*"] * 2


def test_a_server_that_does_not_answer_is_asked_nothing_more() -> None:
    """
    A second question would only take as long again.
    """
    server = Server(9, {}, answered=False)
    with pytest.raises(StoreUnavailable):
        _ask(server)

    assert server.searched == [f"{HISTORY}-*"]
