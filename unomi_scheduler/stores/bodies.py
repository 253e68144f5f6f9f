"""
Stored bodies: what the embedded stores read back, whatever stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import orjson

from ..model import Heartbeat, JsonObject, Malformed, Note, Slot, Stored, Task, Version
from ..ports import Changes, Found, Mark, Position
from .documents import decode_heartbeat, decode_note, decode_slot
from .reading import listed, placed

R = TypeVar("R", Heartbeat, Slot, Note)


def read_task(task_id: str, body: object) -> Task | Malformed:
    """
    Return the task of a body, or what is wrong with it: not JSON, not a task, or the task of another id.
    """
    try:
        document = _object(body)
    except ValueError as error:
        return Malformed(id=task_id, reason=str(error), document={"unreadable": _shown(body)})
    return placed(task_id, document)


def stored_task(task_id: str, body: object, version: Version) -> Stored[Task] | Stored[Malformed]:
    """
    Return what `read_task` reads, with its version.
    """
    record = read_task(task_id, body)
    if isinstance(record, Task):
        return Stored(record, version)
    return Stored(record, version)


def read_heartbeats(rows: Iterable[tuple[str, object, Version]]) -> list[Stored[Heartbeat]]:
    """
    Return the heartbeats of these ids, bodies and versions; what is none is left out.
    """
    return _readable(rows, decode_heartbeat)


def read_slots(rows: Iterable[tuple[str, object, Version]]) -> list[Stored[Slot]]:
    """
    Return the slots of these ids, bodies and versions; what is none is left out.
    """
    return _readable(rows, decode_slot)


def read_notes(rows: Iterable[tuple[str, object, Version]]) -> list[Stored[Note]]:
    """
    Return the notes of these ids, bodies and versions; what is none is left out.
    """
    return _readable(rows, decode_note)


def found(rows: list[tuple[str, object, Version]], *, limit: int, cursor: Callable[[Any], Any]) -> Found:
    """
    Return the answer to a search from up to `limit` + 1 rows; the one more only tells that there is more.

    `cursor` gives the cursor behind a row from its id.
    """
    records = [Stored(read_task(row[0], row[1]), row[2]) for row in rows[:limit]]
    return Found(
        tasks=tuple(Stored(one.record, one.version) for one in records if isinstance(one.record, Task)),
        malformed=tuple(Stored(one.record, one.version) for one in records if isinstance(one.record, Malformed)),
        after=cursor(rows[limit - 1]) if 0 < limit < len(rows) else None,
    )


def changed(rows: list[tuple[str, object, Version]], *, since: Position, skip: Collection[Mark], limit: int) -> Changes:
    """
    Return the answer to a search for changes in a store with one sequence from up to `limit` + 1 rows.
    """
    shown = rows[:limit]
    fresh = [row for row in shown if (0, row[2].seq_no) not in skip]
    read = [(listed(read_task(task_id, body)), version) for task_id, body, version in fresh]
    last = shown[-1][2].seq_no if shown else since.numbers[0]
    return Changes(
        tasks=tuple(Stored(task, version) for task, version in read if task is not None),
        position=Position(since.identity, (last,)),
        marks=frozenset((0, row[2].seq_no) for row in fresh),
        more=len(rows) > limit,
    )


def fits(position: Position, now: Position) -> bool:
    """
    Tell whether a position is one of the same sequences as the present one, and not ahead of it.
    """
    same = position.identity == now.identity and len(position.numbers) == len(now.numbers)
    return same and all(one <= other for one, other in zip(position.numbers, now.numbers, strict=True))


def _readable(rows: Iterable[tuple[str, object, Version]], decode: Callable[[JsonObject], R]) -> list[Stored[R]]:
    readable = []
    for record_id, body, version in rows:
        try:
            record = decode(_object(body))
        except ValueError:
            continue
        if record.id == record_id:
            readable.append(Stored(record, version))
    return readable


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, str | bytes):
        raise ValueError(f"a JSON object is required, got {body!r:.80}")  # noqa: TRY004
    document = orjson.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"a JSON object is required, got {document!r:.80}")  # noqa: TRY004
    return document


def _shown(body: object) -> Any:
    return body.decode(errors="replace") if isinstance(body, bytes) else body
