"""
What a node costs the store.
"""

from __future__ import annotations

import time
from collections import Counter

import pytest
from elasticsearch import Elasticsearch

from integration_tests.cluster.picky import PickyProxy
from tests.cluster.checker import faults
from tests.cluster.nodes import Cluster

pytestmark = pytest.mark.measured

NUMBER = 1_000
WINDOW, WINDOWS = 30.0, 3
"""Seconds over which an idle node is watched, three leases, and how often at most."""
JOINING = 10.0
"""Seconds in which a node that has just come looks for its peers more often."""


class TestIdle:
    """
    A node with the default settings and nothing to do.
    """

    def test_an_idle_node_makes_at_most_two_requests_a_second(self, cluster: Cluster, proxy: PickyProxy) -> None:
        """
        With a peer, which it watches.
        """
        cluster.start("berta", lease="10s")
        cluster.start("anna", url=proxy.url, lease="10s")
        cluster.succeeded("task-purge")
        watched(cluster, proxy, JOINING)

        # A machine that is busy with other things makes heartbeats late, which costs reads: the quietest window counts.
        rates: list[float] = []
        while len(rates) < WINDOWS and (not rates or rates[-1] > 2):
            rates.append(watched(cluster, proxy, WINDOW))
        assert 0 < min(rates) <= 2


def watched(cluster: Cluster, proxy: PickyProxy, seconds: float) -> float:
    """
    Watch a node for so long and return its requests a second.
    """
    before = len(proxy.requests)
    began = time.monotonic()
    cluster.eventually(lambda: time.monotonic() > began + seconds, what="the window", within=2 * seconds)
    took = time.monotonic() - began
    made = proxy.requests[before:]
    print(f"{len(made) / took:.2f} requests a second:", dict(Counter(one.partition("?")[0] for one in made)))
    return len(made) / took


class TestRun:
    """
    A plain task.
    """

    def test_a_run_costs_two_writes_and_waits_for_no_refresh(
        self, cluster: Cluster, admin: Elasticsearch, proxy: PickyProxy
    ) -> None:
        """
        One claim, one end: nothing else is indexed, not for its row in the history either. They go on with refreshes
        switched off.
        """
        cluster.start("anna", url=proxy.url, lease="10s")
        cluster.succeeded("task-purge")
        ids = cluster.schedule("plain", *(f"plain-{number}" for number in range(NUMBER)), initial_delay=10_000)
        index = f"{cluster.prefix}-scheduledtask"
        admin.indices.refresh(index=index)
        admin.indices.put_settings(index=index, settings={"index.refresh_interval": "-1"})
        indexed, refreshed = counts(admin, index)
        cluster.eventually(lambda: len(cluster.said("end")) >= NUMBER, what="all runs", within=60)
        cluster.eventually(
            lambda: all(task.success_count for task in cluster.tasks(ids)), what="all COMPLETED", within=30
        )
        indexed_after, refreshed_after = counts(admin, index)
        per_run = (indexed_after - indexed) / NUMBER
        cluster.eventually(lambda: rows_of(admin, cluster.prefix) >= NUMBER, what="a row of each run", within=30)
        print(f"{per_run:.3f} index operations a run, {refreshed_after - refreshed} refreshes")

        assert faults(ids, tasks=cluster.tasks(ids), said=cluster.said()) == []
        assert 2 <= per_run <= 2.05
        assert counts(admin, index)[0] == indexed_after
        assert refreshed_after == refreshed
        assert [one for one in proxy.requests if "_bulk" in one and "refresh=" in one] == []


def rows_of(admin: Elasticsearch, prefix: str) -> int:
    """
    Return how many rows of `plain` tasks the history has.
    """
    pattern = f"{prefix}-schedulerhistory-*"
    admin.indices.refresh(index=pattern)
    return int(admin.count(index=pattern, query={"term": {"taskType": "plain"}})["count"])


def counts(admin: Elasticsearch, index: str) -> tuple[int, int]:
    """
    Return how often an index was written and refreshed.
    """
    primaries = admin.indices.stats(index=index, metric="indexing,refresh")["_all"]["primaries"]
    return primaries["indexing"]["index_total"], primaries["refresh"]["external_total"]
