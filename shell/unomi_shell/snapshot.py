"""
A look at a whole cluster: counts, what runs, what is due next, what failed last, and the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from .completing import STATES
from .failures import Exit, Failure

if TYPE_CHECKING:
    from .tasks import Document, Tasks

_MOST = 30
"""So many tasks of each kind are looked at; no screen shows more."""
_MILLIS = 1_000
_MOST_REQUESTS = 4
_FRESH = 2_500
"""How old (ms) a part of a look may be that is not asked for again."""
_NEWEST = "lastExecutionDate:desc"
_LISTED = {
    "running": ("RUNNING", "creationDate"),
    "nextDue": ("SCHEDULED", "nextScheduledExecution"),
    "failed": ("FAILED", _NEWEST),
    "crashed": ("CRASHED", _NEWEST),
}


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


class Lookout:
    """
    Looks at a cluster again and again; once it has seen all of it, by at most four requests a look.

    The counts and what runs are asked for each time, of the rest what was seen longest ago; nothing that is older than
    a few seconds is left, and nothing is asked for that the counts say is not there.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._parts: dict[str, tuple[int, list[Document]]] = {}
        self._filter: tuple[str | None, str | None] = (None, None)

    def forget(self) -> None:
        """
        Look at everything the next time.
        """
        self._parts.clear()

    def look(self, wish: Wish, *, now: int) -> Document:
        """
        Return what is to be seen, as a JSON document.

        Args:
            now: epoch ms.

        Raises:
            Failure: something could not be asked.
        """
        if self._filter != (wish.status, wish.task_type):
            self.forget()
            self._filter = wish.status, wish.task_type
        counts = _counts(self._tasks.types(), wish.task_type)
        shown = {} if wish.shown is None else {"shown": _whole_task(self._tasks, wish.shown)}
        self._ask(wish, counts, now, most=_MOST_REQUESTS - 1 - 2 * len(shown))
        parts = {name: part for name, (_, part) in self._parts.items()}
        return {
            "at": iso(now),
            "filter": {"status": wish.status, "type": wish.task_type},
            "counts": counts,
            **_lists(parts),
            "nodes": parts["nodes"],
            **shown,
        }

    def _ask(self, wish: Wish, counts: Mapping[str, int], now: int, *, most: int) -> None:
        wanted = {"listed": (wish.status, _NEWEST)} if wish.status is not None else _LISTED
        nothing = [name for name, (state, _) in wanted.items() if not counts[state]]
        self._parts.update(dict.fromkeys(nothing, (now, [])))
        there = [name for name in (*wanted, "nodes") if name not in nothing]
        # What runs comes before all that was seen already, and the rest by its age.
        seen = {name: self._parts[name][0] if name in self._parts else -inf for name in there}
        order = sorted(there, key=lambda name: (now - seen[name] <= _FRESH, name != "running", seen[name]))
        for place, name in enumerate(order):
            if place < most or now - seen[name] > _FRESH:
                self._parts[name] = now, self._tasks.nodes() if name == "nodes" else self._listed(wish, *wanted[name])

    def _listed(self, wish: Wish, state: str, sort: str) -> list[Document]:
        of_type = {"type": wish.task_type} if wish.task_type else {}
        return list(self._tasks.page(status=state, sortBy=sort, limit=_MOST, **of_type)["list"])


def _counts(types: Sequence[Document], wanted: str | None) -> dict[str, int]:
    of_type = [one["counts"] for one in types if wanted in (None, one["taskType"])]
    return {state: sum(int(counts.get(state, 0)) for counts in of_type) for state in STATES}


def _lists(parts: Mapping[str, list[Document]]) -> dict[str, list[Document]]:
    if "listed" in parts:
        return {"listed": parts["listed"]}
    due, failures = parts["nextDue"], [*parts["failed"], *parts["crashed"]]
    return {
        "running": parts["running"],
        "nextDue": [one for one in due if one.get("nextScheduledExecution") and one.get("enabled", True)],
        "lastFailures": sorted(failures, key=lambda one: one.get("lastExecutionDate") or "", reverse=True)[:_MOST],
    }


def in_sight(seen: Mapping[str, Any], wish: Wish) -> bool:
    """
    Tell whether the lists of a look are those of this wish, not of the one before.
    """
    return seen.get("filter") in (None, {"status": wish.status, "type": wish.task_type})


def shown_of(seen: Mapping[str, Any], wish: Wish) -> Document | None:
    """
    Return the task that a look shows whole, with its reasons, or None while it has not looked at the one wished for.
    """
    shown: Document | None = seen.get("shown")
    return shown if shown is not None and shown["itemId"] == wish.shown else None


def _whole_task(tasks: Tasks, task_id: str) -> Document:
    try:
        return {"itemId": task_id, "task": tasks.task(task_id), "reasons": tasks.explain(task_id)}
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND:
            raise
        return {"itemId": task_id, "task": None, "reasons": [failure.message]}


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
