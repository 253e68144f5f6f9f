"""
The contract's scenarios about dependencies and exclusive types, on a real Elasticsearch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from tests.scenarios.dependencies import DependencyScenarios
from tests.scenarios.exclusive import ExclusiveScenarios
from tests.scenarios.nodes import Nodes


@pytest.fixture
def nodes(elasticsearch_url: str, tmp_path: Path) -> Iterator[Nodes]:
    """
    Return nodes that share indices of the test's own.
    """
    prefix = f"test-{uuid4().hex[:12]}"
    with Nodes(lambda: elasticsearch_url, tmp_path, index_prefix=prefix) as nodes:
        yield nodes
    with Elasticsearch(elasticsearch_url) as admin:
        for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
            admin.indices.delete(index=index)


class TestDependencies(DependencyScenarios):
    """
    Searches see a write up to a quarter of a second later.
    """


class TestExclusive(ExclusiveScenarios):
    """
    Each node with connections of its own.
    """
