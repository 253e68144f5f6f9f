"""
What the clock of an Elasticsearch is taken from, and what its absence means.
"""

from __future__ import annotations

from typing import Any

import pytest

from unomi_scheduler.errors import ConfigurationError
from unomi_scheduler.stores.elasticsearch.indices import Indices
from unomi_scheduler.stores.elasticsearch.store import ElasticsearchStore
from unomi_scheduler.stores.options import ElasticsearchOptions


class Answering:
    """
    A connection that gives one answer to everything.
    """

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def read(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """
        Give the answer.
        """
        return self.answer


def _store(answer: Any) -> ElasticsearchStore:
    connection: Any = Answering(answer)
    options = ElasticsearchOptions()
    return ElasticsearchStore(connection, Indices("clock", options), url="http://localhost:9200", options=options)


def test_it_is_the_time_of_the_node_that_answered() -> None:
    """
    In epoch ms.
    """
    assert 1_750_000_000_123 == _store({"nodes": {"n1": {"timestamp": 1_750_000_000_123}}}).clock()


@pytest.mark.parametrize("answer", [{}, {"nodes": {}}, {"nodes": None}])
def test_a_server_that_tells_none_has_no_way_to(answer: Any) -> None:
    """
    As a managed service that hides its nodes: to ask again soon would be in vain.
    """
    with pytest.raises(ConfigurationError, match="does not tell its clock"):
        _store(answer).clock()
