"""
What an import decides before it writes.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.factories import NOW, make_running_task, make_task
from unomi_scheduler.model import Task, TaskStatus, evolve
from unomi_scheduler.rules.adoption import ORIGIN
from unomi_scheduler.rules.takeover import (
    CUT_OFF,
    ORIGINAL_LEASE,
    Plan,
    entry_of,
    plan,
    shows_life,
    taken_over,
)


def _task(tenant: str, item_id: str, **over: Any) -> Task:
    return make_task(id=item_id, extra={"tenantId": tenant}, **over)


def _plan(*tasks: Task) -> Plan:
    plans = [
        plan(entry_of(f"{task.extra['tenantId']}_{task.id}", task) for task in order) for order in permutations(tasks)
    ]
    assert plans.count(plans[0]) == len(plans), "the order of the documents matters"
    return plans[0]


def _purge(item_id: str, **over: Any) -> Task:
    return _task("system", item_id, task_type="purge", system_task=True, **over)


def test_a_task_is_called_as_its_item() -> None:
    """
    Of whatever tenant it is.
    """
    assert Plan() == _plan(_task("system", "a"), _task("acme", "b"))


def test_a_system_task_is_called_as_its_type() -> None:
    """
    And those who depend on it find it.
    """
    decided = _plan(_purge("u-1"))

    assert ({"system_u-1": "purge"}, {}) == (decided.ids, decided.folded)
    assert {("system", "u-1"): "purge"} == decided.references


@pytest.mark.parametrize(
    "better",
    [
        {"last_execution_date": NOW + 1, "success_count": 0},
        {"success_count": 6},
        {"creation_date": NOW - 1},
        {"id": "u-0"},
    ],
)
def test_the_duplicate_that_knows_most_goes_on(better: dict[str, Any]) -> None:
    """
    The newest run, then the most successes, then the oldest, then the first by its id; the others are folded.
    """
    others = [_purge(f"u-{number}", last_execution_date=NOW, success_count=5) for number in (1, 2)]
    best = evolve(_purge("u-9", last_execution_date=NOW, success_count=5), **better)
    decided = _plan(*others, best)

    assert {"system_u-1": "purge", "system_u-2": "purge"} == decided.folded
    assert decided.ids[f"system_{best.id}"] == "purge"


@pytest.mark.parametrize("over", [{"enabled": False}, {"status": TaskStatus.CANCELLED, "enabled": False}])
def test_a_duplicate_that_may_run_goes_before_one_that_may_not(over: dict[str, Any]) -> None:
    """
    Somebody cancelled one of them; the type went on with the other.
    """
    decided = _plan(_purge("off", last_execution_date=NOW, success_count=9, **over), _purge("on"))

    assert {"system_off": "purge"} == decided.folded


def test_the_system_tenant_keeps_an_id_that_several_tenants_use() -> None:
    """
    The others are called as their documents, and their tenants' dependencies follow.
    """
    decided = _plan(_task("system", "nightly"), _task("acme", "nightly"), _task("zoo", "nightly"))

    assert {"acme_nightly": "acme_nightly", "zoo_nightly": "zoo_nightly"} == decided.ids
    dependent = _task("acme", "next", depends_on=("nightly", "else"), waiting_on_tasks=("nightly",))
    taken = taken_over("acme_next", dependent, decided, origin="i/acme_next", now=NOW)
    assert (("acme_nightly", "else"), ("acme_nightly",)) == (taken.depends_on, taken.waiting_on_tasks)
    other = taken_over("system_next", _task("system", "next", depends_on=("nightly",)), decided, origin="", now=NOW)
    assert ("nightly",) == other.depends_on


def test_without_the_system_tenant_nobody_keeps_it() -> None:
    """
    What one tenant could do by it would depend on the order of the documents.
    """
    decided = _plan(_task("acme", "nightly"), _task("zoo", "nightly"))

    assert {"acme_nightly": "acme_nightly", "zoo_nightly": "zoo_nightly"} == decided.ids


def test_a_document_with_just_that_id_keeps_it() -> None:
    """
    As versions before tenants wrote them.
    """
    entries = [entry_of("nightly", make_task(id="nightly")), entry_of("system_nightly", _task("system", "nightly"))]

    assert {"system_nightly": "system_nightly"} == plan(entries).ids


def test_a_task_that_is_called_as_a_system_type_gives_way() -> None:
    """
    The system type has one id.
    """
    decided = _plan(_purge("u-1"), _task("system", "purge"))

    assert {"system_u-1": "purge", "system_purge": "system_purge"} == decided.ids
    assert {} == decided.folded


@pytest.mark.parametrize(
    ("over", "alive"),
    [
        ({}, True),
        ({"lock_date": NOW - 20_000 - CUT_OFF}, True),
        ({"lock_date": NOW - 20_000 - CUT_OFF - 1}, False),
        ({"lock_lease_millis": 0, "lock_date": NOW - ORIGINAL_LEASE - CUT_OFF}, True),
        ({"lock_lease_millis": 0, "lock_date": NOW - ORIGINAL_LEASE - CUT_OFF - 1}, False),
        ({"lock_date": NOW + 60_000}, True),
        ({"lock_date": None}, False),
        ({"lock_owner": None}, False),
        ({"status": TaskStatus.SCHEDULED}, True),
        ({"status": TaskStatus.WAITING}, True),
        ({"status": TaskStatus.CRASHED}, False),
        ({"status": TaskStatus.COMPLETED}, False),
    ],
)
def test_a_fresh_lock_is_a_sign_of_life(over: dict[str, Any], alive: bool) -> None:  # noqa: FBT001 - a table's column
    """
    By the lease that stands beside it, or the original's; dates are cut to seconds. A stop leaves locks on CRASHED.
    """
    task = make_running_task(**{"lock_lease_millis": 20_000, "lock_date": NOW, **over})

    assert alive is shows_life(task, now=NOW)


@pytest.mark.parametrize(
    "status", [TaskStatus.SCHEDULED, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.CRASHED]
)
def test_what_does_not_run_is_taken_over_as_it_is(status: TaskStatus) -> None:
    """
    Disabled ones too.
    """
    task = _task("acme", "a", status=status, enabled=False, next_scheduled_execution=NOW, success_count=3)
    taken = taken_over("acme_a", task, Plan(), origin="i/acme_a", now=NOW)

    assert evolve(task, extra={"tenantId": "acme", ORIGIN: "i/acme_a"}) == taken


def test_a_run_of_the_original_is_over() -> None:
    """
    With an owner or without.
    """
    task = evolve(make_running_task(fence=0), owner_incarnation=None, claim_id=None)
    taken = taken_over("system_a", task, Plan(), origin="i/system_a", now=NOW)

    assert (TaskStatus.CRASHED, None, 1) == (taken.status, taken.lock_owner, len(taken.history))
