"""
Query parameters: each is one object that says how it is read and how it is described.

They are read strictly, and each error names its parameter. An empty filter or order counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import falcon

from unomi_scheduler import TaskStatus

from .problems import InvalidParameter

T = TypeVar("T")
ALL = -1
MOST_LISTED = 10_000
"""How many items one page has at most."""
DEFAULT_LIMIT = 50
LARGEST = 2**31 - 1
LONGEST_MILLIS = 200 * 366 * 24 * 3_600_000
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
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
_DIRECTIONS = frozenset({"", "asc", "desc"})


@dataclass(frozen=True, kw_only=True)
class Parameter(Generic[T]):
    """
    One query parameter.

    Args:
        parse: makes the value of its text; raises ValueError where the text is not as `expected` says.
        schema: its JSON schema.
        required: it must be given.
        may_be_empty: an empty text counts as absent; else it is refused, since it may be a mistake that changes much.
    """

    name: str
    about: str
    parse: Callable[[str], T]
    expected: str
    default: T
    schema: Mapping[str, Any] = field(default_factory=dict)
    may_be_empty: bool = False
    required: bool = False

    def of(self, req: falcon.Request) -> T:
        """
        Return the value of a request's parameter, the default when it is absent.

        Raises:
            InvalidParameter: it is given more than once, it is not as expected, or it is required and absent.
        """
        values = req.get_param_as_list(self.name) or []
        if len(values) > 1:
            raise InvalidParameter(self.name, ", ".join(values), "one value")
        value = next(iter(values), "").strip()
        if self.required and not values:
            raise InvalidParameter(self.name, "", self.expected)
        if not values or (not value and self.may_be_empty):
            return self.default
        try:
            return self.parse(value)
        except ValueError:
            raise InvalidParameter(self.name, value, self.expected) from None


def whole_number(name: str, about: str, *, default: int, least: int = 0, most: int = LARGEST) -> Parameter[int]:
    """
    Return a parameter that is a whole number within bounds.
    """
    parse, expected, schema = _within(least, most)
    schema = schema | {"default": default}
    return Parameter(name=name, about=about, parse=parse, expected=expected, default=default, schema=schema)


def optional_number(name: str, about: str, *, least: int = 0, most: int = LARGEST) -> Parameter[int | None]:
    """
    Return a parameter that is a whole number within bounds, or None when absent.
    """
    parse, expected, schema = _within(least, most)
    return Parameter(name=name, about=about, parse=parse, expected=expected, default=None, schema=schema)


def _within(least: int, most: int) -> tuple[Callable[[str], int], str, dict[str, Any]]:
    def parse(value: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(value) or not least <= int(value) <= most:
            raise ValueError(value)
        return int(value)

    expected = f"a whole number of {least} or more" if most == LARGEST else f"a whole number from {least} to {most:,}"
    return parse, expected, {"type": "integer", "minimum": least, "maximum": most}


def flag(name: str, about: str, *, required: bool = False) -> Parameter[bool]:
    """
    Return a parameter that is `true` or `false`; false when absent, where it is not required.
    """

    def parse(value: str) -> bool:
        if value.lower() not in _FLAGS:
            raise ValueError(value)
        return _FLAGS[value.lower()]

    schema: dict[str, Any] = {"type": "boolean"} if required else {"type": "boolean", "default": False}
    return Parameter(
        name=name, about=about, parse=parse, expected="true or false", default=False, schema=schema, required=required
    )


def _text(value: str) -> str:
    return value


def _status(value: str) -> TaskStatus:
    return TaskStatus(value.upper())


def _sort_by(value: str) -> str:
    name, _, direction = value.partition(":")
    if direction.lower() not in _DIRECTIONS:
        raise ValueError(value)
    return f"{_SORT_FIELDS.get(name.strip().lower(), 'creation_date')}:{direction.lower() or 'asc'}"


STATUS = Parameter[TaskStatus | None](
    name="status",
    about="Only tasks in this state, in any case.",
    parse=_status,
    expected=f"one of {', '.join(TaskStatus)}",
    default=None,
    schema={"type": "string", "enum": [*TaskStatus, ""]},
    may_be_empty=True,
)
TYPE = Parameter[str | None](
    name="type", about="Only tasks of this type.", parse=_text, expected="a task type", default=None,
    schema={"type": "string"}, may_be_empty=True,
)  # fmt: skip
TASK = Parameter[str | None](
    name="task", about="Only changes of the task with this itemId.", parse=_text, expected="an itemId", default=None,
    schema={"type": "string"}, may_be_empty=True,
)  # fmt: skip
WHO = Parameter[str | None](
    name="who", about="Only changes by this user, or token of this name.", parse=_text, expected="a name", default=None,
    schema={"type": "string"}, may_be_empty=True,
)  # fmt: skip
SORT_BY = Parameter[str](
    name="sortBy",
    about="`FIELD`, `FIELD:asc` or `FIELD:desc`; ties go by itemId, what has no value comes first ascending. A field "
    f"that nobody knows counts as creationDate. The fields: {', '.join(sorted(_SORT_FIELDS))}, in any case.",
    parse=_sort_by,
    expected="FIELD, FIELD:asc or FIELD:desc",
    default="creation_date:asc",
    schema={"type": "string", "pattern": "^[^:]*(:([aA][sS][cC]|[dD][eE][sS][cC])?)?$", "default": "creationDate:asc"},
    may_be_empty=True,
)
OFFSET = whole_number("offset", "How many items the page leaves out at its beginning.", default=0)
LIMIT = whole_number(
    "limit",
    f"How many items the page has at most; -1 means all, up to {MOST_LISTED:,}.",
    default=DEFAULT_LIMIT,
    least=ALL,
    most=MOST_LISTED,
)
RECORDS = flag("records", "List the run records of all-nodes tasks too.")
REMOVE = flag("remove", "Remove the document instead of keeping it as CANCELLED.")
STRICT = flag("strict", "Answer 409 where the task's state does not allow the step, instead of leaving it unchanged.")
RESET_FAILURE_COUNT = flag("resetFailureCount", "Give the task all its retries again; without, one attempt follows.")
MAX_RETRIES = optional_number("maxRetries", "How often a failed run is tried again.")
RETRY_DELAY = optional_number("retryDelay", "How long (ms) before each retry.", most=LONGEST_MILLIS)
DAYS = optional_number(
    "days", "How long ago they must have completed; by default the setting completed_task_ttl.", most=73_000
)
ENABLED = flag("enabled", "Run tasks, or nothing but what is for all nodes.", required=True)
DRY_RUN = flag("dryRun", "Change nothing, and answer how many tasks there are and which come first.")


TASK_ID = Parameter[str | None](
    name="id", about="Only this task.", parse=_text, expected="a task's itemId", default=None,
    schema={"type": "string"}, may_be_empty=True,
)  # fmt: skip
SINCE = Parameter[str | None](
    name="since",
    about="The id of an event, of any process: what has changed behind it comes first. The header Last-Event-ID says "
    "the same, and is stronger.",
    parse=_text,
    expected="the id of an event",
    default=None,
    schema={"type": "string"},
    may_be_empty=True,
)
MOST_EVENTS = optional_number("limit", "How many events end the answer; by default it goes on.", least=1, most=10_000)
LONGEST_STREAM = 600
SECONDS = optional_number(
    "timeout", f"How many seconds the answer lasts at most; {LONGEST_STREAM} by default.", most=LONGEST_STREAM
)


def task_query(req: falcon.Request) -> dict[str, Any]:
    """
    Return the arguments of `find_tasks` that a request asks for.
    """
    return {
        "status": STATUS.of(req),
        "task_type": TYPE.of(req),
        "offset": OFFSET.of(req),
        "limit": LIMIT.of(req),
        "sort_by": SORT_BY.of(req),
        "records": RECORDS.of(req),
    }
