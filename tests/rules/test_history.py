"""
The history in the document.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, make_running_task, make_task
from tests.strategies import objects
from unomi_scheduler.model import HistoryRow, TaskStatus, evolve
from unomi_scheduler.rules import requests
from unomi_scheduler.rules.claims import Claimant, claim, give_back
from unomi_scheduler.rules.dependencies import Judgement, Readiness, settled
from unomi_scheduler.rules.history import (
    ERROR_LIMIT,
    ROW_ID_BYTES,
    clipped,
    entry,
    evicts,
    flushed_of,
    last_outcome,
    recorded,
    row_id,
    row_of,
    rows_of,
    unflushed,
)
from unomi_scheduler.rules.outcomes import complete, crash, fail

_NODE = Claimant(node_id="node-b", incarnation="second", lease_millis=4_000)
_NOTHING: dict[str, Any] = dict.fromkeys(HistoryRow._fields)


@given(st.text())
def test_short_errors_stay(text: str) -> None:
    """
    Up to the limit an error is kept as it is.
    """
    assert text == clipped(text)


@given(st.integers(ERROR_LIMIT - 2, ERROR_LIMIT * 3))
def test_long_errors_are_clipped(length: int) -> None:
    """
    Exactly the limit stays; one more is cut, and says how long it was.
    """
    text = "e" * length
    cut = clipped(text)

    assert len(cut) == min(length, ERROR_LIMIT)
    assert cut.endswith(f"({length} characters)") is (length > ERROR_LIMIT)


def test_outcomes_clip_errors() -> None:
    """
    In the last error and in the history.
    """
    failed = fail(make_running_task(), error="x" * 10_000, now=NOW, duration=1)

    assert failed.last_error is not None
    assert len(failed.last_error) == len(failed.history[-1]["error"]) == ERROR_LIMIT
    assert crash(make_running_task(), now=NOW, found_by="b", reason="dead").last_error == "dead"


def test_an_entry_names_its_run_only_while_it_runs() -> None:
    """
    What users do between runs belongs to none: a row of the run's history must not be written twice.
    """
    running = entry(make_running_task(), "FAILED", at=NOW, node_id="node-a", error="x")
    later = entry(make_running_task(status=TaskStatus.FAILED), "RETRIED", at=NOW, node_id="node-b")

    assert (running["claimId"], running["fence"], running["error"]) == ("claim-1", NOW, "x")
    assert later == {
        "timestamp": "2025-06-15T15:06:40.000Z", "status": "RETRIED", "nodeId": "node-b", "fence": NOW,
    }  # fmt: skip


def test_the_last_outcome() -> None:
    """
    The newest entry's kind, or None.
    """
    task = make_task(history=recorded(make_task(history=({"status": "FAILED"},)), {"status": "SUCCESS"})["history"])

    assert last_outcome(task) == "SUCCESS"
    assert last_outcome(make_task()) is None


@pytest.mark.parametrize(
    ("entries", "flushed", "then"), [(0, 0, 0), (3, 2, 2), (9, 9, 9), (10, 0, 0), (10, 1, 0), (10, 10, 9), (4, 99, 4)]
)
def test_what_is_known_moves_with_the_oldest(entries: int, flushed: int, then: int) -> None:
    """
    One more entry drops the eleventh, and what is known to have its row goes one down with it.
    """
    task = make_task(history=tuple({"n": number} for number in range(entries)), history_flushed=flushed)
    changed = evolve(task, **recorded(task, {"n": "new"}))

    assert then == changed.history_flushed
    assert task.history[: flushed_of(task)][-then:] == changed.history[: changed.history_flushed] or not then
    assert evicts(task, flushed_of(task)) is (entries == 10 and flushed == 0)


def test_what_another_program_says_of_rows_is_cut_to_what_is_there() -> None:
    """
    Never more than there are entries, and never less than none.
    """
    assert [0, 1] == [flushed_of(make_task(history=({},), history_flushed=number)) for number in (-5, 5)]


def test_a_run_s_row() -> None:
    """
    Whatever ends it, its row is named by its claim; a later attempt says which it is.
    """
    task = make_running_task(id="one", lock_date=NOW - 30, failure_count=1, crash_count=1, max_retries=9)
    ended = [
        complete(task, now=NOW, duration=12),
        fail(task, error="boom", now=NOW, duration=12),
        crash(task, now=NOW, found_by="node-b", reason="dead"),
        requests.cancel(task, now=NOW, node_id="node-c"),
    ]
    own = {
        "id": "one:claim-1", "task_id": "one", "task_type": "sample", "end": NOW, "claim_id": "claim-1", "fence": NOW,
        "attempt": 3,
    }  # fmt: skip
    by_itself = {**own, "start": NOW - 12, "duration": 12, "node_id": "node-a"}
    by_others = {**own, "start": NOW - 30, "duration": 30}

    assert [row_of(one, one.history[-1])._asdict() for one in ended] == [
        {**_NOTHING, **by_itself, "status": "SUCCESS"},
        {**_NOTHING, **by_itself, "status": "FAILED", "error": "boom"},
        {
            **_NOTHING, **by_others, "status": "CRASHED", "error": "dead", "node_id": "node-a",
            "previous_owner": "node-a", "recovery_node": "node-b",
        },
        {**_NOTHING, **by_others, "status": "CANCELLED", "node_id": "node-c"},
    ]  # fmt: skip


def test_rows_without_a_run_have_ids_of_their_own() -> None:
    """
    Made from the entry alone, and no two alike: each of a request, and of the failure for want of a dependency.
    """
    failed = fail(make_running_task(id="one", max_retries=0), error="no", now=NOW, duration=1)
    retried = requests.retry(failed, now=NOW + 1, node_id="user", reset_failure_count=True)
    crashed = crash(make_running_task(id="one"), now=NOW, found_by="b", reason="dead")
    resumed = requests.resume(crashed, now=NOW + 2, node_id="user")
    claimed = claim(crashed, by=_NODE, claim_id="claim-2", now=NOW + 3, resuming=True)
    waiting = make_task(id="one", status=TaskStatus.WAITING, fence=NOW)
    broken = settled(waiting, Judgement(Readiness.BROKEN, reason="gone"), now=NOW + 4, node_id="node-a")
    cancelled = requests.cancel(retried, now=NOW + 5, node_id="user")
    rows = [rows_of(one)[-1] for one in (retried, resumed, claimed, broken, cancelled)]

    assert [row.status for row in rows] == ["RETRIED", "RESUMED", "RESUMED", "FAILED", "CANCELLED"]
    assert {None} == {row.claim_id for row in rows} | {row.start for row in rows} | {row.attempt for row in rows}
    assert f"one:{NOW}-RETRIED-{NOW + 1}" == rows[0].id
    assert len({row.id for row in rows}) == 5


def test_a_claim_that_goes_on_from_a_crash_says_so() -> None:
    """
    Once: not when a user's request stands there already, nor where the executor starts again; given back, it is gone.
    """
    crashed = crash(make_running_task(), now=NOW, found_by="b", reason="dead")
    resumed = claim(crashed, by=_NODE, claim_id="claim-2", now=NOW, resuming=True)
    asked = claim(
        requests.resume(crashed, now=NOW, node_id="user"), by=_NODE, claim_id="claim-2", now=NOW, resuming=True
    )
    restarted = claim(crashed, by=_NODE, claim_id="claim-2", now=NOW)

    assert [["CRASHED", "RESUMED"], ["CRASHED", "RESUMED"], ["CRASHED"]] == [
        [one["status"] for one in task.history] for task in (resumed, asked, restarted)
    ]
    assert crashed.history == give_back(resumed, before=crashed).history
    assert ["node-b", "user"] == [task.history[-1]["nodeId"] for task in (resumed, asked)]


@given(objects)
def test_any_entry_has_a_row(one: dict[str, Any]) -> None:
    """
    Whatever another program put into the document, always the same.
    """
    task = make_task(id="one", creation_date=NOW)

    assert row_of(task, one) == row_of(task, dict(one))
    assert row_of(task, one).id == row_id(task, one)
    assert row_of(task, {"timestamp": 5, "executionTime": "x", "nodeId": 3, "error": ["x"]}).end == NOW


def test_the_longest_task_id_makes_an_id_that_a_store_takes() -> None:
    """
    It is shortened by its hash where the whole would be too long.
    """
    entries = fail(make_running_task(max_retries=0), error="no", now=NOW, duration=1).history
    long, other = ({"id": name * 128, "history": entries} for name in ("ключ", "клич"))
    ids = [row_id(make_task(**task), entries[0]) for task in (long, other)]

    assert all(len(one.encode()) <= ROW_ID_BYTES for one in ids)
    assert len(set(ids)) == 2


def test_foreign_errors_are_clipped_in_their_row() -> None:
    """
    Another program may have put any text into the document.
    """
    assert len(row_of(make_task(), {"error": "x" * 90_000}).error or "") == ERROR_LIMIT


def test_the_row_of_a_run_record_names_its_definition() -> None:
    """
    And when its period began; a period in any other document says nothing.
    """
    record = make_running_task(id="all@a", all_nodes_of="all", all_nodes_period=NOW - 7)
    (row,) = rows_of(complete(record, now=NOW, duration=1))
    strange = {"status": "SUCCESS", "timestamp": "2025-06-15T15:06:40.000Z", "period": 3}

    assert (row.task_id, row.all_nodes_of, row.period) == ("all@a", "all", NOW - 7)
    assert (row_of(record, strange).period, row_of(make_task(), strange).period) == (None, None)
    assert row_of(make_task(), {**strange, "period": "2025-06-15T15:06:40.000Z"}).period is None


@pytest.mark.parametrize(
    ("status", "kinds", "expected"),
    [
        (TaskStatus.RUNNING, ["CRASHED", "RESUMED"], ["CRASHED"]),
        (TaskStatus.CRASHED, ["RESUMED", "CRASHED"], ["RESUMED", "CRASHED"]),
        (TaskStatus.COMPLETED, ["RESUMED", "SUCCESS"], ["RESUMED", "SUCCESS"]),
        (TaskStatus.SCHEDULED, ["RESUMED"], ["RESUMED"]),
        (TaskStatus.RUNNING, [], []),
    ],
)
def test_a_resumption_has_no_row_before_it_is_sure(status: TaskStatus, kinds: list[str], expected: list[str]) -> None:
    """
    Its claim may be given back, and the entry with it; a row would tell of what never was (P20).
    """
    task = make_task(status=status, history=tuple({"status": kind} for kind in kinds))

    assert [one["status"] for one in unflushed(task)] == expected
