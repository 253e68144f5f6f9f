"""
`unomi-task`: the commands over REST and straight at a store, with the same results.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from click.testing import CliRunner

from tests.shell.support import PASSWORD, USER, rest, run, schedule, served
from tests.waiting import ended
from unomi_rest.accounts import make_account
from unomi_rest.app import App, create_app
from unomi_scheduler import Scheduler, TaskStatus
from unomi_scheduler.ports import SORT_FIELDS
from unomi_shell.failures import Exit
from unomi_shell.main import main
from unomi_shell.signin import find_left, left_for_owner
from unomi_shell.sorting import SORT_FIELDS as FIELDS

STORE = "sqlite:///tasks.db"


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """
    A store with three tasks; two ids begin alike.
    """
    made = Scheduler(store=STORE)
    for task_id, task_type in (("abc-1", "sample"), ("abc-2", "other"), ("xyz-3", "sample")):
        schedule(made, task_id, task_type)
    yield made
    made.stop()


@pytest.fixture(params=["rest", "store"])
def target(
    request: pytest.FixtureRequest, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """
    The options that lead to it, both ways.
    """
    if request.param == "store":
        yield ["--store", STORE]
        return
    monkeypatch.setenv("UNOMI_TASK_USER", USER)
    monkeypatch.setenv("UNOMI_TASK_PASSWORD", PASSWORD)
    with rest(scheduler) as url:
        yield ["--url", url]


def test_list_shows_the_table(target: list[str]) -> None:
    """
    And how many there are.
    """
    result = run(*target, "list", "--sort", "itemId")
    lines = result.stdout.splitlines()

    assert result.exit_code == 0
    assert [line.split(" │ ")[0].strip() for line in lines[2:5]] == ["abc-1", "abc-2", "xyz-3"]
    assert lines[-1] == "Showing 3 task(s) (3 in storage, 0 in memory)"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["-t", "sample"], ["abc-1", "xyz-3"]),
        (["-s", "scheduled"], ["abc-1", "abc-2", "xyz-3"]),
        (["-s", "SCHEDULED", "-t", "other"], ["abc-2"]),
        (["--limit", "1", "--sort", "itemId:desc"], ["xyz-3"]),
        (["--limit", "-1"], ["abc-1", "abc-2", "xyz-3"]),
        (["--status", "FAILED"], []),
    ],
)
def test_list_filters(target: list[str], options: list[str], ids: list[str]) -> None:
    """
    As REST does.
    """
    found = json.loads(run(*target, "list", "--json", *options).stdout)["list"]

    assert sorted(task["itemId"] for task in found) == ids


def test_list_says_when_there_are_more(target: list[str]) -> None:
    """
    Beside the table, which is for programs too.
    """
    result = run(*target, "list", "--limit", "1")

    assert "Showing 1 task(s)" in result.stdout
    assert result.stderr == "2 more; see them with --limit\n"


def test_a_limit_of_none_is_a_count(target: list[str]) -> None:
    """
    Not an empty table.
    """
    result = run(*target, "list", "--limit", "0", "-t", "sample")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "There are 2 task(s) of type sample; --limit 0 shows none of them\n"


@pytest.mark.parametrize("direction", ["", ":asc", ":desc"])
def test_a_field_nobody_knows_sorts_by_creation_with_a_warning(target: list[str], direction: str) -> None:
    """
    The same over REST and at a store.
    """
    known = run(*target, "list", "--sort", f"creationDate{direction}")
    unknown = run(*target, "list", "--sort", f"colour{direction}")

    assert (unknown.exit_code, unknown.stdout) == (0, known.stdout)
    assert known.stderr == ""
    assert unknown.stderr.startswith("Warning: no field 'colour' to sort by, so it is creationDate; expected one of ")
    assert len(unknown.stderr.splitlines()) == 1


@pytest.mark.parametrize("field", ["itemId", "ITEMID", "item_id", "id"])
def test_a_field_may_be_written_in_any_case(target: list[str], field: str) -> None:
    """
    And as Python writes it.
    """
    listed = json.loads(run(*target, "list", "--json", "--sort", f"{field}:desc").stdout)["list"]

    assert [task["itemId"] for task in listed] == ["xyz-3", "abc-2", "abc-1"]


def test_a_wrong_direction_is_a_usage_error(target: list[str]) -> None:
    """
    Which way is up cannot be guessed.
    """
    assert run(*target, "list", "--sort", "itemId:up").exit_code == Exit.USAGE


def test_every_field_that_can_be_sorted_by_is_known() -> None:
    """
    The commands know them without loading the scheduler.
    """
    in_python = {"".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in one) for one in FIELDS}

    assert {"id" if one == "item_id" else one for one in in_python} == set(SORT_FIELDS)


@pytest.mark.parametrize("command", [["list"], ["show", "a"], ["cancel", "a"]])
def test_a_store_that_is_not_there_is_not_made(command: list[str], tmp_path: Path) -> None:
    """
    A word mistyped is no empty cluster.
    """
    result = run("--store", "sqlite:///typo.db", *command)

    assert result.exit_code == Exit.OUT_OF_REACH
    assert result.stderr.startswith("Error: typo.db does not exist: expected the file that a node uses")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task_id", ["a/b", "/", "a%2Fb", "..", "ä ö", "-x"])
def test_every_id_can_be_reached(target: list[str], scheduler: Scheduler, task_id: str) -> None:
    """
    Whatever letters it has.
    """
    schedule(scheduler, task_id)
    shown = run(*target, "show", "--", task_id)
    cancelled = run(*target, "cancel", "--", task_id)

    assert f"ID: {task_id}" in shown.stdout.splitlines()
    assert cancelled.exit_code == 0
    assert scheduler.get_task(task_id).status is TaskStatus.CANCELLED


def test_a_table_on_a_terminal_is_as_wide_as_that(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What found no room is named.
    """
    schedule(scheduler, "a" * 36)
    monkeypatch.setattr("unomi_shell.terminal.width", lambda: 80)
    result = run("--store", STORE, "list")

    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "a" * 36 in result.stdout
    assert result.stderr == "The terminal is too narrow for Last Run, Failures, Persistent; a pipe gets all columns\n"


