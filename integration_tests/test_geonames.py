"""
The GeoNames sample on Elasticsearch: its index refuses late writes, and three nodes hand the import on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from examples.places import ElasticsearchPlaces, Place, place_table
from tests.geonames_nodes import SampleNode, completed, eventually, imported, report
from unomi_scheduler import Scheduler, Settings, Task

LEASE = 3.0
"""Seconds."""


@pytest.fixture
def prefix(elasticsearch_url: str) -> Iterator[str]:
    """
    Return an index prefix of the test's own; its indices are removed at the end.
    """
    name = f"test-{uuid4().hex[:12]}"
    yield name
    with Elasticsearch(elasticsearch_url) as client:
        for index in client.indices.get(index=f"{name}-*", expand_wildcards="all"):
            client.indices.delete(index=index)


def make_places(*numbers: int, name: str = "Soldeu") -> list[Place]:
    """
    Return places with these ids.
    """
    return [Place(number, name, "AD", "Europe/Andorra", 42.5, 1.5, 602) for number in numbers]


class TestIndex:
    """
    The table in Elasticsearch.
    """

    @pytest.fixture
    def table(self, elasticsearch_url: str, prefix: str) -> ElasticsearchPlaces:
        """
        An index of the test's own.
        """
        table = place_table(Settings(store=elasticsearch_url, index_prefix=prefix))
        assert isinstance(table, ElasticsearchPlaces)
        return table

    def names(self, table: ElasticsearchPlaces) -> dict[int, tuple[str, int]]:
        """
        Return the name and the version of each place.
        """
        table.count()
        found = table._client.search(index=table._index, size=100, version=True)["hits"]["hits"]
        return {int(hit["_id"]): (hit["_source"]["name"], hit["_version"]) for hit in found}

    def test_what_is_written_twice_is_there_once(self, table: ElasticsearchPlaces) -> None:
        """
        A batch that is repeated, by the same run or by a later one, replaces what is there.
        """
        answers = [table.write(make_places(1, 2), fence=fence) for fence in (5, 5, 6)]

        assert [0, 0, 0] == answers
        assert 2 == table.count()
        assert [1, 2] == list(table.ids())

    def test_the_server_refuses_a_late_run_where_a_newer_one_has_written(self, table: ElasticsearchPlaces) -> None:
        """
        What is ahead of the newer run gets in, and the newer run writes over it.
        """
        table.write(make_places(1, 2), fence=6)
        late = table.write(make_places(2, 3, 4, name="late"), fence=5)
        table.write(make_places(3), fence=6)

        assert 1 == late
        assert {1: ("Soldeu", 6), 2: ("Soldeu", 6), 3: ("Soldeu", 6), 4: ("late", 5)} == self.names(table)

    def test_it_counts_by_country_and_time_zone(self, table: ElasticsearchPlaces) -> None:
        """
        An empty index too.
        """
        empty = table.count_by("country")
        table.write([*make_places(1, 2), make_places(3)[0]._replace(country="FR", timezone="Europe/Paris")], fence=1)
        table.count()

        assert {} == empty
        assert {"AD": 2, "FR": 1} == table.count_by("country")
        assert {"Europe/Andorra": 2, "Europe/Paris": 1} == table.count_by("timezone")

    def test_the_ids_of_many_pages_come_one_after_the_other(
        self, table: ElasticsearchPlaces, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Each once, at the border of a page too.
        """
        monkeypatch.setattr(table, "_PAGE", 3)
        table.write(make_places(*range(1, 8)), fence=1)
        table.count()

        assert list(range(1, 8)) == list(table.ids())


class Cluster(NamedTuple):
    """
    Three nodes of the sample and somebody who looks at their store.
    """

    nodes: dict[str, SampleNode]
    manager: Scheduler
    settings: dict[str, str]
    folder: Path

    def running(self) -> tuple[SampleNode, Task]:
        """
        Return the node that runs the import, and the task, once its checkpoint says that it is under way.
        """
        look = imported(self.manager, at_least=20_000)
        task = eventually(look, what="20,000 places", nodes=[*self.nodes.values()])
        return self.nodes[task.lock_owner or ""], task

    def resumed(self, before: Task) -> tuple[SampleNode, int]:
        """
        Return the node that resumes the import after this run, and the number of places it begins behind.
        """

        def look() -> tuple[SampleNode, int] | None:
            begun = [(node, line) for node in self.nodes.values() for line in node.logged("import_begun")]
            later = [
                (node, line["imported"]) for node, line in begun if line["resumed"] and line["fence"] > before.fence
            ]
            return later[0] if later else None

        return eventually(look, what="resumption", within=30, nodes=[*self.nodes.values()])

    def checkpoint(self) -> int:
        """
        Return how many places the last checkpoint counts.
        """
        return int((self.manager.get_task("geonames-import").checkpoint_data or {})["imported"])

    def end(self) -> Task:
        """
        Return the task once the import is COMPLETED.
        """
        return eventually(completed(self.manager), what="the end", within=240, nodes=[*self.nodes.values()])


