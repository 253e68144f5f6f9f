"""
Bulk changes by the batch: lost answers, others that are faster, and what stays one by one.
"""

from __future__ import annotations

import pytest

from tests.factories import make_task
from tests.lossy_store import Fault, LossyStore
from unomi_scheduler import BulkAction, BulkResult, Scheduler, Selection, SystemClock, Task, TaskNotFound, TaskStatus
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.service import batching
from unomi_scheduler.stores.memory import MemoryStore

HOUR = 3_600_000
ALL = Selection(everything=True)


class Cluster:
    """
    A scheduler, another one on the same store, and the store of the first, which can be made to fail.
    """

    def __init__(self) -> None:
        inner = MemoryStore(SystemClock())
        self.store = LossyStore(inner)
        self.mine, self.other = Scheduler(store=self.store), Scheduler(store=inner)
        self.mine.schedule_many(
            [self.mine.new_task("a").with_id(name).with_initial_delay(HOUR).build() for name in "pqrs"]
        )
        self.store.written.clear()

    def task(self, task_id: str) -> Task:
        """
        Return a task as the other one sees it.
        """
        return self.other.get_task(task_id)


@pytest.fixture
def cluster() -> Cluster:
    """
    Four tasks, p to s.
    """
    return Cluster()


def counts(result: BulkResult) -> tuple[int, int, int]:
    """
    Return how many were changed, unchanged and failed.
    """
    return result.changed, result.unchanged, result.failed


def test_one_call_writes_them_all(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each once, and a batch is no longer than it may be.
    """
    monkeypatch.setattr(batching, "SIZE", 3)
    calls: list[int] = []
    cluster.store.before.extend([lambda: calls.append(1)] * 10)
    result = cluster.mine.bulk("cancel", ALL)

    assert counts(result) == (4, 0, 0)
    assert len(calls) == 2
    assert [write.record.id for write in cluster.store.written] == ["p", "q", "r", "s"]
    assert cluster.mine.get_metric("tasks.cancelled") == 4


@pytest.mark.parametrize("lost", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
@pytest.mark.parametrize("action", list(BulkAction))
def test_an_answer_that_is_lost_is_asked_for_again(cluster: Cluster, action: BulkAction, lost: Fault) -> None:
    """
    What was written is counted as changed, whether the first call arrived or not.
    """
    if action is BulkAction.ENABLE:
        cluster.mine.bulk("disable", ALL)
    cluster.store.faults.append(lost)
    changed = 0 if action in (BulkAction.RETRY, BulkAction.RESUME) else 4

    assert counts(cluster.mine.bulk(action, ALL)) == (changed, 4 - changed, 0)


def test_no_answer_at_all_is_a_failure_of_each(cluster: Cluster) -> None:
    """
    It is not known whether they are changed, and it is said so.
    """
    cluster.store.faults.extend([Fault.LOST_REQUEST] * 3)
    result = cluster.mine.bulk("cancel", ALL)

    assert counts(result) == (0, 0, 4)
    assert "may or may not be done" in result.errors["p"]
    assert cluster.task("p").status is TaskStatus.SCHEDULED


def test_a_refusal_is_told(cluster: Cluster) -> None:
    """
    With the store's own words.
    """
    cluster.store.faults.append(Fault.REFUSED)
    result = cluster.mine.bulk("delete", ALL)

    assert counts(result) == (0, 0, 4)
    assert result.errors["s"] == "too busy"


def test_a_task_with_which_another_was_faster_is_judged_again(cluster: Cluster) -> None:
    """
    One that still is as selected is changed, one that is not stays, and one that is gone is none.
    """

    def meanwhile() -> None:
        cluster.other.update_task_config("p", max_retries=7)
        cluster.other.cancel_task("q")
        cluster.other.delete_task("r")

    cluster.store.before.append(meanwhile)
    result = cluster.mine.bulk("disable", Selection(status="SCHEDULED"))

    assert counts(result) == (2, 2, 0)
    assert (cluster.task("p").enabled, cluster.task("p").max_retries) == (False, 7)
    assert (cluster.task("q").status, cluster.task("s").enabled) == (TaskStatus.CANCELLED, False)


def test_a_removal_that_meets_a_change_is_done_again(cluster: Cluster) -> None:
    """
    Between the mark and the removal somebody else wrote.
    """

    def meanwhile() -> None:
        cluster.other.update_task_config("q", max_retries=7)

    cluster.store.before.extend([lambda: None, meanwhile])
    result = cluster.mine.bulk("delete", ALL)

    assert counts(result) == (4, 0, 0)
    assert cluster.mine.get_metric("tasks.cancelled") == 4
    for name in "pqrs":
        with pytest.raises(TaskNotFound):
            cluster.task(name)


def test_history_that_cannot_be_kept_keeps_the_tasks(cluster: Cluster) -> None:
    """
    They are marked, and a purge removes them.
    """
    cluster.store.history_faults.extend([Fault.REFUSED] * 2)
    result = cluster.mine.bulk("delete", ALL)

    assert counts(result) == (4, 0, 0)
    assert [cluster.task(name).delete_requested for name in "pqrs"] == [True] * 4


def test_those_who_wait_are_judged(cluster: Cluster) -> None:
    """
    As after a cancellation of what they wait for alone.
    """
    waiting = cluster.mine.new_task("b").with_id("w").with_dependencies("p").build()
    cluster.mine.schedule_task(waiting)
    alone = Cluster()
    alone.mine.schedule_task(alone.mine.new_task("b").with_id("w").with_dependencies("p").build())
    alone.mine.cancel_task("p")
    cluster.mine.bulk("cancel", Selection(ids=("p",)))

    assert cluster.task("w").status is alone.task("w").status is not TaskStatus.CANCELLED


def test_a_task_for_all_nodes_is_cancelled_with_its_records(cluster: Cluster) -> None:
    """
    It is more than one document, and goes alone.
    """
    everywhere = cluster.mine.new_task("c").with_id("e").with_initial_delay(HOUR).run_on_all_nodes().build()
    cluster.mine.schedule_task(everywhere)

    assert counts(cluster.mine.bulk("cancel", ALL)) == (5, 0, 0)
    assert cluster.task("e").status is TaskStatus.CANCELLED


def test_a_task_that_two_ids_stand_for_is_changed_once(cluster: Cluster) -> None:
    """
    Its own, and that of the document which Apache Unomi kept it in.
    """
    moved = make_task(id="u", extra={"tenantId": "acme"})
    cluster.store.write([Write(Action.CREATE, moved)])
    result = cluster.mine.bulk("cancel", Selection(ids=("u", "acme_u", "u")))

    assert (result.matched, *counts(result)) == (1, 1, 0, 0)
