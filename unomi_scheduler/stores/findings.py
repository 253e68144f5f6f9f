"""
What every store's `check` tells of its documents, in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..model import Malformed, Misplaced, Stored

SHOWN = 5
"""How many documents a problem names; the rest is counted."""
_LONGEST_REASON = 200


def quarantine_problem(count: int, some: Sequence[tuple[str, str]]) -> Iterator[str]:
    """
    Yield the problem of the documents in quarantine, if there are any.

    Args:
        some: ids and reasons of the first of them.
    """
    if count:
        yield (
            f"{_number(count)} in quarantine, left alone by every node: {_listed(count, some)}. "
            "Put each right and remove its quarantineReason, or delete it"
        )


def unreadable_problem(malformed: Iterable[Stored[Malformed]]) -> Iterator[str]:
    """
    Yield the problem of documents that are no tasks and that no node has met yet, if there are any.
    """
    # What is only misplaced is moved, not put in quarantine.
    some = [(one.record.id, one.record.reason) for one in malformed if not isinstance(one.record, Misplaced)]
    if some:
        yield (
            f"{_number(len(some))} that cannot be read and that a node will put in quarantine: "
            f"{_listed(len(some), some)}. Put each right, or delete it"
        )


def _number(count: int) -> str:
    return "1 task document" if count == 1 else f"{count} task documents"


def _listed(count: int, some: Sequence[tuple[str, str]]) -> str:
    shown = "; ".join(f"{task_id} ({_on_one_line(reason)})" for task_id, reason in some[:SHOWN])
    more = count - min(SHOWN, len(some))
    return f"{shown}; and {more} more" if more else shown


def _on_one_line(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"
