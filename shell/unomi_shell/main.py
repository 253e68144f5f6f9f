"""
`unomi-task`: look at the tasks of a cluster and steer them, over REST or straight at a store.

What a command needs is loaded when it runs, so that help and completion are quick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .failures import Exit, Failure
from .sorting import sort_by
from .version import version_option

if TYPE_CHECKING:
    from .client import Document, Tasks

DEFAULT_URL = "http://127.0.0.1:8181"
_AMBIGUOUS_SHOWN = 5
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Target:
    """
    Where the tasks are and how to print them; options stand before or behind the command.
    """

    url: str | None = None
    store: str | None = None
    as_json: bool = False

    def connect(self) -> Tasks:
        """
        Return the tasks of the server or store that was named.
        """
        if self.store is not None:
            if self.url is not None:
                raise Failure("--url and --store exclude each other", Exit.USAGE)
            from .direct import StoreTasks  # noqa: PLC0415 - the scheduler, slow to load

            return StoreTasks(self.store)
        from .client import RestTasks  # noqa: PLC0415 - slow to load
        from .signin import Credentials  # noqa: PLC0415 - the same

        user = os.environ.get("UNOMI_TASK_USER")
        given = Credentials(user, os.environ.get("UNOMI_TASK_PASSWORD", "")) if user else None
        return RestTasks(self.url or os.environ.get("UNOMI_TASK_URL") or DEFAULT_URL, given)


_pass_target = click.make_pass_decorator(Target, ensure=True)


def _merge(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value and option.name is not None:
        setattr(context.ensure_object(Target), option.name, value)


def target_options(command: Command) -> Command:
    """
    Give a command the options that all of them have.
    """
    for option in (
        click.option("--json", "as_json", is_flag=True, expose_value=False, callback=_merge, help="Print JSON."),
        click.option("--store", metavar="URL", expose_value=False, callback=_merge, help="Go straight to a store."),
        click.option(
            "--url", metavar="URL", expose_value=False, callback=_merge, help=f"The REST server [{DEFAULT_URL}]."
        ),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@target_options
@version_option
def main() -> None:
    """
    Look at the tasks of a cluster and steer them.

    A unique beginning of an ID stands for the whole. Sign in by UNOMI_TASK_USER and UNOMI_TASK_PASSWORD; at a server
    that you started yourself on this machine you are signed in already.
    """


@main.command("list")
@click.option("-s", "--status", help="Only tasks in this status.")
@click.option("-t", "--type", "task_type", help="Only tasks of this type.")
@click.option("--limit", type=int, default=50, show_default=True, help="How many; -1 for all, 0 only counts.")
@click.option("--sort", metavar="FIELD[:desc]", help="Sort by this field, e.g. nextScheduledExecution.")
@click.option("--wide", is_flag=True, help="Show more columns.")
@target_options
@_pass_target
def list_tasks(
    target: Target, *, status: str | None, task_type: str | None, limit: int, sort: str | None, wide: bool
) -> None:
    """
    List tasks.
    """
    query = {"status": status, "type": task_type, "limit": limit, "sortBy": sort_by(sort)}
    page = target.connect().page(**{name: value for name, value in query.items() if value is not None})
    if target.as_json:
        _print_json(page)
        return
    if limit == 0:
        from .render import task_count  # noqa: PLC0415 - only when there is something to print

        click.echo(task_count(page, status=status, task_type=task_type))
        return
    _print_table(page, status=status, task_type=task_type, wide=wide)


def _print_table(page: Document, *, status: str | None, task_type: str | None, wide: bool) -> None:
    from .render import COLUMNS, WIDE_COLUMNS, task_list  # noqa: PLC0415 - only when there is something to print
    from .widths import fit  # noqa: PLC0415 - the same

    layout = fit(page["list"], WIDE_COLUMNS if wide else COLUMNS, _terminal_width())
    click.echo(task_list(page["list"], status=status, task_type=task_type, columns=layout.columns))
    if layout.left_out:
        click.echo(f"The terminal is too narrow for {', '.join(layout.left_out)}; a pipe gets all columns", err=True)
    more = page["totalSize"] - len(page["list"])
    if more > 0:
        click.echo(f"{more} more; see them with --limit", err=True)


def _terminal_width() -> int | None:
    # Programs that read the table get all of it.
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size  # noqa: PLC0415 - only for a terminal

    return get_terminal_size().columns


@main.command()
@click.argument("task_id", metavar="ID")
@target_options
@_pass_target
def show(target: Target, task_id: str) -> None:
    """
    Show everything about a task.
    """
    task = _find(target.connect(), task_id)
    if target.as_json:
        _print_json(task)
    elif sys.stdout.isatty():
        from .pretty import show_task  # noqa: PLC0415 - colours are slow to load

        show_task(task)
    else:
        from .render import task_details  # noqa: PLC0415 - only when there is something to print

        click.echo(task_details(task))


@main.command()
@click.argument("task_id", metavar="ID")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@target_options
@_pass_target
def cancel(target: Target, task_id: str, *, force: bool) -> None:
    """
    Cancel a task; its record stays.
    """
    tasks = target.connect()
    task = _find(tasks, task_id)
    question = f"Cancel task {task['itemId']} ({task['taskType']}, {task['status']})?"
    if not force and _on_terminal() and not click.confirm(question):
        raise Failure("Operation cancelled.")
    tasks.cancel(task["itemId"])
    if target.as_json:
        _print_json(tasks.task(task["itemId"]))
    else:
        # One that had ended was not stopped by this, and will not be told so.
        before = f" It was {task['status']}; is CANCELLED now." if task["status"] in ("COMPLETED", "FAILED") else ""
        click.echo(f"Task {task['itemId']} has been cancelled successfully.{before}")


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _find(tasks: Tasks, given: str) -> Document:
    """
    Return the task with this id, or the only one whose id begins so.
    """
    if not given.strip():
        raise Failure("ID: expected a text that is not blank", Exit.USAGE)
    try:
        return tasks.task(given)
    except Failure as failure:
        if failure.exit_code != Exit.NOT_FOUND:
            raise
    found = [task for task in tasks.page(limit=-1)["list"] if task["itemId"].startswith(given)]
    if not found:
        raise Failure(f"Task not found: {given}", Exit.NOT_FOUND)
    if len(found) > 1:
        some = ", ".join(task["itemId"] for task in found[:_AMBIGUOUS_SHOWN])
        raise Failure(
            f"{len(found)} tasks begin with {given}: {some}{', …' * (len(found) > _AMBIGUOUS_SHOWN)}", Exit.USAGE
        )
    return tasks.task(found[0]["itemId"])


def _print_json(document: Document) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))
