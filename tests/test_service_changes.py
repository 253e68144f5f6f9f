"""
The service: what users ask of tasks that exist.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.factories import NOW, make_due_task, make_running_task, make_task
from tests.lossy_store import Fault
from tests.service_kit import Kit, make_kit
from unomi_scheduler.errors import (
    Conflict,
    InvalidTask,
    InvalidTransition,
    SchedulerError,
    StoreRefused,
    StoreUnavailable,
    TaskNotFound,
)
from unomi_scheduler.model import Task, TaskStatus, TimeUnit, evolve
from unomi_scheduler.rules.claims import Claimant, claim
from unomi_scheduler.service import Scheduler

_S = TaskStatus
_NODE = Claimant(node_id="node-b", incarnation="first", lease_millis=10_000)


@pytest.fixture
def kit() -> Kit:
    """
    A scheduler whose store has no faults.
    """
    return make_kit()


_REQUESTS: list[tuple[str, set[TaskStatus], TaskStatus, str]] = [
    ("cancel_task", set(_S) - {_S.CANCELLED}, _S.CANCELLED, "tasks.cancelled"),
    ("retry_task", {_S.FAILED}, _S.SCHEDULED, "tasks.retried"),
    ("resume_task", {_S.CRASHED}, _S.SCHEDULED, "tasks.resumed"),
]


@pytest.mark.parametrize(("request_name", "allowed", "target", "metric"), _REQUESTS)
@pytest.mark.parametrize("status", list(TaskStatus))
@pytest.mark.parametrize("persistent", [True, False])
def test_requests_answer_whether_they_changed_something(  # noqa: PLR0917 - the product of three tables
    kit: Kit,
    request_name: str,
    allowed: set[TaskStatus],
    target: TaskStatus,
    metric: str,
    status: TaskStatus,
    persistent: bool,  # noqa: FBT001
) -> None:
    """
    In every state, stored or in memory; strict raises where nothing would change. Each change is counted once.
    """
    task = make_task(id="one", status=status, persistent=persistent)
    if persistent:
        kit.put(task)
    else:
        kit.scheduler._wiring.node.memory_put(task)
    ask = getattr(kit.scheduler, request_name)
    if status not in allowed:
        with pytest.raises(InvalidTransition):
            ask("one", strict=True)

    assert ask("one") is (status in allowed)
    assert kit.scheduler.get_task("one").status is (target if status in allowed else status)
    assert kit.scheduler.get_metric(metric) == (1 if status in allowed else 0)


_ALL: list[Callable[[Scheduler], object]] = [
    lambda scheduler: scheduler.cancel_task("nobody"),
    lambda scheduler: scheduler.retry_task("nobody"),
    lambda scheduler: scheduler.resume_task("nobody"),
    lambda scheduler: scheduler.delete_task("nobody"),
    lambda scheduler: scheduler.run_now("nobody"),
    lambda scheduler: scheduler.update_task_config("nobody", max_retries=1),
    lambda scheduler: scheduler.get_task("nobody"),
    lambda scheduler: scheduler.explain("nobody"),
    lambda scheduler: scheduler.history("nobody"),
]


@pytest.mark.parametrize("ask", _ALL)
@pytest.mark.parametrize("bound", [True, False])
def test_an_unknown_id_is_told(kit: Kit, ask: Callable[[Scheduler], object], bound: bool) -> None:  # noqa: FBT001 - a table's column
    """
    With a store and without one.
    """
    scheduler = kit.scheduler if bound else Scheduler(store=None)
    with pytest.raises(TaskNotFound, match="Task not found: nobody"):
        ask(scheduler)


def test_the_document_of_the_request_is_returned(kit: Kit) -> None:
    """
    As its own write left it; or as it stands, where nothing was changed.
    """
    kit.put(make_task(id="one", status=_S.FAILED, failure_count=4))
    retried = kit.scheduler.retried("one", reset_failure_count=True)
    again = kit.scheduler.retried("one")

    assert (True, _S.SCHEDULED, 0) == (retried.changed, retried.task.status, retried.task.failure_count)
    assert (False, retried.task) == (again.changed, again.task)


def test_a_lost_race_is_decided_anew(kit: Kit) -> None:
    """
    On what stands then: here a node had claimed the task, so the cancellation is that of a run.
    """
    task = make_due_task(id="one")
    kit.put(task)
    kit.faults.before.append(lambda: kit.replace(claim(task, by=_NODE, claim_id="claim-1", now=NOW)))

    assert kit.scheduler.cancel_task("one")
    cancelled = kit.stored("one")
    assert cancelled is not None
    assert (_S.CANCELLED, "node-b") == (cancelled.status, cancelled.lock_owner)


def test_a_race_lost_for_ever_is_a_conflict(kit: Kit) -> None:
    """
    Nobody is kept waiting without end.
    """
    kit.put(make_task(id="one"))
    versions = iter(range(1, 100))
    kit.faults.before.extend([lambda: kit.replace(evolve(kit.scheduler.get_task("one"), fence=next(versions)))] * 50)
    with pytest.raises(Conflict, match="20 times"):
        kit.scheduler.cancel_task("one")


def test_a_task_deleted_meanwhile_is_not_found(kit: Kit) -> None:
    """
    The write finds nothing, and nothing is brought back.
    """
    kit.put(make_task(id="one"))
    kit.faults.before.append(lambda: Scheduler(store=kit.store).delete_task("one"))
    with pytest.raises(TaskNotFound):
        kit.scheduler.run_now("one")
    assert kit.stored("one") is None


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
def test_a_lost_answer_is_asked_again(fault: Fault) -> None:
    """
    The request is in the history once, and counted once (P3).
    """
    kit = make_kit()
    kit.put(make_task(id="one", status=_S.FAILED))
    kit.faults.faults.extend([fault, fault])

    assert kit.scheduler.retry_task("one", strict=True)
    assert ["RETRIED"] == [row.status for row in kit.scheduler.history("one").list]
    assert kit.scheduler.get_metric("tasks.retried") == 1


def test_a_request_that_was_acted_on_meanwhile_is_ours() -> None:
    """
    Its answer got lost, a node claimed the task at once, and it is a success all the same.
    """
    kit = make_kit()
    kit.put(make_task(id="one", status=_S.FAILED))
    kit.faults.faults.append(Fault.LOST_ANSWER)

    def claim_it() -> None:
        kit.replace(claim(kit.scheduler.get_task("one"), by=_NODE, claim_id="claim-1", now=NOW))

    kit.faults.before.extend([lambda: None, claim_it])

    assert kit.scheduler.retry_task("one", strict=True)
    assert kit.scheduler.get_task("one").status is _S.RUNNING


def test_a_request_that_got_lost_is_decided_anew(kit: Kit) -> None:
    """
    Somebody else wrote before it was sent again: what it would have changed is not there, so the rule is asked again.
    """
    kit.put(make_task(id="one"))
    kit.faults.faults.append(Fault.LOST_REQUEST)
    kit.faults.before.extend([lambda: None, lambda: kit.replace(evolve(kit.scheduler.get_task("one"), max_retries=8))])

    assert kit.scheduler.cancel_task("one")
    assert (_S.CANCELLED, 8) == (kit.scheduler.get_task("one").status, kit.scheduler.get_task("one").max_retries)


def test_a_confirmation_may_lose_a_race(kit: Kit) -> None:
    """
    Then what stands is read and confirmed again.
    """
    kit.put(make_task(id="one", status=_S.FAILED))
    kit.faults.faults.append(Fault.LOST_ANSWER)
    touch = [lambda: kit.replace(evolve(kit.scheduler.get_task("one"), fence=kit.scheduler.get_task("one").fence + 1))]
    kit.faults.before.extend([lambda: None, *touch * 3])

    assert kit.scheduler.retried("one", strict=True).task.fence == 3


def test_a_task_deleted_after_a_lost_answer_is_not_found(kit: Kit) -> None:
    """
    The request is of no use any more.
    """
    kit.put(make_task(id="one"))
    kit.faults.faults.append(Fault.LOST_ANSWER)
    kit.faults.before.extend([lambda: None, lambda: Scheduler(store=kit.store).delete_task("one")])
    with pytest.raises(TaskNotFound):
        kit.scheduler.cancel_task("one")


def test_a_deletion_that_two_ask_for_is_done_once(kit: Kit) -> None:
    """
    Whoever comes second finds the work done.
    """
    kit.put(make_task(id="one"), make_task(id="two"))
    kit.faults.before.extend([lambda: None, lambda: Scheduler(store=kit.store).delete_task("one")])
    kit.scheduler.delete_task("one")
    kit.faults.faults.extend([Fault.NONE, Fault.LOST_ANSWER])
    kit.scheduler.delete_task("two")

    assert (None, None) == (kit.stored("one"), kit.stored("two"))


@pytest.mark.parametrize(
    ("faults", "error"), [([Fault.REFUSED], StoreRefused), ([Fault.LOST_ANSWER] * 3, StoreUnavailable)]
)
def test_a_store_out_of_reach_is_told(kit: Kit, faults: list[Fault], error: type[SchedulerError]) -> None:
    """
    Refused, or not known after three tries.
    """
    kit.put(make_task(id="one"))
    kit.faults.faults.extend(faults)
    with pytest.raises(error):
        kit.scheduler.cancel_task("one")
    assert kit.scheduler.get_metric("tasks.cancelled") == 0


class _Resumer:
    """
    An executor that resumes some tasks.
    """

    task_type = "sample"

    def execute(self, task: Task, callback: Any) -> None: ...

    def can_resume(self, task: Task) -> bool:
        return task.id == "good"

    def resume(self, task: Task, callback: Any) -> None: ...


def test_resume_asks_the_executor_of_this_process(kit: Kit) -> None:
    """
    Where there is one it must be able to; where there is none, another node may have it.
    """
    kit.put(
        *[make_task(id=name, status=_S.CRASHED) for name in ("good", "bad")],
        make_task(id="other", status=_S.CRASHED, task_type="b"),
    )
    kit.scheduler.register_executor(_Resumer())

    assert [True, False, True] == [kit.scheduler.resume_task(name) for name in ("good", "bad", "other")]
    with pytest.raises(InvalidTransition, match="does not resume"):
        kit.scheduler.resume_task("bad", strict=True)
    assert kit.scheduler.get_task("good").resume_requested


def test_run_now(kit: Kit) -> None:
    """
    A request beside the schedule; it tells where it cannot be.
    """
    kit.put(
        make_task(id="one", period=1_000, next_scheduled_execution=NOW + 900), make_task(id="two", status=_S.CANCELLED)
    )
    task = kit.scheduler.run_now("one")

    assert (1, NOW, NOW + 900) == (task.run_requests, task.run_requested_at, task.next_scheduled_execution)
    with pytest.raises(InvalidTransition):
        kit.scheduler.run_now("two")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_retries": 0}, {"max_retries": 0}),
        ({"retry_delay": timedelta(seconds=2)}, {"retry_delay": 2_000}),
        ({"retry_delay": (2, "minutes")}, {"retry_delay": 120_000}),
        ({"retry_delay": 5}, {"retry_delay": 5}),
        ({"period": 7}, {"period": 7, "time_unit": TimeUnit.SECONDS}),
        ({"period": (7, "hours")}, {"period": 7, "time_unit": TimeUnit.HOURS}),
        ({"period": 7, "time_unit": "hours"}, {"period": 7, "time_unit": TimeUnit.HOURS}),
        ({"period": timedelta(milliseconds=7)}, {"period": 7, "time_unit": TimeUnit.MILLISECONDS}),
        ({"enabled": False, "max_retries": None}, {"enabled": False, "max_retries": 3}),
        ({"parameters": {"a": (1,)}}, {"parameters": {"a": [1]}}),
        ({"on_nodes": "n1", "on_tags": ["a", "b"]}, {"on_nodes": ("n1",), "on_tags": ("a", "b")}),
    ],
)
def test_edits(kit: Kit, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    """
    What is returned is what stands in the store; None means unchanged.
    """
    kit.put(make_task(id="one", period=5, time_unit=TimeUnit.SECONDS))
    task = kit.scheduler.update_task_config("one", **changes)

    assert task == kit.stored("one")
    assert expected == {name: getattr(task, name) for name in expected}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "RUNNING"},
        {"nonsense": 1},
        {"max_retries": -1},
        {"max_retries": "x"},
        {"retry_delay": -5},
        {"period": (1, "weeks")},
        {"one_shot": True},
        {"parameters": {"a": object()}},
        {"allow_parallel_execution": False},
    ],
)
def test_wrong_edits_change_nothing(kit: Kit, changes: dict[str, Any]) -> None:
    """
    The rules of a definition hold for the whole that the edit would make.
    """
    kit.put(make_task(id="one", period=5, run_on_all_nodes=True))
    with pytest.raises(InvalidTask):
        kit.scheduler.update_task_config("one", **changes)
    assert kit.faults.written == []


def test_a_cancelled_task_is_not_enabled(kit: Kit) -> None:
    """
    There is no way out of CANCELLED.
    """
    kit.put(make_task(id="one", status=_S.CANCELLED, enabled=False))
    with pytest.raises(InvalidTransition):
        kit.scheduler.update_task_config("one", enabled=True)


@pytest.mark.parametrize("status", [one for one in TaskStatus if one is not _S.RUNNING])
def test_delete_removes_what_nobody_runs(kit: Kit, status: TaskStatus) -> None:
    """
    At once, whatever its state.
    """
    kit.put(make_task(id="one", status=status))
    kit.scheduler.delete_task("one")

    assert kit.stored("one") is None


def test_delete_of_a_run_leaves_the_removal_to_its_node(kit: Kit) -> None:
    """
    The task is marked and cancelled; deleting it again changes nothing.
    """
    kit.put(make_running_task(id="one"))
    kit.scheduler.delete_task("one")
    marked = kit.stored("one")
    kit.scheduler.delete_task("one")

    assert marked is not None
    assert (True, _S.CANCELLED, "node-a") == (marked.delete_requested, marked.status, marked.lock_owner)
    assert marked == kit.stored("one")


def test_delete_waits_for_a_run_that_began_between(kit: Kit) -> None:
    """
    The removal is conditional on the mark, so a change in between is looked at.
    """
    kit.put(make_task(id="one"))

    def touch() -> None:
        kit.replace(evolve(kit.scheduler.get_task("one"), lock_owner="node-b"))

    kit.faults.before.extend([lambda: None, touch])
    kit.scheduler.delete_task("one")

    assert kit.stored("one") is not None


def test_delete_of_a_memory_task(kit: Kit) -> None:
    """
    It is gone.
    """
    task = kit.scheduler.new_task("sample").non_persistent().schedule()
    kit.scheduler.delete_task(task.id)

    assert kit.scheduler.get_memory_tasks() == []


@pytest.mark.parametrize(
    ("arguments", "removed"),
    [
        ({}, {"old"}),  # the setting: 30 days
        ({"days": 1}, {"old", "young"}),
        ({"older_than": timedelta(days=2)}, {"old", "young"}),
        ({"days": 0}, {"old", "young", "new"}),
        ({"days": 90}, set()),
    ],
)
def test_purge(kit: Kit, arguments: dict[str, Any], removed: set[str]) -> None:
    """
    By days, by a timedelta, or as the settings say; the age counts inclusively.
    """
    ages = {"old": 30, "young": 2, "new": 0}
    kit.put(
        *[
            make_task(id=name, status=_S.COMPLETED, last_execution_date=NOW - days * 86_400_000)
            for name, days in ages.items()
        ]
    )

    assert kit.scheduler.purge_old_tasks(**arguments) == len(removed)
    assert removed == {name for name in ages if kit.stored(name) is None}


def test_purge_refuses_nonsense(kit: Kit) -> None:
    """
    A negative age, or two at once; without a store there is nothing to purge.
    """
    with pytest.raises(InvalidTask):
        kit.scheduler.purge_old_tasks(-1)
    with pytest.raises(InvalidTask):
        kit.scheduler.purge_old_tasks(1, older_than=timedelta(1))
    assert Scheduler(store=None).purge_old_tasks() == 0
