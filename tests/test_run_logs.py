"""
The lines of the log about a run: each says which, of what type, by which claim and fence, and on which node.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.scenario_kit import LIMIT
from tests.waiting import ended, eventually
from unomi_scheduler import Scheduler, TaskContext
from unomi_scheduler.logs import JsonFormatter

Lines = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """
    Return the JSON lines of an action so far, as a machine reads them.
    """
    written, logger = io.StringIO(), logging.getLogger("unomi_scheduler")
    handler, level = logging.StreamHandler(written), logger.level
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lambda action: [
        line for line in map(json.loads, written.getvalue().splitlines()) if line.get("action") == action
    ]
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(params=[True, False], ids=["stored", "memory"])
def persistent(request: pytest.FixtureRequest) -> bool:
    """
    Whether tasks are stored, or live in the process.
    """
    return bool(request.param)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    """
    A node that runs.
    """
    with Scheduler(store=f"sqlite:///{tmp_path}/tasks.db", node_id="here", purge_enabled=False) as made:
        yield made


def check(line: dict[str, Any], *, task_type: str) -> tuple[str, int]:
    """
    Check that a line says all of a run, and return its claim and fence.
    """
    assert (line["task_id"], line["task_type"], line["node_id"]) == ("one", task_type, "here")
    assert isinstance(line["claim_id"], str)
    assert isinstance(line["fence"], int)
    return line["claim_id"], line["fence"]


def schedule(scheduler: Scheduler, body: Callable[..., object], *, persistent: bool, retries: int = 0) -> None:
    """
    Schedule the task `one` of the type `sample`.
    """
    made = scheduler.new_task("sample").with_id("one").with_simple_executor(body).with_max_retries(retries)
    made = made.with_retry_delay(1)
    (made if persistent else made.non_persistent()).schedule()


def test_begin_and_end_are_told(scheduler: Scheduler, lines: Lines, *, persistent: bool) -> None:
    """
    To those who want to know of every run, and as one run.
    """
    schedule(scheduler, lambda: None, persistent=persistent)
    ended(scheduler, "one")
    (begun,) = lines("run_started")
    (over,) = eventually(lambda: lines("run_ended"), "the end is not told")

    assert check(begun, task_type="sample") == check(over, task_type="sample")
    assert begun["level"] == over["level"] == "DEBUG"
    assert over["message"] == "A run of sample has succeeded"


def test_failure_and_retry_are_told(scheduler: Scheduler, lines: Lines, *, persistent: bool) -> None:
    """
    The failure with its traceback, the retry with its time; each retry is a run of its own.
    """

    def failing() -> None:
        raise ValueError("no more paper")

    schedule(scheduler, failing, persistent=persistent, retries=1)
    ended(scheduler, "one")
    first, second = eventually(lambda: (all_ := lines("run_failed"))[1:] and all_, "a failure is not told")
    (retry,) = eventually(lambda: lines("run_retried"), "the retry is not told")

    assert "no more paper" in first["exception"]
    assert check(first, task_type="sample") == check(retry, task_type="sample")
    assert check(second, task_type="sample")[1] > check(first, task_type="sample")[1]
    assert (retry["failures"], first["level"], retry["level"]) == (1, "ERROR", "INFO")


def test_a_cancel_is_told_to_the_run_and_its_outcome_dropped(
    scheduler: Scheduler, lines: Lines, *, persistent: bool
) -> None:
    """
    Both lines are about the same run.
    """
    begun = Event()

    def patient(context: TaskContext) -> None:
        begun.set()
        context.wait_cancelled(LIMIT)

    schedule(scheduler, patient, persistent=persistent)
    assert begun.wait(LIMIT)
    scheduler.cancel_task("one")
    (told,) = eventually(lambda: lines("run_told"), "the run is not told")
    (dropped,) = eventually(lambda: lines("run_fenced"), "the outcome is not dropped")

    assert check(told, task_type="sample") == check(dropped, task_type="sample")


def test_a_lost_lease_is_told_of_each_run(scheduler: Scheduler, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As a warning, when the heartbeats do not come through.
    """
    begun = Event()

    def patient(context: TaskContext) -> None:
        begun.set()
        context.wait_cancelled(LIMIT)

    schedule(scheduler, patient, persistent=True)
    assert begun.wait(LIMIT)
    bound = scheduler._wiring.node._bindings.bound
    assert bound is not None
    monkeypatch.setattr(bound, "holds", lambda *_: False)
    scheduler._wiring.node._lapsed()
    (lost,) = lines("run_lease_lost")

    check(lost, task_type="sample")
    assert lost["level"] == "WARNING"
    assert len(eventually(lambda: lines("run_interrupted"), "the run does not give up")) == 1
