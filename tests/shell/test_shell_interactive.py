"""
The interactive shell: in a real terminal, and its parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document as Line
from prompt_toolkit.history import FileHistory, InMemoryHistory

from tests.shell.support import run, schedule
from tests.shell.terminals import terminal
from tests.shell.ways import STORE, WAYS, way_to
from unomi_scheduler import Scheduler, TaskStatus
from unomi_shell.failures import Exit
from unomi_shell.interactive import LineCompleter, history_of_user, read_words, run_line, split_line
from unomi_shell.main import main
from unomi_shell.target import Target

TAB = "\t"


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """
    A store with three tasks.
    """
    made = Scheduler(store=STORE)
    for task_id, task_type in (("abc-1", "sample"), ("abc-2", "other"), ("a word's", "sample")):
        schedule(made, task_id, task_type)
    yield made
    made.stop()


@pytest.mark.parametrize("way", WAYS)
def test_in_a_terminal_it_completes_runs_and_remembers(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """
    Commands under all their names; a question is asked; an error does not end it.
    """
    with way_to(way, scheduler, monkeypatch) as options, terminal(*options) as it:
        it.shows("Connected to", "unomi>")
        it.type("task-li" + TAB)
        it.shows("task-list")
        it.type(" --sort itemId\r")
        it.shows("Showing 3 task(s) (3 in storage, 0 in memory)")

        it.forget()
        it.type("unomi:task-show nobody\r")
        it.shows("Error: Task not found: nobody")

        it.forget()
        it.type("cancel abc" + TAB)
        it.shows("abc-1", "abc-2", "other SCHEDULED")
        it.type("2\r")
        it.shows("Cancel task abc-2 (other, SCHEDULED)? [y/N]")
        it.type("y\r")
        it.shows("Task abc-2 has been cancelled successfully.")
        assert scheduler.get_task("abc-2").status is TaskStatus.CANCELLED

        it.forget()
        it.type("\x1b[A\x1b[A\x1b[A\r")
        it.shows("Showing 3 task(s)")
        it.type("half a line\x03exit\r")
        assert it.ends() == 0


@pytest.mark.usefixtures("scheduler")
def test_lines_are_remembered_by_the_next_shell() -> None:
    """
    In a file of its owner alone.
    """
    for line in ("list --limit 1\r", "\x1b[A\x1b[A\r"):
        with terminal("--store", STORE) as it:
            it.shows("unomi>")
            it.type(line)
            it.shows("Showing 1 task(s)")
            it.type("exit\r")
            assert it.ends() == 0


@pytest.mark.usefixtures("scheduler")
def test_the_end_of_input_ends_it() -> None:
    """
    Ctrl-D.
    """
    with terminal("--store", STORE) as it:
        it.shows("unomi>")
        it.type("\x04")
        assert it.ends() == 0


@pytest.mark.usefixtures("scheduler")
def test_watch_opens_from_the_shell_and_comes_back() -> None:
    """
    Keys belong to the screen while it stands.
    """
    with terminal("--store", STORE) as it:
        it.shows("unomi>")
        it.type("watch\r")
        it.shows("Next due", "abc-1")
        it.type("q")
        it.shows("unomi>")
        it.type("quit\r")
        assert it.ends() == 0


def test_without_a_terminal_help_is_shown() -> None:
    """
    Nobody is there to type.
    """
    result = run()

    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert "Usage:" in result.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  # only a comment", []),
        ("show 'a word'  # why", ["show", "a word"]),
        ("unomi-task list", ["list"]),
        ("help", ["--help"]),
        ("help show", ["show", "--help"]),
        ("show 'open", []),
    ],
)
def test_a_line_is_read_as_words(line: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """
    As a shell of the system reads it.
    """
    assert read_words(line) == words
    assert ("quotation" in capsys.readouterr().err) is (line == "show 'open")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["list"], Exit.DONE),
        (["task-show", "nobody"], Exit.NOT_FOUND),
        (["delete", "abc-1"], Exit.USAGE),
        (["nonsense"], Exit.USAGE),
        (["resume", "abc-1"], Exit.WRONG_STATE),
        (["list", "--help"], Exit.DONE),
        (["--url", "http://127.0.0.1:1", "list"], Exit.USAGE),
    ],
)
@pytest.mark.usefixtures("scheduler")
def test_a_line_ends_as_the_command_does(words: list[str], code: Exit) -> None:
    """
    With the same exit code.
    """
    assert run_line(main, Target(store=STORE), words) == code


@pytest.mark.usefixtures("scheduler")
def test_the_options_of_a_line_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The next one is asked again; the connection stays.
    """
    target = Target(store=STORE)
    run_line(main, target, ["list", "--json"])
    assert json.loads(capsys.readouterr().out)["totalSize"] == 3
    run_line(main, target, ["list"])

    assert capsys.readouterr().out.startswith("ID ")
    assert len(target.opened) == 1
    assert not target.as_json


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ([], "")),
        ("li", ([], "li")),
        ("list ", (["list"], "")),
        ("unomi-task show a", (["show"], "a")),
        ("show 'a wo", (["show", "'a"], "wo")),
    ],
)
def test_a_line_that_is_typed_is_split(text: str, parts: tuple[list[str], str]) -> None:
    """
    Into what is whole and what is not.
    """
    assert split_line(text) == parts


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("he", ["help"]),
        ("re", ["resume", "retry"]),
        ("show abc-", ["abc-1", "abc-2"]),
        ("show a", ["'a word'\"'\"'s'", "abc-1", "abc-2"]),
        ("list -s run", ["RUNNING"]),
        ("list --type ", ["other", "sample"]),
        ("list --li", ["--limit"]),
    ],
)
@pytest.mark.usefixtures("scheduler")
def test_a_line_is_completed(text: str, offered: list[str]) -> None:
    """
    With what can be typed so.
    """
    completer = LineCompleter(main, Target(store=STORE))
    found = completer.get_completions(Line(text), CompleteEvent(completion_requested=True))

    assert [one.text for one in found] == offered


def test_without_a_home_lines_last_as_long_as_the_shell(tmp_path: Path) -> None:
    """
    With one, the file is its owner's alone.
    """
    assert isinstance(history_of_user(), FileHistory)
    kept = tmp_path / "state" / "unomi-scheduler" / "shell-history"
    assert kept.stat().st_mode & 0o777 == 0o600

    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("a file in the way")

    assert isinstance(history_of_user(), InMemoryHistory)
