"""
The sample applications, run as a user would load them.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.waiting import ended, eventually
from unomi_scheduler import TaskStatus

Load = Callable[..., ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Load]:
    """
    A function that loads a sample in a folder of its own, with these settings.
    """
    monkeypatch.chdir(tmp_path)
    loaded: list[str] = []

    def load_one(name: str, **settings: str) -> ModuleType:
        for key, value in settings.items():
            monkeypatch.setenv(f"UNOMI_SCHEDULER_{key.upper()}", value)
        sys.modules.pop(f"examples.{name}", None)
        loaded.append(f"examples.{name}")
        return importlib.import_module(f"examples.{name}")

    yield load_one
    for name in loaded:
        sys.modules.pop(name, None)


def test_a_pipeline_runs_in_order_and_tells_of_what_failed(load: Load) -> None:
    """
    A dependent waits for both counts; one that runs anyway names the count that failed.
    """
    sample = load("pipeline")
    assert sample.scheduler.get_task("summary").status is TaskStatus.WAITING
    with sample.scheduler as scheduler:
        summary, anyway = ended(scheduler, "summary"), ended(scheduler, "report-anyway")
        missing = scheduler.get_task("count-missing")

    assert [one.status for one in (summary, anyway, missing)] == ["COMPLETED", "COMPLETED", "FAILED"]
    words = sum(len(text.split()) for text in sample.TEXTS.values())
    assert json.loads(Path("results/summary.json").read_text()) == {"words": words, "missing": []}
    assert json.loads(Path("results/report-anyway.json").read_text()) == {"words": words, "missing": ["count-missing"]}


def test_tasks_run_everywhere_on_tags_and_one_at_a_time(load: Load) -> None:
    """
    A task for a tag waits and says so; the ledger's lines are numbered without a gap.
    """
    sample = load("everywhere", executor_node="true")
    with sample.scheduler as scheduler:
        eventually(lambda: scheduler.get_task("ledger-a").success_count > 1, "the ledger's tasks have run")
        eventually(lambda: scheduler.get_task("ledger-b").success_count > 1, "the ledger's tasks have run")
        reasons = scheduler.explain("archive")
        archived = scheduler.get_task("archive")

    lines = Path("ledger.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert archived.status is TaskStatus.SCHEDULED
    assert any("archive" in reason for reason in reasons)


def test_a_node_with_the_tag_runs_the_task_for_it(load: Load) -> None:
    """
    The tag is a setting of the node.
    """
    sample = load("everywhere", tags='["archive"]')
    with sample.scheduler as scheduler:
        assert ended(scheduler, "archive").status is TaskStatus.COMPLETED


def test_failures_are_retried_by_the_node_and_by_hand(load: Load) -> None:
    """
    No record is copied twice; the call that failed for good succeeds once somebody answers.
    """
    sample = load("retries")
    with sample.scheduler as scheduler:
        call = ended(scheduler, "call-support")
        sample.answer()
        eventually(lambda: scheduler.get_task("call-support").success_count, "the call was retried by hand")
        copied = ended(scheduler, "copy-records")

    assert (call.status, call.failure_count) == (TaskStatus.FAILED, 2)
    assert copied.status is TaskStatus.COMPLETED
    assert [entry["status"] for entry in copied.history] == ["FAILED", "FAILED", "SUCCESS"]
    assert Path("copies.txt").read_text().split() == [str(record) for record in sample.RECORDS]
