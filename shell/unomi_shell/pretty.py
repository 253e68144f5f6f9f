"""
Tasks for a terminal, with colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .render import EARLIER_ERROR, LAST_ERROR, Document, section_value, task_lines, task_sections

COLOURS = {
    "SCHEDULED": "cyan",
    "WAITING": "yellow",
    "RUNNING": "blue",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "dim",
    "CRASHED": "magenta",
}
_STYLES = {LAST_ERROR: "red", EARLIER_ERROR: "dim"}


def show_task(task: Document, console: Console | None = None) -> None:
    """
    Print everything about a task.
    """
    out = console or Console()
    for panel in task_panels(task):
        out.print(panel)


def task_panels(task: Document) -> Iterator[Panel]:
    """
    Return everything about a task in frames.
    """
    grid = _grid()
    for label, value in task_lines(task):
        style = COLOURS.get(value, "") if label == "Status" else _STYLES.get(label, "")
        grid.add_row(label, Text(value, style=style))
    yield Panel(grid, title="Task Details", title_align="left", expand=False)
    for title, content in task_sections(task):
        yield Panel(_section(content), title=title, title_align="left", expand=False)


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _section(content: Document | dict[str, Any]) -> Table:
    grid = _grid()
    for name, value in content.items():
        grid.add_row(Text(name), Text(section_value(value)))
    return grid
