"""
Fixtures of the cluster tests on Elasticsearch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from integration_tests.cluster.picky import PickyProxy
from tests.cluster.nodes import Cluster


@pytest.fixture
def admin(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    """
    Return a client that does what an administrator does.
    """
    with Elasticsearch(elasticsearch_url) as client:
        yield client


@pytest.fixture
def cluster(elasticsearch_url: str, admin: Elasticsearch, tmp_path: Path) -> Iterator[Cluster]:
    """
    Return a cluster of processes on indices of the test's own, without nodes as yet.
    """
    prefix = f"test-{uuid4().hex[:12]}"
    with Cluster(tmp_path, elasticsearch_url, prefix) as one:
        yield one
    for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
        admin.indices.delete(index=index)


@pytest.fixture
def proxy(elasticsearch_url: str) -> Iterator[PickyProxy]:
    """
    Return a network in front of the server that the test may break.
    """
    with PickyProxy.to(elasticsearch_url) as one:
        yield one
