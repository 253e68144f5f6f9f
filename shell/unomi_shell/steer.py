"""
The commands that change tasks: cancel, delete, retry, resume, run, config, purge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import terminal
from .finding import find
from .look import task_id_argument
from .target import Target, pass_target, print_json, target_options

if TYPE_CHECKING:
    from .tasks import Document, Tasks

_force = click.option("-f", "--force", is_flag=True, help="Do not ask.")


@click.command()
@task_id_argument
@_force
@target_options
@pass_target
def cancel(target: Target, task_id: str, *, force: bool) -> None:
    """
    Cancel a task; its record stays.
    """
    tasks = target.connect()
    task = find(tasks, task_id)
    if not force:
        terminal.ask(f"Cancel {_described(task)}?", aside=target.as_json)
    tasks.cancel(task["itemId"])
    if target.as_json:
        print_json(tasks.task(task["itemId"]))
    else:
        # One that had ended was not stopped by this, and will not be told so.
        before = f" It was {task['status']}; is CANCELLED now." if task["status"] in ("COMPLETED", "FAILED") else ""
        click.echo(f"Task {task['itemId']} has been cancelled successfully.{before}")


@click.command()
@task_id_argument
@_force
@target_options
@pass_target
def delete(target: Target, task_id: str, *, force: bool) -> None:
    """
    Cancel a task and remove its record; its history stays for a while.
    """
    tasks = target.connect()
    task = find(tasks, task_id)
    if not force:
        terminal.demand(f"Delete {_described(task)} for good?", act="Deleting a task", aside=target.as_json)
    tasks.delete(task["itemId"])
    if target.as_json:
        print_json({"itemId": task["itemId"], "deleted": True})
        return
    click.echo(f"Task {task['itemId']} has been deleted successfully.")


def _described(task: Document) -> str:
    return f"task {task['itemId']} ({task['taskType']}, {task['status']})"


@click.command()
@task_id_argument
@click.option("-r", "--reset", is_flag=True, help="Give it all its retries again.")
@target_options
@pass_target
def retry(target: Target, task_id: str, *, reset: bool) -> None:
    """
    Let a task that failed for good try again now.
    """
    with_reset = " with reset failure count" if reset else ""
    _change(
        target,
        task_id,
        lambda tasks, whole: tasks.retry(whole, reset=reset),
        f"Task {{}} has been queued for retry{with_reset}.",
    )


@click.command()
@task_id_argument
@target_options
@pass_target
def resume(target: Target, task_id: str) -> None:
    """
    Let a crashed task go on from its checkpoint now.
    """
    _change(
        target,
        task_id,
        lambda tasks, whole: tasks.resume(whole),
        "Task {} has been queued to go on from its checkpoint.",
    )


@click.command()
@task_id_argument
@target_options
@pass_target
def run(target: Target, task_id: str) -> None:
    """
    Run a task once now, beside its schedule.
    """
    _change(target, task_id, lambda tasks, whole: tasks.run(whole), "Task {} has been queued to run now.")


@click.command()
@task_id_argument
@click.option("--max-retries", type=int, metavar="N", help="How often it is tried again after a failure.")
@click.option("--retry-delay", type=int, metavar="MS", help="How long it waits before it is tried again.")
@click.option("--enabled/--disabled", default=None, help="Whether it may run.")
@target_options
@pass_target
def config(
    target: Target, task_id: str, *, max_retries: int | None, retry_delay: int | None, enabled: bool | None
) -> None:
    """
    Change how a task is run, or show it.
    """
    given = {"maxRetries": max_retries, "retryDelay": retry_delay, "enabled": enabled}
    changes = {name: value for name, value in given.items() if value is not None}
    tasks = target.connect()
    task = find(tasks, task_id)
    if changes:
        task = tasks.configure(task["itemId"], **changes)
    if target.as_json:
        print_json(task)
        return
    if changes:
        click.echo(f"Task {task['itemId']} has been configured successfully.")
    click.echo(f"Max Retries: {task.get('maxRetries')}")
    click.echo(f"Retry Delay: {task.get('retryDelay')} ms")
    click.echo(f"Enabled: {'Yes' if task.get('enabled', True) else 'No'}")


def _change(target: Target, given: str, change: Callable[[Tasks, str], Document], done: str) -> None:
    tasks = target.connect()
    task = change(tasks, find(tasks, given)["itemId"])
    if target.as_json:
        print_json(task)
    else:
        click.echo(done.format(task["itemId"]))


@click.command()
@click.option("-d", "--days", type=click.IntRange(min=0), default=7, show_default=True, help="How old, at least.")
@_force
@target_options
@pass_target
def purge(target: Target, *, days: int, force: bool) -> None:
    """
    Remove tasks that completed for good so many days ago.
    """
    if not force:
        question = f"Remove all completed tasks older than {days} days of {target.name} for good?"
        terminal.demand(question, act="Purging", aside=target.as_json)
    purged = target.connect().purge(days)
    if target.as_json:
        print_json({"purged": purged, "days": days})
        return
    click.echo(f"Successfully purged {purged} completed tasks older than {days} days.")


COMMANDS: tuple[Any, ...] = (cancel, delete, retry, resume, run, config, purge)
