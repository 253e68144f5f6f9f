"""
Who runs what, and for how long: living owners keep their runs, one process has a node id, one task purges.
"""

from __future__ import annotations

import time

import pytest

from tests.cluster.nodes import LEASE, Cluster
from unomi_scheduler import Task

LONG = 3 * LEASE
IN_USE = "Stop that"


def statuses(task: Task) -> list[object]:
    """
    Return how each run of a task ended.
    """
    return [entry["status"] for entry in task.history]


class TestLongRuns:
    """
    Runs of three leases' length, on two nodes that have nothing else to do.
    """

    def test_a_run_is_never_taken_from_its_living_owner(self, cluster: Cluster) -> None:
        """
        Persistent, exclusive or not, and in memory over many polls: each runs once.
        """
        cluster.start("anna", memory={"kept-in-anna": LONG})
        cluster.start("berta")
        cluster.schedule("nap", "long", parameters={"seconds": LONG})
        cluster.schedule("lonely-nap", "long-alone", parameters={"seconds": LONG}, allow_parallel_execution=False)
        ended = {one: cluster.completed(one, within=LONG + 15) for one in ("long", "long-alone")}
        cluster.heard("end", task="kept-in-anna")
        # Time enough for a run that somebody began a second time to show.
        began = time.monotonic()
        cluster.eventually(lambda: time.monotonic() > began + LEASE, what="a lease more")
        starts = [one.task for one in cluster.said("start")]

        assert sorted(starts) == ["kept-in-anna", "long", "long-alone"]
        assert [statuses(task) for task in ended.values()] == [["SUCCESS"], ["SUCCESS"]]
        assert [task.crash_count for task in ended.values()] == [0, 0]
        assert cluster.said("told") == []


class TestIdentity:
    """
    Nodes that start together, or under one id.
    """

    def test_five_nodes_that_start_at_once_leave_one_purge(self, cluster: Cluster) -> None:
        """
        And it has run once.
        """
        cluster.start("anna", "berta", "clara", "dora", "emma")

        def purged() -> Task | None:
            cluster.store.refresh()
            page = cluster.manager.find_tasks(task_type="task-purge")
            return page.list[0] if page.total_size == 1 and page.list[0].success_count else None

        task = cluster.eventually(purged, what="one purge")

        assert statuses(task) == ["SUCCESS"]
        assert task.fence == task.creation_date + 1

    def test_a_second_process_of_a_node_id_refuses_by_the_lock_file(self, cluster: Cluster) -> None:
        """
        At once, and it says what to do; the first goes on.
        """
        (first,) = cluster.start("anna")
        second = cluster.launch("anna")

        assert second.ended(within=20) == 1
        assert f"Node id 'anna' is in use by process {first.pid}" in second.output()
        assert IN_USE in second.output()
        assert first.running
        assert first.logged("fenced") == []

    def test_a_second_process_of_a_node_id_refuses_by_the_heartbeat(self, cluster: Cluster) -> None:
        """
        With another state folder there is no common lock file, on the same host too; the first goes on.
        """
        (first,) = cluster.start("anna")
        second = cluster.launch("anna", state_dir=cluster.folder / "elsewhere")

        assert second.ended(within=20) == 1
        assert "Node id 'anna' is alive" in second.output()
        assert IN_USE in second.output()
        cluster.schedule("plain", "after")
        cluster.completed("after")
        assert first.running
        assert first.logged("fenced") == []

    def test_a_killed_node_may_start_again_at_once(self, cluster: Cluster) -> None:
        """
        The lock file proves that its former process is dead: nobody waits for the lease to take over what it ran.
        """
        (first,) = cluster.start("anna", lease="20s")
        cluster.schedule("nap", "broken-off", parameters={"seconds": 1})
        cluster.heard("start", task="broken-off")
        first.kill()
        cluster.launch("anna", lease="20s")
        cluster.heard("start", task="broken-off", number=2, within=15)
        task = cluster.completed("broken-off")

        assert statuses(task) == ["CRASHED", "SUCCESS"]

    @pytest.mark.parametrize("setting", [{"purge_enabled": "false"}, {"executor_node": "false"}], ids=["keeps", "idle"])
    def test_a_node_that_never_purges_takes_part(self, cluster: Cluster, setting: dict[str, str]) -> None:
        """
        Where purging is off, or where it runs no tasks.
        """
        cluster.start("anna", **setting)