class TestCluster:
    """
    Three nodes, one of which runs the import.
    """

    @pytest.fixture
    def cluster(self, elasticsearch_url: str, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
        """
        Three running nodes with a short lease.
        """
        settings = {
            "UNOMI_SCHEDULER_STORE": elasticsearch_url,
            "UNOMI_SCHEDULER_INDEX_PREFIX": prefix,
            "UNOMI_SCHEDULER_LEASE": f"{LEASE}s",
            "UNOMI_SCHEDULER_STATE_DIR": str(tmp_path / "state"),
            "GEONAMES_PLACES_PER_SECOND": "10000",
        }
        manager = Scheduler(store=elasticsearch_url, index_prefix=prefix, state_dir=tmp_path / "manager")
        with ExitStack() as stack:
            stack.callback(manager.stop)
            nodes = {
                name: stack.enter_context(SampleNode(tmp_path, name, {**settings, "UNOMI_SCHEDULER_NODE_ID": name}))
                for name in ("anna", "berta", "clara")
            }
            everybody = lambda: {beat.node_id for beat in manager.nodes()} == set(nodes)  # noqa: E731
            eventually(everybody, what="three nodes", nodes=[*nodes.values()])
            yield Cluster(nodes, manager, settings, tmp_path)

    @pytest.mark.measured
    def test_another_node_resumes_what_a_killed_one_left(self, cluster: Cluster) -> None:
        """
        Within the lease and two seconds, at the last checkpoint; at the end each place is there once.
        """
        owner, before = cluster.running()
        killed_at = time.monotonic()
        owner.kill()
        other, begun_behind = cluster.resumed(before)
        took = time.monotonic() - killed_at
        last = cluster.checkpoint()
        task = cluster.end()
        print(f"\nresumed by another node {took:.2f} s after the kill, lease {LEASE:g} s")

        assert other is not owner
        assert 20_000 <= begun_behind == last < 234_000
        assert took <= LEASE + 2
        assert ends(task) == {"CRASHED", "SUCCESS"}
        assert 1 == task.success_count
        assert_all_there(cluster)

    def test_a_paused_node_is_told_and_its_late_writes_change_nothing(self, cluster: Cluster) -> None:
        """
        It sleeps for twice its lease while another node goes on; at the end each place is there once.
        """
        owner, before = cluster.running()
        paused_at = time.monotonic()
        owner.pause()
        other, begun_behind = cluster.resumed(before)
        last = cluster.checkpoint()
        eventually(lambda: time.monotonic() > paused_at + 2 * LEASE, what="twice the lease")
        owner.resume()
        told = eventually(lambda: ends_of_run(owner, before), what="the end of the old run", within=20, nodes=[owner])
        task = cluster.end()

        assert other is not owner
        assert 20_000 <= begun_behind == last < 234_000
        assert [before.fence] == [line["fence"] for line in told]
        assert any(word in told[0]["message"] for word in ("lease", "later run"))
        assert ends(task) == {"CRASHED", "SUCCESS"}
        assert 1 == task.success_count
        assert_all_there(cluster)


def ends_of_run(node: SampleNode, task: Task) -> list[dict[str, Any]]:
    """
    Return the lines by which a node says that this run of the import gave up.
    """
    lines = [*node.logged("run_interrupted"), *node.logged("run_failed")]
    return [line for line in lines if line["claim_id"] == task.claim_id]


def ends(task: Task) -> set[object]:
    """
    Return how the runs of a task ended.
    """
    return {entry["status"] for entry in task.history if "claimId" in entry}


def assert_all_there(cluster: Cluster) -> None:
    """
    Fail unless the sample's own report says that all places are there, each once.
    """
    shown = report(cluster.folder, cluster.settings)

    assert 0 == shown.returncode, shown.stdout
