"""
`unomi-task`: look at the tasks of a cluster and steer them, over REST or straight at a store.

What a command needs is loaded when it runs, so that help and completion are quick.
"""

from __future__ import annotations

import click

from . import cluster, look, steer
from .completing import completion
from .failures import Exit
from .karaf import Commands
from .target import target_options
from .version import version_option


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@target_options
@version_option
@click.pass_context
def main(context: click.Context) -> None:
    """
    Look at the tasks of a cluster and steer them.

    A unique beginning of an ID stands for the whole. Sign in by UNOMI_TASK_USER and UNOMI_TASK_PASSWORD; at a server
    that you started yourself on this machine you are signed in already.
    """
    if context.invoked_subcommand is not None:
        return
    click.echo(context.get_help(), err=True)
    context.exit(Exit.USAGE)


for _command in (*look.COMMANDS, *steer.COMMANDS, *cluster.COMMANDS, completion):
    main.add_command(_command)
