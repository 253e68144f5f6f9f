"""
`unomi-scheduler` as real processes: what it prints, who may sign in, and how it ends.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner

from tests.shell.support import run, schedule
from unomi_scheduler import Scheduler
from unomi_shell.failures import Exit
from unomi_shell.main import main as task_main
from unomi_shell.server import main
from unomi_shell.welcome import address_for_peers, runnable

WAIT_SECONDS = 30
CHECKS = ("store", "index", "node", "accepting", "clock", "lease")
COMMAND = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]
APP = """
import time
from pathlib import Path
from unomi_scheduler import Scheduler

scheduler = Scheduler(drain_timeout="5s", poll_interval="100ms", purge_enabled=False)

@scheduler.executor("slow")
def slow(context):
    Path("began").touch()
    while not Path("go").exists() and not context.cancelled:
        time.sleep(0.02)
    time.sleep(0.3)
    Path("ended").touch()
"""


class Server:
    """
    A running `unomi-scheduler`, and what it printed so far.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.folder = folder

    @property
    def said(self) -> str:
        """
        What it printed.
        """
        return (self.folder / "stdout").read_text()

    @property
    def logged(self) -> str:
        """
        What it said to standard error.
        """
        return (self.folder / "stderr").read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """
        Wait until it printed this.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = re.search(pattern, self.said)
            if found:
                return found
            assert self.process.poll() is None, self.logged
            time.sleep(0.02)
        raise AssertionError(f"no {pattern} in {self.said!r}, {self.logged!r}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """
        Send a signal and return the exit code.
        """
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)


@contextmanager
def started(folder: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    """
    Start it with the settings of no one else, and end it in any case.
    """
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=folder, env={**os.environ, **variables}, stdout=out, stderr=err, text=True
        )
    try:
        yield Server(process, folder)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(WAIT_SECONDS)


def wait_for_file(path: Path) -> None:
    """
    Wait until a file is there.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


def wait_until(holds: Callable[[], bool], server: Server) -> None:
    """
    Wait until something holds, while the server lives.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, server.said + server.logged
        time.sleep(0.02)


def get(port: int, path: str) -> tuple[int, dict[str, object]]:
    """
    Ask without signing in, and return the document.
    """
    status, body = read(port, path)
    return status, json.loads(body)


def read(port: int, path: str) -> tuple[int, bytes]:
    """
    Ask without signing in.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def port_of(server: Server) -> int:
    """
    Return the port a server says it listens on.
    """
    return int(server.wait_for(r"http://127\.0\.0\.1:(\d+)").group(1))


