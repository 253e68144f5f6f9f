"""
How measured values lie, and what the store's requests are measured by.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.factories import SetClock, make_due_task, make_task
from tests.lossy_store import Fault, LossyStore
from unomi_scheduler import StoreUnavailable
from unomi_scheduler.distributions import OTHER, Distributions, Tallies
from unomi_scheduler.errors import StoreRefused
from unomi_scheduler.metrics import Metrics, Outcome
from unomi_scheduler.model import Stored, Version
from unomi_scheduler.node.timeline import Timeline
from unomi_scheduler.ports import Action, TaskQuery, Write
from unomi_scheduler.stores.measured import MeasuredStore
from unomi_scheduler.stores.memory import MemoryStore


def test_a_value_is_at_most_its_bound() -> None:
    """
    One that is a bound counts there; one beyond them all counts behind the last.
    """
    made = Distributions((1.0, 5.0))
    for value in (0.5, 1.0, 1.001, 5.0, 6.0):
        made.add("a", value)
    one = made.all()["a"]

    assert one.buckets == ((1.0, 2), (5.0, 4), (float("inf"), 5))
    assert one.count == 5
    assert one.sum == pytest.approx(13.501)


def test_labels_are_bounded() -> None:
    """
    Those that are known stay apart; none is lost.
    """
    made, ways = Distributions((1.0,), most=2), Tallies(most=2)
    for label in ("a", "b", "c", "d", "a"):
        made.add(label, 1)
        ways.add(label, "well")

    assert {label: one.count for label, one in made.all().items()} == {"a": 2, "b": 1, OTHER: 2}
    assert ways.all() == {("a", "well"): 2, ("b", "well"): 1, (OTHER, "well"): 2}


def test_threads_lose_no_value() -> None:
    """
    Many add at once.
    """
    metrics = Metrics()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: metrics.began(f"t{n % 5}", 5), range(2_000)))
        list(pool.map(lambda n: metrics.ran([(f"t{n % 5}", Outcome.FAILED, 7)]), range(2_000)))

    assert [one.count for one in metrics.delay_seconds.all().values()] == [400] * 5
    assert sum(metrics.runs.all().values()) == 2_000


def test_what_was_returned_does_not_change() -> None:
    """
    A scrape reads it while others add.
    """
    made = Distributions((1.0,))
    made.add("a", 1)
    before = made.all()
    made.add("a", 1)
    made.clear()

    assert before["a"].count == 1
    assert made.all() == {}


def test_what_is_due_is_counted_beside_the_core() -> None:
    """
    With the moment of the oldest; what is always due has none.
    """
    timeline = Timeline()
    for number, at in enumerate((0, 700, 900, 1_100)):
        timeline.put(Stored(make_task(id=f"t{number}"), Version("i", 1, 1)), at=at, queue="tasks")

    assert timeline.overdue(1_000) == (3, 700)
    assert timeline.overdue(-1) == (0, None)
    timeline.forget("t1")
    assert timeline.overdue(1_000) == (2, 900)


@pytest.fixture
def metrics() -> Metrics:
    """
    Nothing was measured yet.
    """
    return Metrics()


def test_requests_are_measured_by_verb(metrics: Metrics) -> None:
    """
    Those of a lane too, and nothing else is one.
    """
    store: Any = MeasuredStore(MemoryStore(SetClock()), metrics)
    store.open()
    store.find(TaskQuery())
    store.find(TaskQuery())
    store.lane(1.0).heartbeats()
    store.close()

    assert {verb: one.count for verb, one in metrics.store_seconds.all().items()} == {"find": 2, "heartbeats": 1}
    assert metrics.store_errors.all() == {}


@pytest.mark.parametrize(
    ("fault", "kind", "answers"),
    [(Fault.LOST_ANSWER, "unavailable", False), (Fault.REFUSED, "refused", True), (Fault.NONE, None, True)],
)
def test_a_write_that_failed_is_one_error(metrics: Metrics, fault: Fault, kind: str | None, answers: bool) -> None:  # noqa: FBT001 - a row of the table
    """
    By what became of it; a refusal is an answer.
    """
    lossy: Any = LossyStore(MemoryStore(SetClock()), fault)
    store: Any = MeasuredStore(lossy, metrics)
    store.write([Write(Action.CREATE, make_due_task(id="one"))])

    assert metrics.store_errors.all() == ({("write", kind): 1} if kind else {})
    assert store.answers is answers


def test_an_error_is_passed_on_and_counted(metrics: Metrics) -> None:
    """
    As it is; the next answer makes the store be there again.
    """
    inner: Any = MemoryStore(SetClock())
    store: Any = MeasuredStore(inner, metrics)
    answers = [store.answers]
    raising: list[Exception] = []

    def failing() -> None:
        raise raising[-1]

    inner.refresh = failing
    for error in (StoreUnavailable("gone"), StoreRefused("full"), RuntimeError("odd")):
        raising.append(error)
        with pytest.raises(type(error)) as raised:
            store.refresh()
        assert raised.value is error
        answers.append(store.answers)
    del inner.refresh
    store.refresh()

    assert [*answers, store.answers] == [None, False, True, True, True]
    assert metrics.store_errors.all() == {
        ("refresh", "unavailable"): 1, ("refresh", "refused"): 1, ("refresh", "unexpected"): 1,
    }  # fmt: skip
