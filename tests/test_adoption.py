"""
Nodes and documents that Apache Unomi wrote into our store: moved to their ids once, run, and nothing lost.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import make_task
from tests.originals import document_id, original, purge_duplicate
from tests.service_kit import make_kit
from unomi_scheduler.errors import Conflict, InvalidTask, StoreUnavailable, TaskNotFound
from unomi_scheduler.model import Malformed, Task, TaskStatus
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import RunEnded, Succeeded
from unomi_scheduler.ports import Action, HistoryQuery, Outcome, Result, TaskQuery
from unomi_scheduler.rules.adoption import ORIGIN, moved
from unomi_scheduler.stores.memory import MemoryStore


def plant(store: MemoryStore, *documents: dict[str, Any]) -> None:
    """
    Put documents into the store as the original keeps them.
    """
    for document in documents:
        store.plant(document_id(document), document)


def everything(store: MemoryStore) -> dict[str, TaskStatus]:
    """
    Return the ids of all documents that are listed, with their status.
    """
    return {task.id: task.status for task in store.find(TaskQuery(limit=-1)).list}


def _creates(batch: m.Batch) -> bool:
    return any(write.action is Action.CREATE and isinstance(write.record, Task) for write in batch.writes)


def test_a_document_is_moved_to_its_id_and_runs() -> None:
    """
    With what we do not know of it; the old document is gone.
    """
    bench = Bench()
    plant(bench.store, original("one", secret={"nested": [1]}))
    bench.settle()
    (ticket,) = bench.starts()
    bench.post(RunEnded(claim_id=ticket.claim_id, verdict=Succeeded(), duration=1))
    bench.settle()
    task = bench.task("one")

    assert [None] == bench.store.tasks(["system_one"])
    assert (TaskStatus.COMPLETED, 1) == (task.status, task.success_count)
    assert {"secret": {"nested": [1]}, "tenantId": "system", "createdBy": "karaf"}.items() <= task.extra.items()
    assert "system_one#" in task.extra[ORIGIN]


def test_several_nodes_that_find_it_run_it_once() -> None:
    """
    One creation succeeds; the other nodes see that it is the same, and nothing is left.
    """
    one = Bench()
    two = Bench("node-c", "first-c", one.store)
    plant(one.store, original("one"))
    for bench in (one, two):
        bench.hold = lambda command: isinstance(command, m.Batch) and _creates(command)
        bench.settle()
    for bench in (one, two):
        bench.hold = lambda _: False
        bench.release()
    for bench in (one, two, one, two):
        bench.settle()

    assert 1 == len(one.starts()) + len(two.starts())
    assert ["one"] == list(everything(one.store))
    assert one.store.find_unplaced(limit=10).malformed == ()


def test_a_lost_answer_moves_it_once() -> None:
    """
    The creation was done, and its answer did not come.
    """
    bench = Bench()
    plant(bench.store, original("one"))

    def lose(batch: m.Batch) -> list[Outcome] | None:
        if not _creates(batch):
            return None
        bench.fault = lambda _: None
        bench.store.write(batch.writes)
        return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * len(batch.writes)

    bench.fault = lose
    bench.pass_time(1_000)

    assert 1 == len(bench.starts())
    assert ["one"] == list(everything(bench.store))


def test_a_move_that_a_death_broke_off_is_finished() -> None:
    """
    The task is there, the old document too, which goes; the task runs once.
    """
    first = Bench()
    plant(first.store, original("one"))
    first.hold = lambda command: (
        isinstance(command, m.Batch) and any(write.action is Action.DELETE for write in command.writes)
    )
    first.settle()
    assert first.store.tasks(["system_one"]) != [None]
    second = Bench("node-c", "first-c", first.store)
    second.settle()
    first.release()
    first.settle()

    assert [None] == first.store.tasks(["system_one"])
    assert 1 == len(first.starts()) + len(second.starts())


def test_another_tenant_s_task_of_the_same_name_keeps_its_document_s_id() -> None:
    """
    Nothing is overwritten, and both run.
    """
    bench = Bench()
    plant(bench.store, original("one"), original("one", tenantId="acme", note="mine"))
    bench.pass_time(2_000)
    ids = sorted(ticket.task.id for ticket in bench.starts())

    assert 2 == len(ids)
    assert "one" in ids
    assert {"acme_one", "system_one"} & set(ids)
    assert sorted(everything(bench.store)) == ids


def test_system_tasks_of_one_type_become_one() -> None:
    """
    The contract's four of them, all RUNNING and never run: one goes on, the others are set aside and never run.
    """
    bench = Bench()
    plant(bench.store, *(purge_duplicate(f"u-{number}") for number in range(4)))
    bench.pass_time(4 * LEASE)
    found = everything(bench.store)

    assert found.pop("task-purge") is TaskStatus.CRASHED
    assert [TaskStatus.CANCELLED] * 3 == list(found.values())
    assert all(name.startswith("system_u-") for name in found)


def test_a_system_task_of_ours_stays_what_it_is() -> None:
    """
    It was here first, and a node may run it.
    """
    bench = Bench()
    bench.put(ours := make_task(id="task-purge", task_type="task-purge", system_task=True, success_count=7))
    plant(bench.store, purge_duplicate("u-1"))
    bench.settle()

    assert ours == bench.task("task-purge")
    assert TaskStatus.CANCELLED is bench.task("system_u-1").status


def test_what_cannot_be_moved_is_put_in_quarantine() -> None:
    """
    The store does not take it under its id; the document stays.
    """
    bench = Bench()
    plant(bench.store, original("one"))
    error = InvalidTask("too long")
    bench.fault = lambda batch: [Outcome(Result.REFUSED, error=error)] if _creates(batch) else None
    bench.settle()
    (stored,) = bench.store.tasks(["system_one"])

    assert bench.store.check().quarantined == 1
    assert stored is not None
    assert isinstance(stored.record, Malformed)
    assert {"itemId": "one", "quarantineReason": "too long"}.items() <= stored.record.document.items()


def test_a_dependency_that_is_not_moved_yet_is_not_a_deleted_one() -> None:
    """
    The dependent is found first; it waits, and runs when its dependency has.
    """
    bench = Bench()
    plant(bench.store, original("first"))
    bench.store.plant("second", original("second", status="WAITING", dependsOn=["first"], waitingOnTasks=["first"]))
    bench.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, m.AskUnplaced)
    bench.settle()

    assert TaskStatus.WAITING is bench.task("second").status
    bench.hold = lambda _: False
    bench.release()
    bench.settle()
    (ticket,) = bench.starts()
    bench.post(RunEnded(claim_id=ticket.claim_id, verdict=Succeeded(), duration=1))
    bench.pass_time(3_000)
    assert ["first", "second"] == [one.task.id for one in bench.starts()]


def test_a_restore_of_many_is_taken_page_by_page() -> None:
    """
    Without waiting two leases for each page.
    """
    bench = Bench()
    plant(bench.store, *(original(f"t-{number:04d}", "unknown") for number in range(1_200)))
    bench.pass_time(3_000, step=100)

    assert bench.store.find_unplaced(limit=10).malformed == ()
    assert 1_200 == bench.store.find(TaskQuery()).total_size


def test_a_task_is_read_by_either_id_before_and_after_its_move() -> None:
    """
    Before, it can be seen and not changed; after, both ids mean the one task.
    """
    kit = make_kit()
    plant(kit.store, original("a_one"))

    assert ["a_one", "a_one"] == [kit.scheduler.get_task(name).id for name in ("a_one", "system_a_one")]
    assert "moves it to 'a_one'" in kit.scheduler.explain("a_one")[0]
    with pytest.raises(Conflict, match="system_a_one cannot be changed yet"):
        kit.scheduler.cancel_task("a_one")

    Bench(store=kit.store).settle()
    assert kit.scheduler.cancel_task("system_a_one")
    assert TaskStatus.CANCELLED is kit.scheduler.get_task("a_one").status
    for name in ("one", "acme_a_one", "a_one_", "_"):
        with pytest.raises(TaskNotFound):
            kit.scheduler.get_task(name)


TEN = [
    {"timestamp": f"2025-06-15T15:06:{second:02}.000Z", "status": "SUCCESS", "nodeId": "karaf", "executionTime": 5}
    for second in range(10)
]
"""The history of a document that has no room for one more entry."""


def _rows(store: MemoryStore, task_id: str) -> list[str]:
    return [row.status for row in store.history(HistoryQuery(task_id=task_id, limit=-1)).list]


@pytest.mark.parametrize("system", [False, True])
def test_no_entry_is_lost_when_a_run_of_the_original_is_crashed(system: bool) -> None:  # noqa: FBT001 - a parameter
    """
    The new document has no room for the first of ten: it has its row before the old document goes (P20).
    """
    bench = Bench()
    details = {"executionHistory": TEN}
    home = "sample" if system else "one"
    plant(bench.store, original("one", status="RUNNING", statusDetails=details, systemTask=system))
    bench.hold = lambda command: isinstance(command, m.Flush)
    bench.settle()
    crashed = bench.task(home)
    there = bench.store.tasks(["system_one"])
    bench.hold = lambda _: False
    bench.release()
    bench.pass_time(2_000)

    assert "CRASHED" in [entry["status"] for entry in crashed.history]
    assert there != [None]
    assert [None] == bench.store.tasks(["system_one"])
    assert 10 == _rows(bench.store, home).count("SUCCESS")
    assert 1 == _rows(bench.store, home).count("CRASHED")


def test_a_document_in_its_place_keeps_its_entries_too() -> None:
    """
    It is written back when the first of ten has its row.
    """
    bench = Bench()
    bench.store.plant("one", original("one", status="RUNNING", statusDetails={"executionHistory": TEN}))
    bench.hold = lambda command: isinstance(command, m.Flush)
    bench.settle()
    before = bench.task("one")
    bench.hold = lambda _: False
    bench.release()
    bench.pass_time(2_000)

    assert TaskStatus.RUNNING is before.status
    assert 10 == _rows(bench.store, "one").count("SUCCESS")
    assert 1 == _rows(bench.store, "one").count("CRASHED")


def test_rows_are_of_an_id() -> None:
    """
    A document that says its entries have rows had them under the id that it is moved from.
    """
    task = make_task(id="one", history=tuple(TEN), history_flushed=7)

    assert 0 == moved(task, "two", "index/one#1.1").history_flushed


@pytest.mark.parametrize("status", ["RUNNING", "CRASHED", "SCHEDULED"])
def test_a_task_for_all_nodes_has_turns_after_its_adoption(status: str) -> None:
    """
    The original writes no date while a node of it runs the task, and that run may have been broken off.
    """
    bench = Bench()
    plant(bench.store, original("every", runOnAllNodes=True, period=1_000, status=status, nextScheduledExecution=None))
    bench.pass_time(5_000, 50)

    assert ["every@node-b"] == [one.task.id for one in bench.starts()]
