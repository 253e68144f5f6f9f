"""
Claims whose answers are lost or that land late, and ids that are used again.
"""

from __future__ import annotations

import time
from typing import Any

from integration_tests.cluster.picky import PickyProxy
from tests.cluster.checker import faults, reruns
from tests.cluster.nodes import LEASE, Cluster, NodeProcess
from unomi_scheduler import Conflict, Task
from unomi_scheduler.ports import Action, Result, Write

QUICK = {"elasticsearch__request_timeout": "1s"}
"""So that a claim without an answer is sent again soon."""


class TestClaims:
    """
    `anna` reaches the store through a bad network, `berta` by a good one.
    """

    def test_a_claim_whose_answer_is_lost_leads_to_one_run(self, cluster: Cluster, proxy: PickyProxy) -> None:
        """
        Also when it is lost three times in a row.
        """
        start_idle(cluster, proxy, **QUICK)
        cluster.start("berta")
        proxy.lose_claims(3)
        hers = cluster.schedule("plain", *(f"hers-{number}" for number in range(20)), on_nodes=("anna",))
        free = cluster.schedule("plain", *(f"free-{number}" for number in range(20)))

        assert proxy.wait_until_claims_lost(3)
        check(cluster, hers + free)

    def test_a_claim_that_lands_late_starts_nothing(self, cluster: Cluster, proxy: PickyProxy) -> None:
        """
        Its sender has sent it again and run the task meanwhile.
        """
        start_idle(cluster, proxy, **QUICK)
        proxy.hold_claims(1)
        cluster.schedule("plain", "once", on_nodes=("anna",))
        assert proxy.wait_until_claims_held(1)
        cluster.completed("once")
        proxy.release_claims()
        cluster.schedule("plain", "next", on_nodes=("anna",))

        check(cluster, ["once", "next"])

    def test_a_claim_that_lands_after_its_senders_death_is_recovered(self, cluster: Cluster, proxy: PickyProxy) -> None:
        """
        The document says RUNNING and nobody runs it: a peer takes it over, and it is executed once.
        """
        (anna,) = start_idle(cluster, proxy)
        proxy.hold_claims(100)
        cluster.schedule("plain", "late")
        assert proxy.wait_until_claims_held(1)
        anna.kill()
        proxy.release_claims()
        cluster.eventually(lambda: owner(cluster, "late") == "anna", what="the late claim", within=5)
        cluster.start("berta")
        task = settled(cluster, "late")

        assert [entry["status"] for entry in task.history] == ["CRASHED", "SUCCESS"]
        check(cluster, ["late"])

    def test_what_a_cut_off_node_sent_lands_late_and_is_given_back(self, cluster: Cluster, proxy: PickyProxy) -> None:
        """
        Its claim arrives after it was declared dead and has joined again; the task, which only it may run, runs once.
        """
        (anna,) = start_idle(cluster, proxy, **QUICK)
        cluster.start("berta")
        proxy.hold_claims(1)
        cluster.schedule("plain", "hers", on_nodes=("anna",))
        assert proxy.wait_until_claims_held(1)
        proxy.hold_requests()
        cluster.eventually(lambda: not alive(cluster, "anna"), what="anna is declared dead", within=4 * LEASE)
        proxy.heal()
        cluster.eventually(lambda: anna.logged("fenced"), what="anna knows it", within=15)
        proxy.release_claims()

        settled(cluster, "hers")
        check(cluster, ["hers"])


class TestSameId:
    """
    The id of a running task is deleted and scheduled again (P2).
    """

    def test_a_deleted_tasks_run_does_not_touch_the_next_of_its_id(self, cluster: Cluster) -> None:
        """
        The id is free once the body, which ignores that it was told, has returned.
        """
        cluster.start("anna", "berta")
        cluster.schedule("nap", "twice", parameters={"seconds": 2, "stubborn": True})
        (old,) = cluster.heard("start", task="twice")
        cluster.manager.delete_task("twice")
        cluster.eventually(lambda: again(cluster), what="the id is free", within=15)
        task = settled(cluster, "twice")
        _, new = cluster.said("start", task="twice")

        assert cluster.said("end", task="twice")[0].at <= new.at
        check_new(task, old.fence, new.claim)

    def test_a_run_whose_document_was_removed_does_not_touch_the_next(self, cluster: Cluster) -> None:
        """
        Removed behind the scheduler's back; the new task ends before the old run does.
        """
        cluster.start("anna", "berta")
        cluster.schedule("nap", "twice", parameters={"seconds": 8, "stubborn": True})
        (old,) = cluster.heard("start", task="twice")
        remove(cluster, "twice")
        again(cluster)
        new = cluster.heard("start", task="twice", number=2)[1]
        before = settled(cluster, "twice")
        ends = cluster.heard("end", task="twice", number=2)
        node = cluster.node_of(old.pid)
        cluster.schedule("plain", "another", on_nodes=(node.name,))
        settled(cluster, "another")

        assert (old.pid, old.claim) == (ends[-1].pid, ends[-1].claim) != (new.pid, new.claim)
        assert settled(cluster, "twice") == before
        check_new(before, old.fence, new.claim)


def start_idle(cluster: Cluster, proxy: PickyProxy, **settings: Any) -> list[NodeProcess]:
    """
    Start `anna` behind the proxy and wait until she has done her own duty, whose claim would be taken for the test's.
    """
    started = cluster.start("anna", url=proxy.url, **settings)
    cluster.succeeded("task-purge")
    return started


def check(cluster: Cluster, ids: list[str]) -> None:
    """
    Each of these tasks is executed exactly once, and stays so for a lease.
    """
    for task_id in ids:
        settled(cluster, task_id)
    began = time.monotonic()
    cluster.eventually(lambda: time.monotonic() > began + LEASE, what="a lease more")
    said = cluster.said()

    assert faults(ids, tasks=cluster.tasks(ids), said=said, dead=cluster.dead()) == []
    assert reruns(said) == 0


def check_new(task: Task, old_fence: int, claim: str) -> None:
    """
    The document knows of the new run alone.
    """
    assert [(entry["status"], entry["claimId"]) for entry in task.history] == [("SUCCESS", claim)]
    assert task.success_count == 1
    assert task.fence > old_fence


def settled(cluster: Cluster, task_id: str) -> Task:
    """
    Return a task once it is COMPLETED.
    """
    return cluster.completed(task_id, within=45)


def again(cluster: Cluster) -> bool:
    """
    Schedule the id again; tell whether it was free.
    """
    try:
        cluster.schedule_one("plain", "twice")
    except Conflict:
        return False
    return True


def remove(cluster: Cluster, task_id: str) -> None:
    """
    Remove a document as no scheduler does.
    """

    def removed() -> bool:
        (stored,) = cluster.store.tasks([task_id])
        assert stored is not None
        (outcome,) = cluster.store.write([Write(Action.DELETE, stored.record, stored.version)])
        return outcome.result is Result.WRITTEN

    cluster.eventually(removed, what="the document is removed")


def owner(cluster: Cluster, task_id: str) -> str | None:
    """
    Return the node that a document names as owner.
    """
    task = cluster.task(task_id)
    return task.lock_owner if task is not None else None


def alive(cluster: Cluster, name: str) -> bool:
    """
    Tell whether a node is not declared dead.
    """
    return any(beat.node_id == name for beat in cluster.manager.nodes())
