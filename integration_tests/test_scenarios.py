"""
The contract's scenarios about life and retries, the very functions of `tests`, on a real Elasticsearch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from tests import test_scenarios_life, test_scenarios_retry
from tests.scenario_kit import SETTINGS, Place, opened
from unomi_scheduler import Scheduler

# pytest finds them here by their names, and gives them the `place` of this module.
globals().update(
    {
        name: scenario
        for module in (test_scenarios_life, test_scenarios_retry)
        for name, scenario in vars(module).items()
        if name.startswith("test_")
    }
)


@pytest.fixture
def place(elasticsearch_url: str, tmp_path: Path) -> Iterator[Place]:
    """
    A started node on indices of the scenario's own.
    """
    prefix = f"scenario-{uuid4().hex[:12]}"
    scheduler = Scheduler(store=elasticsearch_url, index_prefix=prefix, **{**SETTINGS, "state_dir": tmp_path / "state"})
    with opened(scheduler, persistent=True) as one:
        yield one
    with Elasticsearch(elasticsearch_url) as admin:
        for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
            admin.indices.delete(index=index)
