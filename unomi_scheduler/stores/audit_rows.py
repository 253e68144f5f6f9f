"""
The codec between rows of the audit and their JSON documents (camelCase, null fields left out), and which a list shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from pydantic.alias_generators import to_camel

from ..errors import InvalidTask
from ..model import AuditRow, Json
from ..ports import LIST_CAP, AuditQuery
from ..timestamps import to_iso

_NAMES = tuple((name, to_camel(name)) for name in AuditRow._fields)
_REQUIRED = frozenset(AuditRow._fields) - AuditRow._field_defaults.keys()


def row_document(row: AuditRow) -> dict[str, Json]:
    """
    Return the document of a row as a store keeps it: its moment is epoch milliseconds.
    """
    return {wire: value for (_, wire), value in zip(_NAMES, row, strict=True) if value is not None}


def audit_document(row: AuditRow) -> dict[str, Json]:
    """
    Return the JSON document of a row as users see it: its moment is ISO 8601.
    """
    return row_document(row) | {"at": to_iso(row.at)}


def encode_row(row: AuditRow) -> bytes:
    """
    Return the bytes of a row's JSON document.

    Raises:
        TypeError: something in it is not JSON.
    """
    return orjson.dumps(row_document(row))


def readable_rows(documents: Iterable[Mapping[str, Any]]) -> tuple[AuditRow, ...]:
    """
    Return the rows of documents; fields of a newer version are ignored, and what is no row is left out.
    """
    rows = ({name: one[wire] for name, wire in _NAMES if wire in one} for one in documents)
    return tuple(AuditRow(**row) for row in rows if row.keys() >= _REQUIRED and type(row["at"]) is int)


def limit_of(query: AuditQuery) -> int:
    """
    Return how many rows a page may have.

    Raises:
        InvalidTask: the page is none, or reaches behind what is listed.
    """
    limit = LIST_CAP - query.offset if query.limit < 0 else query.limit
    if query.offset < 0 or query.limit < -1 or limit < 0 or query.offset + limit > LIST_CAP:
        raise InvalidTask(
            f"Invalid page: expected an offset of 0 or more, a limit of -1 or more, and at most {LIST_CAP:,} together, "
            f"got {query.offset} and {query.limit}"
        )
    return limit
