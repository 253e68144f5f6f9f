"""
The commands about the cluster: nodes, executor, metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .completing import complete_nodes
from .failures import Exit, Failure
from .look import print_rows
from .target import Target, pass_target, print_json, target_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .tasks import Document, Tasks

_BUCKET = "_bucket{"
_STATES = {"enable": True, "disable": False}


@click.command()
@target_options
@pass_target
def nodes(target: Target) -> None:
    """
    Show the nodes of the cluster.
    """
    found = target.connect().nodes()
    if target.as_json:
        print_json({"list": found})
        return
    from .render import NODE_COLUMNS  # noqa: PLC0415 - only when there is something to print

    print_rows(found, NODE_COLUMNS, none="No nodes found.")


@click.command()
@click.argument("words", nargs=-1, metavar="[NODE] [enable|disable]", shell_complete=complete_nodes)
@target_options
@pass_target
def executor(target: Target, words: tuple[str, ...]) -> None:
    """
    Show whether nodes run tasks, or change it for one.
    """
    node_id, enable = _read(words)
    tasks = target.connect()
    chosen = _chosen(tasks.nodes(), node_id, alone=enable is not None)
    refusal = None if enable is None else _set(tasks, chosen[0]["nodeId"], enabled=enable)
    if enable is not None and refusal is None:
        chosen = _chosen(tasks.nodes(), chosen[0]["nodeId"], alone=True)
        # The node takes it up with its next heartbeat; what was asked is what will be.
        chosen = [{**chosen[0], "executorNode": enable}]
    _print_executors(target, chosen)
    if refusal is not None:
        raise refusal


def _set(tasks: Tasks, node_id: str, *, enabled: bool) -> Failure | None:
    try:
        tasks.set_executor(node_id, enabled=enabled)
    except Failure as failure:
        return failure
    return None


def _read(words: Sequence[str]) -> tuple[str | None, bool | None]:
    *names, last = words or [""]
    if last not in _STATES:
        names = list(words)
    if len(names) > 1:
        raise Failure(f"expected [NODE] [enable|disable], got {' '.join(words)}", Exit.USAGE)
    return (names[0] if names else None), _STATES.get(last)


def _chosen(nodes: Sequence[Document], node_id: str | None, *, alone: bool) -> list[Document]:
    found = [one for one in nodes if node_id is None or one["nodeId"].startswith(node_id)]
    exact = [one for one in found if one["nodeId"] == node_id]
    found = exact or found
    known = ", ".join(one["nodeId"] for one in nodes) or "none"
    if not found and node_id is not None:
        raise Failure(f"Node not found: {node_id}; there are: {known}", Exit.NOT_FOUND)
    if alone and len(found) != 1:
        raise Failure(f"say which node, there are: {known}", Exit.USAGE)
    return found


def _print_executors(target: Target, nodes: Sequence[Document]) -> None:
    if target.as_json:
        print_json({"list": [{"nodeId": one["nodeId"], "executorNode": one["executorNode"]} for one in nodes]})
        return
    from .render import plain  # noqa: PLC0415 - only when there is something to print

    shown = (
        f"Task executor status: {'ENABLED' if one['executorNode'] else 'DISABLED'}\nNode ID: {plain(one['nodeId'])}"
        for one in nodes
    )
    click.echo("\n\n".join(shown) or "No nodes found.")


@click.command()
@target_options
@pass_target
def metrics(target: Target) -> None:
    """
    Show what the process behind a server measures; the shares of its distributions with --json alone.
    """
    counted = target.connect().metrics()
    if target.as_json:
        print_json(counted)
        return
    from .render import METRIC_COLUMNS  # noqa: PLC0415 - only when there is something to print

    rows = [{"name": name, "value": value} for name, value in sorted(counted.items()) if _BUCKET not in name]
    print_rows(rows, METRIC_COLUMNS, none="No metrics found.")


COMMANDS = (nodes, executor, metrics)
