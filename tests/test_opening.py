"""
Stores by URL.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories import make_task
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.errors import ConfigurationError
from unomi_scheduler.ports import Action, Result, Write
from unomi_scheduler.stores.opening import open_store

CLOCK = SystemClock()


def test_three_slashes_are_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Below the working folder at the time of opening.
    """
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///tasks.db", clock=CLOCK)
    monkeypatch.chdir("/")

    assert store.write([Write(Action.CREATE, make_task())])[0].result is Result.WRITTEN
    assert (tmp_path / "tasks.db").is_file()
    store.close()


def test_four_slashes_are_an_absolute_path(tmp_path: Path) -> None:
    """
    The fourth belongs to the path.
    """
    open_store(f"sqlite:///{tmp_path}/a b%20c.db", clock=CLOCK).close()

    assert (tmp_path / "a b%20c.db").is_file()


def test_memory_stores_are_one_for_each_name() -> None:
    """
    All through the process.
    """
    task = make_task()
    open_store("memory://opening", clock=CLOCK).write([Write(Action.CREATE, task)])

    assert open_store("memory://opening", clock=CLOCK).tasks([task.id]) != [None]
    assert open_store("memory://opening-2", clock=CLOCK).tasks([task.id]) == [None]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tasks.db",
        "sqlite://tasks.db",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///folder/",
        "redis://localhost",
        "http://",
        "memory:",
    ],
)
def test_other_urls_are_refused_with_the_forms(url: str) -> None:
    """
    The message shows what to write instead.
    """
    with pytest.raises(ConfigurationError, match=r"sqlite:///PATH.*HOST:9200.*memory://"):
        open_store(url, clock=CLOCK)


def test_a_password_is_not_repeated() -> None:
    """
    Messages end up in logs.
    """
    with pytest.raises(ConfigurationError) as caught:
        open_store("postgres://me:secret@host/db", clock=CLOCK)

    assert "secret" not in str(caught.value)


def test_sqlite_s_own_memory_form_points_to_ours() -> None:
    """
    It would be a file of that name.
    """
    with pytest.raises(ConfigurationError, match="memory://"):
        open_store("sqlite:///:memory:", clock=CLOCK)
