"""
Fixtures of the cluster tests on one SQLite file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """
    Return a cluster of processes on one file, without nodes as yet.
    """
    with Cluster(tmp_path, f"sqlite:///{tmp_path}/tasks.db", "test") as one:
        yield one
