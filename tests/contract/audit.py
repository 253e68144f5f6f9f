"""
The audit: rows that are created once and never changed, listed the newest first, and dropped when they are old.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import Any

import pytest

from tests.contract.history import DAY, MONTH
from tests.contract.support import MakeStore, results
from tests.factories import NOW
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.model import AuditRow
from unomi_scheduler.ports import AuditQuery, Outcome, Result, TaskStore

_numbers: Iterator[int] = count()


def make_audit(**over: Any) -> AuditRow:
    """
    Return a row of a cancel at `NOW`, with an id of its own.
    """
    row = {"id": f"row-{next(_numbers):06}", "at": NOW, "who": "admin", "action": "cancel", "status": 204, **over}
    return AuditRow(**row)


def audited(store: TaskStore, **over: Any) -> list[AuditRow]:
    """
    Return the rows that a search shows.
    """
    store.refresh()
    return list(store.audit(AuditQuery(**over)).list)


class AuditContract:
    """
    The audit.
    """

    def test_a_row_of_the_audit_comes_back_as_it_was(self, store: TaskStore) -> None:
        """
        Every field; and one with nothing but what each has.
        """
        full = make_audit(
            via="SHELL", by_token="t1", address="10.0.0.1", task_id="a b/ключ", node_id="node-a", token_id="t2",
            parameters={"deep": [{"a": None}, 1.5]}, counts={"changed": 3}, left_out=7,
        )  # fmt: skip
        bare = make_audit(at=NOW - 1)

        assert store.add_audit([full, bare]) == [Outcome(Result.WRITTEN)] * 2
        assert audited(store) == [full, bare]

    def test_a_row_of_the_audit_is_never_changed(self, store: TaskStore) -> None:
        """
        Again is harmless: what stood first stays, and the answer says that it is there.
        """
        first, new = make_audit(), make_audit(at=NOW - 1)
        store.add_audit([first])

        assert store.add_audit([first._replace(who="mallory"), new]) == [Outcome(Result.WRITTEN)] * 2
        assert audited(store) == [first, new]

    def test_an_empty_audit_has_an_empty_page(self, store: TaskStore) -> None:
        """
        And nothing to add is nothing.
        """
        assert store.add_audit([]) == []
        page = store.audit(AuditQuery(offset=3, limit=7))
        assert ((), 3, 7, 0) == (page.list, page.offset, page.page_size, page.total_size)

    def test_the_newest_rows_of_the_audit_come_first_page_by_page(self, store: TaskStore) -> None:
        """
        Across months; those of one moment by their ids; the total counts all.
        """
        rows = [make_audit(at=NOW - number * 3 * DAY) for number in range(25)]
        rows.insert(0, make_audit())
        store.add_audit([*reversed(rows)])
        store.refresh()
        pages = [store.audit(AuditQuery(offset=offset, limit=10)) for offset in (0, 10, 20)]

        assert rows == [row for page in pages for row in page.list]
        assert {(26, 10)} == {(page.total_size, page.page_size) for page in pages}
        assert rows == audited(store, limit=-1)

    def test_the_audit_of_a_task_and_of_a_person(self, store: TaskStore) -> None:
        """
        Filters combine.
        """
        mine, other, theirs = (
            make_audit(task_id="one"), make_audit(at=NOW - 1), make_audit(at=NOW - 2, task_id="one", who="ops"),
        )  # fmt: skip
        store.add_audit([mine, other, theirs])

        assert [mine, theirs] == audited(store, task_id="one")
        assert [mine, other] == audited(store, who="admin")
        assert [theirs] == audited(store, task_id="one", who="ops")
        assert [] == audited(store, task_id="two")

    @pytest.mark.parametrize(("offset", "limit"), [(-1, 1), (0, -2), (9_999, 2), (10_001, -1)])
    def test_a_page_of_the_audit_out_of_range(self, store: TaskStore, offset: int, limit: int) -> None:
        """
        Is refused by its numbers.
        """
        with pytest.raises(InvalidTask, match=f"got {offset} and {limit}"):
            store.audit(AuditQuery(offset=offset, limit=limit))

    def test_what_is_no_json_is_refused(self, store: TaskStore) -> None:
        """
        And said, never raised.
        """
        assert results(store.add_audit([make_audit(parameters={"text": "\ud800"})])) == [Result.REFUSED]
        assert [] == audited(store)

    def test_eight_that_add_the_first_rows_of_the_audit_at_once(self, store: TaskStore, make_store: MakeStore) -> None:
        """
        Each row is there once, seen by all handles.
        """
        handles = [store, *(make_store() for _ in range(7))]
        barrier, shared = Barrier(8), make_audit()

        def add(number: int) -> list[Outcome]:
            barrier.wait(10)
            return handles[number].add_audit([shared, make_audit(at=NOW - 1 - number)])

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(add, range(8)))

        assert answers == [[Outcome(Result.WRITTEN)] * 2] * 8
        assert 9 == len(audited(store)) == len(audited(store.lane(5.0)))

    def test_old_rows_of_the_audit_are_dropped(self, store: TaskStore) -> None:
        """
        Those of months that are over, never a younger one.
        """
        young, old = [make_audit(), make_audit(at=NOW - MONTH)], [make_audit(at=NOW - n * MONTH) for n in (3, 30)]
        store.add_audit([*young, *old])
        store.refresh()

        assert store.drop_audit(before=NOW - MONTH) == 2
        assert young == audited(store)
        assert store.drop_audit(before=NOW - MONTH) == 0
