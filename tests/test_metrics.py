"""
Counters.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from unomi_scheduler.metrics import Metric, Metrics


def test_unknown_counters_are_zero() -> None:
    """
    Also by a name nobody ever used.
    """
    assert Metrics().get("nonsense") == 0


def test_counters_add_up() -> None:
    """
    By one or by more, under the original's names or any other.
    """
    metrics = Metrics()
    metrics.add(Metric.COMPLETED)
    metrics.add("tasks.completed")
    metrics.add("tasks.execution.time", 250)
    metrics.add("tasks.fenced")

    assert (2, 250, 1) == (
        metrics.get("tasks.completed"),
        metrics.get(Metric.EXECUTION_TIME),
        metrics.get("tasks.fenced"),
    )


def test_all_counters_have_the_contracts_names() -> None:
    """
    Those that stand at 0 too, as plain texts.
    """
    metrics = Metrics()
    metrics.add("tasks.fenced")
    counters = metrics.all()

    assert {metric.value for metric in Metric} | {"tasks.fenced"} == set(counters)
    assert all(type(name) is str for name in counters)
    assert counters["tasks.lock.timeouts"] == 0


def test_reset() -> None:
    """
    Everything stands at 0 again, and a copy taken before does not change.
    """
    metrics = Metrics()
    metrics.add(Metric.FAILED)
    before = metrics.all()
    metrics.reset()

    assert metrics.get(Metric.FAILED) == 0
    assert before[Metric.FAILED] == 1


def test_threads_lose_no_count() -> None:
    """
    Many threads add to one counter.
    """
    metrics = Metrics()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: metrics.add(Metric.CREATED), range(4_000)))

    assert metrics.get(Metric.CREATED) == 4_000
