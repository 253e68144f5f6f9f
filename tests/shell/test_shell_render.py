"""
What people read: the table to the character, and everything about a task.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from unomi_shell.pretty import show_task
from unomi_shell.render import task_details, task_list


@pytest.fixture(autouse=True)
def _zurich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """
    A place where local time is not UTC.
    """
    monkeypatch.setenv("TZ", "Europe/Zurich")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def task(**over: Any) -> dict[str, Any]:
    """
    Return a task as REST shows it.
    """
    return {
        "itemId": "8b0d4f6e-6e0e-4c51-9a52-0d3d4a1f3b57",
        "taskType": "dataSync",
        "status": "SCHEDULED",
        "persistent": True,
        "failureCount": 0,
        "successCount": 0,
        **over,
    }


TASKS = (
    task(nextScheduledExecution="2024-03-20T15:00:00.000Z", lastExecutionDate="2024-07-20T15:00:00.999Z"),
    task(itemId="x", taskType="a" * 31, status="RUNNING", persistent=False, failureCount=12, successCount=30),
)


def test_the_list_is_the_promised_table() -> None:
    """
    To the character: local time, `-` for none, types cut at 29, numbers to the right, whole ids.
    """
    assert task_list(TASKS) == (
        "ID                                   │ Type                          │ Status    │ Next Run            │"
        " Last Run            │ Failures │ Persistent\n"
        "─────────────────────────────────────┼───────────────────────────────┼───────────┼─────────────────────┼"
        "─────────────────────┼──────────┼───────────\n"
        "8b0d4f6e-6e0e-4c51-9a52-0d3d4a1f3b57 │ dataSync                      │ SCHEDULED │ 2024-03-20 16:00:00 │"
        " 2024-07-20 17:00:00 │        0 │ Storage\n"
        "x                                    │ aaaaaaaaaaaaaaaaaaaaaaaaaaaaa │ RUNNING   │ -                   │"
        " -                   │       12 │ Memory\n"
        "\n"
        "Showing 2 task(s) (1 in storage, 1 in memory)"
    )


def test_the_empty_list_is_a_heading_and_a_sentence() -> None:
    """
    And no summary.
    """
    assert task_list((), status="FAILED") == (
        "ID │ Type │ Status │ Next Run │ Last Run │ Failures │ Persistent\n"
        "───┼──────┼────────┼──────────┼──────────┼──────────┼───────────\n"
        "No tasks found."
    )


@pytest.mark.parametrize(
    ("filters", "ending"),
    [
        ({"status": "FAILED"}, " with status FAILED"),
        ({"task_type": "dataSync"}, " of type dataSync"),
        ({"status": "FAILED", "task_type": "dataSync"}, " with status FAILED of type dataSync"),
    ],
)
def test_the_summary_names_the_filters(filters: dict[str, str], ending: str) -> None:
    """
    Both when both were given.
    """
    assert task_list(TASKS, **filters).endswith("(1 in storage, 1 in memory)" + ending)  # type: ignore[arg-type]


def test_the_wide_list_has_four_more_columns() -> None:
    """
    Successes, runs in all, node and progress.
    """
    wide = task(
        failureCount=2, successCount=5, executingNodeId="a", statusDetails={"processedCount": 50, "totalCount": 200}
    )
    heading, _, row, *_ = task_list([wide], wide=True).splitlines()

    assert heading.split(" │ ")[5:] == ["Failures", "Successes", "Total Exec", "Persistent", "Node", "Progress"]
    assert [cell.strip() for cell in row.split("│")][5:] == ["2", "5", "7", "Storage", "a", "50/200"]


def test_a_type_of_thirty_characters_is_whole() -> None:
    """
    Only longer ones are cut, as in the original.
    """
    assert "a" * 30 in task_list([task(taskType="a" * 30)])


def test_nothing_can_steer_the_terminal() -> None:
    """
    Wherever it comes from.
    """
    evil = task(itemId="a\x1b[2J", taskType="b\nc", lastError="\x1b]0;x\x07", parameters={"k\r": "v\x1b"})

    assert not {"\x1b", "\r", "\x07"} & set(task_list([evil]) + task_details(evil))
    assert len(task_list([evil]).splitlines()) == 5


FULL = task(
    status="FAILED",
    allowParallelExecution=False,
    fixedRate=False,
    period=2,
    timeUnit="HOURS",
    initialDelay=5,
    initialDelayUnit="MINUTES",
    failureCount=4,
    lastError="boom",
    currentStep="Processing",
    parameters={"source": "crm", "depth": 3},
    checkpointData={"lastProcessedId": 7},
    statusDetails={"processedCount": 7},
    lastExecutionDate="2024-03-20T15:00:00.000Z",
)


def test_the_details_are_lines_of_label_and_value() -> None:
    """
    In the original's order, ours behind them.
    """
    assert task_details(FULL).splitlines() == [
        "Task Details",
        "────────────",
        "ID: 8b0d4f6e-6e0e-4c51-9a52-0d3d4a1f3b57",
        "Type: dataSync",
        "Status: FAILED",
        "Persistent: Storage",
        "Parallel Execution: No",
        "Fixed Rate: No",
        "One Shot: No",
        "Next Run: -",
        "Last Run: 2024-03-20 16:00:00",
        "Initial Delay: 5 MINUTES",
        "Period: 2 HOURS",
        "Failure Count: 4",
        "Last Error: boom",
        "Success Count: 0",
        "Current Step: Processing",
        "Progress: 7",
        "",
        "Parameters:",
        "  source: crm",
        "  depth: 3",
        "",
        "Checkpoint Data:",
        "  lastProcessedId: 7",
    ]


def test_a_terminal_shows_the_same() -> None:
    """
    With colours and frames; markup in values is not markup.
    """
    console = Console(record=True, width=100, file=io.StringIO())
    show_task({**FULL, "lastError": "[red]boom[/red]"}, console)
    text = console.export_text()

    for expected in ("dataSync", "2 HOURS", "[red]boom[/red]", "Parameters", "crm", "lastProcessedId"):
        assert expected in text
