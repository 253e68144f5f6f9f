"""
The terminal, if there is one: how wide it is, and what the person at it agrees to.
"""

from __future__ import annotations

import sys

import click

from .failures import Exit, Failure


def width() -> int | None:
    """
    Return how many characters fit into a line; None is any number: programs that read a table get all of it.
    """
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size  # noqa: PLC0415 - only for a terminal

    return get_terminal_size().columns


def is_attended() -> bool:
    """
    Return whether somebody can answer a question.
    """
    return sys.stdin.isatty()


def ask(question: str, *, aside: bool = False) -> None:
    """
    Ask before something that cannot be taken back, where somebody can answer; anything but yes is no.

    Args:
        aside: ask on standard error, since a program reads the other.

    Raises:
        Failure: the answer was no.
    """
    if not is_attended():
        return
    answer = click.prompt(f"{question} [y/N]", default="", show_default=False, err=aside)
    if answer.strip().lower() not in {"y", "yes"}:
        raise Failure("Operation cancelled.")


def demand(question: str, *, act: str, aside: bool = False) -> None:
    """
    Ask as `ask` does; where nobody can answer, refuse.

    Raises:
        Failure: the answer was no, or with exit code 2 there is nobody to ask.
    """
    if not is_attended():
        raise Failure(f"{act} cannot be taken back, and there is no terminal to ask on: add --force", Exit.USAGE)
    ask(question, aside=aside)
