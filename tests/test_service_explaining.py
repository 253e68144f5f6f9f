"""
The service: why a task does not run, one reason after the other, and what waits for the slot of its type.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import NOW, make_due_task, make_heartbeat, make_running_task, make_slot, make_task
from tests.originals import document_id, original
from tests.service_kit import Kit, make_kit
from unomi_scheduler.model import DependencyPolicy, TaskStatus
from unomi_scheduler.ports import Action, Write

_S = TaskStatus
_ABLE = {"task_types": ("sample",)}


@pytest.fixture
def kit() -> Kit:
    """
    A scheduler whose store has no faults.
    """
    return make_kit()


def _beat(kit: Kit, **over: Any) -> None:
    kit.store.write([Write(Action.CREATE, make_heartbeat(**over))])


@pytest.mark.parametrize(
    ("nodes", "over", "reason"),
    [
        ([], {}, "no live node with an executor for type sample"),
        ([{}], {}, "no live node with an executor for type sample"),
        (
            [{**_ABLE, "executor_node": False}],
            {},
            "no live node with an executor for type sample runs tasks: node-a is no executor node",
        ),
        ([_ABLE], {"on_nodes": ("x", "y")}, "no live node is one of those it names (x, y)"),
        ([_ABLE], {"on_tags": ("gpu",)}, "no live node is one of those it names (gpu)"),
        (
            [{"tags": ("gpu",)}, {**_ABLE, "node_id": "node-b"}],
            {"on_tags": ("gpu",)},
            "no live node with an executor for type sample among those it names",
        ),
        (
            [{**_ABLE, "busy": True}, {**_ABLE, "node_id": "node-b", "busy": True}],
            {},
            "every node that may run it is full: node-a, node-b",
        ),
        ([{**_ABLE, "busy": True}, {**_ABLE, "node_id": "node-b"}], {}, "nodes that may run it: node-b"),
        (
            [{**_ABLE, "busy": True, "clock_offset": -4_000}],
            {},
            "node node-a claims nothing: its clock is -4000 ms off the store's (limit 1000 ms)",
        ),
        (
            [{**_ABLE, "executor_node": False}],
            {"run_on_all_nodes": True, "all_nodes_of": "all"},
            "nodes that may run it: node-a",
        ),
    ],
)
def test_why_no_node_runs_it(kit: Kit, nodes: list[dict[str, Any]], over: dict[str, Any], reason: str) -> None:
    """
    A due task, and what each node lacks.
    """
    for node in nodes:
        _beat(kit, **node)
    kit.put(make_due_task(id="one", **over))

    assert ("due since 2025-06-15T15:06:40.000Z", reason) == kit.scheduler.explain("one")


def test_a_node_that_fell_silent_is_not_counted_on(kit: Kit) -> None:
    """
    Nobody is left to declare it dead.
    """
    _beat(kit, **_ABLE, beat_at=NOW - 60_000)
    kit.put(make_due_task(id="one"))

    assert kit.scheduler.explain("one")[1:] == (
        "no live node with an executor for type sample",
        "node node-a could, and has not been heard of since 2025-06-15T15:05:40.000Z",
    )


@pytest.mark.parametrize(
    ("dependency", "policy", "reason"),
    [
        ({"status": _S.RUNNING, "executing_node_id": "node-b"}, "FAIL", "RUNNING on node node-b"),
        ({"next_scheduled_execution": NOW + 5}, "FAIL", "SCHEDULED for 2025-06-15T15:06:40.005Z"),
        (
            {"next_scheduled_execution": NOW, "failure_count": 2},
            "FAIL",
            "SCHEDULED for 2025-06-15T15:06:40.000Z after 2 failures",
        ),
        ({"status": _S.WAITING}, "FAIL", "WAITING"),
        (
            {"status": _S.FAILED, "last_error": "boom"},
            "FAIL",
            "FAILED, last error: boom, which a node will take up soon",
        ),
        (
            {"status": _S.FAILED, "last_error": "boom"},
            "WAIT",
            "FAILED, last error: boom; this task waits until it has succeeded",
        ),
        ({"status": _S.CANCELLED}, "WAIT", "CANCELLED; this task waits until it has succeeded"),
        ({"delete_requested": True}, "RUN", "there is no such task any more, which a node will take up soon"),
    ],
)
def test_how_a_dependency_stands(kit: Kit, dependency: dict[str, Any], policy: str, reason: str) -> None:
    """
    Each that is waited for, with its state.
    """
    kit.put(
        make_task(id="first", **dependency),
        make_task(id="one", status=_S.WAITING, waiting_on_tasks=("first",), dependency_policy=DependencyPolicy(policy)),
    )

    assert (f"waiting on first: {reason}",) == kit.scheduler.explain("one")


def test_a_dependency_that_is_not_where_it_should_be(kit: Kit) -> None:
    """
    One that has the original's document id still is there; nothing is known of one in quarantine.
    """
    document = original("first", nextScheduledExecution="2099-01-01T00:00:00Z")
    kit.store.plant(document_id(document), document)
    kit.store.plant("odd", {"itemId": "odd", "taskType": 7, "quarantineReason": "no text", "partition": 1})
    kit.put(make_task(id="one", status=_S.WAITING, waiting_on_tasks=("first", "odd")))

    assert kit.scheduler.explain("one") == (
        "waiting on first: SCHEDULED for 2099-01-01T00:00:00.000Z",
        "waiting on odd: its document is in quarantine, so nothing is known of it",
    )


def test_many_dependencies_are_counted(kit: Kit) -> None:
    """
    And a due time that is yet to come is told besides.
    """
    names = tuple(f"first-{n:02}" for n in range(13))
    kit.put(
        *(make_running_task(id=name) for name in names),
        make_task(id="one", status=_S.WAITING, waiting_on_tasks=names, enabled=False, next_scheduled_execution=NOW + 5),
    )
    reasons = kit.scheduler.explain("one")

    assert reasons[0].startswith("disabled")
    assert reasons[11:] == ("waiting on 3 more tasks", "not due until 2025-06-15T15:06:40.005Z even then")


def test_what_waits_for_the_slot_says_so(kit: Kit) -> None:
    """
    Read by id and in lists; not the holder, not what is not due, and nothing once the slot is free. Nothing is stored.
    """
    exclusive: dict[str, Any] = {"allow_parallel_execution": False}
    kit.put(
        make_running_task(id="holder", **exclusive),
        make_due_task(id="waits", **exclusive),
        make_task(id="later", next_scheduled_execution=NOW + 1, **exclusive),
        make_due_task(id="parallel"),
        make_due_task(id="other", task_type="other", **exclusive),
    )
    kit.store.write([Write(Action.CREATE, make_slot(task_id="holder", claim_id="c", owner="node-a", since=NOW))])
    waiting = {task.id: task.waiting_for_task_type for task in kit.scheduler.find_tasks().list}
    (stored,) = kit.store.slots(["sample"])
    explained = kit.scheduler.explain("waits")
    before = kit.stored("waits")
    one = kit.scheduler.get_task("waits")
    kit.store.write([Write(Action.REPLACE, make_slot(), stored.version)])

    assert {"holder": None, "waits": "sample", "later": None, "parallel": None, "other": None} == waiting
    assert one.waiting_for_task_type == "sample"
    assert explained[-1] == (
        "task holder of the same type runs on node node-a since 2025-06-15T15:06:40.000Z, "
        "and the type runs one at a time"
    )
    assert before is not None
    assert before.waiting_for_task_type is None
    assert kit.scheduler.get_task("waits").waiting_for_task_type is None


def test_memory_tasks_wait_for_each_other_too(kit: Kit) -> None:
    """
    Within their process; a stored task of the same type does not wait for them.
    """
    exclusive: dict[str, Any] = {"allow_parallel_execution": False, "persistent": False}
    node = kit.scheduler._wiring.node
    node.memory_put(make_running_task(id="holder", **exclusive))
    node.memory_put(make_due_task(id="waits", **exclusive))
    kit.put(make_due_task(id="stored", allow_parallel_execution=False))
    waiting = {task.id: task.waiting_for_task_type for task in kit.scheduler.get_all_tasks()}

    assert {"holder": None, "waits": "sample", "stored": None} == waiting
    assert "task holder of the same type runs" in kit.scheduler.explain("waits")[-1]


def test_lists_of_parallel_tasks_read_no_slots(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The reader of ordinary tasks pays nothing.
    """
    asked: list[object] = []
    monkeypatch.setattr(kit.store, "slots", asked.append)
    kit.put(make_due_task(id="one"), make_task(id="two", allow_parallel_execution=False))
    kit.scheduler.find_tasks()
    kit.scheduler.get_task("one")

    assert asked == []
