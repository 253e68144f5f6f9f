"""
A look at a whole cluster: counts, what runs, what is due next, what failed last, and the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .completing import STATES
from .failures import Exit, Failure

if TYPE_CHECKING:
    from .tasks import Document, Tasks

_MOST = 30
"""So many tasks of each kind are looked at; no screen shows more."""
_MILLIS = 1_000


class Wish(NamedTuple):
    """
    What somebody wants to see: tasks in a status or of a type, and one task whole.
    """

    status: str | None = None
    task_type: str | None = None
    shown: str | None = None

    @property
    def words(self) -> str:
        """
        The filter as it may be typed.
        """
        return " ".join(filter(None, (self.status, self.task_type)))


def read_wish(text: str, types: Sequence[str], *, shown: str | None = None) -> Wish:
    """
    Return the filter of what was typed: the name of a status, a type, or both; a unique beginning is enough.
    """
    status = task_type = None
    for word in text.split():
        states = [one for one in STATES if one.startswith(word.upper())]
        if word not in types and (word.upper() in STATES or len(states) == 1):
            status = states[0]
        else:
            task_type = _whole(word, types)
    return Wish(status, task_type, shown)


def _whole(word: str, types: Sequence[str]) -> str:
    found = [one for one in types if one.lower().startswith(word.lower())]
    return found[0] if len(found) == 1 and word not in types else word


def look(tasks: Tasks, wish: Wish, *, now: int) -> Document:
    """
    Return what is to be seen, as a JSON document.

    Args:
        now: epoch ms.

    Raises:
        Failure: something could not be asked.
    """
    of_type = {"type": wish.task_type} if wish.task_type else {}
    seen: dict[str, Any] = {
        "at": iso(now),
        "filter": {"status": wish.status, "type": wish.task_type},
        "counts": {one: tasks.page(status=one, limit=0, **of_type)["totalSize"] for one in STATES},
        **_lists(tasks, wish.status, of_type),
        "nodes": tasks.nodes(),
    }
    return seen if wish.shown is None else seen | {"shown": _whole_task(tasks, wish.shown)}


def _lists(tasks: Tasks, status: str | None, of_type: dict[str, str]) -> dict[str, list[Document]]:
    def listed(state: str, sort: str) -> list[Document]:
        return list(tasks.page(status=state, sortBy=sort, limit=_MOST, **of_type)["list"])

    newest = "lastExecutionDate:desc"
    if status is not None:
        return {"listed": listed(status, newest)}
    failures = listed("FAILED", newest) + listed("CRASHED", newest)
    due = listed("SCHEDULED", "nextScheduledExecution")
    return {
        "running": listed("RUNNING", "creationDate"),
        "nextDue": [one for one in due if one.get("nextScheduledExecution") and one.get("enabled", True)],
        "lastFailures": sorted(failures, key=lambda one: one.get("lastExecutionDate") or "", reverse=True)[:_MOST],
    }


def _whole_task(tasks: Tasks, task_id: str) -> Document:
    try:
        return {"task": tasks.task(task_id), "reasons": tasks.explain(task_id)}
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND:
            raise
        return {"task": None, "reasons": [failure.message]}


LISTS = ("listed", "running", "nextDue", "lastFailures")


def ids_of(seen: Mapping[str, Any]) -> list[str]:
    """
    Return the ids of the tasks in sight, from the top, each once.
    """
    return list(dict.fromkeys(task["itemId"] for name in LISTS for task in seen.get(name, ())))


def iso(millis: int) -> str:
    """
    Return a moment (epoch ms) as it is on the wire.
    """
    return datetime.fromtimestamp(millis / _MILLIS, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis_of(text: object) -> int | None:
    """
    Return a moment of the wire in epoch ms.
    """
    return round(datetime.fromisoformat(text).timestamp() * _MILLIS) if isinstance(text, str) else None
