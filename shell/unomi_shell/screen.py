"""
The live screen: a look at the cluster as something rich can draw, within the height there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .pretty import COLOURS, task_panels
from .render import load as load_of
from .render import moment, next_run, plain, progress, span
from .snapshot import ids_of, in_sight, millis_of, shown_of
from .view import KEYS, View, chosen

Document = Mapping[str, Any]
_BAR = 16
_AROUND = 5
"""Lines of the screen that belong to no table: its head, the counts and its foot."""
_PER_TABLE = 2
"""Lines of a table beside its rows: the headings, and the space before them."""
_ALWAYS = frozenset({"RUNNING", "FAILED"})
"""The states whose count is shown even where it is none."""
_FULL, _EMPTY = "█", "░"


class _Kind(NamedTuple):
    title: str
    headings: Sequence[str]
    cells: Callable[[Document, int], Sequence[Text | str]]


def draw(seen: Document, view: View, *, target: str, now: int, height: int | None, keys: bool = True) -> RenderableType:
    """
    Return the screen.

    Args:
        seen: what `snapshot.look` returned.
        now: epoch ms.
        height: lines there are; None is any number.
        keys: whether somebody may press them.
    """
    head = [_head(seen, view, target), _counts(seen["counts"])]
    foot = [Text(), _foot(view)] if keys else []
    for line in (*head, *foot):
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*head, *_body(seen, view, now, height), *foot)


def _head(seen: Document, view: View, target: str) -> Text:
    head = Text.assemble((" unomi-task ", "reverse bold"), f" {plain(target)}  {moment(seen['at'])}")
    if view.wish.words:
        head.append(f"  filter: {plain(view.wish.words)}", "bold yellow")
    if view.paused:
        head.append("  PAUSED", "bold red")
    return head


def _counts(counts: Mapping[str, int]) -> Text:
    shown = {name: number for name, number in counts.items() if number or name in _ALWAYS}
    parts = (Text.assemble((f"{name} ", COLOURS.get(name, "")), (str(n), "bold")) for name, n in shown.items())
    return Text("  ").join(parts)


def _foot(view: View) -> Text:
    if view.asked is not None:
        return Text(f"Cancel task {plain(view.asked.task_id)}? y/n", "bold red")
    if view.typed is not None:
        return Text(
            f"Filter by status, type or both: {plain(view.typed)}▏  (Enter takes it, Esc leaves it)", "bold yellow"
        )
    return Text(view.message, "bold") if view.message else Text(KEYS, "dim")


def _body(seen: Document, view: View, now: int, height: int | None) -> list[RenderableType]:
    if view.wish.shown is not None:
        return _details(shown_of(seen, view.wish))
    if not in_sight(seen, view.wish):
        return [Text("…")]
    kinds = [(name, kind) for name, kind in _KINDS.items() if name in seen]
    if height is not None:
        kinds = kinds[: max(1, (height - _AROUND) // (_PER_TABLE + 1))]
    needs = [max(1, len(seen[name])) for name, _ in kinds]
    room = sum(needs) if height is None else height - _AROUND - _PER_TABLE * len(kinds)
    marked = chosen(view, ids_of(seen))
    return [
        part
        for (name, kind), shown in zip(kinds, shares(room, needs), strict=True)
        for part in (Text(), _table(kind, seen[name], rows_shown=shown, now=now, marked=marked))
    ]


def shares(room: int, needs: Sequence[int]) -> list[int]:
    """
    Return how many rows each table gets: as many as it needs, or an equal share of what is left; at least one.
    """
    given = [1] * len(needs)
    while sum(given) < room and given != list(needs):
        for place, need in enumerate(needs):
            if sum(given) < room and given[place] < need:
                given[place] += 1
    return given


def _table(kind: _Kind, rows: Sequence[Document], *, rows_shown: int, now: int, marked: str | None) -> Table:
    hidden = len(rows) - rows_shown
    more = f" (and {hidden} more)" if hidden > 0 else f" ({len(rows)})"
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2), collapse_padding=True, header_style="bold")
    headings = (kind.title + more, *kind.headings)
    for heading in headings:
        # The last takes what is left, so that all tables end at the same place.
        table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1 if heading == headings[-1] else None)
    for row in rows[:rows_shown]:
        is_marked = marked is not None and row.get("itemId") == marked
        table.add_row(*kind.cells(row, now), style="reverse" if is_marked else "")
    if not rows:
        table.add_row(Text("none", "dim"))
    return table


def _details(shown: Document | None) -> list[RenderableType]:
    if shown is None:
        return [Text("…")]
    reasons = [Text(f"  {plain(reason)}") for reason in shown["reasons"]]
    return [Text(), *(task_panels(shown["task"]) if shown["task"] else ()), *reasons]


def _name(task: Document) -> str:
    return plain(task.get("itemId"))


def _type(task: Document) -> str:
    return plain(task.get("taskType"))


def _running(task: Document, now: int) -> Sequence[Text | str]:
    started = millis_of((task.get("statusDetails") or {}).get("startTime")) or millis_of(task.get("lockDate"))
    age = "-" if started is None else span(max(0, now - started))
    return _name(task), _type(task), plain(task.get("currentStep")), bar(task), age, plain(task.get("executingNodeId"))


def bar(task: Document) -> Text:
    """
    Return how far a task is, drawn where it says of how much.
    """
    details = task.get("statusDetails") or {}
    done, total = details.get("processedCount"), details.get("totalCount")
    if not isinstance(done, int | float) or not isinstance(total, int | float) or total <= 0:
        return Text(progress(task))
    part = max(0.0, min(done / total, 1.0))
    full = int(part * _BAR)
    return Text.assemble(
        (_FULL * full, "green"), (_EMPTY * (_BAR - full), "dim"), f" {part:4.0%} {plain(progress(task))}"
    )


def _due(task: Document, now: int) -> Sequence[Text | str]:
    due = millis_of(task.get("nextScheduledExecution"))
    when = "-" if due is None else f"in {span(due - now)}" if due > now else "due now"
    return _name(task), _type(task), next_run(task), when


def _failed(task: Document, _now: int) -> Sequence[Text | str]:
    last = moment(task.get("lastExecutionDate"))
    return _name(task), _type(task), _status(task), last, Text(plain(task.get("lastError")), "red")


def _listed(task: Document, _now: int) -> Sequence[Text | str]:
    return _name(task), _type(task), _status(task), next_run(task), moment(task.get("lastExecutionDate"))


def _status(task: Document) -> Text:
    status = plain(task.get("status"))
    return Text(status, COLOURS.get(status, ""))


def _node(node: Document, now: int) -> Sequence[Text | str]:
    executor = "ENABLED" if node.get("executorNode") else "DISABLED"
    return plain(node.get("nodeId")), executor, load_of(node), _lease(node, now), ", ".join(node.get("taskTypes") or ())


def _lease(node: Document, now: int) -> Text:
    beat, lease = millis_of(node.get("beatAt")), node.get("leaseMillis")
    if beat is None or not isinstance(lease, int):
        return Text("-")
    # Its clock may be before the others'.
    left = lease - (now - (beat - int(node.get("clockOffset", 0))))
    return Text(f"{span(left)} of {span(lease)}") if left > 0 else Text(f"over by {span(-left)}", "bold red")


_KINDS: dict[str, _Kind] = {
    "running": _Kind("Running", ("Type", "Step", "Progress", "Age", "Node"), _running),
    "nextDue": _Kind("Next due", ("Type", "Due", "When"), _due),
    "lastFailures": _Kind("Last failures", ("Type", "Status", "When", "Error"), _failed),
    "listed": _Kind("Tasks", ("Type", "Status", "Next Run", "Last Run"), _listed),
    "nodes": _Kind("Nodes", ("Executor", "Running", "Lease", "Types"), _node),
}