def test_serve_runs_a_node_and_rest_until_it_is_told_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Its owner is signed in, the password of the first start works, and SIGTERM ends it in order with 0.
    """
    with started(tmp_path, "serve", "--port", "0") as server:
        port = port_of(server)
        password = server.wait_for(r"password was made for user admin: (\S+)").group(1)
        server.wait_for("Ctrl-C drains and stops")
        url = f"http://127.0.0.1:{port}"
        by_owner = run("--url", url, "list", "--json")
        monkeypatch.setenv("UNOMI_TASK_USER", "admin")
        monkeypatch.setenv("UNOMI_TASK_PASSWORD", password)
        by_admin = run("--url", url, "show", "task-purge")
        ready = get(port, "/readyz")
        stranger = get(port, "/cxs/tasks")
        began = time.monotonic()
        code = server.end()
        took = time.monotonic() - began

    assert json.loads(by_owner.stdout)["list"][0]["itemId"] == "task-purge"
    assert by_admin.exit_code == 0
    assert ready == (200, {"status": "UP", "checks": dict.fromkeys(CHECKS, True)})
    assert stranger[0] == 401
    assert code == 0
    assert took < 10
    assert password not in server.logged
    assert list((tmp_path / "state" / "unomi-scheduler" / "sign-in").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_in_flight_is_drained(tmp_path: Path, number: int) -> None:
    """
    It ends as it would have, and its success is stored.
    """
    (tmp_path / "myapp.py").write_text(APP)
    with started(tmp_path, "serve", "--port", "0", "--app", "myapp:scheduler") as server:
        server.wait_for("Ctrl-C drains and stops")
        scheduler = Scheduler()
        scheduler.new_task("slow").with_id("slow").as_one_shot().schedule()
        wait_for_file(tmp_path / "began")
        server.process.send_signal(number)
        (tmp_path / "go").touch()
        code = server.process.wait(WAIT_SECONDS)
        task = scheduler.get_task("slow")
        scheduler.stop()

    assert code == 0
    assert (tmp_path / "ended").exists()
    assert (task.status, task.success_count) == ("COMPLETED", 1)


def test_a_second_start_shows_no_password(tmp_path: Path) -> None:
    """
    It was shown once.
    """
    for expected in (True, False):
        with started(tmp_path, "serve", "--port", "0") as server:
            server.wait_for("Ctrl-C drains and stops")
            assert ("password was made" in server.said) is expected
            assert server.end() == 0


def test_api_runs_nothing(tmp_path: Path) -> None:
    """
    Several processes answer, no node joins.
    """
    scheduler = Scheduler()
    schedule(scheduler, "a")
    with started(tmp_path, "api", "--port", "0", "--workers", "2") as server:
        port = port_of(server)
        server.wait_for("Ctrl-C drains and stops")
        listed = run("--url", f"http://127.0.0.1:{port}", "list", "--json")
        ready = get(port, "/readyz")
        nodes = scheduler.nodes()
        code = server.end()
    scheduler.stop()

    assert json.loads(listed.stdout)["totalSize"] == 1
    assert ready == (200, {"status": "UP", "checks": dict.fromkeys(CHECKS[:2], True)})
    assert nodes == []
    assert code == 0


def test_a_node_with_rest_shows_where_it_answers(tmp_path: Path) -> None:
    """
    To its peers, and to whoever lists the nodes.
    """
    scheduler = Scheduler()
    with started(tmp_path, "serve", "--port", "0") as server:
        port = port_of(server)
        server.wait_for("Ctrl-C drains and stops")
        addresses = [node.address for node in scheduler.nodes()]
        code = server.end()
    scheduler.stop()

    assert (addresses, code) == ([f"http://127.0.0.1:{port}"], 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("::1", "http://[::1]:1"),
        ("10.0.0.7", "http://10.0.0.7:1"),
        ("0.0.0.0", f"http://{socket.gethostname()}:1"),
    ],
)
def test_peers_are_told_an_address_they_can_use(host: str, expected: str) -> None:
    """
    Where a server listens everywhere, that is the machine's name.
    """
    assert address_for_peers(host, 1) == expected


def test_the_secret_of_the_cluster_is_renewed(tmp_path: Path) -> None:
    """
    And not shown.
    """
    scheduler = Scheduler()
    scheduler.renew_cluster_secret()
    (before,) = scheduler._wiring.required_store().notes("secret")
    result = CliRunner().invoke(main, ["renew-secret"])
    (after,) = scheduler._wiring.required_store().notes("secret")
    scheduler.stop()

    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert before.record.body != after.record.body
    assert str(after.record.body["key"]) not in result.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_node_runs_without_rest(tmp_path: Path, number: int) -> None:
    """
    Health and metrics are on a small port, and nothing else.
    """
    (tmp_path / "myapp.py").write_text(APP)
    (tmp_path / "go").touch()
    with started(tmp_path, "node", "--app", "myapp") as server:
        port = port_of(server)
        scheduler = Scheduler()
        scheduler.new_task("slow").with_id("slow").as_one_shot().schedule()
        wait_for_file(tmp_path / "ended")
        answers = [get(port, path)[0] for path in ("/livez", "/readyz", "/cxs/tasks")]
        measured = read(port, "/metrics")[1].decode()
        addresses = [node.address for node in scheduler.nodes()]
        told = CliRunner().invoke(main, ["doctor"]).stdout
        code = server.end(number)
        scheduler.stop()

    assert answers == [200, 200, 404]
    assert "\n# TYPE unomi_scheduler_tasks_completed_total counter\n" in measured
    assert addresses == [f"http://127.0.0.1:{port}"]
    assert f"health on http://127.0.0.1:{port}/readyz" in told
    assert code == 0
    assert server.said.splitlines()[-2:] == ["Draining: no task runs here.", "Stopped."]


def in_the_midst_of_a_run(folder: Path, server: Server) -> Scheduler:
    """
    Return a scheduler beside a server that has begun the run of `slow`.
    """
    server.wait_for("Ctrl-C drains and stops")
    scheduler = Scheduler()
    scheduler.new_task("slow").with_id("slow").as_one_shot().schedule()
    wait_for_file(folder / "began")
    return scheduler


def test_a_node_says_that_it_drains_and_that_it_has_stopped(tmp_path: Path) -> None:
    """
    How many runs it waits for, and how long at most.
    """
    (tmp_path / "myapp.py").write_text(APP)
    with started(tmp_path, "node", "--app", "myapp") as server:
        scheduler = in_the_midst_of_a_run(tmp_path, server)
        server.process.send_signal(signal.SIGINT)
        server.wait_for("Draining: 1 run, at most 5 s; Ctrl-C again ends at once.\n")
        (tmp_path / "go").touch()
        code = server.process.wait(WAIT_SECONDS)
        scheduler.stop()

    assert (code, server.said.splitlines()[-1]) == (0, "Stopped.")
    assert (tmp_path / "ended").exists()


@pytest.mark.parametrize("command", [["node"], ["serve", "--port", "0"]])
def test_another_ctrl_c_ends_at_once(tmp_path: Path, command: list[str]) -> None:
    """
    Whatever runs; others take it over.
    """
    (tmp_path / "myapp.py").write_text(APP.replace("5s", "50s"))
    with started(tmp_path, *command, "--app", "myapp") as server:
        scheduler = in_the_midst_of_a_run(tmp_path, server)
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: "Draining" in server.said + server.logged, server)
        began = time.monotonic()
        code = server.end(signal.SIGINT)
        took = time.monotonic() - began
        status = scheduler.get_task("slow").status
        scheduler.stop()

    assert (code, status) == (130, "RUNNING")
    assert took < 10
    assert "Ended at once" in server.logged
    assert list((tmp_path / "state").rglob("sign-in/*")) == []


@pytest.mark.parametrize("command", [["node"], ["serve", "--port", "0"]])
def test_a_node_without_an_application_says_so(tmp_path: Path, command: list[str]) -> None:
    """
    It runs nothing of the user's.
    """
    (tmp_path / "myapp.py").write_text(APP)
    said = []
    for app in ([], ["--app", "myapp"]):
        with started(tmp_path, *command, *app) as server:
            server.wait_for("Ctrl-C drains and stops")
            server.end()
            said.append("name your scheduler, --app MODULE:NAME" in server.said)

    assert said == [True, False]


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """
    And exit code 1, before a node has started.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(tmp_path, "serve", "--port", str(port)) as server:
            code = server.process.wait(WAIT_SECONDS)

    assert code == 1
    assert server.logged == (
        f"Error: Cannot listen on 127.0.0.1:{port}: the port is in use; choose another by --port or rest.port\n"
    )
    assert server.said == ""
    assert {one.name for one in tmp_path.iterdir()} == {"stdout", "stderr"}


