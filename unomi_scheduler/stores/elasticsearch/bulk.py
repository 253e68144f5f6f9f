"""
Writes as operations of `_bulk`: the index of each, its lines of the body, and how a batch is cut into requests.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson

from ...errors import InvalidTask
from ...model import Heartbeat, Malformed, Note, Record, Slot, Task
from ...ports import Action, Outcome, Result, Write
from ..documents import encode
from .mapping import Kind, write_alias_of

PART_BYTES = 5_000_000
ID_BYTES = 512
_KINDS: dict[type, Kind] = {
    Task: Kind.TASK,
    Malformed: Kind.TASK,
    Heartbeat: Kind.NODE,
    Slot: Kind.SLOT,
    Note: Kind.NOTE,
}
_VERBS = {Action.CREATE: "create", Action.REPLACE: "index", Action.DELETE: "delete"}
_INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Operation(NamedTuple):
    """
    One write on its way: its place in the caller's list, the concrete index it goes to, and its lines of the body.
    """

    place: int
    action: Action
    home: str
    lines: bytes


def kind_of(record: Record) -> Kind:
    """
    Return which index a record lives in.
    """
    return _KINDS[type(record)]


def check(writes: Sequence[Write]) -> None:
    """
    Refuse a batch that no store could do (P1, P5).

    Raises:
        ValueError: two writes of one document, or a condition that does not fit its action.
    """
    counts = Counter((kind_of(write.record), write.record.id) for write in writes)
    if len(counts) != len(writes):
        raise ValueError(f"at most one write a document in one call, here are more of {counts.most_common(1)[0][0][1]}")
    for write in writes:
        if (write.condition is None) is not (write.action is Action.CREATE):
            raise ValueError(
                f"{write.action.value} of {write.record.id}: a condition belongs to replace and delete, always"
            )


def refusal_of(write: Write) -> Outcome | None:
    """
    Return the outcome of a write that cannot succeed whatever the store holds, or None.

    One such operation would make the server refuse the whole batch.
    """
    size = len(write.record.id.encode())
    if not 0 < size <= ID_BYTES:
        reason = f"an id has 1 to {ID_BYTES} bytes, this one has {size}: {write.record.id!r:.80}"
        return Outcome(Result.REFUSED, error=InvalidTask(reason))
    if write.condition is None:
        return None
    if not _INDEX_NAME.fullmatch(write.condition.index):
        return Outcome(Result.MISSING)
    if write.condition.seq_no < 0 or write.condition.primary_term < 1:
        return Outcome(Result.CONFLICT)
    return None


def operation(place: int, write: Write, index: str) -> Operation:
    """
    Return a write as an operation on a concrete index.

    Raises:
        InvalidTask: a value in the record is not JSON.
    """
    target: dict[str, str | int] = {"_index": write_alias_of(index), "_id": write.record.id}
    if write.condition is not None:
        target["if_seq_no"] = write.condition.seq_no
        target["if_primary_term"] = write.condition.primary_term
    lines = orjson.dumps({_VERBS[write.action]: target}) + b"\n"
    if write.action is not Action.DELETE:
        lines += encode(write.record) + b"\n"
    return Operation(place, write.action, index, lines)


def parts(operations: Sequence[Operation], limit: int = PART_BYTES) -> Iterator[list[Operation]]:
    """
    Cut a batch, in order, into requests of at most `limit` bytes; an operation that is larger goes alone.
    """
    part: list[Operation] = []
    size = 0
    for one in operations:
        if part and size + len(one.lines) > limit:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one.lines)
    if part:
        yield part


def body(part: Sequence[Operation]) -> bytes:
    """
    Return the body of one request.
    """
    return b"".join([one.lines for one in part])
