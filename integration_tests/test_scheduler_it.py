"""
The scenarios of the original's scheduler tests on a real Elasticsearch, section by section, and the door of REST.

The tests are those of `tests/test_scheduler_service.py`; here each node has connections of its own, and nodes that die
are killed processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from tests.rest.support import error, make_api
from tests.service_suite.bodies import SAMPLE
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
from unomi_scheduler import TaskStatus


@pytest.fixture
def peers(elasticsearch_url: str, tmp_path: Path) -> Iterator[Peers]:
    """
    Nodes that share indices of the test's own.
    """
    prefix = f"suite-{uuid4().hex[:12]}"
    with Peers(lambda: elasticsearch_url, tmp_path, index_prefix=prefix) as made:
        yield made
    with Elasticsearch(elasticsearch_url) as admin:
        for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
            admin.indices.delete(index=index)


class TestCreation(Creation):
    """
    Creation, scheduling and execution.
    """


class TestStorage(Storage):
    """
    Storage and persistence.
    """


class TestStatuses(Statuses):
    """
    Status management.
    """


class TestFailure(Failure):
    """
    Errors and retry.
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


class TestRest:
    """
    The REST suite: what is asked of a process that runs nothing, about tasks that a node runs.
    """

    def test_rest1_tasks_are_listed_and_found(self, peers: Peers) -> None:
        """
        The list is not empty; by status, by type and by id.
        """
        task = peers.one().new_task(SAMPLE).with_parameters({"a": [1]}).as_one_shot().schedule()
        peers.completed(task.id)
        peers.store.refresh()
        api = make_api(peers.manager)
        lists = [
            [one["itemId"] for one in api.get("/cxs/tasks", query_string=query).json["list"]]
            for query in ("", "status=completed", f"type={SAMPLE}", "status=FAILED", "type=other")
        ]
        shown = api.get(f"/cxs/tasks/{task.id}").json

        assert lists == [[task.id], [task.id], [task.id], [], []]
        assert (shown["status"], shown["parameters"], shown["enabled"]) == ("COMPLETED", {"a": [1]}, False)

    def test_rest2_what_is_unknown_is_not_found(self, peers: Peers) -> None:
        """
        With the id in the message.
        """
        api = make_api(peers.manager)

        assert error(api.get("/cxs/tasks/nobody")) == (404, "Task not found", "Task not found: nobody")
        assert error(api.delete("/cxs/tasks/nobody"))[0] == 404

    def test_rest3_delete_cancels_what_runs(self, peers: Peers) -> None:
        """
        204, and the record stays as CANCELLED; the run is told by its node.
        """
        peers.one()
        peers.task(SAMPLE, "hold").with_id("held").schedule()
        peers.said("start", "held")
        api = make_api(peers.manager)

        assert api.delete("/cxs/tasks/held").status_code == 204
        assert api.get("/cxs/tasks/held").json["status"] == "CANCELLED"
        free = peers.when("held", lambda task: task.lock_owner is None)
        assert (free.status, free.success_count) == (TaskStatus.CANCELLED, 0)
        assert len(peers.said("told", "held")) == 1