def test_a_store_that_cannot_be_opened_is_noticed_before_a_password_is_made(tmp_path: Path) -> None:
    """
    It would be shown to nobody who needs it, and not again.
    """
    (tmp_path / "letter.db").write_text("a letter to someone " * 100)
    with started(tmp_path, "serve", "--port", "0", UNOMI_SCHEDULER_STORE="sqlite:///letter.db") as server:
        code = server.process.wait(WAIT_SECONDS)

    assert (code, server.said) == (1, "")
    assert "file is not a database" in server.logged
    assert not list(tmp_path.rglob("admin-password-hash"))


def test_the_health_port_in_use_is_noticed_before_the_node_starts(tmp_path: Path) -> None:
    """
    It names the setting.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(tmp_path, "node", UNOMI_SCHEDULER_ADMIN_PORT=str(port)) as server:
            code = server.process.wait(WAIT_SECONDS)

    assert (code, server.said) == (1, "")
    assert server.logged.endswith("choose another admin_port\n")
    assert len(server.logged.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["serve", "--host", "0.0.0.0"], "no user is configured"),
        (["node", "--app", "badstore"], "typo does not exist: make it, or name another file"),
        (["serve", "--port", "0", "--app", "badstore"], "typo does not exist: make it, or name another file"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, arguments: list[str], expected: str) -> None:
    """
    Without a trace.
    """
    (tmp_path / "badstore.py").write_text(
        "from unomi_scheduler import Scheduler\n"
        "scheduler = Scheduler(store='sqlite:///typo/x.db')\n"
        "scheduler.new_task('sample').schedule()\n"
    )
    with started(tmp_path, *arguments) as server:
        code = server.process.wait(WAIT_SECONDS)

    assert (code, server.said) == (1, "")
    assert expected in server.logged
    assert len(server.logged.splitlines()) == 1


@pytest.mark.parametrize("command", [["node"], ["serve", "--port", "0"]])
def test_an_application_that_is_not_there_is_wrong_usage(tmp_path: Path, command: list[str]) -> None:
    """
    One line, exit code 2.
    """
    with started(tmp_path, *command, "--app", "./x:y") as server:
        code = server.process.wait(WAIT_SECONDS)

    assert (code, server.said) == (Exit.USAGE, "")
    assert re.fullmatch(r"Error: --app \./x:y: .* did you mean x:y\?\n", server.logged)


@pytest.mark.parametrize("command", [["node"], ["serve", "--port", "0"]])
def test_an_application_that_raises_is_named_behind_its_own_trace(tmp_path: Path, command: list[str]) -> None:
    """
    The trace begins in its module, and the exit code is 2.
    """
    (tmp_path / "broken.py").write_text("raise RuntimeError('no luck')\n")
    with started(tmp_path, *command, "--app", "broken:scheduler") as server:
        code = server.process.wait(WAIT_SECONDS)

    assert (code, server.said) == (Exit.USAGE, "")
    assert re.findall(r'File "(.*?)"', server.logged) == [str(tmp_path / "broken.py")]
    assert "RuntimeError: no luck\nError: --app broken:scheduler: the module raised RuntimeError" in server.logged


def test_a_node_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    """
    A node id can be taken on one machine once.
    """
    variables = {"UNOMI_SCHEDULER_NODE_ID": "a"}
    with started(tmp_path, "serve", "--port", "0", **variables) as server:
        server.wait_for("Ctrl-C drains and stops")
        (tmp_path / "second").mkdir()
        store = {"UNOMI_SCHEDULER_STORE": f"sqlite:///{tmp_path}/unomi-scheduler.db"}
        with started(tmp_path / "second", "serve", "--port", "0", **variables, **store) as second:
            code = second.process.wait(WAIT_SECONDS)

    assert code == 1
    assert "Node id 'a' is in use" in second.logged
    assert len(second.logged.splitlines()) == 1


def test_settings_that_are_wrong_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By every command that reads them.
    """
    monkeypatch.setenv("UNOMI_SCHEDULER_TREADS", "8")
    for command in ("serve", "api", "node", "doctor"):
        result = CliRunner().invoke(main, [command])

        assert result.exit_code == 1
        assert "did you mean UNOMI_SCHEDULER_THREADS?" in result.stderr


