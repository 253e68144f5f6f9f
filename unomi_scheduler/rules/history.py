"""
The history in the document: the last ten entries, newest last (contract section 8).
"""

from __future__ import annotations

from ..model import HISTORY_LIMIT, Json, JsonObject, Task, TaskStatus
from ..timestamps import to_iso

ERROR_LIMIT = 4_000
"""The most characters of an error text that a document keeps."""

SUCCESS = "SUCCESS"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
CRASHED = "CRASHED"
RESUMED = "RESUMED"
RETRIED = "RETRIED"


def entry(task: Task, kind: str, *, at: int, node_id: str | None, **more: Json) -> JsonObject:
    """
    Return a history entry: what, when, where, while the task runs the claim and the fence of that run, and of a run
    record the period that it stood for.
    """
    made: dict[str, Json] = {"timestamp": to_iso(at), "status": kind, "nodeId": node_id, **more}
    if task.claim_id and task.status is TaskStatus.RUNNING:
        made |= {"claimId": task.claim_id, "fence": task.fence}
    if task.all_nodes_period is not None:
        made["period"] = to_iso(task.all_nodes_period)
    return made


def appended(task: Task, added: JsonObject) -> tuple[JsonObject, ...]:
    """
    Return the task's history with one more entry, the oldest dropped beyond ten.
    """
    return (*task.history, added)[-HISTORY_LIMIT:]


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
