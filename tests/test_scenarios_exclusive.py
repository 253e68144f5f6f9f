"""
The scenarios of exclusive types on the embedded stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.exclusive import ExclusiveScenarios
from tests.scenarios.nodes import Nodes
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.stores.memory import MemoryStore


class TestInMemory(ExclusiveScenarios):
    """
    With searches that see a write up to half a second later.
    """

    @pytest.fixture
    def nodes(self, tmp_path: Path) -> Iterator[Nodes]:
        """
        Return nodes that share a store of this process.
        """
        store = MemoryStore(SystemClock(), refresh_interval_ms=500)
        with Nodes(lambda: store, tmp_path) as nodes:
            yield nodes


class TestOnSqlite(ExclusiveScenarios):
    """
    Each node with a handle of its own.
    """

    @pytest.fixture
    def nodes(self, tmp_path: Path) -> Iterator[Nodes]:
        """
        Return nodes that share a file.
        """
        with Nodes(lambda: f"sqlite:///{tmp_path}/tasks.db", tmp_path) as nodes:
            yield nodes
