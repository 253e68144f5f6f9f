"""
The interactive shell: what `unomi-task` opens on a terminal when no command is named.

Its lines are the command's own, so that what is learned here can be typed anywhere; names of the original work too.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.shell_completion import ShellComplete
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, ThreadedCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from .signin import state_folder

if TYPE_CHECKING:
    from prompt_toolkit.document import Document as Line

    from .target import Target

_ENDINGS = frozenset({"exit", "quit", "logout"})
_PROMPT = "unomi> "
_PROGRAM = "unomi-task"


def converse(command: click.Group, target: Target) -> None:
    """
    Read lines and run each, until Ctrl-D, `exit` or `quit`.
    """
    click.echo(f"Connected to {target.name}. Tab completes, help lists the commands, Ctrl-D ends.")
    session: PromptSession[str] = PromptSession(
        _PROMPT,
        completer=ThreadedCompleter(LineCompleter(command, target)),
        complete_while_typing=False,
        history=history_of_user(),
    )
    for line in _lines(session):
        words = read_words(line)
        if words[:1] and words[0] in _ENDINGS:
            return
        if words:
            run_line(command, target, words)


def _lines(session: PromptSession[str]) -> Iterator[str]:
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            # Ctrl-C leaves a line, as in other shells.
            continue
        except EOFError:
            return


def read_words(line: str) -> list[str]:
    """
    Return the words of a line; one that cannot be read is told, and has none. `#` begins a comment.
    """
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        click.echo(f"Error: {error}; a quotation mark wants its other", err=True)
        return []
    if words[:1] == ["help"]:
        return [*words[1:2], "--help"]
    return words[1:] if words[:1] == [_PROGRAM] else words


def run_line(command: click.Group, target: Target, words: Sequence[str]) -> int:
    """
    Run one line, and return the exit code that the same words have as a command.
    """
    # Its own options are its own; what it opened stays open.
    own = replace(target)
    try:
        code = command.main(list(words), prog_name=_PROGRAM, standalone_mode=False, obj=own)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Aborted!", err=True)
        return 1
    return code if isinstance(code, int) else 0


class LineCompleter(Completer):
    """
    Completes a line as the shells of the system complete the command.
    """

    def __init__(self, command: click.Group, target: Target) -> None:
        self._command = command
        self._target = target

    def get_completions(self, document: Line, complete_event: CompleteEvent) -> Iterable[Completion]:
        """
        Yield what may stand before the cursor.
        """
        words, incomplete = split_line(document.text_before_cursor)
        own = replace(self._target)
        found = ShellComplete(self._command, {"obj": own}, _PROGRAM, "").get_completions(words, incomplete)
        endings = () if words else sorted(one for one in ("exit", "help") if one.startswith(incomplete))
        for one in found:
            yield Completion(shlex.quote(one.value), -len(incomplete), display=one.value, display_meta=one.help or "")
        for word in endings:
            yield Completion(word, -len(incomplete))


def split_line(text: str) -> tuple[list[str], str]:
    """
    Return the whole words of a line that is still typed, and the one that is not whole.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        # An open quotation mark: what stands before it is whole.
        words = text.split()
    if words[:1] == [_PROGRAM] and len(words) > 1:
        words = words[1:]
    if not words or text[-1:].isspace():
        return words, ""
    return words[:-1], words[-1]


def history_of_user() -> History:
    """
    Return the lines typed before, kept in a file of its owner; where there can be none, they last as long as the shell.
    """
    with suppress(OSError, RuntimeError):
        folder = state_folder()
        path = folder / "shell-history"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        return FileHistory(path)
    return InMemoryHistory()
