"""
Runs that another node goes on with: after a death, a pause, a stop.
"""

from __future__ import annotations

import time

import pytest

from tests.cluster.nodes import LEASE, Cluster, NodeProcess, Said
from unomi_scheduler import Task, TaskStatus

STEPS = 60
NAMES = ("anna", "berta", "clara")

pytestmark = pytest.mark.measured


class Import:
    """
    A checkpointing task on one of three nodes, some checkpoints on its way.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        cluster.start(*NAMES)
        cluster.schedule("steps", "import", parameters={"steps": STEPS, "pause": 0.1})
        cluster.heard("checkpoint", task="import", number=5)

    @property
    def owner(self) -> NodeProcess:
        """
        The node that began it.
        """
        return self._cluster.node_of(self._cluster.said("start", task="import")[0].pid)

    def resumed(self) -> Said:
        """
        Return how the second run began.
        """
        return self._cluster.heard("start", task="import", number=2)[1]

    def check(self, task: Task, first: Said, second: Said) -> None:
        """
        There were two runs and one outcome, and each step was entered once, by the run it belongs to.
        """
        entered = self._cluster.ledger()

        assert [one.claim for one in self._cluster.said("start", task="import")] == [first.claim, second.claim]
        assert second.resumed
        assert second.fence > first.fence
        assert [step for step, _, _ in entered] == list(range(STEPS))
        assert {(fence, node) for step, fence, node in entered if step >= second.begin} == {(second.fence, second.node)}
        assert [entry["status"] for entry in task.history] == ["CRASHED", "RESUMED", "SUCCESS"]
        assert task.history[2]["claimId"] == second.claim
        assert task.success_count == 1


class TestResumption:
    """
    The node that runs the import is killed, or paused.
    """

    def test_another_node_resumes_what_a_killed_one_left(self, cluster: Cluster) -> None:
        """
        Within the lease and two seconds, at the last checkpoint.
        """
        running = Import(cluster)
        owner = running.owner
        owner.kill()
        assert owner.killed_at is not None
        second = running.resumed()
        took = second.at - owner.killed_at
        last = [one.step for one in owner.log.said() if one.event == "checkpoint"][-1]
        task = cluster.completed("import")
        first = cluster.said("start", task="import")[0]
        print(f"taken over after {took:.2f} s (lease {LEASE:g} s)")

        assert took <= LEASE + 2
        # The answer to the very last checkpoint may have been lost with the process.
        assert second.begin in (last, last + 1)
        assert cluster.task("import") == task
        running.check(task, first, second)

    def test_a_paused_node_is_told_and_its_late_writes_are_refused(self, cluster: Cluster) -> None:
        """
        It sleeps for twice its lease while another goes on; what it enters and reports afterwards does not count.
        """
        running = Import(cluster)
        owner = running.owner
        paused_at = time.monotonic()
        owner.pause()
        second = running.resumed()
        took = second.at - paused_at
        cluster.eventually(lambda: time.monotonic() > paused_at + 2 * LEASE, what="twice the lease")
        owner.resume()
        told = cluster.eventually(
            lambda: [one for one in owner.log.said() if one.event == "told"], what="the old run is told", within=15
        )
        interrupted = cluster.eventually(lambda: owner.logged("run_interrupted"), what="its end is logged")
        task = cluster.completed("import")
        first = cluster.said("start", task="import")[0]
        print(f"taken over after {took:.2f} s (lease {LEASE:g} s); told: {told[0].reason!r}")

        assert [one.claim for one in told] == [first.claim]
        assert [line["task_id"] for line in interrupted] == ["import"]
        assert owner.logged("lease_lapsed") + owner.logged("fenced") != []
        assert owner.running
        running.check(task, first, second)


class TestStop:
    """
    `unomi-scheduler node` is told to end.
    """

    def test_a_run_may_end_before_the_node_does(self, cluster: Cluster) -> None:
        """
        It drains: nothing is told to give up, nothing runs twice, and the node leaves nothing behind.
        """
        (anna,) = cluster.start("anna", by_command=True)
        cluster.start("berta")
        cluster.schedule("nap", "short", on_nodes=("anna",), parameters={"seconds": 3})
        (run,) = cluster.heard("start", task="short")
        anna.terminate()
        cluster.schedule("plain", "next")
        task = cluster.completed("short")

        assert anna.ended(within=15) == 0
        assert cluster.said("told") == []
        assert [(entry["status"], entry["claimId"]) for entry in task.history] == [("SUCCESS", run.claim)]
        assert [one.task for one in cluster.said("start") if one.node == "berta"] == ["next"]
        cluster.completed("next")
        cluster.eventually(lambda: {beat.node_id for beat in cluster.manager.nodes()} == {"berta"}, what="one node")

    def test_a_run_that_does_not_return_goes_on_elsewhere_at_once(self, cluster: Cluster) -> None:
        """
        The task is CRASHED, without counting as a crash, and free; the process ends, and a peer goes on.
        """
        (anna,) = cluster.start("anna", by_command=True, drain_timeout="1s", lease="20s")
        cluster.schedule("nap", "endless", parameters={"seconds": 9, "stubborn": True})
        (first,) = cluster.heard("start", task="endless")
        cluster.start("berta", lease="20s")
        asked = time.monotonic()
        anna.terminate()
        second = cluster.heard("start", task="endless", number=2, within=15)[1]
        code = anna.ended(within=15)
        took = second.at - asked
        task = cluster.reached("endless", TaskStatus.COMPLETED)
        print(f"exit {code}, on the other node {took:.2f} s after SIGTERM (drain timeout 1 s, lease 20 s)")

        assert second.node == "berta"
        assert second.fence > first.fence
        assert took < 6
        assert task.history[0]["status"] == "CRASHED"
        assert task.history[0]["claimId"] == first.claim
        assert task.crash_count == 0
        assert [one.pid for one in cluster.said("end", task="endless")] == [second.pid]
        assert task.history[-1]["claimId"] == second.claim
