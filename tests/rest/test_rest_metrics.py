"""
Metrics: what a scrape tells, what it costs, and what never stands in it.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from falcon.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.rest.support import Api, SettableClock, make_api
from tests.scenario_kit import LIMIT
from tests.waiting import ended, eventually
from unomi_rest import metrics
from unomi_rest.app import create_health_app
from unomi_rest.exposition import COUNTERS, FAMILIES, PREFIX, STORE_UP, TASKS
from unomi_rest.metrics import LOOK_EVERY_MILLIS
from unomi_scheduler import Scheduler, Settings, StoreUnavailable, TypeSummary

ROOT = Path(__file__).parents[2]
ALL = (*FAMILIES, STORE_UP, TASKS)
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store=f"memory://{uuid4().hex}", node_id="here", purge_enabled=False)


@pytest.fixture
def node(scheduler: Scheduler) -> Iterator[Scheduler]:
    """
    A node that has run three tasks of one type well, and one that failed.
    """

    def failing() -> None:
        raise ValueError

    with scheduler:
        tasks = [scheduler.new_task("good").with_simple_executor(lambda: None).schedule() for _ in range(3)]
        tasks.append(scheduler.new_task("bad").with_simple_executor(failing).with_max_retries(0).schedule())
        for task in tasks:
            ended(scheduler, task.id)
        eventually(lambda: scheduler.get_metric("tasks.lock.released") == 4, "not every run is settled")
        yield scheduler


def values_of(text: str) -> Values:
    """
    Return what a page says, by name and labels.
    """
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(scheduler: Scheduler) -> Values:
    """
    Return what a scrape of REST says now.
    """
    return values_of(make_api(scheduler).get("/metrics", user="viewer").text)


def value(values: Values, name: str, **labels: str) -> float | None:
    """
    Return one value, or None when the page has none.
    """
    return values.get((PREFIX + name, tuple(sorted(labels.items()))))


def test_a_viewer_reads_what_was_run(node: Scheduler) -> None:
    """
    By the contract's counters, and by type.
    """
    found = scraped(node)

    assert value(found, "tasks_completed_total") == 3
    assert value(found, "tasks_failed_total") == 1
    assert value(found, "tasks_created_total") == 4
    assert value(found, "tasks_lock_acquired_total") == 4
    assert value(found, "runs_total", task_type="good", outcome="succeeded") == 3
    assert value(found, "runs_total", task_type="bad", outcome="failed") == 1
    assert value(found, "run_duration_seconds_count", task_type="good") == 3
    assert value(found, "start_delay_seconds_count", task_type="good") == 3
    assert value(found, "start_delay_seconds_bucket", task_type="good", le="600.0") == 3
    assert value(found, "tasks", task_type="good", status="COMPLETED") == 3
    assert value(found, "tasks", task_type="bad", status="FAILED") == 1
    assert (value(found, "store_request_duration_seconds_count", verb="write") or 0) >= 4


def test_a_node_shows_how_it_stands(node: Scheduler) -> None:
    """
    Its lease, its clock, its pools and what it holds.
    """
    found = scraped(node)

    assert value(found, "node_info", node_id="here", version=node.observe().version, executor_node="true") == 1
    assert [value(found, name) for name in ("node_running", "lease_held", "clock_trusted", "store_up")] == [1] * 4
    assert [value(found, name) for name in ("node_draining", "runs_under_way", "due_tasks", "peers")] == [0] * 4
    assert value(found, "lease_seconds") == 10
    assert 0 <= (value(found, "lease_age_seconds") or 0) < 10
    assert value(found, "clock_offset_seconds") is not None
    assert value(found, "pool_slots", pool="tasks") == node.settings.threads
    assert value(found, "node_start_time_seconds") == pytest.approx(time.time(), abs=60)


def test_a_full_pool_shows_who_waits(scheduler: Scheduler) -> None:
    """
    Bodies in their threads, and due tasks behind them, the oldest of which has an age.
    """
    go, begun = Event(), Event()

    def patient() -> None:
        begun.set()
        go.wait(LIMIT)

    with scheduler:
        for _ in range(scheduler.settings.threads + 3):
            scheduler.new_task("patient").with_simple_executor(patient).schedule()
        assert begun.wait(LIMIT)

        def waits() -> Values | None:
            found = scraped(scheduler)
            full = value(found, "pool_busy", pool="tasks") == scheduler.settings.threads
            return found if full and value(found, "due_tasks") == 3 and value(found, "due_age_seconds") else None

        found = eventually(waits, "the pool does not fill")
        go.set()

    assert value(found, "runs_under_way") == scheduler.settings.threads
    assert value(found, "runs_total", task_type="patient", outcome="succeeded") is None


def test_memory_tasks_are_shown_by_state(scheduler: Scheduler) -> None:
    """
    They are in no store: each process tells its own.
    """
    scheduler.new_task("later").non_persistent().with_initial_delay(1, "HOURS").schedule()
    found = scraped(scheduler)

    assert value(found, "memory_tasks", status="SCHEDULED") == 1
    assert value(found, "memory_tasks", status="FAILED") == 0
    assert value(found, "tasks", task_type="later", status="SCHEDULED") is None


def test_without_a_node_there_is_what_the_process_knows(scheduler: Scheduler) -> None:
    """
    As in `unomi-scheduler api`: the tasks of the cluster and its own counters, and nothing of a lease.
    """
    scheduler.new_task("later").with_initial_delay(1, "HOURS").schedule()
    found = scraped(scheduler)

    assert (value(found, "node_running"), value(found, "tasks_created_total")) == (0, 1)
    assert value(found, "tasks", task_type="later", status="SCHEDULED") == 1
    assert value(found, "lease_held") is None


def test_without_a_store_none_is_shown() -> None:
    """
    A process of memory tasks alone has nothing that could be down.
    """
    with Scheduler(store=None, node_id="alone") as scheduler:
        found = scraped(scheduler)

    assert value(found, "store_up") is None
    assert (value(found, "node_running"), value(found, "lease_held")) == (1, None)


def test_several_schedulers_in_one_process_are_apart(node: Scheduler) -> None:
    """
    No registry is shared.
    """
    with Scheduler(store=None, node_id="other") as other:
        found = scraped(other)

    assert value(found, "tasks_completed_total") == 0
    assert value(scraped(node), "tasks_completed_total") == 3


def test_the_store_is_searched_once_in_ten_seconds(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However often it is scraped.
    """
    asked: list[Scheduler] = []
    types = Scheduler.task_types

    def counted(one: Scheduler, within: timedelta, *, memory: bool) -> list[TypeSummary]:
        asked.append(one)
        return types(one, within, memory=memory)

    monkeypatch.setattr(Scheduler, "task_types", counted)
    clock = SettableClock()
    collector = metrics.SchedulerCollector(scheduler, clock)
    for _ in range(10):
        list(collector.collect())
        clock.advance(LOOK_EVERY_MILLIS // 20)
    assert len(asked) == 1

    clock.advance(LOOK_EVERY_MILLIS)
    list(collector.collect())
    assert len(asked) == 2


def test_a_store_that_fails_does_not_fail_the_scrape(node: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It says that the store is down, and all that the process knows by itself.
    """

    def gone(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no answer from http://inner-host:9200")

    monkeypatch.setattr(node._wiring.required_store(), "summaries", gone)
    text = make_api(node).get("/metrics").text
    found = values_of(text)

    assert (value(found, "store_up"), value(found, "tasks_completed_total")) == (0, 3)
    assert not any(name == PREFIX + "tasks" for name, _ in found)
    assert "inner-host" not in text


def test_a_silent_store_does_not_hold_the_scrape_up(node: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The page comes at once, and tells of the silence as soon as it has lasted.
    """
    go, clock = Event(), SettableClock()
    monkeypatch.setattr(Scheduler, "task_types", lambda *_, **__: go.wait(LIMIT) and [])
    collector = metrics.SchedulerCollector(node, clock)

    def up() -> float:
        (family,) = (one for one in collector.collect() if one.name == PREFIX + "store_up")
        return float(family.samples[0].value)

    began = time.perf_counter()
    first = up()
    took = time.perf_counter() - began
    clock.advance(metrics.LIMIT_MILLIS)
    second = up()
    go.set()

    assert (first, second) == (1, 0)
    assert took < LIMIT / 2


def test_failures_of_the_store_are_counted_by_verb(node: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And by what kind they are.
    """

    def gone(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("no answer")

    store: Any = node._wiring.required_store()
    before = node.observe().store_errors.get(("history", "unavailable"), 0)
    monkeypatch.setattr(store.inner, "history", gone, raising=False)
    with pytest.raises(StoreUnavailable):
        store.history(None)

    assert before == 0
    assert value(scraped(node), "store_errors_total", verb="history", kind="unavailable") == 1


def test_nothing_of_a_task_but_its_type_is_shown(scheduler: Scheduler) -> None:
    """
    No id, no parameter, no error's text.
    """

    def failing() -> None:
        raise ValueError("planted-error")

    with scheduler:
        task = (
            scheduler.new_task("plain")
            .with_id("planted-id")
            .with_parameters({"planted-name": "planted-value"})
            .with_max_retries(0)
            .with_simple_executor(failing)
            .schedule()
        )
        ended(scheduler, task.id)
        text = make_api(scheduler).get("/metrics").text

    assert 'task_type="plain"' in text
    assert "planted" not in text


def test_the_types_are_bounded(scheduler: Scheduler) -> None:
    """
    Whoever makes a type for each task must not make a page of millions of lines.
    """
    measured = scheduler._wiring.metrics
    for number in range(500):
        measured.began(f"type-{number}", 5)
        scheduler.new_task(f"type-{number}").with_initial_delay(1, "HOURS").schedule()
    found = scraped(scheduler)

    types = {dict(labels).get("task_type") for _, labels in found}
    assert len([name for name, _ in found if name == PREFIX + "start_delay_seconds_count"]) == 51
    assert value(found, "start_delay_seconds_count", task_type="(other)") == 450
    assert value(found, "tasks", task_type="(other)", status="SCHEDULED") == 450
    assert len(types) < 110


def test_a_type_may_be_any_text(scheduler: Scheduler) -> None:
    """
    Quotes, line ends, and what is no Unicode at all.
    """
    for name in ('a"b', "a\nb", "a\\b", "\ud800", "名"):
        scheduler._wiring.metrics.began(name, 5)
    found = scraped(scheduler)

    assert {dict(labels)["task_type"] for name, labels in found if name == PREFIX + "start_delay_seconds_count"} == {
        'a"b', "a\nb", "a\\b", "?", "名",
    }  # fmt: skip


def test_a_reset_is_a_reset(node: Scheduler) -> None:
    """
    Of the distributions too.
    """
    node.reset_metrics()
    found = scraped(node)

    assert value(found, "tasks_completed_total") == 0
    assert value(found, "run_duration_seconds_count", task_type="good") is None


def test_openmetrics_is_spoken(api: Api) -> None:
    """
    To those who ask for it.
    """
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    result = TestClient(create_health_app(api.scheduler)).simulate_get("/metrics", headers=headers)

    assert result.headers["content-type"].startswith("application/openmetrics-text")
    assert result.text.endswith("# EOF\n")


def test_the_small_port_shows_the_same(node: Scheduler) -> None:
    """
    Without sign-in: it is on the loopback address.
    """
    text = TestClient(create_health_app(node)).simulate_get("/metrics").text

    assert value(values_of(text), "tasks_completed_total") == 3


def test_a_scrape_is_fast_while_the_node_works(node: Scheduler) -> None:
    """
    The best of several: other processes may hold this one up, but not each time.
    """
    collector = create_health_app(node)
    took = []
    for _ in range(10):
        began = time.perf_counter()
        TestClient(collector).simulate_get("/metrics")
        took.append(time.perf_counter() - began)

    assert min(took) < 0.05


# --- the page about them, and what is made of them


def _documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(unomi_scheduler_\w+)` \| (\w+) \| (.*?) \| .+ \|$", page, re.MULTILINE)
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_the_page_names_every_metric() -> None:
    """
    With its kind and labels, and no metric that is not there.
    """
    shown = {one.shown: ("gauge" if one.kind == "info" else one.kind, one.labels) for one in ALL}
    shown["unomi_scheduler_node_info"] = ("gauge", ("version", "node_id", "executor_node"))

    assert _documented() == shown


def test_every_metric_is_in_the_exposition(node: Scheduler) -> None:
    """
    Those without a value too, so that who looks for one finds what it means.
    """
    text = make_api(node).get("/metrics").text
    typed = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))

    assert {one.shown for one in ALL} <= typed


def test_every_counter_has_a_meaning(node: Scheduler) -> None:
    """
    Whatever the code counts.
    """
    counted = set(node.get_all_metrics()) - {"pendingOperations"}
    for path in (ROOT / "unomi_scheduler").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "count":
                texts = [str(one.value) for one in call.args if isinstance(one, ast.Constant)]
                counted |= {text for text in texts if "." in text}

    assert counted <= COUNTERS.keys()


@pytest.mark.parametrize("name", ["prometheus/alerts.yml", "grafana/dashboard.json"])
def test_what_is_deployed_names_only_metrics_that_exist(node: Scheduler, name: str) -> None:
    """
    A rule about a metric that nobody tells would never fire.
    """
    used = set(re.findall(r"\bunomi_scheduler_\w+", (ROOT / "deploy" / name).read_text()))
    parts = ("", "_bucket", "_sum", "_count")
    told = {one.shown + part for one in ALL for part in (parts if one.kind == "histogram" else parts[:1])}

    assert used
    assert used <= told
