"""
Completion: what may stand at a place, for the shells of the system and for ours; and the command that installs it.

Nothing is said where nothing can be asked: a completion that fails must not print into a line that somebody types.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from .failures import Failure
from .target import Target, target_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from .tasks import Document

STATES = ("SCHEDULED", "WAITING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "CRASHED")
SHELLS = ("bash", "zsh", "fish")
_MOST = 100
_SEEN = 500
"""So many tasks are looked at for their types, beside those that nodes name."""


def complete_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """
    Return the ids that begin so, each with its type and status.
    """
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - only when something is completed

    from .finding import beginning_with  # noqa: PLC0415 - the same

    try:
        found = beginning_with(_target(context).connect(), incomplete, most=_MOST)
    except Failure:
        return []
    return [CompletionItem(one["itemId"], help=f"{one['taskType']} {one['status']}") for one in found]


def complete_states(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """
    Return the states that begin so, in any case.
    """
    return _beginning(STATES, incomplete)


def complete_types(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """
    Return the types that begin so: those of nodes, and of some tasks.
    """
    try:
        tasks = _target(context).connect()
        known = types_of(tasks.nodes(), tasks.page(limit=_SEEN)["list"])
    except Failure:
        return []
    return _beginning(known, incomplete)


def types_of(nodes: Iterable[Document], tasks: Iterable[Document]) -> list[str]:
    """
    Return the types that nodes have executors for and that tasks have.
    """
    named = {one for node in nodes for one in node.get("taskTypes", ())}
    return sorted(named | {task["taskType"] for task in tasks})


def complete_nodes(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """
    Return nodes, and what may be done with one.
    """
    try:
        known = [one["nodeId"] for one in _target(context).connect().nodes()]
    except Failure:
        known = []
    return [one for one in (*known, "enable", "disable") if one.startswith(incomplete)]


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.lower().startswith(incomplete.lower())]


def _target(context: click.Context) -> Target:
    return context.ensure_object(Target)


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@target_options
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print what makes a shell complete this command, e.g. eval "$(unomi-task completion bash)".
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only when it is asked for

    made = get_completion_class(shell)
    root = context.find_root()
    if made is None:
        raise Failure(f"click completes no {shell}; expected one of {', '.join(SHELLS)}")
    click.echo(made(root.command, {}, "unomi-task", "_UNOMI_TASK_COMPLETE").source())
