"""
Lists of memory tasks and stored tasks as one, page by page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from tests.factories import NOW, make_task
from unomi_scheduler.model import Page, Task
from unomi_scheduler.ports import TaskQuery, TaskStore
from unomi_scheduler.service import listing

CAP = 7


@dataclass
class CappedStore:
    """
    A store that gives at most `CAP` tasks at once, in the order of their ids.
    """

    tasks: list[Task]

    def find(self, query: TaskQuery) -> Page:
        """
        Return a page.
        """
        assert 0 <= query.limit <= CAP
        shown = tuple(self.tasks[query.offset : query.offset + query.limit])
        return Page(list=shown, offset=query.offset, page_size=query.limit, total_size=len(self.tasks))


@pytest.fixture(autouse=True)
def _small_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LIST_CAP", CAP)


def tasks_of(names: str) -> list[Task]:
    """
    Return a task for each letter.
    """
    return [make_task(id=name, creation_date=NOW) for name in names]


@pytest.mark.parametrize("offset", range(21))
@pytest.mark.parametrize("limit", [-1, 0, 1, 3, 6, 7])
@pytest.mark.parametrize("memory", ["", "a", "aio", "xyz", "abcdefgh"])
def test_every_page_is_a_part_of_the_one_list(offset: int, limit: int, memory: str) -> None:
    """
    Wherever the memory tasks stand, and however much the store gives at once.
    """
    stored = tasks_of("".join(letter for letter in "abcdefghijklmnopqrst" if letter not in memory))
    store = cast("TaskStore", CappedStore(stored))
    page = listing.list_tasks(TaskQuery(sort_by="id", offset=offset, limit=limit), memory=tasks_of(memory), store=store)
    whole = sorted([*memory, *(task.id for task in stored)])

    assert [task.id for task in page.list] == whole[offset : offset + (CAP if limit < 0 else limit)]
    assert (page.total_size, page.offset, page.page_size) == (len(whole), offset, limit)


def test_without_a_store_there_are_the_memory_tasks() -> None:
    """
    Sorted and cut alike.
    """
    page = listing.list_tasks(TaskQuery(sort_by="id", offset=1, limit=1), memory=tasks_of("cab"), store=None)

    assert [task.id for task in page.list] == ["b"]
    assert page.total_size == 3
