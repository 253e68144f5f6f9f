"""
One call's writes, checked before anything is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from ..errors import InvalidTask
from ..model import Heartbeat, Malformed, Note, Record, Slot, Task
from ..ports import Action, Outcome, Result, Write
from .documents import encode


class Kind(StrEnum):
    """
    The four kinds of documents; one id may name one of each.
    """

    TASKS = "tasks"
    HEARTBEATS = "heartbeats"
    SLOTS = "slots"
    NOTES = "notes"


_KINDS: dict[type[Record], Kind] = {
    Task: Kind.TASKS,
    Malformed: Kind.TASKS,
    Heartbeat: Kind.HEARTBEATS,
    Slot: Kind.SLOTS,
    Note: Kind.NOTES,
}


def kind_of(record: Record) -> Kind:
    """
    Return the kind of a record's document.
    """
    return _KINDS[type(record)]


def check_batch(writes: Sequence[Write]) -> None:
    """
    Check what the caller owes the port.

    Raises:
        ValueError: two writes of one document, or a condition missing or out of place.
    """
    seen: set[tuple[Kind, str]] = set()
    for write in writes:
        key = (kind_of(write.record), write.record.id)
        if key in seen:
            raise ValueError(f"two writes of {key[0]} document {key[1]!r} in one call")
        seen.add(key)
        if (write.condition is None) is not (write.action is Action.CREATE):
            raise ValueError(f"{write.action.value} of {key[1]!r}: create takes no condition, the others need one")


def body_of(write: Write) -> bytes | Outcome:
    """
    Return the body to store (empty for a deletion), or the refusal of a record that is not JSON.
    """
    if write.action is Action.DELETE:
        return b""
    try:
        return encode(write.record)
    except InvalidTask as error:
        return Outcome(Result.REFUSED, error=error)
