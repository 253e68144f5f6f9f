"""
The history: rows that are created once, listed by task, and dropped when they are old; and the search for ended tasks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.contract.support import MakeStore, Plant, ids, put, results, unreadable, walk
from tests.factories import NOW, make_row, make_task
from unomi_scheduler.model import HistoryRow, TaskStatus
from unomi_scheduler.ports import EndedQuery, HistoryQuery, Outcome, Result, TaskStore

DAY = 86_400_000
MONTH = 31 * DAY


def rows(store: TaskStore, task_id: str = "one", **over: Any) -> list[HistoryRow]:
    """
    Return the rows of a task that a search shows.
    """
    store.refresh()
    return list(store.history(HistoryQuery(task_id=task_id, **over)).list)


class HistoryContract:
    """
    The history, and the search for ended tasks.
    """

    def test_a_row_comes_back_as_it_was(self, store: TaskStore) -> None:
        """
        Every field; and one with nothing but what each has.
        """
        full = make_row(
            claim_id="claim-1", fence=2**53, node_id="node-a", start=NOW - 7, duration=7, attempt=2, error='"é\n',
            previous_owner="node-a", recovery_node="node-b", all_nodes_of="all", period=NOW - 9,
        )  # fmt: skip
        bare = make_row(end=NOW - 1)

        assert store.add_history([full, bare]) == [Outcome(Result.WRITTEN)] * 2
        assert rows(store) == [full, bare]

    def test_a_row_is_created_once(self, store: TaskStore) -> None:
        """
        Again is harmless, alone and among new ones: what stood first stays, and the answer says that it is there.
        """
        first, new = make_row(status="SUCCESS"), make_row(end=NOW - 1)
        store.add_history([first])

        assert store.add_history([first]) == [Outcome(Result.WRITTEN)]
        assert store.add_history([first._replace(status="FAILED"), new]) == [Outcome(Result.WRITTEN)] * 2
        assert rows(store) == [first, new]

    def test_the_rows_of_run_records_are_those_of_their_definition_too(self, store: TaskStore) -> None:
        """
        In one list, by their ends and in pages; each record has its own, and other definitions have others.
        """
        mine = [
            make_row(
                end=NOW - number,
                task_id=("all", "all@a", "all@b")[number % 3],
                all_nodes_of="all" if number % 3 else None,
            )
            for number in range(7)
        ]
        store.add_history([*reversed(mine), make_row(task_id="other@a", all_nodes_of="other")])

        assert rows(store, "all") == mine
        assert rows(store, "all", offset=2, limit=3) == mine[2:5]
        assert store.history(HistoryQuery(task_id="all", limit=3)).total_size == 7
        assert rows(store, "all@a") == mine[1::3]
        store.drop_history(before=NOW + 2 * MONTH)
        assert rows(store, "all") == []

    def test_nothing_to_add_is_nothing(self, store: TaskStore) -> None:
        """
        An empty call answers with an empty list.
        """
        assert store.add_history([]) == []

    def test_a_task_without_rows_has_an_empty_page(self, store: TaskStore) -> None:
        """
        Also where there is no row of any task yet.
        """
        page = store.history(HistoryQuery(task_id="nobody", offset=3, limit=7))

        assert ((), 3, 7, 0) == (page.list, page.offset, page.page_size, page.total_size)

    def test_the_newest_come_first_page_by_page(self, store: TaskStore) -> None:
        """
        Of this task alone, across months; the total counts all.
        """
        mine = [make_row(end=NOW - number * 3 * DAY) for number in range(25)]
        store.add_history([make_row(task_id="other"), *reversed(mine)])
        store.refresh()
        pages = [store.history(HistoryQuery(task_id="one", offset=offset, limit=10)) for offset in (0, 10, 20)]

        assert mine == [row for page in pages for row in page.list]
        assert {(25, 10)} == {(page.total_size, page.page_size) for page in pages}
        assert mine == rows(store, limit=-1)

    def test_a_thousand_rows_in_one_call(self, store: TaskStore) -> None:
        """
        As a node flushes them.
        """
        many = [make_row(task_id=f"task-{number % 7}", end=NOW - number) for number in range(1_000)]

        assert set(results(store.add_history(many))) == {Result.WRITTEN}
        assert [row for row in many if row.task_id == "task-3"] == rows(store, "task-3", limit=1_000)

    def test_ids_are_any_text(self, store: TaskStore) -> None:
        """
        As those of tasks.
        """
        names = ("a b", 'it\'s "x"', "a/b?c#d%20", "ключ-é-鍵", "_underscore", "x" * 512)
        odd = [make_row(task_id=name) for name in names]
        store.add_history(odd)

        assert [[row] for row in odd] == [rows(store, name) for name in names]

    def test_rows_outlive_their_task_and_are_seen_by_all_handles(self, store: TaskStore, make_store: MakeStore) -> None:
        """
        They are kept beside the tasks, in the store.
        """
        store.add_history([make_row()])

        assert [make_row()] == rows(make_store()) == rows(store.lane(5.0))

    def test_eight_that_add_the_first_rows_at_once(self, store: TaskStore, make_store: MakeStore) -> None:
        """
        Each row is there once, also the one that all add: what the first use makes is made without a race.
        """
        handles = [store, *(make_store() for _ in range(7))]
        barrier = Barrier(8)

        def add(number: int) -> list[Outcome]:
            barrier.wait(10)
            return handles[number].add_history([make_row(), make_row(end=NOW - 1 - number)])

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(add, range(8)))

        assert answers == [[Outcome(Result.WRITTEN)] * 2] * 8
        assert 9 == len(rows(store))

    def test_old_rows_are_dropped(self, store: TaskStore) -> None:
        """
        Those of months that are over, whatever their task; a younger one never, and then nothing is left to drop.
        """
        young = [make_row(end=NOW), make_row(end=NOW - MONTH, task_id="two")]
        old = [make_row(end=NOW - 3 * MONTH), make_row(end=NOW - 30 * MONTH, task_id="two")]
        store.add_history([*young, *old])
        store.refresh()

        assert store.drop_history(before=NOW - MONTH) == 2
        assert [[young[0]], [young[1]]] == [rows(store), rows(store, "two")]
        assert store.drop_history(before=NOW - MONTH) == 0

    def test_a_row_may_come_back_after_it_was_dropped(self, store: TaskStore) -> None:
        """
        What was dropped leaves nothing behind that a later row stumbles over.
        """
        row = make_row(end=NOW - 3 * MONTH)
        store.add_history([row])
        store.drop_history(before=NOW)

        assert store.add_history([row]) == [Outcome(Result.WRITTEN)]
        assert [row] == rows(store)

    def test_ended_tasks_are_found_by_their_last_execution(self, store: TaskStore) -> None:
        """
        At or after the moment, whatever became of them, by that moment and then by id; in pages.
        """
        ended = [
            make_task(id=f"{number}", last_execution_date=NOW + number // 2, status=status)
            for number, status in enumerate(
                [
                    TaskStatus.COMPLETED,
                    TaskStatus.FAILED,
                    TaskStatus.SCHEDULED,
                    TaskStatus.RUNNING,
                    TaskStatus.CANCELLED,
                ]
            )
        ]
        put(store, *reversed(ended), make_task(), make_task(last_execution_date=NOW - 1))

        assert ids(store.find_ended(EndedQuery(since=NOW, limit=10))) == ["0", "1", "2", "3", "4"]
        assert [*walk(lambda after: store.find_ended(EndedQuery(since=NOW, limit=2, after=after)))] == [
            "0", "1", "2", "3", "4",
        ]  # fmt: skip
        assert ids(store.find_ended(EndedQuery(since=NOW + 3, limit=10))) == []

    def test_run_records_are_among_the_ended(self, store: TaskStore) -> None:
        """
        Lists leave them out, but the run of one may lack its row like any other.
        """
        record = {"all_nodes_of": "x", "run_on_all_nodes": True, "all_nodes_period": NOW}
        put(
            store,
            make_task(id="b", last_execution_date=NOW + 1),
            make_task(id="x@a", last_execution_date=NOW, **record),
            make_task(id="x@c", last_execution_date=NOW + 2, **record),
            make_task(id="x@d", last_execution_date=NOW - 1, **record),
        )

        assert ids(store.find_ended(EndedQuery(since=NOW, limit=10))) == ["x@a", "b", "x@c"]
        assert [*walk(lambda after: store.find_ended(EndedQuery(since=NOW, limit=1, after=after)))] == [
            "x@a", "b", "x@c",
        ]  # fmt: skip

    def test_what_is_no_task_stops_no_search_for_ended_ones(self, store: TaskStore, plant: Plant) -> None:
        """
        Nobody's run ended there.
        """
        put(store, make_task(id="good", last_execution_date=NOW))
        plant("bad", unreadable("bad", lastExecutionDate="2025-06-15T15:06:40.000Z"))
        store.refresh()
        found = store.find_ended(EndedQuery(since=NOW, limit=10))

        assert ids(found) == ["good"]
        assert [stored.record.id for stored in found.malformed] == ["bad"]

    @pytest.mark.parametrize("limit", [1, 2])
    def test_a_short_page_of_rows(self, store: TaskStore, limit: int) -> None:
        """
        No more than was asked for.
        """
        store.add_history([make_row(end=NOW - number) for number in range(3)])

        assert limit == len(rows(store, limit=limit))
