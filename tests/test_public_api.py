"""
What users import.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import unomi_scheduler


def test_all_is_sorted_and_complete() -> None:
    """
    Each name is listed once, in order, and has a home.
    """
    assert sorted(set(unomi_scheduler.__all__)) == unomi_scheduler.__all__
    assert unomi_scheduler._HOMES.keys() == set(unomi_scheduler.__all__)


@pytest.mark.parametrize("name", unomi_scheduler.__all__)
def test_every_name_can_be_used(name: str) -> None:
    """
    It is there, and has a description.
    """
    assert getattr(unomi_scheduler, name).__doc__
    assert name in dir(unomi_scheduler)


def test_the_promised_names_are_there() -> None:
    """
    The surface's words, and every error of the tree.
    """
    errors = {"ConfigurationError", "Conflict", "InvalidTask", "InvalidTransition", "LeaseLost", "SchedulerError"}
    words = {"Scheduler", "Settings", "Task", "TaskBuilder", "TaskContext", "TaskStatus", "TimeUnit", "task_document"}

    assert errors | words | {"StoreUnavailable", "TaskNotFound"} <= set(unomi_scheduler.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """
    As of any module.
    """
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = unomi_scheduler.nonsense


def test_the_words_alone_load_little() -> None:
    """
    A command that only talks to REST starts no scheduler's libraries.
    """
    code = "import sys, unomi_scheduler as one; one.TaskStatus; print({'pydantic', 'apscheduler'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert run.stdout.strip() == "set()"
