"""
`unomi-task`: the commands that change tasks and look at the cluster, over REST and straight at a store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.shell.support import run, schedule
from tests.shell.ways import STORE, WAYS, way_to
from tests.waiting import ended, eventually
from unomi_scheduler import Scheduler, TaskNotFound, TaskStatus
from unomi_shell.client import read_metrics
from unomi_shell.failures import Exit

DAY = timedelta(days=1)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """
    A store with a task that is due in an hour, one that has failed and one that has completed.
    """
    made = Scheduler(store=STORE, node_id="here")
    schedule(made, "waiting-1")
    made.executor("fine")(lambda: None)
    made.executor("broken")(_break)
    made.new_task("fine").with_id("done-2").as_one_shot().schedule()
    made.new_task("broken").with_id("failed-3").with_max_retries(0).as_one_shot().schedule()
    with made:
        ended(made, "done-2")
        ended(made, "failed-3")
        yield made


def _break() -> None:
    raise RuntimeError("no more paper")


@pytest.fixture(params=WAYS)
def target(
    request: pytest.FixtureRequest, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """
    The options that lead to it, each way.
    """
    with way_to(request.param, scheduler, monkeypatch) as options:
        yield options


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Somebody sits at a terminal.
    """
    monkeypatch.setattr("unomi_shell.terminal.is_attended", lambda: True)


def test_delete_removes_a_task(target: list[str], scheduler: Scheduler) -> None:
    """
    By the beginning of its id.
    """
    result = run(*target, "delete", "wait", "--force")

    assert (result.exit_code, result.stdout) == (0, "Task waiting-1 has been deleted successfully.\n")
    with pytest.raises(TaskNotFound):
        scheduler.get_task("waiting-1")


@pytest.mark.parametrize("command", [["delete", "waiting-1"], ["purge"]])
def test_what_removes_is_refused_where_nobody_can_be_asked(
    target: list[str], scheduler: Scheduler, command: list[str]
) -> None:
    """
    Without --force; nothing happens.
    """
    result = run(*target, *command)

    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert "add --force" in result.stderr
    assert scheduler.find_tasks(status="SCHEDULED", task_type="sample").total_size == 1


@pytest.mark.usefixtures("attended")
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("Yes\n", 0), ("n\n", 1), ("\n", 1), ("yo\n", 1)])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_on_a_terminal_delete_asks(scheduler: Scheduler, answer: str, code: int, options: list[str]) -> None:
    """
    Anything but yes leaves the task alone; a program that reads JSON does not read the question.
    """
    result = run("--store", STORE, "delete", "waiting-1", *options, answer=answer)

    assert result.exit_code == code
    assert "Delete task waiting-1 (sample, SCHEDULED) for good?" in (result.stderr if options else result.stdout)
    assert (scheduler.find_tasks(task_type="sample").total_size == 0) is (code == 0)
    assert ("Operation cancelled." in result.stderr) is (code == 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [([], "."), (["-r"], " with reset failure count."), (["--reset"], " with reset failure count.")],
)
def test_retry_schedules_what_failed(target: list[str], options: list[str], words: str) -> None:
    """
    And says so as the original does.
    """
    result = run(*target, "retry", "failed", *options)

    assert (result.exit_code, result.stdout) == (0, f"Task failed-3 has been queued for retry{words}\n")


def test_retry_answers_the_task_that_its_write_made(target: list[str]) -> None:
    """
    Even where a node takes it at once.
    """
    task = json.loads(run(*target, "retry", "failed-3", "--reset", "--json").stdout)

    assert (task["itemId"], task["status"], task["failureCount"]) == ("failed-3", "SCHEDULED", 0)


@pytest.mark.parametrize("command", [["retry", "done-2"], ["resume", "failed-3"], ["cancel", "gone"], ["run", "gone"]])
def test_the_wrong_state_is_exit_code_four(target: list[str], scheduler: Scheduler, command: list[str]) -> None:
    """
    With the state in the message.
    """
    schedule(scheduler, "gone")
    scheduler.cancel_task("gone")
    result = run(*target, *command)

    assert (result.exit_code, result.stdout) == (Exit.WRONG_STATE, "")
    assert f"Task {command[1]} is {scheduler.get_task(command[1]).status}" in result.stderr