def test_doctor_tells_facts_and_finds_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Exit code 0.
    """
    monkeypatch.setenv("UNOMI_SCHEDULER_NODE_ID", "a")
    with Scheduler():
        result = CliRunner().invoke(main, ["doctor"])
    lines = result.stdout.splitlines()

    assert result.exit_code == 0
    assert "address: sqlite:///unomi-scheduler.db" in lines
    assert f"lock node-a.lock: of process {os.getpid()}, which runs" in lines
    assert any(re.fullmatch(rf"node a: process {os.getpid()} on \S+, clock offset -?\d+ ms", line) for line in lines)
    assert lines[-1] == "No problems found."


def test_doctor_tells_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Exit code 1.
    """
    monkeypatch.setenv("UNOMI_SCHEDULER_STORE", "")
    result = CliRunner().invoke(main, ["doctor"])

    assert result.exit_code == 1
    assert "PROBLEM: no store is bound" in result.stdout


def test_hash_password_makes_what_the_settings_take() -> None:
    """
    From standard input where no terminal is.
    """
    result = CliRunner().invoke(main, ["hash-password"], input="secret\n")
    nothing = CliRunner().invoke(main, ["hash-password"], input="\n")

    assert result.stdout.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "secret" not in result.output
    assert nothing.exit_code == 2


@pytest.mark.parametrize("command", [main, task_main])
def test_the_version_is_told(command: Command) -> None:
    """
    By both commands, in one line.
    """
    result = CliRunner().invoke(command, ["--version"])

    assert result.exit_code == 0
    assert re.fullmatch(r"unomi-scheduler \S.*\n", result.stdout)


def test_a_command_is_shown_as_it_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By its name on the PATH, else by the path of the one beside the running program, short where that is below here.
    """
    beside = tmp_path / "bin" / "unomi-task"
    beside.parent.mkdir()
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(beside.with_name("unomi-scheduler"))])
    monkeypatch.setenv("PATH", str(beside.parent))
    on_path = runnable("unomi-task")
    monkeypatch.setenv("PATH", str(tmp_path))
    below = runnable("unomi-task")
    monkeypatch.setattr("pathlib.Path.cwd", lambda: Path("/elsewhere"))
    far = runnable("unomi-task")

    assert (on_path, below, far) == ("unomi-task", "bin/unomi-task", str(beside))
