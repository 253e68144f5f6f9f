"""
What `list` may be sorted by. A field nobody knows sorts by creation, as over REST, but whoever typed it is told.
"""

from __future__ import annotations

import click

SORT_FIELDS = (
    "creationDate",
    "lastExecutionDate",
    "nextScheduledExecution",
    "taskType",
    "status",
    "itemId",
    "failureCount",
    "successCount",
    "totalExecutionCount",
)
_BY_NAME = {field.lower(): field for field in SORT_FIELDS} | {"id": "itemId"}


def sort_by(given: str | None) -> str | None:
    """
    Return `sortBy` as REST and the store take it; names count in any case, and as Python writes them.
    """
    if given is None:
        return None
    name, colon, direction = given.partition(":")
    field = _BY_NAME.get(name.strip().replace("_", "").lower())
    if field is None:
        known = ", ".join(SORT_FIELDS)
        click.echo(f"Warning: no field {name!r} to sort by, so it is creationDate; expected one of {known}", err=True)
    return f"{field or 'creationDate'}{colon}{direction}"
