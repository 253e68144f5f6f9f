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
from unomi_shell.render import COLUMNS, WIDE_COLUMNS, Column, task_count, task_details, task_list
from unomi_shell.widths import fit


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
    heading, _, row, *_ = task_list([wide], columns=WIDE_COLUMNS).splitlines()

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


SCHEDULED_AT = "2024-03-20T15:00:00.000Z"


@pytest.mark.parametrize(
    ("over", "shown"),
    [
        ({}, "2024-03-20 16:00:00"),
        ({"status": "RUNNING"}, "2024-03-20 16:00:00"),
        ({"status": "CANCELLED"}, "-"),
        ({"status": "FAILED"}, "-"),
        ({"status": "COMPLETED"}, "-"),
        ({"enabled": False}, "-"),
    ],
)
def test_a_task_that_will_not_run_has_no_next_run(over: dict[str, Any], shown: str) -> None:
    """
    Whatever date its record keeps.
    """
    one = task(nextScheduledExecution=SCHEDULED_AT, **over)

    assert f"Next Run: {shown}" in task_details(one).splitlines()
    assert task_list([one]).splitlines()[2].split(" │ ")[3].strip() == shown


def _history(*kinds: str) -> dict[str, Any]:
    return {"executionHistory": [{"status": kind} for kind in kinds]}


@pytest.mark.parametrize(
    ("over", "label"),
    [
        ({"statusDetails": _history("FAILED")}, "Last Error"),
        ({"statusDetails": _history("SUCCESS", "FAILED", "CANCELLED"), "status": "CANCELLED"}, "Last Error"),
        ({"statusDetails": _history("CRASHED"), "status": "CRASHED"}, "Last Error"),
        ({"status": "FAILED"}, "Last Error"),
        ({"statusDetails": _history("FAILED", "SUCCESS")}, "Last Error (of an earlier run)"),
        ({"statusDetails": _history("FAILED", "SUCCESS", "CANCELLED")}, "Last Error (of an earlier run)"),
        ({"statusDetails": _history("FAILED"), "status": "RUNNING"}, "Last Error (of an earlier run)"),
        ({"status": "COMPLETED"}, "Last Error (of an earlier run)"),
    ],
)
def test_an_error_that_is_over_is_told_as_such(over: dict[str, Any], label: str) -> None:
    """
    The record keeps it for good, also when a run has gone well since.
    """
    one = task(lastError="boom", **over)
    console = Console(record=True, width=100, file=io.StringIO())
    show_task(one, console)

    assert f"{label}: boom" in task_details(one).splitlines()
    assert label in console.export_text()


def test_none_of_the_tasks_is_a_number() -> None:
    """
    With the filters, and with what the server could not count.
    """
    some = {"totalSize": 7, "totalSizeRelation": "EQUAL"}
    many = {"totalSize": 10_000, "totalSizeRelation": "GREATER_THAN_OR_EQUAL_TO"}

    assert task_count(some, status="FAILED") == ("There are 7 task(s) with status FAILED; --limit 0 shows none of them")
    assert task_count(many).startswith("There are at least 10000 task(s);")


NARROWED = (
    task(taskType="cache-refresh-Country", nextScheduledExecution=SCHEDULED_AT, lastExecutionDate=SCHEDULED_AT),
    task(itemId="geonames-import", taskType="geonames-import", nextScheduledExecution=SCHEDULED_AT),
)


def _fitted(width: int | None, columns: tuple[Column, ...] = COLUMNS) -> tuple[list[str], tuple[str, ...]]:
    layout = fit(NARROWED, columns, width)
    return task_list(NARROWED, columns=layout.columns).splitlines()[:4], layout.left_out


@pytest.mark.parametrize("columns", [COLUMNS, WIDE_COLUMNS])
def test_the_table_fits_into_the_terminal(columns: tuple[Column, ...]) -> None:
    """
    At every width that has room for the id and the status, and with whole ids.
    """
    for width in range(50, 220):
        lines, _ = _fitted(width, columns)
        assert max(map(len, lines)) <= width
        assert lines[2].startswith("8b0d4f6e-6e0e-4c51-9a52-0d3d4a1f3b57 │ ")


@pytest.mark.parametrize(
    ("width", "row", "left_out"),
    [
        (140, "cache-refresh-Country │ SCHEDULED │ 2024-03-20 16:00:00 │ 2024-03-20 16:00:00 │        0 │ Storage", ()),
        (139, "cache-refresh-Country │ SCHEDULED │ 2024-03-20 16:00 │ 2024-03-20 16:00 │        0 │ Storage", ()),
        (133, "cache-refresh-Count │ SCHEDULED │ 2024-03-20 16:00 │ 2024-03-20 16:00 │        0 │ Storage", ()),
        (130, "cache-refresh-Country │ SCHEDULED │ 03-20 16:00 │ 03-20 16:00 │        0 │ Storage", ()),
        (120, "cache-refresh-Co │ SCHEDULED │ 03-20 16:00 │ 03-20 16:00 │        0 │ Storage", ()),
        (80, "cache-refresh- │ SCHEDULED │ 03-20 16:00", ("Last Run", "Failures", "Persistent")),
        (48, "SCHEDULED", ("Type", "Next Run", "Last Run", "Failures", "Persistent")),
        (20, "SCHEDULED", ("Type", "Next Run", "Last Run", "Failures", "Persistent")),
    ],
)
def test_the_columns_give_way_in_turn(width: int, row: str, left_out: tuple[str, ...]) -> None:
    """
    Seconds, the type's end, years, then columns; never the id.
    """
    lines, missing = _fitted(width)
    cells = [cell.strip() for cell in lines[2].split("│")]

    assert cells == ["8b0d4f6e-6e0e-4c51-9a52-0d3d4a1f3b57", *(cell.strip() for cell in row.split("│"))]
    assert missing == left_out


def test_without_a_terminal_nothing_gives_way() -> None:
    """
    For programs.
    """
    assert _fitted(None) == _fitted(1_000)
