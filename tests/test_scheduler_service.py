"""
The scenarios of the original's scheduler tests on the embedded stores, section by section.

`docs/scenarios.md` says which scenario of the contract each test plays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service_suite.cancellation import Cancellation
from tests.service_suite.cluster import Clustering
from tests.service_suite.configuration import Configuration
from tests.service_suite.creation import Creation
from tests.service_suite.deaths import Deaths
from tests.service_suite.failure import Failure
from tests.service_suite.peers import Peers
from tests.service_suite.querying import Querying
from tests.service_suite.recovery import Recovering
from tests.service_suite.status import Statuses
from tests.service_suite.storage import Storage
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.stores.memory import MemoryStore

# Processes are started, and leases have to end, on a machine that may be busy.
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["memory", "sqlite"])
def peers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peers]:
    """
    Nodes that share a store of this process, whose searches lag behind its writes, or a file.
    """
    memory = MemoryStore(SystemClock(), refresh_interval_ms=200)
    address = f"sqlite:///{tmp_path}/tasks.db"
    with Peers(lambda: memory if request.param == "memory" else address, tmp_path) as made:
        yield made


class TestCreation(Creation):
    """
    Creation and scheduling.
    """


class TestStorage(Storage):
    """
    Persistent and memory storage.
    """


class TestStatuses(Statuses):
    """
    Status management.
    """


class TestFailure(Failure):
    """
    Failure and retry.
    """


class TestRecovering(Recovering):
    """
    Recovery.
    """


class TestClustering(Clustering):
    """
    Cluster node behaviour.
    """


class TestDeaths(Deaths):
    """
    Nodes that die.
    """


class TestQuerying(Querying):
    """
    Filtering and querying.
    """


class TestCancellation(Cancellation):
    """
    Cancellation and clean-up.
    """


class TestConfiguration(Configuration):
    """
    Configuration changes.
    """
