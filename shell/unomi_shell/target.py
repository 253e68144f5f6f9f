"""
Where the tasks are that a command is about, and the options that say so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .failures import Exit, Failure

if TYPE_CHECKING:
    from .tasks import Tasks

DEFAULT_URL = "http://127.0.0.1:8181"
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Target:
    """
    Where the tasks are and how to print them; options stand before or behind the command.

    `opened` are the connections that were made, by URL, store and token: the lines of one session share them.
    """

    url: str | None = None
    store: str | None = None
    token: str | None = field(default=None, repr=False)
    as_json: bool = False
    opened: dict[tuple[str | None, str | None, str | None], Tasks] = field(default_factory=dict)

    def connect(self) -> Tasks:
        """
        Return the tasks of the server or store that was named.
        """
        key = self.url, self.store, self.token
        if key not in self.opened:
            self.opened[key] = self._open()
        return self.opened[key]

    @property
    def name(self) -> str:
        """
        What a person calls it: the address, without a password.
        """
        address = self.store or self.url or os.environ.get("UNOMI_TASK_URL") or DEFAULT_URL
        scheme, mark, rest = address.rpartition("://")
        return f"{scheme}{mark}{rest.rpartition('@')[2]}"

    def _open(self) -> Tasks:
        if self.store is not None:
            if self.url is not None:
                raise Failure("--url and --store exclude each other", Exit.USAGE)
            from .direct import StoreTasks  # noqa: PLC0415 - the scheduler, slow to load

            return StoreTasks(self.store)
        from .client import RestTasks  # noqa: PLC0415 - slow to load
        from .signin import Credentials  # noqa: PLC0415 - the same

        user = os.environ.get("UNOMI_TASK_USER")
        given = Credentials(user, os.environ.get("UNOMI_TASK_PASSWORD", "")) if user else None
        token = self.token or os.environ.get("UNOMI_TASK_TOKEN")
        return RestTasks(self.url or os.environ.get("UNOMI_TASK_URL") or DEFAULT_URL, given, token=token)


pass_target = click.make_pass_decorator(Target, ensure=True)


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
            "--token",
            metavar="TOKEN",
            expose_value=False,
            callback=_merge,
            help="Sign in with it; others see it in the list of processes, so better in UNOMI_TASK_TOKEN.",
        ),
        click.option(
            "--url", metavar="URL", expose_value=False, callback=_merge, help=f"The REST server [{DEFAULT_URL}]."
        ),
    ):
        command = option(command)
    return command


def print_json(document: Any) -> None:
    """
    Print a document for programs.
    """
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))
