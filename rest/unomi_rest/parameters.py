"""
Query parameters: read strictly, each error naming its parameter. An empty one counts as absent.
"""

from __future__ import annotations

import re
from typing import Any

import falcon

from unomi_scheduler import TaskStatus

from .problems import InvalidParameter

DEFAULT_LIMIT = 50
ALL = -1
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")
_FLAGS = {"true": True, "false": False}
_SORT_FIELDS = {
    "creationdate": "creation_date",
    "lastexecutiondate": "last_execution_date",
    "nextscheduledexecution": "next_scheduled_execution",
    "tasktype": "task_type",
    "status": "status",
    "itemid": "id",
    "failurecount": "failure_count",
    "successcount": "success_count",
    "totalexecutioncount": "total_execution_count",
}


def text(req: falcon.Request, name: str) -> str | None:
    """
    Return a parameter, None when it is absent or empty.

    Raises:
        InvalidParameter: it is given more than once.
    """
    values = req.get_param_as_list(name) or []
    if len(values) > 1:
        raise InvalidParameter(name, ", ".join(values), "one value")
    return next(iter(values), "").strip() or None


def whole_number(req: falcon.Request, name: str, *, default: int, least: int) -> int:
    """
    Return a whole number that is not less than a bound.

    Raises:
        InvalidParameter: it is none, or less.
    """
    value = text(req, name)
    if value is None:
        return default
    if not _WHOLE_NUMBER.fullmatch(value) or int(value) < least:
        raise InvalidParameter(name, value, f"a whole number of {least} or more")
    return int(value)


def flag(req: falcon.Request, name: str) -> bool:
    """
    Return a parameter that is `true` or `false`; false when absent.

    Raises:
        InvalidParameter: it is something else.
    """
    value = text(req, name)
    if value is None:
        return False
    if value.lower() not in _FLAGS:
        raise InvalidParameter(name, value, "true or false")
    return _FLAGS[value.lower()]


def status(req: falcon.Request) -> TaskStatus | None:
    """
    Return the `status` to filter by, in any case.

    Raises:
        InvalidParameter: there is no such status.
    """
    value = text(req, "status")
    if value is None:
        return None
    try:
        return TaskStatus(value.upper())
    except ValueError:
        raise InvalidParameter("status", value, f"one of {', '.join(TaskStatus)}") from None


def sort_by(req: falcon.Request) -> str:
    """
    Return `sortBy` as `find_tasks` takes it. A field nobody knows sorts by creation, as the original does.

    Raises:
        InvalidParameter: the direction is neither `asc` nor `desc`.
    """
    value = text(req, "sortBy") or "creationDate"
    field, _, direction = value.partition(":")
    if direction.lower() not in {"", "asc", "desc"}:
        raise InvalidParameter("sortBy", value, "FIELD, FIELD:asc or FIELD:desc")
    return f"{_SORT_FIELDS.get(field.strip().lower(), 'creation_date')}:{direction.lower() or 'asc'}"


def task_query(req: falcon.Request) -> dict[str, Any]:
    """
    Return the arguments of `find_tasks` that a request asks for.
    """
    return {
        "status": status(req),
        "task_type": text(req, "type"),
        "offset": whole_number(req, "offset", default=0, least=0),
        "limit": whole_number(req, "limit", default=DEFAULT_LIMIT, least=ALL),
        "sort_by": sort_by(req),
        "records": flag(req, "records"),
    }