@pytest.mark.parametrize(
    "command",
    [["show"], ["cancel"], ["delete", "-f"], ["retry"], ["resume"], ["run"], ["config"], ["explain"], ["history"]],
)
def test_an_unknown_id_is_exit_code_three(target: list[str], command: list[str]) -> None:
    """
    In the words of the original.
    """
    result = run(*target, *command, "nobody")

    assert (result.exit_code, result.stdout, result.stderr) == (Exit.NOT_FOUND, "", "Error: Task not found: nobody\n")


def test_run_runs_now(target: list[str], scheduler: Scheduler) -> None:
    """
    What is due in an hour.
    """
    scheduler.executor("sample")(lambda: None)
    result = run(*target, "run", "waiting-1")

    assert (result.exit_code, result.stdout) == (0, "Task waiting-1 has been queued to run now.\n")
    assert ended(scheduler, "waiting-1").status is TaskStatus.COMPLETED


def test_config_changes_what_is_named(target: list[str], scheduler: Scheduler) -> None:
    """
    And nothing else.
    """
    result = run(*target, "config", "waiting", "--max-retries", "5", "--retry-delay", "60001", "--disabled")
    task = scheduler.get_task("waiting-1")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Task waiting-1 has been configured successfully.",
        "Max Retries: 5",
        "Retry Delay: 60001 ms",
        "Enabled: No",
    ]
    assert (task.max_retries, task.retry_delay, task.enabled) == (5, 60001, False)

    run(*target, "config", "waiting", "--enabled")
    task = scheduler.get_task("waiting-1")

    assert (task.max_retries, task.retry_delay, task.enabled) == (5, 60001, True)


def test_config_alone_shows(target: list[str]) -> None:
    """
    What is in force.
    """
    shown = run(*target, "config", "waiting-1").stdout

    assert shown == "Max Retries: 3\nRetry Delay: 60000 ms\nEnabled: Yes\n"
    assert json.loads(run(*target, "config", "waiting-1", "--json").stdout)["maxRetries"] == 3


@pytest.mark.parametrize("options", [["--max-retries", "-1"], ["--retry-delay", "-5"], ["--max-retries", "many"]])
def test_a_wrong_value_is_a_usage_error(target: list[str], scheduler: Scheduler, options: list[str]) -> None:
    """
    And changes nothing.
    """
    result = run(*target, "config", "waiting-1", *options)

    assert result.exit_code == Exit.USAGE
    assert scheduler.get_task("waiting-1").max_retries == 3


def test_purge_removes_what_is_old_enough(target: list[str], scheduler: Scheduler) -> None:
    """
    And says how many, as the original does.
    """
    young = run(*target, "purge", "-f")
    old = run(*target, "purge", "-d", "0", "--force")

    assert young.stdout == "Successfully purged 0 completed tasks older than 7 days.\n"
    assert old.stdout == "Successfully purged 1 completed tasks older than 0 days.\n"
    assert [task.id for task in scheduler.find_tasks(status="COMPLETED").list] == []


@pytest.mark.usefixtures("scheduler", "attended")
def test_on_a_terminal_purge_asks() -> None:
    """
    Naming what it is about to work on.
    """
    result = run("--store", STORE, "purge", "-d", "3", answer="n\n")

    assert f"Remove all completed tasks older than 3 days of {STORE} for good?" in result.stdout
    assert (result.exit_code, result.stderr) == (Exit.FAILED, "Error: Operation cancelled.\n")


def test_explain_says_why(target: list[str]) -> None:
    """
    In sentences, or as a list.
    """
    text = run(*target, "explain", "failed").stdout
    document = json.loads(run(*target, "explain", "failed", "--json").stdout)

    assert text.splitlines()[0] == "Task failed-3 (broken) is FAILED:"
    assert "last error: RuntimeError: no more paper" in text
    assert (document["itemId"], document["status"]) == ("failed-3", "FAILED")
    assert [f"  {reason}" for reason in document["reasons"]] == text.splitlines()[1:]


def test_history_shows_the_runs(target: list[str]) -> None:
    """
    As a table, or as a page.
    """
    lines = run(*target, "history", "failed").stdout.splitlines()
    page = json.loads(run(*target, "history", "failed", "--json").stdout)

    assert [word.strip() for word in lines[0].split(" │ ")] == [
        *("Started", "Ended", "Status", "Duration", "Attempt", "Node", "Error"),
    ]
    assert len(lines) == 3
    assert lines[2].endswith("FAILED │ " + lines[2].split(" │ ")[3] + " │       1 │ here │ RuntimeError: no more paper")
    assert (page["totalSize"], page["list"][0]["error"]) == (1, "RuntimeError: no more paper")


