"""
The history: the last ten entries in the document, newest last (contract section 8), and the row that each entry is
outside of it (P20).

The document is the outbox of the rows: `history_flushed` of its entries, from the oldest, are known to have theirs. It
moves only with writes that happen anyway, so it may lag; a row is created only once, so making it again is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from ..model import HISTORY_LIMIT, HistoryRow, Json, JsonObject, Task, TaskStatus
from ..timestamps import from_iso, to_iso

ERROR_LIMIT = 4_000
"""The most characters of an error text that a document or a row keeps."""
ROW_ID_BYTES = 512
_LONGEST_PLAIN_ID = 100

SUCCESS = "SUCCESS"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
CRASHED = "CRASHED"
RESUMED = "RESUMED"
RETRIED = "RETRIED"


def entry(task: Task, kind: str, *, at: int, node_id: str | None, **more: Json) -> JsonObject:
    """
    Return a history entry: what, when, where, under which fence, and, while the task runs, the claim of that run.

    A later attempt than the first since the last success says which it is, and a run record the period that it stood
    for.
    """
    made: dict[str, Json] = {"timestamp": to_iso(at), "status": kind, "nodeId": node_id, **more, "fence": task.fence}
    if task.claim_id and task.status is TaskStatus.RUNNING:
        made["claimId"] = task.claim_id
        if task.failure_count or task.crash_count:
            made["attempt"] = task.failure_count + task.crash_count + 1
    if task.all_nodes_period is not None:
        made["period"] = to_iso(task.all_nodes_period)
    return made


def flushed_of(task: Task) -> int:
    """
    Return how many entries the document says have their row, whatever another program may have put there.
    """
    return min(max(0, task.history_flushed), len(task.history))


def unflushed(task: Task) -> Sequence[JsonObject]:
    """
    Return the entries that are not said to have their row. That a run goes on from a crash has none yet while its claim
    may still be given back, which takes the entry away again.
    """
    entries = task.history[flushed_of(task) :]
    noted = task.status is TaskStatus.RUNNING and entries and entries[-1].get("status") == RESUMED
    return entries[:-1] if noted else entries


def recorded(task: Task, added: JsonObject) -> dict[str, Any]:
    """
    Return the fields of the task that change with one more entry: the oldest is dropped beyond ten.
    """
    kept = (*task.history, added)[-HISTORY_LIMIT:]
    dropped = len(task.history) + 1 - len(kept)
    return {"history": kept, "history_flushed": max(0, flushed_of(task) - dropped)}


def evicts(task: Task, flushed: int) -> bool:
    """
    Tell whether one more entry would drop one without a row, when the oldest `flushed` entries have theirs.
    """
    return flushed < 1 and len(task.history) >= HISTORY_LIMIT


def took(task: Task, *, until: int) -> dict[str, int]:
    """
    Return what an entry says of how long a run went on that others ended, in ms; nothing when the task does not run.

    The clocks are of two machines: it is never below 0.
    """
    if task.status is not TaskStatus.RUNNING or task.lock_date is None:
        return {}
    return {"executionTime": max(0, until - task.lock_date)}


def last_outcome(task: Task) -> str | None:
    """
    Return the kind of the newest entry, or None when there is none.
    """
    return task.history[-1].get("status") if task.history else None


def clipped(text: str) -> str:
    """
    Return an error text cut to `ERROR_LIMIT` characters, saying so.
    """
    if len(text) <= ERROR_LIMIT:
        return text
    note = f"… ({len(text)} characters)"
    return text[: ERROR_LIMIT - len(note)] + note


def rows_of(task: Task, *, after: int = 0) -> list[HistoryRow]:
    """
    Return the rows of the task's entries, the oldest first, without the oldest `after`.
    """
    return [row_of(task, one) for one in task.history[after:]]


def row_of(task: Task, one: JsonObject, known_id: str | None = None) -> HistoryRow:
    """
    Return the row of one entry, whatever another program may have put into it; its id is made unless it is known.
    """
    # Every run makes a row, so the types are looked at here and not in functions.
    get = one.get
    status, node_id, claim_id, error = get("status"), get("nodeId"), get("claimId"), get("error")
    fence, duration, attempt = get("fence"), get("executionTime"), get("attempt")
    end = _ended(task, one)
    claim_id = claim_id if type(claim_id) is str else None
    duration = duration if type(duration) is int else None
    return HistoryRow(
        known_id or row_id(task, one),
        task.id,
        task.task_type,
        status if type(status) is str else "",
        end,
        claim_id,
        fence if type(fence) is int else None,
        node_id if type(node_id) is str else None,
        None if duration is None else end - duration,
        duration,
        attempt if type(attempt) is int else 1 if claim_id else None,
        clipped(error) if type(error) is str else None,
        _text(get("previousOwner")) if status == CRASHED else None,
        _text(get("recoveryNode")) if status == CRASHED else None,
        task.all_nodes_of,
        None if task.all_nodes_of is None else _moment(get("period")),
    )


def row_id(task: Task, one: JsonObject) -> str:
    """
    Return the id of an entry's row: `<taskId>:<claimId>`, or `<taskId>:<fence>-<kind>-<epoch ms>` where none ran.

    A claim has one end, so its id is enough. What has no run has no claim, but it stands between two claims, so the
    fence tells it from its like before and behind; the kind and the moment from those of the same fence. All of this
    stands in the entry, so that whoever reads the document makes the same id.
    """
    claim_id = one.get("claimId")
    if claim_id and isinstance(claim_id, str):
        rest = claim_id
    else:
        fence = one.get("fence")
        rest = f"{fence if type(fence) is int else 0}-{one.get('status')}-{_ended(task, one)}"
    if len(task.id) <= _LONGEST_PLAIN_ID or len(task.id.encode()) + len(rest.encode()) < ROW_ID_BYTES:
        return f"{task.id}:{rest}"
    return f"{sha256(task.id.encode()).hexdigest()}:{rest}"


def _ended(task: Task, one: JsonObject) -> int:
    ended = _moment(one.get("timestamp"))
    return task.creation_date if ended is None else ended


def _moment(value: Json) -> int | None:
    try:
        return from_iso(value)
    except (TypeError, ValueError):
        return None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None
