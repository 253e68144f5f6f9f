"""
Finding the task that the beginning of an id means, however many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .failures import Exit, Failure

if TYPE_CHECKING:
    from .tasks import Document, Tasks

_SHOWN = 5
_BEHIND = "\U0010ffff"
_PAGE = 500
"""So many tasks are read at once and looked through; among more, the place of the beginning is searched for."""


def find(tasks: Tasks, given: str) -> Document:
    """
    Return the task with this id, or the only one whose id begins so.

    Raises:
        Failure: there is none, or there are several.
    """
    if not given.strip():
        raise Failure("ID: expected a text that is not blank", Exit.USAGE)
    try:
        return tasks.task(given)
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND:
            raise
    found = beginning_with(tasks, given)
    if not found:
        raise Failure(f"Task not found: {given}", Exit.NOT_FOUND)
    if len(found) > 1:
        some = ", ".join(task["itemId"] for task in found[:_SHOWN])
        many = f"at least {_PAGE}" if len(found) == _PAGE else len(found)
        raise Failure(f"{many} tasks begin with {given}: {some}{', …' * (len(found) > _SHOWN)}", Exit.USAGE)
    return tasks.task(found[0]["itemId"])


def beginning_with(tasks: Tasks, given: str, *, most: int = _PAGE) -> list[Document]:
    """
    Return the tasks whose id begins so, sorted by it, up to so many.
    """
    page = tasks.page(limit=_PAGE, sortBy="itemId")
    total = int(page["totalSize"])
    if total > len(page["list"]) and not page["list"][-1]["itemId"] > given + _BEHIND:
        page = tasks.page(offset=_place(tasks, given, total), limit=most, sortBy="itemId")
    return [task for task in page["list"] if task["itemId"].startswith(given)][:most]


def _place(tasks: Tasks, given: str, total: int) -> int:
    # Halved each time: twenty short questions find one among a million.
    low, high = 0, total
    while low < high:
        middle = (low + high) // 2
        there = tasks.page(offset=middle, limit=1, sortBy="itemId")["list"]
        if there and there[0]["itemId"] < given:
            low = middle + 1
        else:
            high = middle
    return low