def test_options_stand_before_or_behind_the_command(target: list[str]) -> None:
    """
    Wherever they are typed.
    """
    before = run("--json", *target, "list").stdout
    behind = run("list", *target, "--json").stdout

    assert json.loads(before)["totalSize"] == 3
    assert before == behind


@pytest.mark.parametrize("options", [["--status", "BROKEN"], ["--limit", "-5"]])
def test_a_wrong_filter_is_a_usage_error(target: list[str], options: list[str]) -> None:
    """
    Exit code 2.
    """
    result = run(*target, "list", *options)

    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert options[1] in result.stderr


@pytest.mark.parametrize("given", ["xyz-3", "x"])
def test_show_takes_an_id_or_its_beginning(target: list[str], given: str) -> None:
    """
    If only one begins so.
    """
    text = run(*target, "show", given)
    document = run(*target, "show", given, "--json")

    assert (text.exit_code, document.exit_code) == (0, 0)
    assert "ID: xyz-3" in text.stdout.splitlines()
    assert json.loads(document.stdout)["itemId"] == "xyz-3"


@pytest.mark.parametrize("command", ["show", "cancel"])
@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ("none", (Exit.NOT_FOUND, "Error: Task not found: none\n")),
        ("abc", (Exit.USAGE, "Error: 2 tasks begin with abc: abc-1, abc-2\n")),
        (" ", (Exit.USAGE, "Error: ID: expected a text that is not blank\n")),
    ],
)
def test_an_id_that_fits_none_or_several_is_refused(
    target: list[str], scheduler: Scheduler, command: str, given: str, refusal: tuple[Exit, str]
) -> None:
    """
    And changes nothing.
    """
    result = run(*target, command, given)

    assert (result.exit_code, result.stderr) == refusal
    assert result.stdout == ""
    assert scheduler.find_tasks(status="SCHEDULED").total_size == 3


def test_cancel_cancels(target: list[str], scheduler: Scheduler) -> None:
    """
    And says so with the whole id; without a terminal nobody is asked.
    """
    result = run(*target, "cancel", "xyz")

    assert (result.exit_code, result.stdout) == (0, "Task xyz-3 has been cancelled successfully.\n")
    assert scheduler.get_task("xyz-3").status is TaskStatus.CANCELLED


def test_cancelling_what_has_ended_says_so(target: list[str], scheduler: Scheduler) -> None:
    """
    It was not stopped by this.
    """
    scheduler.executor("quick")(lambda: None)
    scheduler.new_task("quick").with_id("done").as_one_shot().schedule()
    with scheduler:
        ended(scheduler, "done")
        result = run(*target, "cancel", "done")

    assert result.stdout == "Task done has been cancelled successfully. It was COMPLETED; is CANCELLED now.\n"


def test_cancelling_twice_is_the_wrong_state(target: list[str]) -> None:
    """
    Exit code 4, and the state.
    """
    run(*target, "cancel", "xyz-3")
    result = run(*target, "cancel", "xyz-3")

    assert (result.exit_code, result.stdout) == (Exit.WRONG_STATE, "")
    assert "xyz-3 is CANCELLED" in result.stderr


def test_cancel_answers_json(target: list[str]) -> None:
    """
    With the task as it is now.
    """
    assert json.loads(run(*target, "cancel", "xyz-3", "--json").stdout)["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("answer", "code", "status"), [("y\n", 0, "CANCELLED"), ("n\n", 1, "SCHEDULED"), ("\n", 1, "SCHEDULED")]
)
def test_on_a_terminal_cancel_asks(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, status: str
) -> None:
    """
    Anything but yes leaves the task alone.
    """
    monkeypatch.setattr("unomi_shell.terminal.is_attended", lambda: True)
    result = run("--store", STORE, "cancel", "xyz", answer=answer)

    assert "Cancel task xyz-3 (sample, SCHEDULED)?" in result.stdout
    assert result.exit_code == code
    assert scheduler.get_task("xyz-3").status == status


