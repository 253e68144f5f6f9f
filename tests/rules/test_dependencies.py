"""
Whether a waiting task may run.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import NOW, make_task
from unomi_scheduler.model import DependencyPolicy, Task, TaskStatus
from unomi_scheduler.rules.dependencies import Judgement, Readiness, judge, judge_known, satisfied, settled
from unomi_scheduler.timestamps import to_iso

_S = TaskStatus
_P = DependencyPolicy


def _success(at: int) -> tuple[dict[str, str], ...]:
    return ({"status": "SUCCESS", "timestamp": to_iso(at)},)


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, False),
        ({"status": _S.RUNNING}, False),
        ({"status": _S.FAILED, "history": _success(NOW)}, False),
        ({"status": _S.COMPLETED}, True),
        ({"period": 5, "history": _success(NOW)}, True),  # equal counts
        ({"period": 5, "history": _success(NOW - 1)}, False),  # before the dependent was created
        ({"period": 5, "history": ({"status": "FAILED", "timestamp": to_iso(NOW)},)}, False),
        ({"history": _success(NOW)}, False),  # it runs again, and does not recur
    ],
)
def test_satisfied(over: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table's column
    """
    COMPLETED, or recurring with a success since.
    """
    assert satisfied(make_task(**over), since=NOW) is expected


def _waiting(policy: DependencyPolicy = _P.FAIL) -> Task:
    return make_task(
        status=_S.WAITING, depends_on=("a", "b"), dependency_policy=policy, next_scheduled_execution=NOW + 9
    )


def _known(**statuses: TaskStatus | None) -> dict[str, Task | None]:
    return {name: None if status is None else make_task(id=name, status=status) for name, status in statuses.items()}


@pytest.mark.parametrize(
    ("policy", "known", "readiness", "unmet"),
    [
        (_P.FAIL, _known(a=_S.COMPLETED, b=_S.COMPLETED), Readiness.READY, ()),
        (_P.FAIL, _known(a=_S.COMPLETED, b=_S.RUNNING), Readiness.WAIT, ("b",)),
        (_P.FAIL, _known(a=_S.SCHEDULED, b=_S.CRASHED), Readiness.WAIT, ("a", "b")),
        (_P.FAIL, _known(a=_S.COMPLETED, b=_S.FAILED), Readiness.BROKEN, ()),
        (_P.FAIL, _known(a=_S.COMPLETED, b=_S.CANCELLED), Readiness.BROKEN, ()),
        (_P.FAIL, _known(a=_S.COMPLETED, b=None), Readiness.BROKEN, ()),
        (_P.WAIT, _known(a=_S.COMPLETED, b=_S.FAILED), Readiness.WAIT, ("b",)),
        (_P.WAIT, _known(a=_S.COMPLETED, b=None), Readiness.WAIT, ("b",)),
        (_P.RUN, _known(a=_S.COMPLETED, b=_S.FAILED), Readiness.READY, ()),
        (_P.RUN, _known(a=_S.RUNNING, b=_S.CANCELLED), Readiness.WAIT, ("a",)),
    ],
)
def test_judge(
    policy: DependencyPolicy, known: dict[str, Task | None], readiness: Readiness, unmet: tuple[str, ...]
) -> None:
    """
    Ready, waiting for some, or broken, as the task's policy says.
    """
    judgement = judge(_waiting(policy), known)

    assert (readiness, unmet) == (judgement.readiness, judgement.unmet)
    assert bool(judgement.reason) is (readiness is Readiness.BROKEN)


@pytest.mark.parametrize(
    ("known", "readiness", "unmet"),
    [
        ({}, Readiness.WAIT, ("a", "b")),
        (_known(b=_S.COMPLETED), Readiness.WAIT, ("a",)),
        (_known(b=_S.RUNNING), Readiness.WAIT, ("a", "b")),
        (_known(a=_S.COMPLETED, b=_S.COMPLETED), Readiness.READY, ()),
        (_known(b=None), Readiness.BROKEN, ()),
    ],
)
def test_what_is_not_known_is_not_met(
    known: dict[str, Task | None], readiness: Readiness, unmet: tuple[str, ...]
) -> None:
    """
    One that was not read yet is waited for; one that is broken breaks the task whatever the others say.
    """
    judgement = judge_known(_waiting(), known)

    assert (readiness, unmet) == (judgement.readiness, judgement.unmet)


def test_a_ready_task_is_scheduled_and_keeps_its_time() -> None:
    """
    Waiting does not bring a due time nearer; one that has none is due now.
    """
    ready = Judgement(Readiness.READY)
    timed = settled(_waiting(), ready, now=NOW, node_id="node-a")
    untimed = settled(make_task(status=_S.WAITING), ready, now=NOW, node_id="node-a")

    assert (_S.SCHEDULED, (), NOW + 9) == (timed.status, timed.waiting_on_tasks, timed.next_scheduled_execution)
    assert untimed.next_scheduled_execution == NOW


def test_a_broken_task_fails_with_the_reason() -> None:
    """
    In the last error and in the history, as no run's.
    """
    task = settled(
        _waiting(), Judgement(Readiness.BROKEN, reason="dependency b was deleted"), now=NOW, node_id="node-a"
    )

    assert (_S.FAILED, "dependency b was deleted", NOW) == (task.status, task.last_error, task.last_execution_date)
    assert "claimId" not in task.history[-1]
