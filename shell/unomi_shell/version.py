"""
The option `--version` of both commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def version_option(command: Command) -> Command:
    """
    Give a command the option `--version`.
    """
    option = click.option(
        "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show, help="Show the version."
    )
    return option(command)


def _show(context: click.Context, _option: click.Parameter, value: Any) -> None:
    if not value or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to load, seldom wanted

    try:
        number = version("unomi-scheduler")
    except PackageNotFoundError:
        number = "unknown (not installed as a package)"
    click.echo(f"unomi-scheduler {number}")
    context.exit()
