"""
The history in the document.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.factories import NOW, make_running_task, make_task
from unomi_scheduler.model import TaskStatus
from unomi_scheduler.rules.history import ERROR_LIMIT, appended, clipped, entry, last_outcome
from unomi_scheduler.rules.outcomes import crash, fail


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
    assert later == {"timestamp": "2025-06-15T15:06:40.000Z", "status": "RETRIED", "nodeId": "node-b"}


def test_the_last_outcome() -> None:
    """
    The newest entry's kind, or None.
    """
    task = make_task(history=appended(make_task(history=({"status": "FAILED"},)), {"status": "SUCCESS"}))

    assert last_outcome(task) == "SUCCESS"
    assert last_outcome(make_task()) is None
