"""
The history as users read it, and what the service does before an entry would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.factories import NOW, make_row, make_running_task, make_task
from tests.lossy_store import Fault, LossyStore
from tests.service_kit import Kit, make_kit
from tests.test_purge import purged
from tests.waiting import ended, eventually
from unomi_scheduler import Scheduler, SystemClock, history_document
from unomi_scheduler.errors import InvalidTask, StoreRefused, TaskNotFound
from unomi_scheduler.model import HISTORY_LIMIT, HistoryRow, Task, TaskStatus, evolve
from unomi_scheduler.ports import HistoryQuery
from unomi_scheduler.rules.history import rows_of
from unomi_scheduler.rules.outcomes import complete, fail
from unomi_scheduler.service.history import Keeping
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.timestamps import from_iso, to_iso

DAY = 86_400_000


def ran(number: int = 1, **over: Any) -> Task:
    """
    Return the task `one` after so many successes, one each second, the last at `NOW`; no row of them is known.
    """
    task = make_running_task(**{"id": "one", **over})
    for left in reversed(range(number)):
        claimed = evolve(task, status=TaskStatus.RUNNING, claim_id=f"claim-{left}", executing_node_id="node-a")
        task = complete(claimed, now=NOW - 1_000 * left, duration=5)
    return task


def shown(scheduler: Scheduler, **how: Any) -> list[str]:
    """
    Return what the history of the task shows: claims, or kinds where there is none.
    """
    return [row.claim_id or row.status for row in scheduler.history("one", **how).list]


def stored(kit: Kit) -> list[HistoryRow]:
    """
    Return the rows in the store.
    """
    return list(kit.store.history(HistoryQuery(task_id="one", limit=-1)).list)


class TestReading:
    """
    Rows and documents as one list.
    """

    def test_entries_and_rows_are_one_list(self) -> None:
        """
        The newest first, each once, whether its row is there already or not; the total counts each once.
        """
        kit = make_kit()
        task = ran(25)
        kit.put(task)
        rows = [make_row(id=f"one:claim-{n}", claim_id=f"claim-{n}", end=NOW - 1_000 * n) for n in range(4, 25)]
        kit.store.add_history(rows)
        pages = [kit.scheduler.history("one", offset=offset, limit=10) for offset in (0, 10, 20)]

        assert [f"claim-{n}" for n in range(25)] == [row.claim_id for page in pages for row in page.list]
        assert {(25, 10)} == {(page.total_size, page.page_size) for page in pages}
        assert [f"claim-{n}" for n in range(25)] == shown(kit.scheduler, limit=-1)
        assert shown(kit.scheduler, limit=0) == []

    def test_a_task_that_is_gone_is_read_on(self) -> None:
        """
        Its rows outlive it.
        """
        kit = make_kit()
        kit.store.add_history([make_row(claim_id="claim-1")])

        assert ["claim-1"] == shown(kit.scheduler)

    def test_a_task_without_runs_has_an_empty_history(self) -> None:
        """
        It is known, so that is no error.
        """
        kit = make_kit()
        kit.put(make_task(id="one"))

        assert shown(kit.scheduler) == []
        with pytest.raises(TaskNotFound, match="two"):
            kit.scheduler.history("two")

    def test_a_memory_task_has_its_own(self) -> None:
        """
        Nothing of it is in any store.
        """
        with Scheduler(store=None) as scheduler:
            scheduler.new_task("noop").with_id("one").non_persistent().with_simple_executor(lambda: None).schedule()
            ended(scheduler, "one")
            (row,) = scheduler.history("one").list

        assert ("SUCCESS", "one", "noop", scheduler.node_id) == (row.status, row.task_id, row.task_type, row.node_id)

    @pytest.mark.parametrize("page", [{"offset": -1}, {"limit": -2}, {"offset": 9_000, "limit": 1_001}])
    def test_a_page_out_of_range_is_told(self, page: dict[str, int]) -> None:
        """
        With what was expected.
        """
        kit = make_kit()
        kit.put(make_task(id="one"))
        with pytest.raises(InvalidTask, match="expected an offset of 0 or more"):
            kit.scheduler.history("one", **page)

    def test_users_see_dates(self) -> None:
        """
        As in every document that is shown.
        """
        document = history_document(make_row(start=NOW - 5, claim_id="c"))

        assert ("2025-06-15T15:06:39.995Z", "2025-06-15T15:06:40.000Z") == (document["start"], document["end"])
        assert "error" not in document


class TestRequests:
    """
    What a user does is in the history, also without a node.
    """

    def test_a_request_has_its_row_at_once(self) -> None:
        """
        There is no node here that would flush it.
        """
        kit = make_kit()
        kit.put(fail(make_running_task(id="one", max_retries=0), error="no", now=NOW, duration=1))
        kit.scheduler.retry_task("one")
        kit.scheduler.cancel_task("one")

        assert {"RETRIED", "FAILED", "CANCELLED"} == {row.status for row in stored(kit)}

    def test_a_request_that_would_drop_an_entry_makes_its_row_first(self) -> None:
        """
        The eleventh entry.
        """
        kit = make_kit()
        kit.put(ran(HISTORY_LIMIT))
        oldest = ran(HISTORY_LIMIT).history[0]["claimId"]
        there: list[bool] = []
        kit.faults.before.append(lambda: there.append(oldest in {row.claim_id for row in stored(kit)}))
        kit.scheduler.cancel_task("one")

        assert there == [True]
        assert HISTORY_LIMIT + 1 == len(stored(kit))

    @pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST_REQUEST])
    def test_no_request_fails_for_its_history(self, fault: Fault) -> None:
        """
        The document has the entry, and is read with it.
        """
        kit = make_kit()
        kit.put(ran(1))
        kit.faults.history_faults.extend([fault] * 5)

        assert kit.scheduler.cancel_task("one")
        assert stored(kit) == []
        assert {"CANCELLED", "claim-0"} == set(shown(kit.scheduler))

    def test_switched_off_no_row_is_made(self) -> None:
        """
        The ten entries in the document are all.
        """
        kit = make_kit(history_enabled=False)
        kit.put(ran(HISTORY_LIMIT))
        kit.scheduler.cancel_task("one")
        assert HISTORY_LIMIT == len(shown(kit.scheduler))
        kit.scheduler.delete_task("one")

        assert stored(kit) == []


class TestRemoval:
    """
    A task goes with its last row.
    """

    def test_a_deleted_task_is_read_on(self) -> None:
        """
        With every entry, and that of the deletion.
        """
        kit = make_kit()
        kit.put(ran(3, period=5))
        kit.scheduler.delete_task("one")

        assert kit.stored("one") is None
        assert {"CANCELLED", "claim-0", "claim-1", "claim-2"} == set(shown(kit.scheduler))

    @pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST_REQUEST, Fault.LOST_ANSWER])
    def test_a_delete_whose_rows_are_not_acknowledged_waits_for_a_purge(self, fault: Fault) -> None:
        """
        The task is marked and never runs; once the store takes rows, it goes with them.
        """
        kit = make_kit()
        kit.put(ran(1, period=5))
        kit.faults.history_faults.append(fault)
        kit.scheduler.delete_task("one")
        task = kit.stored("one")
        assert task is not None
        assert (True, False) == (task.delete_requested, task.enabled)

        assert 1 == kit.scheduler.purge_old_tasks()
        assert kit.stored("one") is None
        assert {"CANCELLED", "claim-0"} == set(shown(kit.scheduler))

    def test_a_purged_task_is_read_on(self) -> None:
        """
        The node that ended its run may have been killed before it made the row.
        """
        kit = make_kit()
        kit.put(ran(2))

        assert 1 == kit.scheduler.purge_old_tasks(0)
        assert ["claim-0", "claim-1"] == shown(kit.scheduler)

    @pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST_REQUEST])
    def test_a_purge_keeps_what_it_cannot_write_down(self, fault: Fault) -> None:
        """
        It fails, as for any other refusal, and finds the task again.
        """
        store = MemoryStore(SystemClock())
        kit_store = LossyStore(store)
        kit_store.history_faults.append(fault)
        kit = Kit(Scheduler(store=kit_store, node_id="node-a"), make_kit().clock, kit_store, store)
        kit.put(ran(1))
        with pytest.raises(StoreRefused if fault is Fault.REFUSED else ConnectionError):
            purged(kit_store)
        assert kit.stored("one") is not None

        assert 1 == purged(kit_store)
        assert ["claim-0"] == [row.claim_id for row in stored(kit)]

    def test_what_is_too_old_to_be_kept_is_not_made_again(self) -> None:
        """
        A purge long after the history was dropped.
        """
        kit = make_kit()
        kit.put(ran(2))
        oldest = Keeping(enabled=True, ttl=timedelta(milliseconds=500))

        assert 1 == purged(kit.faults, oldest)
        assert ["claim-0"] == [row.claim_id for row in stored(kit)]

    def test_a_task_of_many_rows_known_is_flushed_once(self) -> None:
        """
        Only what is not known to be there.
        """
        kit = make_kit()
        task = evolve(ran(3), history_flushed=2)
        kit.put(task)
        kit.scheduler.purge_old_tasks(0)

        assert [rows_of(task)[-1]] == stored(kit)


class TestSystemTask:
    """
    `task-purge` drops the history behind its time.
    """

    @pytest.fixture
    def scheduler(self) -> Iterator[Scheduler]:
        """
        A started node on a store of its own.
        """
        clock = SystemClock()
        self.store = MemoryStore(clock)
        now = clock.now().wall
        self.store.add_history([make_row(end=now - age, id=f"one:{age}") for age in (1_000, 3 * 86_400_000)])
        with Scheduler(store=self.store, node_id="node-a", history_ttl=timedelta(days=2)) as scheduler:
            yield scheduler

    def test_old_rows_go(self, scheduler: Scheduler) -> None:
        """
        And the number is in the status details.
        """
        task = eventually(lambda: _purged(scheduler), "task-purge has not run")

        assert 1 == task.status_details["purgedHistory"]
        assert ["one:1000"] == [row.id for row in scheduler.history("one").list]


def _purged(scheduler: Scheduler) -> Task | None:
    task = scheduler.get_task("task-purge")
    return task if task.success_count else None


def test_the_runs_of_a_node_are_all_in_the_history() -> None:
    """
    Thirty quick runs of one task, read while they go on and after a stop.
    """
    store = MemoryStore(SystemClock())
    with Scheduler(store=store, node_id="node-a") as scheduler:
        scheduler.new_task("quick").with_id("one").with_period(20, "MILLISECONDS").with_simple_executor(
            lambda: None
        ).schedule()
        eventually(lambda: scheduler.history("one").total_size >= 30, "the task has not run 30 times")
        assert scheduler.history("one", limit=100).total_size == len(scheduler.history("one", limit=100).list)
    (stored_task,) = store.tasks(["one"])
    assert stored_task is not None
    task = stored_task.record
    assert isinstance(task, Task)

    assert task.success_count == store.history(HistoryQuery(task_id="one", limit=-1)).total_size


class TestAllNodes:
    """
    A task for all nodes has the runs of its records.
    """

    def test_each_node_s_runs_are_listed_once(self) -> None:
        """
        By their ends, whether their rows are there or not; also the last ones of a node that is long gone.
        """
        kit = make_kit()
        gone, alive = _record("a", 3, ago=10 * DAY), _record("b", 7)
        kit.put(make_task(id="all", run_on_all_nodes=True, period=500), gone, alive)
        former = [
            make_row(task_id="all@b", end=NOW - DAY - number, id=f"all@b:{number}", all_nodes_of="all")
            for number in range(80)
        ]
        kit.store.add_history([*rows_of(gone), *former, *rows_of(alive)[:5]])
        page, everything = kit.scheduler.history("all", limit=10), kit.scheduler.history("all", limit=-1)

        assert [NOW - 1_000 * number for number in range(7)] == [row.end for row in page.list[:7]]
        assert everything.list[:10] == page.list
        assert [90, 90, 90] == [page.total_size, everything.total_size, len(everything.list)]
        assert 3 == kit.scheduler.history("all@a").total_size

    def test_they_outlive_it(self) -> None:
        """
        A deletion takes the records along; their rows are still those of the definition.
        """
        kit = make_kit()
        kit.put(make_task(id="all", run_on_all_nodes=True, period=500), _record("a", 2), _record("b", 1))
        kit.scheduler.delete_task("all")

        assert [kit.stored(name) for name in ("all", "all@a", "all@b")] == [None] * 3
        kinds = [(row.task_id, row.status) for row in kit.scheduler.history("all").list]
        assert [kind for kind in kinds if kind[1] == "SUCCESS"].count(("all@a", "SUCCESS")) == 2
        assert ("all@b", "SUCCESS") in kinds


def _record(node_id: str, runs: int, *, ago: int = 0) -> Task:
    task = ran(runs, id=f"all@{node_id}", all_nodes_of="all", run_on_all_nodes=True, on_nodes=(node_id,))
    entries = (
        {**one, "claimId": f"{node_id}-{one['claimId']}", "timestamp": to_iso(from_iso(one["timestamp"]) - ago)}
        for one in task.history
    )
    return evolve(task, history=tuple(entries))


def test_a_dependent_that_fails_keeps_its_first_entry() -> None:
    """
    The eleventh entry is written by this process, behind the row of the first; and its own row follows.
    """
    kit = make_kit()
    waits = {"id": "one", "status": TaskStatus.WAITING, "depends_on": ("first",), "waiting_on_tasks": ("first",)}
    kit.put(make_task(id="first", dependents=("one",)), evolve(ran(HISTORY_LIMIT), **waits))
    kit.scheduler.cancel_task("first")
    last = kit.stored("one")

    assert last is not None
    assert TaskStatus.FAILED is last.status
    assert HISTORY_LIMIT + 1 == len(stored(kit))
