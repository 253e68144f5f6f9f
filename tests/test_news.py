"""
What a node tells of others and of runs it takes over.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import make_heartbeat, make_running_task, make_task
from tests.waiting import told
from unomi_scheduler import Scheduler
from unomi_scheduler.model import TaskStatus
from unomi_scheduler.node.complaints import AGAIN
from unomi_scheduler.node.news import MOST, News
from unomi_scheduler.ports import Action, Write


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def extras(caplog: pytest.LogCaptureFixture, action: str) -> dict[str, Any]:
    """
    Return what the only line with an action carries.
    """
    (record,) = [one for one in caplog.records if getattr(one, "action", None) == action]
    return vars(record)


def test_a_death_a_recovery_and_the_run_that_goes_on_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """
    One line each: who died and why, whose run was recovered, and where it goes on.
    """
    bench = Bench()
    bench.put(make_heartbeat(lease_millis=LEASE, pid=7, host="there"), make_running_task(id="long", fence=5))
    bench.pass_time(3 * LEASE)

    assert told(caplog, "node_joined") == ["Node node-a takes part (process 7 on there)"]
    assert told(caplog, "node_dead") == [f"Node node-a is dead: its heartbeat did not move for {LEASE * 11 // 10} ms"]
    assert told(caplog, "run_recovered") == [
        "Recovered task long from node node-a (fence 5), it is CRASHED now: node failure: node-a (first) is dead"
    ]
    fence = bench.task("long").fence
    assert told(caplog, "run_resumed") == [f"Task long goes on here with fence {fence}, after node node-a with fence 5"]
    recovered, resumed = extras(caplog, "run_recovered"), extras(caplog, "run_resumed")
    assert [recovered[name] for name in ("node_id", "task_id", "task_type", "previous_owner", "fence", "status")] == [
        "node-b", "long", "sample", "node-a", 5, "CRASHED",
    ]  # fmt: skip
    assert [resumed[name] for name in ("task_id", "previous_owner", "fence")] == ["long", "node-a", fence]
    assert [extras(caplog, "node_dead")[name] for name in ("peer", "dead_by")] == ["node-a", "node-b"]


def test_an_owner_without_a_heartbeat_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    """
    It never had one, or somebody deleted it.
    """
    bench = Bench()
    bench.put(make_running_task(id="long"))
    bench.pass_time(5 * LEASE)

    assert told(caplog, "node_dead") == ["Node node-a is dead: it owns runs and has no heartbeat"]


def test_a_node_that_leaves_in_order_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """
    It is no death.
    """
    bench = Bench()
    bench.put(make_heartbeat(lease_millis=LEASE))
    bench.pass_time(LEASE // 2)
    (stored,) = bench.store.heartbeats()
    bench.store.write([Write(Action.DELETE, stored.record, stored.version)])
    bench.pass_time(LEASE)

    assert told(caplog, "node_left") == ["Node node-a has left"]
    assert told(caplog, "node_dead") == []


def test_a_node_that_others_declared_dead_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """
    With who did it.
    """
    bench = Bench()
    bench.put(make_heartbeat(lease_millis=LEASE, dead_by="node-c"))
    bench.pass_time(LEASE)

    assert told(caplog, "node_dead") == ["Node node-a is dead: node node-c declared it so"]
    assert told(caplog, "node_joined") == []


def test_a_thousand_recoveries_are_a_few_lines_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    """
    The number comes when the time is over, or at the node's end.
    """
    news = News("node-b")
    news.turn(0)
    for _ in range(1_000):
        news.recovered(make_running_task(), make_task(status=TaskStatus.CRASHED), "dead")
    news.turn(AGAIN - 1)
    before = told(caplog, "run_recovered")
    news.turn(AGAIN)
    after = told(caplog, "run_recovered")
    news.turn(2 * AGAIN)
    news.end()

    assert len(before) == MOST
    assert after[MOST:] == [f"… and {1_000 - MOST} more of this kind: run_recovered"]
    assert told(caplog, "run_recovered") == after


def test_what_was_kept_back_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """
    A node that stops does not wait for that.
    """
    news = News("node-b")
    for _ in range(MOST + 1):
        news.joined(make_heartbeat())
    news.end()

    assert told(caplog, "node_joined")[-1] == "… and 1 more of this kind: node_joined"


def test_a_node_tells_of_itself(caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    """
    When it joins and when it leaves, with its address.
    """
    scheduler = Scheduler(store=f"sqlite:///{tmp_path}/x.db", node_id="a")
    scheduler.advertise("http://127.0.0.1:1")
    with scheduler:
        pass

    assert (told(caplog, "joined"), told(caplog, "left")) == (["Node a has joined"], ["Node a has left"])
    assert extras(caplog, "joined")["address"] == "http://127.0.0.1:1"
