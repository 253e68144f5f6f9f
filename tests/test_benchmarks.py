"""
The benchmarks run, on a few tasks; their figures are judged elsewhere.
"""

from __future__ import annotations

import pytest

from benchmarks import lists, shell
from benchmarks.shell import Figure
from integration_tests import servers
from unomi_scheduler import SystemClock, TaskStore
from unomi_scheduler.ports import SORT_FIELDS, Action, Write
from unomi_scheduler.stores.memory import MemoryStore


def test_the_commands_are_measured_and_what_is_missing_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Without a server, the rest is measured all the same.
    """

    def none() -> servers.Server:
        raise servers.NoServerError(["none here"])

    monkeypatch.setattr(servers, "find", none)
    code = shell.main(["--tasks", "60", "--many", "10", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()

    assert code in (1, 2)
    assert [line.split(" median")[0].strip() for line in lines if " median " in line] == [
        "unomi-task --help",
        "list 50 of 60 tasks over REST",
        "list 50 of 60 tasks straight at a store",
        "cancel 60 tasks at once on SQLite",
    ]
    assert any(line.startswith("NOT MEASURED: lists on Elasticsearch") for line in lines)


def test_each_order_is_measured_twice() -> None:
    """
    The first page and the middle of all, and the limit of each.
    """
    store: TaskStore = MemoryStore(SystemClock())
    store.write([Write(Action.CREATE, task) for task in lists._tasks(1_000)])
    found = list(lists.measure(store, tasks=1_000, rounds=2))

    assert len(found) == 2 * len(SORT_FIELDS)
    assert {limit for _, _, limit in found} == {1_000, 2_000}
    assert all(len(took) == 2 for _, took, _ in found)


@pytest.mark.parametrize(("took", "slow"), [([1.0, 2.0, 9.0], False), ([1.0, 2.1, 2.2], True)])
def test_the_median_decides(took: list[float], slow: bool) -> None:  # noqa: FBT001 - a value
    """
    One slow round is the machine's.
    """
    figure = Figure("x", took, 2)

    assert figure.slow is slow
    assert ("TOO SLOW" in str(figure)) is slow
