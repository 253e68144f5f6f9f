"""
`find`: what people see.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.contract.support import Plant, due_query, put, rewrite, unreadable
from tests.factories import NOW, make_task
from unomi_scheduler.model import (
    TaskStatus,
    TotalRelation,
)
from unomi_scheduler.ports import (
    Records,
    TaskQuery,
    TaskStore,
)


class ListContract:
    """
    `find`: what people see.
    """

    def test_filters_combine(self, store: TaskStore) -> None:
        """
        Status and type both hold, and the total counts every match.
        """
        both = make_task(status=TaskStatus.FAILED, task_type="a")
        put(store, both, make_task(status=TaskStatus.FAILED, task_type="b"), make_task(task_type="a"))

        page = store.find(TaskQuery(status=TaskStatus.FAILED, task_type="a"))
        assert (both,) == page.list
        assert (page.total_size, page.total_size_relation) == (1, TotalRelation.EQUAL)
        assert store.find(TaskQuery(status=TaskStatus.FAILED)).total_size == 2
        assert store.find(TaskQuery(task_type="a")).total_size == 2
        assert store.find(TaskQuery()).total_size == 3

    def test_run_records_are_listed_only_when_asked_for(self, store: TaskStore) -> None:
        """
        Beside the others, alone, or those of one definition; filters combine as ever.
        """
        plain = make_task(id="a")
        first, second = (
            make_task(id=name, all_nodes_of=name[0], run_on_all_nodes=True, all_nodes_period=NOW, status=status)
            for name, status in (("x@n", TaskStatus.COMPLETED), ("y@n", TaskStatus.FAILED))
        )
        put(store, second, first, plain)
        by_id = TaskQuery(sort_by="id")
        found = {
            records: store.find(replace(by_id, records=records, status=status))
            for records, status in ((Records.HIDDEN, None), (Records.SHOWN, None), (Records.ONLY, TaskStatus.FAILED))
        }
        of_one = store.find(replace(by_id, record_of="x"))

        assert ((plain,), 1) == (found[Records.HIDDEN].list, found[Records.HIDDEN].total_size)
        assert ((plain, first, second), 3) == (found[Records.SHOWN].list, found[Records.SHOWN].total_size)
        assert ((second,), 1) == (found[Records.ONLY].list, found[Records.ONLY].total_size)
        assert ((first,), 1) == (of_one.list, of_one.total_size)

    def test_pages_follow_each_other(self, store: TaskStore) -> None:
        """
        Offsets walk the list; beyond the end is an empty page with the true total.
        """
        tasks = [make_task(creation_date=NOW + number) for number in range(5)]
        put(store, *tasks)
        pages = [store.find(TaskQuery(offset=offset, limit=2)) for offset in (0, 2, 4, 6)]

        assert [tasks[0:2], tasks[2:4], tasks[4:], []] == [list(page.list) for page in pages]
        assert [(page.offset, page.page_size, page.total_size) for page in pages] == [
            (0, 2, 5),
            (2, 2, 5),
            (4, 2, 5),
            (6, 2, 5),
        ]

    def test_limit_minus_one_is_all(self, store: TaskStore) -> None:
        """
        The page says what was asked for; an offset still counts.
        """
        tasks = [make_task() for _ in range(60)]
        put(store, *tasks)
        page = store.find(TaskQuery(limit=-1))

        assert tasks == list(page.list)
        assert (page.page_size, page.total_size) == (-1, 60)
        assert tasks[58:] == list(store.find(TaskQuery(limit=-1, offset=58)).list)

    def test_limit_zero_counts(self, store: TaskStore) -> None:
        """
        An empty page still has the total.
        """
        put(store, make_task())
        page = store.find(TaskQuery(limit=0))

        assert (page.list, page.total_size) == ((), 1)

    @pytest.mark.parametrize("field", ["last_execution_date", "next_scheduled_execution"])
    def test_none_sorts_first_ascending_and_last_descending(self, store: TaskStore, field: str) -> None:
        """
        Ties go by id in both directions.
        """
        early, late, late_too = (make_task(**{field: value}) for value in (NOW, NOW + 1, NOW + 1))
        none, none_too = make_task(), make_task()
        put(store, late_too, none_too, late, none, early)

        up = store.find(TaskQuery(sort_by=field)).list
        down = store.find(TaskQuery(sort_by=field, descending=True)).list
        assert [none, none_too, early, late, late_too] == list(up)
        assert [late, late_too, early, none, none_too] == list(down)

    @pytest.mark.parametrize(
        ("field", "first", "second"),
        [
            ("creation_date", {"creation_date": NOW - 1}, {}),
            ("task_type", {"task_type": "B"}, {"task_type": "a"}),
            ("failure_count", {"failure_count": 2}, {"failure_count": 10}),
            ("success_count", {"success_count": 2}, {"success_count": 10}),
            (
                "total_execution_count",
                {"success_count": 1, "failure_count": 9},
                {"success_count": 6, "failure_count": 5},
            ),
            ("id", {"id": "Z"}, {"id": "a"}),
        ],
    )
    def test_sorting(self, store: TaskStore, field: str, first: dict[str, Any], second: dict[str, Any]) -> None:
        """
        Numbers sort as numbers, texts by code point.
        """
        later, earlier = make_task(**{"id": "m-2", **second}), make_task(**{"id": "m-1", **first})
        put(store, later, earlier)

        assert (earlier, later) == store.find(TaskQuery(sort_by=field)).list
        assert (later, earlier) == store.find(TaskQuery(sort_by=field, descending=True)).list

    def test_status_sorts_in_the_order_of_the_states(self, store: TaskStore) -> None:
        """
        The order of the contract, not the alphabet's; pages cut it anywhere.
        """
        tasks = [
            make_task(id=f"{9 - rank}{copy}", status=status) for rank, status in enumerate(TaskStatus) for copy in "ab"
        ]
        put(store, *reversed(tasks))

        pages = [store.find(TaskQuery(sort_by="status", offset=offset, limit=5)).list for offset in (0, 5, 10)]
        assert tasks == [task for page in pages for task in page]
        assert TaskStatus.CRASHED is store.find(TaskQuery(sort_by="status", descending=True)).list[0].status

    def test_what_is_no_task_is_not_listed(self, store: TaskStore, plant: Plant) -> None:
        """
        It is neither in the list nor in the total, before its quarantine and after.
        """
        task = make_task()
        put(store, task)
        plant("broken", unreadable("broken"))
        store.refresh()
        before = store.find(TaskQuery())
        (malformed,) = store.find_due(due_query()).malformed
        rewrite(store, malformed.record, malformed.version)
        after = store.find(TaskQuery())

        assert ((task,), 1) == (before.list, before.total_size)
        assert ((task,), 1) == (after.list, after.total_size)
