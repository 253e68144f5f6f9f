"""
Documents as text, for people: pure functions, local time, nothing that could steer a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

Document = Mapping[str, Any]
NONE = "-"
SEPARATOR = " │ "
RULE, CROSSING = "─", "─┼─"
LONGEST_TYPE = 30
_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


class Column(NamedTuple):
    """
    One column: its heading, how a task fills it, whether it stands to the right, and its greatest width.
    """

    heading: str
    cell: Callable[[Document], str]
    right: bool = False
    most: int | None = None


def moment(text: object) -> str:
    """
    Return a date of the wire in local time, e.g. `2024-03-20 15:00:00`; `-` for none.
    """
    if not isinstance(text, str):
        return NONE
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def next_run(task: Document) -> str:
    """
    Return when a task runs next, in local time; `-` for one that will not, whatever date its record keeps.
    """
    waits = task.get("enabled", True) and task.get("status") not in _ENDED
    return moment(task.get("nextScheduledExecution")) if waits else NONE


def plain(value: object) -> str:
    """
    Return a value as text on one line, without characters that steer a terminal; `-` for none.
    """
    if value is None:
        return NONE
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))


def storage(task: Document) -> str:
    """
    Return where a task lives.
    """
    return "Storage" if task.get("persistent", True) else "Memory"


def progress(task: Document) -> str:
    """
    Return how far a task is, e.g. `50/200`; `-` when it does not say.
    """
    details = task.get("statusDetails") or {}
    done, total = details.get("processedCount"), details.get("totalCount")
    return NONE if done is None else plain(done) if total is None else f"{plain(done)}/{plain(total)}"


def _total(task: Document) -> str:
    return str(int(task.get("successCount", 0)) + int(task.get("failureCount", 0)))


_FIRST = (
    Column("ID", lambda task: plain(task.get("itemId"))),
    Column("Type", lambda task: plain(task.get("taskType")), most=LONGEST_TYPE),
    Column("Status", lambda task: plain(task.get("status"))),
    Column("Next Run", next_run),
    Column("Last Run", lambda task: moment(task.get("lastExecutionDate"))),
    Column("Failures", lambda task: str(task.get("failureCount", 0)), right=True),
)
_PERSISTENT = Column("Persistent", storage)
COLUMNS = (*_FIRST, _PERSISTENT)
WIDE_COLUMNS = (
    *_FIRST,
    Column("Successes", lambda task: str(task.get("successCount", 0)), right=True),
    Column("Total Exec", _total, right=True),
    _PERSISTENT,
    Column("Node", lambda task: plain(task.get("executingNodeId") or task.get("lastExecutedBy"))),
    Column("Progress", progress),
)


def span(millis: object) -> str:
    """
    Return a length of time in words that fit a column, e.g. `850 ms`, `12.3 s`, `3m 20s`, `2h 05m`, `3d 04h`.
    """
    if not isinstance(millis, int):
        return NONE
    if abs(millis) < _MINUTE:
        return f"{millis} ms" if abs(millis) < _SECOND else f"{millis / _SECOND:.1f} s"
    for large, small, names in ((_DAY, _HOUR, "dh"), (_HOUR, _MINUTE, "hm")):
        if millis >= large:
            return f"{millis // large}{names[0]} {millis % large // small:02}{names[1]}"
    return f"{millis // _MINUTE}m {millis % _MINUTE // _SECOND:02}s"


_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000


def load(node: Document) -> str:
    """
    Return how much a node has to do.
    """
    return f"{node.get('running', 0)}{', full' if node.get('busy') else ''}"


def _text(name: str) -> Callable[[Document], str]:
    return lambda row: plain(row.get(name))


def _words(name: str) -> Callable[[Document], str]:
    return lambda row: plain(", ".join(row.get(name) or ()) or None)


HISTORY_COLUMNS = (
    Column("Started", lambda run: moment(run.get("start"))),
    Column("Ended", lambda run: moment(run.get("end"))),
    Column("Status", _text("status")),
    Column("Duration", lambda run: span(run.get("duration")), right=True),
    Column("Attempt", _text("attempt"), right=True),
    Column("Node", _text("nodeId")),
    Column("Error", _text("error")),
)
NODE_COLUMNS = (
    Column("Node", _text("nodeId")),
    Column("Executor", lambda node: "ENABLED" if node.get("executorNode") else "DISABLED"),
    Column("Running", load, right=True),
    Column("Lease", lambda node: span(node.get("leaseMillis")), right=True),
    Column("Last Beat", lambda node: moment(node.get("beatAt"))),
    Column("Clock Offset", lambda node: span(node.get("clockOffset")), right=True),
    Column("Host", _text("host")),
    Column("Process", _text("pid"), right=True),
    Column("Address", _text("address")),
    Column("Tags", _words("tags")),
    Column("Types", _words("taskTypes")),
)


def asked(change: Document) -> str:
    """
    Return what was asked for, and what became of many tasks, e.g. `maxRetries=5 retryDelay=1000`.
    """
    said = {**(change.get("parameters") or {}), **(change.get("counts") or {})}
    return " ".join(f"{plain(name)}={section_value(value)}" for name, value in said.items()) or NONE


_CHANGE = (
    Column("When", lambda change: moment(change.get("at"))),
    Column("Who", _text("who")),
    Column("Change", _text("action")),
    Column("Status", _text("status"), right=True),
)
_VIA = Column("Via", _text("via"))
_ASKED = Column("Asked", asked, most=60)
CHANGE_COLUMNS = (*_CHANGE, _VIA, _ASKED)
AUDIT_COLUMNS = (
    *_CHANGE,
    Column("Subject", lambda row: plain(row.get("taskId") or row.get("nodeId") or row.get("tokenId"))),
    Column("From", _text("address")),
    _VIA,
    Column("Token", _text("byToken")),
    _ASKED,
)
TOKEN_COLUMNS = (
    Column("ID", _text("id")),
    Column("Name", _text("name")),
    Column("Roles", _words("roles")),
    Column("Made By", _text("createdBy")),
    Column("Made", lambda token: moment(token.get("createdAt"))),
    Column("Expires", lambda token: moment(token.get("expiresAt"))),
    Column("Last Used", lambda token: moment(token.get("lastUsedAt"))),
)
METRIC_COLUMNS = (Column("Metric", _text("name")), Column("Value", _text("value"), right=True))


def task_list(
    tasks: Sequence[Document],
    *,
    status: str | None = None,
    task_type: str | None = None,
    columns: Sequence[Column] = COLUMNS,
) -> str:
    """
    Return the table of tasks and its summary; filters are named in it.
    """
    lines = table(tasks, columns)
    if not tasks:
        return "\n".join([*lines, "No tasks found."])
    stored = sum(storage(task) == "Storage" for task in tasks)
    shown = f"Showing {len(tasks)} task(s) ({stored} in storage, {len(tasks) - stored} in memory)"
    return "\n".join([*lines, "", shown + _filters(status, task_type)])


def task_count(page: Document, *, status: str | None = None, task_type: str | None = None) -> str:
    """
    Return how many tasks a page counts, for one who asked for none of them.
    """
    least = "" if page.get("totalSizeRelation", "EQUAL") == "EQUAL" else "at least "
    return f"There are {least}{page['totalSize']} task(s){_filters(status, task_type)}; --limit 0 shows none of them"


def _filters(status: str | None, task_type: str | None) -> str:
    by_status = f" with status {plain(status)}" if status else ""
    return by_status + (f" of type {plain(task_type)}" if task_type else "")


def table(tasks: Sequence[Document], columns: Sequence[Column]) -> list[str]:
    """
    Return the lines of a table: headings, rule, rows. A cell that is too wide is cut to one less than is allowed.
    """
    rows = rows_of(tasks, columns)
    headings = [column.heading for column in columns]
    widths = [max(map(len, cells)) for cells in zip(headings, *rows, strict=True)]
    lines = [_line(cells, columns, widths) for cells in (headings, *rows)]
    return [lines[0], CROSSING.join(RULE * width for width in widths), *lines[1:]]


def rows_of(tasks: Sequence[Document], columns: Sequence[Column]) -> list[list[str]]:
    """
    Return the cells of each task's row.
    """
    return [[_cut(column.cell(task), column.most) for column in columns] for task in tasks]


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else text[: most - 1]


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column.right else cell.ljust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    return SEPARATOR.join(padded).rstrip()


def task_lines(task: Document) -> Iterator[tuple[str, str]]:
    """
    Return label and value of everything `show` tells in one line each; what a task does not have is left out.
    """
    yes = {True: "Yes", False: "No"}
    yield "ID", plain(task.get("itemId"))
    yield "Type", plain(task.get("taskType"))
    yield "Status", plain(task.get("status"))
    yield "Persistent", storage(task)
    yield "Parallel Execution", yes[bool(task.get("allowParallelExecution", True))]
    yield "Fixed Rate", yes[bool(task.get("fixedRate", True))]
    yield "One Shot", yes[bool(task.get("oneShot", False))]
    yield "Next Run", next_run(task)
    yield "Last Run", moment(task.get("lastExecutionDate"))
    unit = task.get("timeUnit", "MILLISECONDS")
    yield "Initial Delay", f"{task.get('initialDelay', 0)} {task.get('initialDelayUnit', unit)}"
    yield "Period", f"{task.get('period', 0)} {unit}"
    yield "Failure Count", str(task.get("failureCount", 0))
    if task.get("lastError"):
        yield LAST_ERROR if _is_news(task) else EARLIER_ERROR, plain(task["lastError"])
    yield "Success Count", str(task.get("successCount", 0))
    for label, name in _IF_ANY:
        if task.get(name):
            yield label, plain(task[name])
    if progress(task) != NONE:
        yield "Progress", progress(task)


def _is_news(task: Document) -> bool:
    # The record keeps the last error for good; only its history says that a run has gone well since.
    history = (task.get("statusDetails") or {}).get("executionHistory") or []
    ends = [entry.get("status") for entry in history if entry.get("status") in _RUN_ENDS]
    return task.get("status") not in ("RUNNING", "COMPLETED") and ends[-1:] != ["SUCCESS"]


LAST_ERROR, EARLIER_ERROR = "Last Error", "Last Error (of an earlier run)"
_RUN_ENDS = frozenset({"SUCCESS", "FAILED", "CRASHED"})
_IF_ANY = (
    ("Current Step", "currentStep"),
    ("Executing Node", "executingNodeId"),
    ("Last Executed By", "lastExecutedBy"),
)


def task_sections(task: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """
    Return title and content of the parts of a task that are tables of their own; empty ones are left out.
    """
    for title, name in (("Parameters", "parameters"), ("Checkpoint Data", "checkpointData")):
        if task.get(name):
            yield title, task[name]


def section_value(value: object) -> str:
    """
    Return one value of a section: texts as they are, the rest as JSON.
    """
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def task_details(task: Document) -> str:
    """
    Return everything about a task as `Label: value` lines.
    """
    lines = ["Task Details", RULE * len("Task Details")]
    lines += [f"{label}: {value}" for label, value in task_lines(task)]
    for title, content in task_sections(task):
        lines += ["", f"{title}:", *(f"  {plain(name)}: {section_value(value)}" for name, value in content.items())]
    return "\n".join(lines)
