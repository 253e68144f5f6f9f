"""
Retries and periods, across the death of a node and missed due times.
"""

from __future__ import annotations

import time
from itertools import pairwise

from tests.cluster.nodes import Cluster
from unomi_scheduler import Task, TaskStatus


class TestRetries:
    """
    A one-shot task that fails each time.
    """

    def test_four_runs_then_failed(self, cluster: Cluster) -> None:
        """
        At least the retry delay apart.
        """
        cluster.start("anna", "berta")
        cluster.schedule("failing", "hopeless", max_retries=3, retry_delay=800)
        task = cluster.reached("hopeless", TaskStatus.FAILED)

        check_four(cluster, task, delay=0.8)

    def test_a_peer_does_the_retries_that_a_dead_node_held(self, cluster: Cluster) -> None:
        """
        Four runs all the same.
        """
        cluster.start("anna", "berta")
        cluster.schedule("failing", "hopeless", max_retries=3, retry_delay=1_500)
        cluster.heard("failed", task="hopeless", number=2)

        def rests() -> bool:
            task = cluster.task("hopeless")
            return task is not None and task.failure_count == 2 and task.status is TaskStatus.SCHEDULED

        cluster.eventually(rests, what="the second retry waits", within=1.4)
        holder = cluster.node_of(cluster.said("failed", task="hopeless")[-1].pid)
        holder.kill()
        task = cluster.reached("hopeless", TaskStatus.FAILED)

        check_four(cluster, task, delay=1.5)
        assert holder.name not in {one.node for one in cluster.said("start", task="hopeless")[2:]}


class TestPeriods:
    """
    Fixed rate and fixed delay.
    """

    def test_a_fixed_rate_runs_once_for_what_it_missed_and_keeps_its_phase(self, cluster: Cluster) -> None:
        """
        Three and a half periods late: one run at once, the next in phase.
        """
        cluster.start("anna")
        # Half a period is more than a node takes to find what it was not told of.
        period = 4_000
        due = int(time.time() * 1_000) - 3 * period - period // 2
        cluster.schedule("plain", "late", period=period, next_scheduled_execution=due)
        runs = cluster.heard("start", task="late", number=3)
        phases = [(run.wall - due) / period for run in runs]
        print("periods after the due time:", [round(one, 3) for one in phases])

        assert 3.5 <= phases[0] < 4
        assert [int(one) for one in phases[1:]] == [4, 5]
        assert all(one % 1 < 0.25 for one in phases[1:])

    def test_a_fixed_delay_counts_from_the_end(self, cluster: Cluster) -> None:
        """
        Runs longer than the period do not overlap, and the pause is kept.
        """
        cluster.start("anna", "berta")
        cluster.schedule("nap", "calm", period=500, fixed_rate=False, parameters={"seconds": 0.8})
        cluster.heard("end", task="calm", number=4)
        starts, ends = (cluster.said(event, task="calm") for event in ("start", "end"))
        pauses = [start.at - end.at for end, start in zip(ends, starts[1:], strict=False)]
        print("pauses:", [round(one, 3) for one in pauses])

        assert all(0.5 <= pause < 1.5 for pause in pauses[:3])


def check_four(cluster: Cluster, task: Task, *, delay: float) -> None:
    """
    There were four runs and four failures, each run at least `delay` seconds behind the last.
    """
    starts, ends = (cluster.said(event, task=task.id) for event in ("start", "failed"))
    pauses = [start.at - end.at for end, start in zip(ends, starts[1:], strict=False)]
    print("pauses:", [round(one, 3) for one in pauses])

    assert len(starts) == len(ends) == 4
    assert all(pause >= delay for pause in pauses)
    assert [entry["status"] for entry in task.history] == ["FAILED"] * 4
    assert (task.failure_count, task.success_count) == (4, 0)
    assert all(first.fence < second.fence for first, second in pairwise(starts))
