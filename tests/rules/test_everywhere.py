"""
The turns of all-nodes tasks, and what becomes of their records.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, make_task
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.model import Task, TaskStatus, TimeUnit, evolve
from unomi_scheduler.rules import claims, everywhere, outcomes, requests
from unomi_scheduler.rules.claims import Claimant
from unomi_scheduler.rules.everywhere import ABSENCE, CONCLUDE_AFTER, KEEP_ABSENT, Care
from unomi_scheduler.rules.readiness import EVERYWHERE_DUE, due_at
from unomi_scheduler.rules.validation import ID_LIMIT, check_dependencies, validate

_S = TaskStatus
_NODE = Claimant(node_id="a", incarnation="1", lease_millis=1)
_spans = st.integers(1, 10**9)
_words = st.text(min_size=1, max_size=300)


def definition(**over: Any) -> Task:
    """
    Return a definition whose periods of a second begin at `NOW`.
    """
    return make_task(**{"run_on_all_nodes": True, "period": 1_000, "next_scheduled_execution": NOW, **over})


def record(**over: Any) -> Task:
    """
    Return the record of node `a` for the period at `NOW`.
    """
    return evolve(everywhere.armed(definition(id="all"), None, turn=NOW, node_id="a", now=NOW), **over)


@given(_spans, st.integers(-(10**9), 10**12))
def test_every_moment_is_in_one_period(length: int, after: int) -> None:
    """
    It began at or before, the next comes after, and both are on the grid.
    """
    task, now = definition(period=length), NOW + after
    begun, coming = everywhere.period_at(task, now=now), everywhere.next_turn(task, now=now)

    assert coming is not None
    assert now < coming
    assert (coming - NOW) % length == 0
    if after < 0:
        assert (None, NOW) == (begun, coming)
    else:
        assert begun is not None
        assert begun <= now
        assert coming == begun + length


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=60), _spans.map(lambda one: one % 900 + 100))
def test_no_turn_comes_twice_and_none_late(steps: list[int], length: int) -> None:
    """
    Whenever a node looks: its turns rise, and each is the present one.
    """
    task, now, last = definition(period=length), NOW, None
    for step in steps:
        now += step
        turn = everywhere.owed(task, last=last, since=NOW, now=now)
        if turn is not None:
            assert last is None or turn > last
            assert now - length < turn <= now
            last = turn
        assert everywhere.owed(task, last=last, since=NOW, now=now) is None


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_who_comes_late_waits(came: int, later: int) -> None:
    """
    A turn that began before is not theirs; the edge itself is.
    """
    turn = everywhere.owed(definition(), last=None, since=NOW + came, now=NOW + came + later)

    assert turn is None or turn >= NOW + came
    assert (turn is None) is ((came + later) // 1_000 * 1_000 < came)


def test_without_a_period_there_is_one_turn() -> None:
    """
    For ever; a request makes another.
    """
    once = definition(period=0)
    far = NOW + 10**12
    asked = requests.run_now(requests.run_now(once, now=far), now=far + 5)

    assert (NOW, None) == (everywhere.turn_at(once, now=far), everywhere.next_turn(once, now=far))
    assert everywhere.owed(once, last=NOW, since=0, now=far) is None
    assert far + 5 == everywhere.owed(asked, last=NOW, since=0, now=far + 5)
    assert far + 5 == everywhere.next_turn(asked, now=far)
    assert not everywhere.over(once, NOW, now=far)
    assert everywhere.over(asked, NOW, now=far + 5)


def test_a_definition_is_found_always_and_never_claimed() -> None:
    """
    While it is active; a record and a memory task are tasks like others.
    """
    memory = evolve(definition(), persistent=False)

    assert EVERYWHERE_DUE == due_at(definition(next_scheduled_execution=None))
    assert not claims.claimable(definition(), now=NOW + 10**9)
    for inactive in (
        {"enabled": False}, {"status": _S.CANCELLED}, {"status": _S.WAITING}, {"delete_requested": True},
        {"status": _S.COMPLETED},
    ):  # fmt: skip
        assert due_at(definition(**inactive)) is None
    assert (NOW, NOW) == (due_at(record()), due_at(memory))
    assert claims.claimable(record(), now=NOW)


@given(_words, _words, _words, _words)
def test_record_ids_are_valid_and_unambiguous(task: str, node: str, task_too: str, node_too: str) -> None:
    """
    Two pairs have the same id only when they are the same, whatever characters are in them.
    """
    one, two = everywhere.record_id(task, node), everywhere.record_id(task_too, node_too)

    assert len(one.encode()) <= ID_LIMIT
    assert (one == two) is ((task, node) == (task_too, node_too))


def test_record_ids_can_be_read() -> None:
    """
    A hash stands only where it must.
    """
    assert everywhere.record_id("nightly", "node-a") == "nightly@node-a"
    assert everywhere.record_id("a@b", "c") != everywhere.record_id("a", "b@c")
    assert everywhere.record_id("a" * ID_LIMIT, "b") != everywhere.record_id("a" * ID_LIMIT, "c")


def test_a_record_is_an_ordinary_task_of_its_node() -> None:
    """
    It takes what the definition says now, and keeps its history and its successes.
    """
    first = record(retry_delay=5)
    run = claims.claim(first, by=_NODE, claim_id="1", now=NOW)
    done = outcomes.complete(run, now=NOW + 1, duration=1)
    edited = definition(id="all", parameters={"a": 1}, max_retries=9, time_unit=TimeUnit.SECONDS)
    second = everywhere.armed(edited, done, turn=NOW + 1_000, node_id="a", now=NOW + 1_000)
    again = claims.claim(second, by=_NODE, claim_id="2", now=NOW + 1_000)

    validate(first)
    assert (done.status, done.enabled, done.next_scheduled_execution) == (_S.COMPLETED, True, None)
    assert (second.parameters, second.max_retries, second.periodic) == ({"a": 1}, 9, False)
    assert (second.history, second.success_count, second.all_nodes_period) == (done.history, 1, NOW + 1_000)
    assert (again.status, again.fence) == (_S.RUNNING, run.fence + 1)
    assert done.history[0]["period"] == "2025-06-15T15:06:40.000Z"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, False),
        ({"failure_count": 1}, True),
        ({"run_requests": 1}, True),
        ({"resume_requested": True}, True),
        ({"status": _S.RUNNING}, True),
        ({"status": _S.CRASHED}, True),
        ({"status": _S.COMPLETED}, False),
        ({"status": _S.FAILED, "failure_count": 4}, False),
        ({"status": _S.CANCELLED}, False),
    ],
)
def test_a_turn_is_in_progress_until_it_has_ended(state: dict[str, Any], *, expected: bool) -> None:
    """
    One that was given back never began.
    """
    assert everywhere.in_progress(record(**state)) is expected


@pytest.mark.parametrize(
    ("state", "within", "later"),
    [({}, True, False), ({"status": _S.CRASHED}, True, False), ({"failure_count": 1}, True, True)],
)
def test_who_may_still_be_claimed(state: dict[str, Any], *, within: bool, later: bool) -> None:
    """
    A crashed run goes on within its period only; a retry always.
    """
    assert everywhere.admitted(record(**state), definition(), now=NOW + 999) is within
    assert everywhere.admitted(record(**state), definition(), now=NOW + 1_000) is later


_GONE_LONG = NOW + KEEP_ABSENT + 10_000


@pytest.mark.parametrize(
    ("state", "of", "gone", "now", "care"),
    [
        ({"status": _S.CRASHED}, {}, True, NOW + 999, Care.KEEP),
        ({"status": _S.CRASHED}, {}, True, NOW + 1_000, Care.CLOSE),
        ({"status": _S.CRASHED}, {}, False, NOW + 1_000, Care.CLOSE),
        ({"status": _S.CRASHED}, {"period": 0}, False, NOW + ABSENCE + 1, Care.KEEP),
        ({"status": _S.CRASHED}, {"period": 0}, True, NOW + ABSENCE, Care.KEEP),
        ({"status": _S.CRASHED}, {"period": 0}, True, NOW + ABSENCE + 1, Care.CLOSE),
        ({"failure_count": 1}, {}, False, NOW + 1_000, Care.KEEP),
        ({"failure_count": 1}, {}, True, NOW + 1_000, Care.CLOSE),
        ({"status": _S.RUNNING}, None, True, _GONE_LONG, Care.KEEP),
        ({"status": _S.CANCELLED, "owner_incarnation": "1"}, None, True, _GONE_LONG, Care.KEEP),
        ({"status": _S.CRASHED}, None, False, NOW, Care.REMOVE),
        ({"status": _S.COMPLETED}, None, False, NOW, Care.REMOVE),
        ({"status": _S.COMPLETED}, {"delete_requested": True}, False, NOW, Care.REMOVE),
        ({"status": _S.COMPLETED}, {"run_on_all_nodes": False}, False, NOW, Care.REMOVE),
        ({"status": _S.COMPLETED}, {}, True, NOW + KEEP_ABSENT, Care.KEEP),
        ({"status": _S.COMPLETED}, {}, True, NOW + KEEP_ABSENT + 1, Care.REMOVE),
        ({"status": _S.COMPLETED}, {}, False, _GONE_LONG, Care.KEEP),
        ({"status": _S.CRASHED}, {"status": _S.CANCELLED}, False, NOW, Care.CANCEL),
        ({"status": _S.COMPLETED}, {"status": _S.CANCELLED}, False, NOW, Care.KEEP),
    ],
)
def test_what_becomes_of_a_record(
    state: dict[str, Any], of: dict[str, Any] | None, care: Care, *, gone: bool, now: int
) -> None:
    """
    Nothing is left for ever, and nothing is taken from a node that lives or a run that may go on.
    """
    defined = None if of is None else definition(id="all", **of)
    advice = everywhere.judge(record(**state), defined, gone=gone, now=now)

    assert advice.care is care
    assert (advice.reason == "") is (care is Care.KEEP)


@pytest.mark.parametrize("state", [_S.CRASHED, _S.SCHEDULED, _S.WAITING])
def test_a_closed_record_says_why(state: TaskStatus) -> None:
    """
    FAILED, free, and not due any more.
    """
    ended = everywhere.closed(record(status=state, run_requests=1), now=NOW + 5, found_by="b", reason="gone")

    assert (ended.status, ended.last_error, ended.last_execution_date) == (_S.FAILED, "gone", NOW + 5)
    assert due_at(ended) is None
    assert (ended.history[-1]["nodeId"], ended.history[-1]["recoveryNode"]) == ("a", "b")


def test_a_definition_without_a_period_ends_as_its_records_did() -> None:
    """
    A minute after its turn, so that everybody has begun.
    """
    once = definition(period=0)
    good, bad = record(status=_S.COMPLETED, last_execution_date=NOW + 7), record(status=_S.FAILED, on_nodes=("b",))

    assert not everywhere.conclusion_due(once, now=NOW + CONCLUDE_AFTER)
    assert everywhere.conclusion_due(once, now=NOW + CONCLUDE_AFTER + 1)
    assert not everywhere.conclusion_due(definition(), now=NOW + 10**9)
    assert everywhere.concluded(once, [good], now=NOW).status is _S.COMPLETED
    failed = everywhere.concluded(once, [good, bad], now=NOW)
    assert (failed.status, failed.last_error, failed.success_count) == (_S.FAILED, "failed on b", 1)
    assert failed.last_execution_date == NOW + 7


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"allow_parallel_execution": False}, "task all, of which one may run at a time"),
        ({"one_shot": True, "period": 0}, "one-shot task all"),
    ],
)
def test_what_does_not_go_together_is_said(wrong: dict[str, Any], message: str) -> None:
    """
    Rules 12 and 13, with what came and what to do.
    """
    with pytest.raises(InvalidTask, match=f"run on all nodes: expected .*{message}"):
        validate(definition(id="all", **wrong))


def test_nobody_waits_for_what_is_never_done() -> None:
    """
    A dependency on each period of each node has no answer; one without a period has.
    """
    waits = make_task(depends_on=("all",))
    check_dependencies(waits, {"all": definition(id="all", period=0)})
    with pytest.raises(InvalidTask, match="never done"):
        check_dependencies(waits, {"all": definition(id="all")})