def test_on_a_terminal_force_does_not_ask(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    For scripts that have one.
    """
    monkeypatch.setattr("unomi_shell.terminal.is_attended", lambda: True)

    assert run("--store", STORE, "cancel", "xyz", "--force").exit_code == 0
    assert scheduler.get_task("xyz-3").status is TaskStatus.CANCELLED


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        ("admin", "wrong", "Wrong user or password"),
        ("guest", PASSWORD, "needs the role ADMINISTRATOR"),
        ("", "", "Sign in"),
    ],
)
def test_who_may_not_is_told_so(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, user: str, password: str, message: str
) -> None:
    """
    Exit code 6, and what to set.
    """
    monkeypatch.setenv("UNOMI_TASK_USER", user)
    monkeypatch.setenv("UNOMI_TASK_PASSWORD", password)
    with rest(scheduler) as url:
        result = run("--url", url, "list")

    assert result.exit_code == Exit.NOT_ALLOWED
    assert message in result.stderr
    assert "UNOMI_TASK_USER" in result.stderr


def test_what_the_server_left_signs_its_owner_in(scheduler: Scheduler) -> None:
    """
    On this machine, by each of its names, and only while it is there.
    """
    apps: dict[str, App] = {}

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        # Who may sign in is known when the port is.
        return apps["owner"](environ, start)

    with served(app) as url:
        with left_for_owner(int(url.rpartition(":")[2])) as left:
            assert left is not None
            apps["owner"] = create_app(scheduler, scheduler.settings, accounts=[make_account(*left)])
            assert run("--url", url, "list").exit_code == 0
            assert run("--url", url.replace("127.0.0.1", "localhost"), "list").exit_code == 0
        assert run("--url", url, "list").exit_code == Exit.NOT_ALLOWED


def test_a_server_out_of_reach_is_named() -> None:
    """
    Exit code 5.
    """
    result = run("--url", "http://127.0.0.1:1", "list")

    assert (result.exit_code, result.stdout) == (Exit.OUT_OF_REACH, "")
    assert "http://127.0.0.1:1 is out of reach: Connection refused" in result.stderr


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8181", "http://", "http://x:port"])
def test_a_wrong_address_is_a_usage_error(url: str) -> None:
    """
    Exit code 2.
    """
    assert run("--url", url, "list").exit_code == Exit.USAGE


def test_the_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The option beats it.
    """
    monkeypatch.setenv("UNOMI_TASK_URL", "http://127.0.0.1:2")

    assert "http://127.0.0.1:2 is" in run("list").stderr
    assert "http://127.0.0.1:1 is" in run("list", "--url", "http://127.0.0.1:1").stderr


def test_two_targets_are_one_too_many() -> None:
    """
    A server or a store.
    """
    assert run("--url", "http://x", "--store", STORE, "list").exit_code == Exit.USAGE


@pytest.mark.parametrize("store", ["redis://x", "sqlite://x"])
def test_a_wrong_store_is_told_as_such(store: str) -> None:
    """
    Without a trace.
    """
    result = run("--store", store, "list")

    assert result.exit_code == Exit.FAILED
    assert "store: expected" in result.stderr


def test_help_is_complete_and_quick() -> None:
    """
    It loads neither the scheduler nor colours nor a web server.
    """
    heavy = {"elasticsearch", "pydantic", "falcon", "rich", "unomi_scheduler", "http.client"}
    code = "import sys; before = set(sys.modules); import unomi_shell.main; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "click" in loaded
    assert not heavy & set(loaded)
    text = CliRunner().invoke(main, ["--help"]).stdout
    assert [name for name in ("list", "show", "cancel", "--url", "--store", "--json") if name not in text] == []


@pytest.mark.parametrize("arguments", [["nonsense"], ["show"], ["list", "--limit", "x"]])
def test_wrong_usage_is_exit_code_two(arguments: list[str]) -> None:
    """
    Click's own errors have it too.
    """
    assert run(*arguments).exit_code == Exit.USAGE


def test_what_others_could_have_written_signs_nobody_in(tmp_path: Path) -> None:
    """
    A file that is not the owner's alone counts as none.
    """
    with left_for_owner(4711) as left:
        (file,) = (tmp_path / "state" / "unomi-scheduler" / "sign-in").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert find_left(4711) == left

        file.chmod(0o644)
        assert find_left(4711) is None


def test_without_a_home_nothing_is_left(tmp_path: Path) -> None:
    """
    The server starts all the same.
    """
    (tmp_path / "state").write_text("a file in the way")
    with left_for_owner(4711) as left:
        assert left is None
