"""
Events and limits on a real Elasticsearch: two processes, of which one listens and the other writes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from tests.rest.limits_suite import LimitsSuite
from tests.rest.served import Served, serving

EVENTS = 200
OWN_WITHIN = 0.1
CLUSTER_WITHIN = 2.0


@pytest.fixture(scope="module")
def prefix(elasticsearch_url: str) -> Iterator[str]:
    """
    Return an index prefix of these tests.
    """
    name = f"events-{uuid4().hex[:12]}"
    yield name
    with Elasticsearch(elasticsearch_url) as admin:
        for index in admin.indices.get(index=f"{name}-*", expand_wildcards="all"):
            admin.indices.delete(index=index)


@pytest.fixture(scope="module")
def server(elasticsearch_url: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """
    Return a node with REST.
    """
    folder = tmp_path_factory.mktemp("node")
    with serving(folder, store=elasticsearch_url, index_prefix=prefix, node_id="first") as one:
        yield one


@pytest.fixture(scope="module")
def second(elasticsearch_url: str, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """
    Return a process that only answers requests.
    """
    folder = tmp_path_factory.mktemp("api")
    with serving(folder, command="api", store=elasticsearch_url, index_prefix=prefix) as one:
        yield one


class TestLimitsOnElasticsearch(LimitsSuite):
    """
    On a real server.
    """


def test_events_come_in_time(server: Served, second: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """
    From the process that writes within 100 ms of the answer, from another one within two seconds (p95), all of them and
    each once.
    """
    own, other = server.listen("?type=timed"), second.listen("?type=timed")
    answered = {}
    for number in range(EVENTS):
        name = f"timed-{number}"
        assert server.ask("POST", "/cxs/tasks", {"taskType": "timed", "itemId": name})[0] == 201
        answered[name] = time.monotonic()
    for listener in (own, other):
        listener.wait_for(lambda _, data: data.get("itemId") == f"timed-{EVENTS - 1}")
        listener.close()
    near, far = ([came - answered[data["itemId"]] for _, _, data, came in one.events] for one in (own, other))
    with capsys.disabled():
        print("\n", *(f"{name}: {_figures(took)}" for name, took in (("own", near), ("cluster", far))), sep="\n  ")

    for listener in (own, other):
        assert [data["itemId"] for _, _, data, _ in listener.events] == list(answered)
    assert statistics.quantiles(near, n=20)[-1] < OWN_WITHIN
    assert statistics.quantiles(far, n=20)[-1] < CLUSTER_WITHIN


def test_a_client_goes_on_in_another_process(server: Served, second: Served) -> None:
    """
    With the id it had from the first, and misses nothing.
    """
    listener = server.listen("?type=moved")
    server.ask("POST", "/cxs/tasks", {"taskType": "moved", "itemId": "moved-1"})
    last = listener.wait_for(lambda _, data: data.get("itemId") == "moved-1")[1]
    listener.close()
    for number in range(2, 5):
        server.ask("POST", "/cxs/tasks", {"taskType": "moved", "itemId": f"moved-{number}"})
    again = second.listen(f"?type=moved&since={last}&timeout=30") if last else None
    assert again is not None
    again.wait_for(lambda _, data: data.get("itemId") == "moved-4")
    again.close()

    assert {data["itemId"] for _, _, data, _ in again.events} >= {"moved-2", "moved-3", "moved-4"}


def test_an_index_made_anew_is_a_reset(elasticsearch_url: str, tmp_path: Path) -> None:
    """
    For who listens when it happens: the position is of the index that is gone.
    """
    name = f"events-{uuid4().hex[:12]}"
    with Elasticsearch(elasticsearch_url) as admin:
        try:
            with serving(tmp_path, command="api", store=elasticsearch_url, index_prefix=name) as server:
                listener = server.listen()
                (index,) = admin.indices.get(index=f"{name}-scheduledtask")
                admin.indices.delete(index=index)
                with serving(tmp_path, command="api", store=elasticsearch_url, index_prefix=name) as anew:
                    listener.wait_for(lambda kind, _: kind == "reset")
                    anew.ask("POST", "/cxs/tasks", {"taskType": "x", "itemId": "there"})
                    listener.wait_for(lambda _, data: data.get("itemId") == "there")
                listener.close()
        finally:
            for one in admin.indices.get(index=f"{name}-*", expand_wildcards="all"):
                admin.indices.delete(index=one)


def _figures(took: list[float]) -> str:
    ordered = sorted(took)
    p50, p95 = statistics.median(ordered), statistics.quantiles(ordered, n=20)[-1]
    return f"{len(took)} events, p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, max {ordered[-1] * 1000:.0f} ms"
