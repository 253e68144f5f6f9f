"""
How a command can fail, each with the exit code that scripts rely on.
"""

from __future__ import annotations

from enum import IntEnum

import click


class Exit(IntEnum):
    """
    The exit codes.
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    WRONG_STATE = 4
    OUT_OF_REACH = 5
    NOT_ALLOWED = 6


class Failure(click.ClickException):
    """
    A command ends here; the message goes to standard error.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        # Each of ours has its own, where click has one for a class.
        self.exit_code = int(code)  # type: ignore[misc]
