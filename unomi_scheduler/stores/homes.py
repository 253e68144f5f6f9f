"""
Homes: a task by its own id or by the id of the document that Apache Unomi kept it in, wherever it stands.

What others put into the store is soon moved by a node, so there are few documents to look through.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import TaskNotFound
from ..model import Malformed, Misplaced, Stored, Task
from ..ports import TaskStore

_LOOKED_THROUGH = 1_000

Found = Stored[Task] | Stored[Malformed]


def wherever(store: TaskStore, ids: Sequence[str]) -> list[Found | None]:
    """
    Return the documents of these tasks, those too that have not been moved to their ids yet.
    """
    there: list[Found | None] = [*store.tasks(ids)]
    if None not in there:
        return there
    moving = _misplaced(store)
    return [moving.get(name) if one is None else one for name, one in zip(ids, there, strict=True)]


def find(store: TaskStore, given: str) -> Found:
    """
    Return the one document that an id stands for: the task's own id, or the document's id with the original.

    Raises:
        TaskNotFound: there is none.
    """
    (found,) = wherever(store, [given])
    found = found or _moved(store, given)
    if found is None:
        raise TaskNotFound(given)
    return found


def _misplaced(store: TaskStore) -> dict[str, Stored[Malformed]]:
    malformed = store.find_unplaced(limit=_LOOKED_THROUGH).malformed
    return {one.record.task.id: one for one in malformed if isinstance(one.record, Misplaced)}


def _moved(store: TaskStore, document_id: str) -> Stored[Task] | None:
    # A tenant's name may have the separator in it too.
    ends = [document_id[place + 1 :] for place, letter in enumerate(document_id) if letter == "_"]
    for one in store.tasks([end for end in ends if end]) if ends else ():
        if one is not None and isinstance(one.record, Task):
            task = one.record
            if document_id == f"{task.extra.get('tenantId')}_{task.id}":
                return Stored(task, one.version)
    return None
