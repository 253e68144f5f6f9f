"""
`unomi-task`: look at the tasks of a cluster and steer them, over REST or straight at a store.

What a command needs is loaded when it runs, so that help and completion are quick.
"""

from __future__ import annotations

import sys

import click

from . import access, cluster, look, steer
from .completing import completion
from .failures import Exit
from .karaf import Commands
from .live import watch
from .target import Target, pass_target, target_options
from .version import version_option


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@target_options
@version_option
@pass_target
@click.pass_context
def main(context: click.Context, target: Target) -> None:
    """
    Look at the tasks of a cluster and steer them.

    A unique beginning of an ID stands for the whole. Sign in by UNOMI_TASK_TOKEN, or UNOMI_TASK_USER and
    UNOMI_TASK_PASSWORD; at a server
    that you started yourself on this machine you are signed in already. Without a command, on a terminal, a shell opens
    that completes and remembers what you type.
    """
    if context.invoked_subcommand is not None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        from .interactive import converse  # noqa: PLC0415 - slow to load

        converse(main, target)
        return
    click.echo(context.get_help(), err=True)
    context.exit(Exit.USAGE)


for _command in (*look.COMMANDS, *steer.COMMANDS, *cluster.COMMANDS, *access.COMMANDS, watch, completion):
    main.add_command(_command)
