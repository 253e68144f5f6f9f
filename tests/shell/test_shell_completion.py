"""
Completion of commands, ids, types and states, as a shell of the system asks for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from tests.shell.support import run, schedule
from tests.shell.ways import STORE, WAYS, way_to
from unomi_scheduler import Scheduler
from unomi_shell.completing import SHELLS
from unomi_shell.main import main


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """
    A store with a node that knows one type, and tasks of two others.
    """
    made = Scheduler(store=STORE, node_id="here")
    made.executor("known")(lambda: None)
    for task_id, task_type in (("abc-1", "sample"), ("abc-2", "other"), ("xyz-3", "sample")):
        schedule(made, task_id, task_type)
    with made:
        yield made


@pytest.fixture(params=WAYS)
def target(
    request: pytest.FixtureRequest, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """
    The options that lead to it, each way.
    """
    with way_to(request.param, scheduler, monkeypatch) as options:
        yield options


def _completed(words: list[str], incomplete: str) -> list[str]:
    found = ShellComplete(main, {}, "unomi-task", "_UNOMI_TASK_COMPLETE").get_completions(words, incomplete)
    return [one.value for one in found]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "re", ["resume", "retry"]),
        ([], "task-l", ["task-list"]),
        ([], "unomi:task-sh", ["unomi:task-show"]),
        (["show"], "abc", ["abc-1", "abc-2"]),
        (["unomi:task-cancel"], "x", ["xyz-3"]),
        (["list", "-s"], "c", ["COMPLETED", "CANCELLED", "CRASHED"]),
        (["list", "-t"], "", ["known", "other", "sample", "task-purge"]),
        (["executor"], "", ["here", "enable", "disable"]),
        (["completion"], "", list(SHELLS)),
    ],
)
def test_what_may_stand_there_is_offered(
    target: list[str], words: list[str], incomplete: str, expected: list[str]
) -> None:
    """
    Commands under all their names, ids, types, states and nodes.
    """
    assert _completed([*target, *words], incomplete) == expected


@pytest.mark.parametrize("words", [["show"], ["list", "-t"], ["executor"]])
def test_where_nothing_can_be_asked_nothing_is_said(words: list[str]) -> None:
    """
    A line that somebody types stays clean.
    """
    assert set(_completed(["--url", "http://127.0.0.1:1", *words], "")) <= {"enable", "disable"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_for_the_shell(shell: str) -> None:
    """
    And calls the command back.
    """
    result = run("completion", shell)

    assert result.exit_code == 0
    assert f"_UNOMI_TASK_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.usefixtures("scheduler")
def test_a_real_bash_completes_an_id(tmp_path: Path) -> None:
    """
    Through the script that the command printed.
    """
    program = tmp_path / "unomi-task"
    program.write_text(f"#!{sys.executable}\nfrom unomi_shell.main import main\nmain(prog_name='unomi-task')\n")
    program.chmod(0o755)
    script = f"""
        eval "$(unomi-task completion bash)"
        COMP_WORDS=(unomi-task --store {STORE} show x) COMP_CWORD=4 COMPREPLY=()
        _unomi_task_completion unomi-task
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)

    assert (done.stdout, done.stderr) == ("xyz-3\n", "")
