"""
The codec between history rows and their JSON documents: camelCase, and null fields left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from pydantic.alias_generators import to_camel

from ..model import HistoryRow, Json
from ..timestamps import to_iso

_NAMES = tuple((name, to_camel(name)) for name in HistoryRow._fields)
_REQUIRED = frozenset(HistoryRow._fields) - HistoryRow._field_defaults.keys()
_DATES = frozenset({"start", "end", "period"})
_ALWAYS = HistoryRow._fields.index("error")
"""How many fields a run has that ended well; those behind tell of errors, crashes and run records."""
_NOTHING = (None,) * (len(_NAMES) - _ALWAYS)


def row_document(row: HistoryRow) -> dict[str, Json]:
    """
    Return the document of a row as a store keeps it: dates are epoch milliseconds.
    """
    if None in row[:_ALWAYS] or row[_ALWAYS:] != _NOTHING:
        return {wire: value for (_, wire), value in zip(_NAMES, row, strict=True) if value is not None}
    # A run that ended well: one literal instead of a loop over names.
    row_id, task_id, task_type, status, end, claim_id, fence, node_id, start, duration, attempt, *_ = row
    return {
        "id": row_id,
        "taskId": task_id,
        "taskType": task_type,
        "status": status,
        "end": end,
        "claimId": claim_id,
        "fence": fence,
        "nodeId": node_id,
        "start": start,
        "duration": duration,
        "attempt": attempt,
    }


def history_document(row: HistoryRow) -> dict[str, Json]:
    """
    Return the JSON document of a row as users see it: dates are ISO 8601.
    """
    document = row_document(row)
    return document | {name: to_iso(document[name]) for name in _DATES & document.keys()}


def encode_row(row: HistoryRow) -> bytes:
    """
    Return the bytes of a row's JSON document.

    Raises:
        TypeError: a text in it is not Unicode.
    """
    return orjson.dumps(row_document(row))


def readable_rows(documents: Iterable[Mapping[str, Any]]) -> tuple[HistoryRow, ...]:
    """
    Return the rows of documents; fields of a newer version are ignored, and what is no row is left out.
    """
    rows = ({name: one[wire] for name, wire in _NAMES if wire in one} for one in documents)
    return tuple(HistoryRow(**row) for row in rows if row.keys() >= _REQUIRED and type(row["end"]) is int)