def test_a_task_without_runs_has_an_empty_history(target: list[str]) -> None:
    """
    Which is said.
    """
    assert run(*target, "history", "waiting-1").stdout.splitlines()[-1] == "No runs found."


def test_nodes_shows_who_takes_part(target: list[str]) -> None:
    """
    With flag, load, lease and types.
    """
    lines = run(*target, "nodes").stdout.splitlines()
    (node,) = json.loads(run(*target, "nodes", "--json").stdout)["list"]
    cells = [cell.strip() for cell in lines[2].split(" │ ")]

    assert cells[:4] == ["here", "ENABLED", "0", "10.0 s"]
    assert cells[-1] == "broken, fine, task-purge"
    assert (node["nodeId"], node["executorNode"]) == ("here", True)


@pytest.mark.parametrize("words", [[], ["here"], ["he"]])
def test_executor_shows_whether_a_node_runs_tasks(target: list[str], words: list[str]) -> None:
    """
    In the words of the original.
    """
    result = run(*target, "executor", *words)

    assert (result.exit_code, result.stdout) == (0, "Task executor status: ENABLED\nNode ID: here\n")


@pytest.mark.parametrize(
    ("words", "enabled"), [(["disable"], False), (["here", "disable"], False), (["he", "enable"], True)]
)
def test_a_node_is_told_whether_to_run_tasks(
    scheduler: Scheduler, target: list[str], words: list[str], *, enabled: bool
) -> None:
    """
    By a server or through the store; the only one need not be named.
    """
    scheduler.set_executor_node("here", not enabled)
    eventually(lambda: scheduler.executor_node is not enabled, "the other way")
    result = run(*target, "executor", *words)

    status = "ENABLED" if enabled else "DISABLED"
    assert (result.exit_code, result.stdout) == (0, f"Task executor status: {status}\nNode ID: here\n")
    eventually(lambda: scheduler.executor_node is enabled, "as told")


@pytest.mark.parametrize(
    ("words", "code"), [(["there"], Exit.NOT_FOUND), (["here", "x", "y"], Exit.USAGE), (["a", "b"], Exit.USAGE)]
)
def test_a_wrong_node_is_refused(target: list[str], words: list[str], code: Exit) -> None:
    """
    With the right exit code.
    """
    assert run(*target, "executor", *words).exit_code == code


def test_metrics_are_those_of_a_node(target: list[str]) -> None:
    """
    A store has none, and says where they are.
    """
    result = run(*target, "metrics", "--json")

    if "--store" in target:
        assert result.exit_code == Exit.USAGE
        assert "unomi-task --url URL metrics" in result.stderr
    else:
        values = json.loads(result.stdout)
        assert values["unomi_scheduler_tasks_completed_total"] >= 1
        assert values['unomi_scheduler_tasks{status="FAILED",task_type="broken"}'] == 1
        assert any("_bucket{" in name for name in values)
        table = run(*target, "metrics").stdout
        assert table.startswith("Metric")
        assert "unomi_scheduler_tasks_completed_total" in table
        assert "_bucket" not in table


def test_values_for_prometheus_are_read() -> None:
    """
    With labels, whole numbers as such, and nothing else.
    """
    text = '# HELP a b c\n# TYPE a counter\na{x="y z"} 3\nb 0.5\n\nc NaNny\nd NaN\ne +Inf\n'

    assert read_metrics(text) == {'a{x="y z"}': 3, "b": 0.5}


@pytest.mark.parametrize("name", ["list", "task-list", "unomi:task-list", "unomi:list"])
def test_the_original_names_work(target: list[str], name: str) -> None:
    """
    Wherever a command is typed.
    """
    assert json.loads(run(*target, name, "--json", "-t", "sample").stdout)["totalSize"] == 1


def test_a_beginning_is_found_among_many(scheduler: Scheduler, target: list[str]) -> None:
    """
    More than are read at once.
    """
    scheduler.schedule_many(
        [scheduler.new_task("many").with_id(f"m-{number:04}").with_initial_delay(DAY).build() for number in range(1200)]
    )
    found = run(*target, "show", "m-117", "--json")
    unique = run(*target, "show", "m-1170", "--json")
    last = run(*target, "show", "waiting", "--json")

    assert found.exit_code == Exit.USAGE
    assert "10 tasks begin with m-117: m-1170, m-1171" in found.stderr
    assert json.loads(unique.stdout)["itemId"] == "m-1170"
    assert json.loads(last.stdout)["itemId"] == "waiting-1"
