"""
The names of the original's shell: `task-list` and `unomi:task-list` are `list`, wherever a command is typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SCOPE, PREFIX = "unomi:", "task-"


def plain_name(typed: str) -> str:
    """
    Return the name of a command without what the original puts before it.
    """
    return typed.removeprefix(SCOPE).removeprefix(PREFIX)


class Commands(click.Group):
    """
    A group whose commands answer to the original's names too.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """
        Return the command of this name.
        """
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, plain_name(cmd_name))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """
        Return what may stand here; the original's names only for one who began to type them.
        """
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only when something is completed

        ours = super().shell_complete(ctx, incomplete)
        prefix = next((one for one in (SCOPE + PREFIX, PREFIX) if incomplete and _begun(incomplete, one)), None)
        if prefix is None:
            return ours
        rest = incomplete[len(prefix) :]
        return [
            *ours,
            *(
                CompletionItem(prefix + name, help=command.get_short_help_str())
                for name, command in self.commands.items()
                if name.startswith(rest)
            ),
        ]


def _begun(incomplete: str, prefix: str) -> bool:
    return incomplete.startswith(prefix) or prefix.startswith(incomplete)
