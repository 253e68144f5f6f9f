"""
The commands that look at tasks: list, show, explain, history.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from . import terminal
from .completing import complete_ids, complete_states, complete_types
from .failures import Exit, Failure
from .finding import find
from .sorting import sort_by
from .target import Target, pass_target, print_json, target_options

if TYPE_CHECKING:
    from .render import Column
    from .tasks import Document

_CHANGES_SHOWN = 5
task_id_argument = click.argument("task_id", metavar="ID", shell_complete=complete_ids)


@click.command("list")
@click.option("-s", "--status", help="Only tasks in this status.", shell_complete=complete_states)
@click.option("-t", "--type", "task_type", help="Only tasks of this type.", shell_complete=complete_types)
@click.option("--limit", type=int, default=50, show_default=True, help="How many; -1 for all, 0 only counts.")
@click.option("--sort", metavar="FIELD[:desc]", help="Sort by this field, e.g. nextScheduledExecution.")
@click.option("--wide", is_flag=True, help="Show more columns.")
@target_options
@pass_target
def list_tasks(
    target: Target, *, status: str | None, task_type: str | None, limit: int, sort: str | None, wide: bool
) -> None:
    """
    List tasks.
    """
    query = {"status": status, "type": task_type, "limit": limit, "sortBy": sort_by(sort)}
    page = target.connect().page(**{name: value for name, value in query.items() if value is not None})
    if target.as_json:
        print_json(page)
        return
    if limit == 0:
        from .render import task_count  # noqa: PLC0415 - only when there is something to print

        click.echo(task_count(page, status=status, task_type=task_type))
        return
    _print_tasks(page, status=status, task_type=task_type, wide=wide)


def _print_tasks(page: Document, *, status: str | None, task_type: str | None, wide: bool) -> None:
    from .render import COLUMNS, WIDE_COLUMNS, task_list  # noqa: PLC0415 - only when there is something to print
    from .widths import fit  # noqa: PLC0415 - the same

    layout = fit(page["list"], WIDE_COLUMNS if wide else COLUMNS, terminal.width())
    click.echo(task_list(page["list"], status=status, task_type=task_type, columns=layout.columns))
    _tell_left_out(layout.left_out)
    tell_more(page)


def print_rows(rows: Sequence[Document], columns: Sequence[Column], *, none: str) -> None:
    """
    Print a table as wide as the terminal is, or that there is nothing in it.
    """
    from .render import table  # noqa: PLC0415 - only when there is something to print
    from .widths import fit  # noqa: PLC0415 - the same

    layout = fit(rows, columns, terminal.width())
    click.echo("\n".join([*table(rows, layout.columns), *([] if rows else [none])]))
    _tell_left_out(layout.left_out)


def _tell_left_out(headings: Sequence[str]) -> None:
    if headings:
        click.echo(f"The terminal is too narrow for {', '.join(headings)}; a pipe gets all columns", err=True)


def tell_more(page: Document) -> None:
    """
    Tell how many come behind a page.
    """
    more = page["totalSize"] - page.get("offset", 0) - len(page["list"])
    if more > 0:
        click.echo(f"{more} more; see them with --limit", err=True)


@click.command()
@task_id_argument
@target_options
@pass_target
def show(target: Target, task_id: str) -> None:
    """
    Show everything about a task.
    """
    tasks = target.connect()
    task = find(tasks, task_id)
    if target.as_json:
        print_json(task)
        return
    if sys.stdout.isatty():
        from .pretty import show_task  # noqa: PLC0415 - colours are slow to load

        show_task(task)
    else:
        from .render import task_details  # noqa: PLC0415 - only when there is something to print

        click.echo(task_details(task))
    _print_changes(tasks.history(task["itemId"], offset=0, limit=0), most=_CHANGES_SHOWN)


def _print_changes(page: Document, *, most: int | None = None) -> None:
    # A server of an earlier version tells of none.
    changes = page.get("changes") or []
    if changes:
        from .render import CHANGE_COLUMNS  # noqa: PLC0415 - only when there is something to print

        click.echo("\nChanges:")
        print_rows(changes[:most], CHANGE_COLUMNS, none="")


@click.command()
@task_id_argument
@target_options
@pass_target
def explain(target: Target, task_id: str) -> None:
    """
    Say why a task does not run, or when it will.
    """
    tasks = target.connect()
    task = find(tasks, task_id)
    reasons = tasks.explain(task["itemId"])
    if target.as_json:
        print_json({"itemId": task["itemId"], "status": task["status"], "reasons": reasons})
        return
    from .render import plain  # noqa: PLC0415 - only when there is something to print

    click.echo(f"Task {plain(task['itemId'])} ({plain(task['taskType'])}) is {task['status']}:")
    for reason in reasons:
        click.echo(f"  {plain(reason)}")


@click.command()
@task_id_argument
@click.option("--limit", type=int, default=50, show_default=True, help="How many; -1 for all.")
@click.option("--offset", type=int, default=0, help="Leave out so many of the newest.")
@target_options
@pass_target
def history(target: Target, task_id: str, *, limit: int, offset: int) -> None:
    """
    Show the runs of a task, and who changed it, the newest first; also of one that is gone.
    """
    tasks = target.connect()
    # A task that is gone is found by its whole id alone, in the history.
    page = tasks.history(_known(target, task_id), offset=offset, limit=limit)
    if target.as_json:
        print_json(page)
        return
    from .render import HISTORY_COLUMNS  # noqa: PLC0415 - only when there is something to print

    print_rows(page["list"], HISTORY_COLUMNS, none="No runs found.")
    tell_more(page)
    _print_changes(page)


def _known(target: Target, given: str) -> str:
    try:
        return str(find(target.connect(), given)["itemId"])
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND:
            raise
        return given


COMMANDS = (list_tasks, show, explain, history)
