"""
All-nodes tasks: one definition that no node claims, and on each node one run record, begun anew for each period (P14).

A *turn* is one run on one node, named by the moment at which it is due: where a period begins, or when a run was asked
for. Turns follow from the definition alone; a node takes one only if it is later than the last one in its record. So a
record says by its own condition that a period runs once on a node, and that none begins before the last one has ended.
A fixed delay counts like a fixed rate here: the end of a run is another moment on each node.
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum, auto
from hashlib import blake2b
from typing import Any, NamedTuple

from ..model import Task, TaskStatus
from ..timestamps import from_iso
from . import history
from .claims import UNOWNED
from .lifecycle import ENDED, advance
from .validation import ID_LIMIT

COPIED = ("task_type", "parameters", "max_retries", "retry_delay", "max_crashes", "keep_checkpoint", "system_task")
"""What a record takes from its definition at each turn."""
CONCLUDE_AFTER = 60_000
"""Milliseconds after the only period began from which a definition may end: who has not begun by then does not."""
ABSENCE = 600_000
"""Milliseconds after which a broken-off run without a next period is given up when its node does not come back."""
KEEP_ABSENT = 86_400_000
"""Milliseconds for which the last outcome of a node that is gone stays visible."""


def record_id(definition_id: str, node_id: str) -> str:
    """
    Return the id of a node's run record: `definition@node`, with a hash behind it where that would be ambiguous or too
    long.
    """
    plain = f"{definition_id}@{node_id}"
    if plain.count("@") == 1 and len(plain.encode()) <= ID_LIMIT:
        return plain
    mark = blake2b(f"{len(definition_id)}/{plain}".encode(), digest_size=8).hexdigest()
    cut = plain.encode()[: ID_LIMIT - len(mark) - 1].decode(errors="ignore")
    return f"{cut}~{mark}"


# --- when


def period_at(definition: Task, *, now: int) -> int | None:
    """
    Return when the period of this moment began, or None before the first. Without a length there is one period.

    The first begins at the definition's own date, which its creation set to creation + delay; nothing but an edit of
    the
    schedule moves that.
    """
    first = definition.next_scheduled_execution
    if first is None or now < first:
        return None
    length = definition.period_millis
    return first + (now - first) // length * length if length else first


def turn_at(definition: Task, *, now: int) -> int | None:
    """
    Return the newest turn that is due at this moment, or None when there was none yet.
    """
    asked = definition.run_requested_at
    moments = (period_at(definition, now=now), asked if asked is not None and asked <= now else None)
    return max((one for one in moments if one is not None), default=None)


def next_turn(definition: Task, *, now: int) -> int | None:
    """
    Return the first turn after this moment, or None when none is known.
    """
    begun, length = period_at(definition, now=now), definition.period_millis
    following = definition.next_scheduled_execution if begun is None else begun + length if length else None
    return min((one for one in (following, definition.run_requested_at) if one is not None and one > now), default=None)


def owed(definition: Task, *, last: int | None, since: int, now: int) -> int | None:
    """
    Return the turn that a node has to take now, or None: the present one alone, as missed ones are skipped.

    Args:
        last: the last turn of this node.
        since: from when on the node could run it; whoever comes in the middle of a period waits for the next.
    """
    turn = turn_at(definition, now=now)
    if turn is None or turn < since or (last is not None and turn <= last):
        return None
    return turn


def retried(definition: Task, turn: int) -> bool:
    """
    Tell whether a turn is the retry of a definition without a period that failed on some node, without a reset: it is
    one attempt more for who has not succeeded. With a reset it is a turn like the first.
    """
    return definition.failure_count > 0 and not definition.period_millis and turn == definition.next_scheduled_execution


def spared(definition: Task, record: Task | None, turn: int) -> bool:
    """
    Tell whether a node has nothing to do in a turn, since it has succeeded and only the others try again.
    """
    return record is not None and record.status is TaskStatus.COMPLETED and retried(definition, turn)


def over(definition: Task, turn: int, *, now: int) -> bool:
    """
    Tell whether a later turn has come.
    """
    newest = turn_at(definition, now=now)
    return newest is not None and newest > turn


# --- records


def in_progress(record: Task) -> bool:
    """
    Tell whether a record's turn has begun and has not ended; one that was given back never began.
    """
    if record.status in ENDED:
        return False
    if record.status is not TaskStatus.SCHEDULED:
        return True
    return bool(record.failure_count or record.run_requests or record.resume_requested)


def left_open(record: Task) -> bool:
    """
    Tell whether a record has not ended, though no run of it is under way.
    """
    return record.status not in (TaskStatus.RUNNING, *ENDED) and record.owner_incarnation is None


def admitted(record: Task, definition: Task, *, now: int) -> bool:
    """
    Tell whether a record that is due may still be claimed: a retry always, what broke off or never began within its
    period.
    """
    if record.status is TaskStatus.SCHEDULED and in_progress(record):
        return True
    return not over(definition, record.all_nodes_period or 0, now=now)


def armed(definition: Task, record: Task | None, *, turn: int, node_id: str, now: int) -> Task:
    """
    Return a node's record ready to be claimed for a turn: new, or the one that has ended its last.

    It is an ordinary task that runs once, for this node alone, so claims, retries, crashes, cancels and the history
    need
    to know nothing of all this. Counters of successes and the history stay.
    """
    values: dict[str, Any] = {
        **{name: getattr(definition, name) for name in COPIED},
        "on_nodes": (node_id,),
        "on_tags": (),
        "enabled": True,
        "all_nodes_of": definition.id,
        "all_nodes_period": turn,
        "next_scheduled_execution": turn,
        "failure_count": record.failure_count if record is not None and retried(definition, turn) else 0,
        "crash_count": 0,
    }
    if record is None:
        return Task(
            id=record_id(definition.id, node_id),
            creation_date=now,
            fence=now,
            run_on_all_nodes=True,
            extra=definition.extra,
            **values,
        )
    return advance(record, *(() if record.status is TaskStatus.SCHEDULED else (TaskStatus.SCHEDULED,)), **values)


def closed(record: Task, *, now: int, found_by: str, reason: str) -> Task:
    """
    Return a record whose turn nobody will end: FAILED, with the reason.
    """
    path = {
        TaskStatus.CRASHED: (TaskStatus.FAILED,),
        TaskStatus.SCHEDULED: (TaskStatus.CRASHED, TaskStatus.FAILED),
        TaskStatus.WAITING: (TaskStatus.FAILED,),
    }[record.status]
    node_id = record.on_nodes[0] if record.on_nodes else None
    added = history.entry(record, history.FAILED, at=now, node_id=node_id, error=reason, recoveryNode=found_by)
    return advance(
        record,
        *path,
        **UNOWNED,
        **history.recorded(record, added),
        current_step=None,
        last_execution_date=now,
        last_error=reason,
        failure_count=record.failure_count + 1,
        next_scheduled_execution=None,
        run_requests=0,
        run_requested_at=None,
        resume_requested=False,
    )


# --- what becomes of records that their node does not look after


class Care(Enum):
    """
    What to do with a record.
    """

    KEEP = auto()
    CLOSE = auto()
    """End it as FAILED: its node is gone, or its period is."""
    CANCEL = auto()
    """Its definition was cancelled."""
    REMOVE = auto()
    """Its definition was deleted, or its node is long gone."""


class Advice(NamedTuple):
    """
    What to do with a record, and why.
    """

    care: Care
    reason: str = ""


_KEEP = Advice(Care.KEEP)


def judge(record: Task, definition: Task | None, *, gone: bool, now: int) -> Advice:
    """
    Return what to do with a record, so that nothing is left CRASHED or waiting for ever.

    Args:
        definition: as read now; None when there is none.
        gone: its node does not take part, or has no executor of the type.
    """
    if record.status is TaskStatus.RUNNING or record.owner_incarnation is not None:
        return _KEEP
    if definition is None or not definition.everywhere or definition.delete_requested:
        return Advice(Care.REMOVE, "its definition was deleted")
    if record.status in ENDED:
        return Advice(Care.REMOVE, "its node is gone") if gone and now - _moved(record) > KEEP_ABSENT else _KEEP
    if definition.status is TaskStatus.CANCELLED:
        return Advice(Care.CANCEL, "its definition was cancelled")
    return _unfinished(record, definition, gone=gone, now=now)


def _unfinished(record: Task, definition: Task, *, gone: bool, now: int) -> Advice:
    trouble = record.last_error or "the run was not begun"
    late = over(definition, record.all_nodes_period or 0, now=now)
    if late and (gone or record.status is TaskStatus.CRASHED):
        return Advice(Care.CLOSE, f"{trouble}, and its node did not go on before the next period began")
    if gone and not definition.period_millis and now - _moved(record) > ABSENCE:
        return Advice(Care.CLOSE, f"{trouble}, and its node did not come back within {ABSENCE // 60_000} minutes")
    return _KEEP


def _moved(record: Task) -> int:
    moments = [record.all_nodes_period or 0, record.last_execution_date or 0]
    if record.history:
        # In a document that others edited it may be anything.
        with suppress(ValueError):
            moments.append(from_iso(str(record.history[-1].get("timestamp"))))
    return max(moments)


# --- the end of a definition without a period


def conclusion_due(definition: Task, *, now: int) -> bool:
    """
    Tell whether a definition has no turn to come and who takes part has begun, unless a record still says otherwise.
    """
    turn = turn_at(definition, now=now)
    return (
        not definition.period_millis
        and turn is not None
        and next_turn(definition, now=now) is None
        and now - turn > CONCLUDE_AFTER
    )


def concluded(definition: Task, records: list[Task], *, now: int) -> Task:
    """
    Return the definition after its only turn ended on each node: COMPLETED, or FAILED where some node failed.

    A success of an earlier turn, which a retry has spared, was counted then.
    """
    turn = turn_at(definition, now=now) or 0
    good = [one for one in records if one.status is TaskStatus.COMPLETED and (one.all_nodes_period or 0) >= turn]
    failed = sorted(one.on_nodes[0] for one in records if one.status is TaskStatus.FAILED and one.on_nodes)
    return advance(
        definition,
        TaskStatus.RUNNING,
        TaskStatus.FAILED if failed else TaskStatus.COMPLETED,
        last_execution_date=max((one.last_execution_date or 0 for one in records), default=now),
        last_error=f"failed on {', '.join(failed)}" if failed else definition.last_error,
        failure_count=len(failed),
        success_count=definition.success_count + len(good),
        next_scheduled_execution=None,
        run_requests=0,
        run_requested_at=None,
    )
