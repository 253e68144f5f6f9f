"""
All-nodes tasks on real processes: each node its own run in each period, whatever happens to one of them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from integration_tests.cluster.test_costs import counts
from tests.cluster.nodes import LEASE, Cluster, Said
from unomi_scheduler import Task, TaskStatus, TimeUnit
from unomi_scheduler.ports import Action, Write

NAMES = ("anna", "berta", "clara")
PERIOD = 200


def schedule(cluster: Cluster, task_type: str = "plain", **definition: Any) -> Task:
    """
    Schedule the task `all` for all nodes.
    """
    return cluster.manager.schedule_task(
        cluster.manager.create_task(task_type, id="all", run_on_all_nodes=True, **{"period": PERIOD, **definition})
    )


def by_node(said: list[Said]) -> dict[str, list[Said]]:
    """
    Return the runs of `all` by node.
    """
    found: dict[str, list[Said]] = defaultdict(list)
    for one in said:
        if one.task.startswith("all@"):
            found[one.node].append(one)
    return found


def started(cluster: Cluster, *names: str, times: int = 1, within: float = 30) -> dict[str, list[Said]]:
    """
    Return the starts by node, once each of these nodes has so many.
    """

    def look() -> dict[str, list[Said]] | None:
        found = by_node(cluster.said("start"))
        return found if all(len(found[name]) >= times for name in names) else None

    return cluster.eventually(look, what=f"{times} runs on {', '.join(names)}", within=within)


def pauses(runs: list[Said]) -> list[float]:
    """
    Return the seconds from each of these to the next.
    """
    return [second.at - first.at for first, second in pairwise(runs)]


class TestPeriods:
    """
    Three nodes, one of them no executor node.
    """

    def test_x14_every_node_runs_each_period(self, cluster: Cluster, admin: Elasticsearch) -> None:
        """
        At the pace of a 200 ms period, once each, with two writes a run and a single record a node.
        """
        cluster.start("anna", "berta")
        cluster.start("clara", executor_node="false")
        definition = schedule(cluster)
        started(cluster, *NAMES)
        index = f"{cluster.prefix}-scheduledtask"
        (before, _), ran = counts(admin, index), len(cluster.said("start"))
        began = time.monotonic()
        started(cluster, *NAMES, times=30, within=90)
        (after, _), runs = counts(admin, index), by_node(cluster.said("start"))
        took, writes = time.monotonic() - began, (after - before) / (len(cluster.said("start")) - ran)
        late = sorted((one.wall - definition.creation_date) % PERIOD for one in runs["anna"])
        seen = {name: len(runs[name]) for name in NAMES}
        print(f"{seen} runs in {took:.1f} s, {writes:.2f} writes a run, begun {late[len(late) // 2]:.0f} ms late (p50)")
        records = [cluster.task(f"all@{name}") for name in NAMES]

        # On a machine that is busy with other things periods are skipped, but none is run twice.
        for record in records:
            assert record is not None
            periods = [entry["period"] for entry in record.history if entry["status"] == "SUCCESS"]
            assert len(periods) == len(set(periods)) == 10
        for name in NAMES:
            assert runs[name][-1].at - runs[name][0].at > (len(runs[name]) - 3) * PERIOD / 1_000
        assert writes < 2.2
        assert cluster.manager.find_tasks(task_type="plain").total_size == 1
        assert cluster.manager.find_tasks(task_type="plain", records=True).total_size == 4
        assert {name: one.alive for name, one in cluster.manager.node_runs("all").items()} == dict.fromkeys(NAMES, True)

    def test_s7_a_node_that_is_no_executor_runs_only_what_is_for_all(self, cluster: Cluster) -> None:
        """
        And an exclusive task shows its lock, which a person can take away.
        """
        cluster.start("anna", "berta")
        cluster.start("clara", executor_node="false")
        schedule(cluster, period=100)
        cluster.schedule("plain", "one-node", period=100)
        cluster.schedule("lonely-nap", "alone", parameters={"seconds": 5}, allow_parallel_execution=False)
        cluster.heard("start", task="one-node", number=3)
        started(cluster, *NAMES, times=2)
        cluster.heard("start", task="alone")
        (stored,) = cluster.store.tasks(["alone"])
        assert stored is not None
        held = stored.record
        assert isinstance(held, Task)
        freed = Task(**{**held.__dict__, "lock_owner": None, "lock_date": None})
        cluster.store.write([Write(Action.REPLACE, freed, stored.version)])
        shown = cluster.manager.get_task("alone")

        assert held.lock_owner in ("anna", "berta")
        assert held.lock_date is not None
        assert (shown.lock_owner, shown.lock_date) == (None, None)
        assert {one.node for one in cluster.said("start", task="one-node")} <= {"anna", "berta"}

    def test_a_late_joiner_waits_for_the_next_period(self, cluster: Cluster) -> None:
        """
        It begins with the others, not when it comes.
        """
        cluster.start("anna")
        period = 8_000
        definition = schedule(cluster, period=period)
        started(cluster, "anna")
        cluster.start("berta")
        runs = started(cluster, "anna", "berta", times=1)
        first = runs["berta"][0]

        assert (first.wall - definition.creation_date) // period >= 1
        assert (first.wall - definition.creation_date) % period < 2_000


class TestDeaths:
    """
    One of three nodes is killed.
    """

    def test_the_others_keep_their_pace_and_its_run_is_closed(self, cluster: Cluster) -> None:
        """
        What the dead one left becomes FAILED with the reason, as its period is over; when it comes back, it goes on.
        """
        anna, *_ = cluster.start(*NAMES)
        schedule(cluster, "nap", period=1_000, parameters={"seconds": 0.5})
        started(cluster, *NAMES, times=2)
        running = len(anna.log.said())
        cluster.eventually(
            lambda: len(anna.log.said()) > running and anna.log.said()[-1].event == "start", what="a run on anna"
        )
        anna.kill()
        killed = time.monotonic()
        closed = cluster.reached("all@anna", TaskStatus.FAILED)
        took = time.monotonic() - killed
        gaps = [gap for name in ("berta", "clara") for gap in pauses(by_node(cluster.said("start"))[name])]
        print(f"closed after {took:.1f} s (lease {LEASE:g} s); gaps of the others up to {max(gaps):.2f} s")
        again = cluster.start("anna")
        cluster.eventually(lambda: [one for one in again[0].log.said() if one.event == "end"], what="anna goes on")
        cluster.eventually(lambda: cluster.manager.node_runs("all")["anna"].success_count > 0, what="it counts")

        assert [entry["status"] for entry in closed.history[-2:]] == ["CRASHED", "FAILED"]
        assert "before the next period began" in str(closed.last_error)
        assert max(gaps) < 2.5
        statuses = [one.status for one in cluster.manager.find_tasks(task_type="nap", records=True).list]
        assert TaskStatus.CRASHED not in statuses

    def test_a_node_that_comes_back_within_the_period_goes_on(self, cluster: Cluster) -> None:
        """
        From its checkpoint, once.
        """
        cluster.start("berta")
        (anna,) = cluster.start("anna")
        schedule(cluster, "steps", period=1, time_unit=TimeUnit.HOURS, parameters={"steps": 30, "pause": 0.1},
                 on_nodes=("anna",))  # fmt: skip
        cluster.heard("checkpoint", task="all@anna", number=5)
        anna.kill()
        cluster.start("anna")
        ended = cluster.completed("all@anna")
        starts = cluster.said("start", task="all@anna")

        assert [one.resumed for one in starts] == [False, True]
        assert starts[1].begin >= 5
        assert [entry["status"] for entry in ended.history] == ["CRASHED", "RESUMED", "SUCCESS"]
        assert [step for step, _, _ in cluster.ledger()] == list(range(30))
        assert cluster.task("all@berta") is None


class TestEnds:
    """
    Cancelled, deleted, changed, by somebody who is no node.
    """

    @pytest.mark.measured
    @pytest.mark.parametrize("delete", [False, True])
    def test_the_end_reaches_every_node(self, cluster: Cluster, delete: bool) -> None:  # noqa: FBT001 - a parameter of the test
        """
        Each running body is told within about a poll interval, and nothing begins afterwards.
        """
        cluster.start(*NAMES)
        schedule(cluster, "nap", period=60_000, parameters={"seconds": 30})
        started(cluster, *NAMES)
        asked = time.monotonic()
        if delete:
            cluster.manager.delete_task("all")
        else:
            cluster.manager.cancel_task("all")

        def told() -> list[Said] | None:
            found = cluster.said("told")
            return found if len(found) == len(NAMES) else None

        took = max(one.at for one in cluster.eventually(told, what="all are told", within=10)) - asked
        print(f"told after {took:.2f} s")
        assert took < 5
        if delete:
            cluster.eventually(lambda: not any(cluster.task(f"all@{name}") for name in NAMES), what="no record is left")
            assert cluster.task("all") is None
        else:
            for name in NAMES:
                cluster.reached(f"all@{name}", TaskStatus.CANCELLED)
        assert len(cluster.said("start")) == len(NAMES)

    def test_an_edit_reaches_every_node(self, cluster: Cluster) -> None:
        """
        Another period holds for all within about a poll interval.
        """
        cluster.start(*NAMES)
        schedule(cluster, period=60_000)
        started(cluster, *NAMES)
        edited = time.time() * 1_000
        cluster.manager.update_task_config("all", period=(500, "MILLISECONDS"))
        runs = started(cluster, *NAMES, times=4, within=10)
        first = {name: runs[name][1].wall - edited for name in NAMES}
        print("first runs of the new period:", {name: round(one) for name, one in first.items()})

        assert max(first.values()) < 5_000
