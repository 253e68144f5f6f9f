"""
The commands about access: tokens, and the audit.
"""

from __future__ import annotations

import click

from . import terminal
from .completing import complete_ids
from .look import print_rows, tell_more
from .target import Target, pass_target, print_json, target_options


@click.group(invoke_without_command=True)
@target_options
@pass_target
@click.pass_context
def tokens(context: click.Context, target: Target) -> None:
    """
    Show the tokens that programs sign in with, make one, or revoke one.
    """
    if context.invoked_subcommand is None:
        _print_tokens(target)


@tokens.command("list")
@target_options
@pass_target
def list_tokens(target: Target) -> None:
    """
    Show the tokens, the newest first.
    """
    _print_tokens(target)


def _print_tokens(target: Target) -> None:
    found = target.connect().tokens()
    if target.as_json:
        print_json({"list": found})
        return
    from .render import TOKEN_COLUMNS  # noqa: PLC0415 - only when there is something to print

    print_rows(found, TOKEN_COLUMNS, none="No tokens found.")


@tokens.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    default=["VIEWER"],
    show_default=True,
    type=click.Choice(["ADMINISTRATOR", "VIEWER"], case_sensitive=False),
    help="What it may do; may be given twice.",
)
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it lasts.")
@target_options
@pass_target
def create(target: Target, name: str, *, roles: tuple[str, ...], days: int) -> None:
    """
    Make a token and print it, this once.
    """
    made = target.connect().make_token(name, [role.upper() for role in roles], days=days)
    if target.as_json:
        print_json(made)
        return
    click.echo(made["token"])
    # A program reads the other stream.
    click.echo(f"Token {made['id']} is shown this once: keep it where its program finds it.", err=True)


@tokens.command()
@click.argument("token_id", metavar="ID")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@target_options
@pass_target
def revoke(target: Target, token_id: str, *, force: bool) -> None:
    """
    Revoke a token: every server refuses it within 5 seconds.
    """
    if not force:
        terminal.ask(f"Revoke token {token_id}?", aside=target.as_json)
    target.connect().revoke_token(token_id)
    if target.as_json:
        print_json({"id": token_id, "revoked": True})
        return
    click.echo(f"Token {token_id} has been revoked.")


@click.command()
@click.argument("task_id", metavar="[ID]", required=False, shell_complete=complete_ids)
@click.option("--who", metavar="NAME", help="Only changes by this user or token.")
@click.option("--limit", type=int, default=50, show_default=True, help="How many; -1 for all.")
@click.option("--offset", type=int, default=0, help="Leave out so many of the newest.")
@target_options
@pass_target
def audit(target: Target, task_id: str | None, *, who: str | None, limit: int, offset: int) -> None:
    """
    Show who changed what, the newest first; of one task by its whole ID, also of one that is gone.
    """
    page = target.connect().audit(task_id=task_id, who=who, offset=offset, limit=limit)
    if target.as_json:
        print_json(page)
        return
    from .render import AUDIT_COLUMNS  # noqa: PLC0415 - only when there is something to print

    print_rows(page["list"], AUDIT_COLUMNS, none="No changes found.")
    tell_more(page)


COMMANDS: tuple[click.Command, ...] = (tokens, audit)
