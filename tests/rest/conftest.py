"""
Schedulers that are not started, on each embedded store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rest.support import Api, make_api
from unomi_scheduler import Scheduler, Settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(params=["sqlite:///tasks.db", "memory://{name}"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """
    Settings with an empty store.
    """
    return Settings(store=request.param.format(name=tmp_path.name))


@pytest.fixture
def scheduler(settings: Settings) -> Iterator[Scheduler]:
    """
    A scheduler on it.
    """
    made = Scheduler(settings)
    yield made
    made.stop()


@pytest.fixture
def api(scheduler: Scheduler) -> Api:
    """
    The application over it.
    """
    return make_api(scheduler)
