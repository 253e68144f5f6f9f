"""
The service: what users see.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import NOW, make_due_task, make_heartbeat, make_running_task, make_slot, make_task
from tests.service_kit import Kit, make_kit
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.model import Task, TaskStatus
from unomi_scheduler.ports import SORT_FIELDS, Action, Write
from unomi_scheduler.service import Scheduler

_S = TaskStatus


@pytest.fixture
def kit() -> Kit:
    """
    A scheduler whose store has no faults.
    """
    return make_kit()


def _add(kit: Kit, *tasks: Task) -> None:
    kit.put(*[task for task in tasks if task.persistent])
    for task in tasks:
        if not task.persistent:
            kit.scheduler._wiring.node.memory_put(task)


def test_lists(kit: Kit) -> None:
    """
    Memory tasks, stored ones, and all, the oldest first.
    """
    stored = [make_task(creation_date=NOW + number) for number in (0, 2)]
    memory = make_task(creation_date=NOW + 1, persistent=False)
    _add(kit, *stored, memory)

    assert [stored[0], memory, stored[1]] == kit.scheduler.get_all_tasks()
    assert [memory] == list(Scheduler(store=None).find_tasks().list) + kit.scheduler.get_memory_tasks()
    assert stored == kit.scheduler.get_persistent_tasks()
    assert [memory] == kit.scheduler.get_memory_tasks()


def test_the_filters_of_find(kit: Kit) -> None:
    """
    Status and type, on both kinds; the total counts every match.
    """
    wanted = [make_task(status=_S.FAILED, task_type="a", persistent=persistent) for persistent in (True, False)]
    _add(kit, *wanted, make_task(status=_S.FAILED, task_type="b"), make_task(task_type="a", persistent=False))
    page = kit.scheduler.find_tasks(status="failed", task_type="a", limit=1)

    assert ((wanted[0],), 0, 1, 2) == (page.list, page.offset, page.page_size, page.total_size)
    assert kit.scheduler.find_tasks(task_type="a").total_size == 3
    assert kit.scheduler.find_tasks(status=_S.RUNNING).list == ()
    assert (0, 4) == (len(kit.scheduler.find_tasks(limit=0).list), kit.scheduler.find_tasks(limit=0).total_size)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.none() | st.integers(NOW, NOW + 3)), max_size=12),
    st.sampled_from(SORT_FIELDS),
    st.sampled_from(["", ":asc", ":desc"]),
    st.integers(1, 5),
)
def test_pages_of_both_kinds_are_one_list(
    kinds: list[tuple[bool, int, int | None]], field: str, direction: str, limit: int
) -> None:
    """
    Whatever is in memory and whatever is stored: the pages together are the whole, in the order the store has.
    """
    tasks = [
        make_task(
            creation_date=NOW + number,
            task_type="abcd"[number],
            failure_count=number,
            status=list(TaskStatus)[number],
            next_scheduled_execution=due,
        )
        for _, number, due in kinds
    ]
    mixed, stored = make_kit(), make_kit()
    _add(mixed, *[Task(**{**task.__dict__, "persistent": kind[0]}) for task, kind in zip(tasks, kinds, strict=True)])
    _add(stored, *tasks)
    sort_by = field + direction
    pages = [
        mixed.scheduler.find_tasks(offset=offset, limit=limit, sort_by=sort_by)
        for offset in range(0, len(tasks) + limit, limit)
    ]
    whole = [task.id for task in stored.scheduler.find_tasks(limit=-1, sort_by=sort_by).list]

    assert whole == [task.id for page in pages for task in page.list]
    assert whole == [task.id for task in mixed.scheduler.find_tasks(limit=-1, sort_by=sort_by).list]
    assert {len(tasks)} == {page.total_size for page in pages}


@pytest.mark.parametrize(
    "sort_by", ["creationDate", "itemId:asc", "totalExecutionCount:DESC", "last_execution_date:desc"]
)
def test_sort_names_of_the_wire_work_too(kit: Kit, sort_by: str) -> None:
    """
    As in Python or as in JSON, with a direction or without.
    """
    _add(kit, make_task())

    assert kit.scheduler.find_tasks(sort_by=sort_by).total_size == 1


@pytest.mark.parametrize(
    "query",
    [{"status": "ASLEEP"}, {"sort_by": "color"}, {"sort_by": "status:up"}, {"offset": -1}, {"limit": -2}],
)
def test_wrong_queries_are_refused(kit: Kit, query: dict[str, Any]) -> None:
    """
    The message says what would be right.
    """
    with pytest.raises(InvalidTask, match="expected"):
        kit.scheduler.find_tasks(**query)


def _beat(kit: Kit, **over: Any) -> None:
    kit.store.write([Write(Action.CREATE, make_heartbeat(**over))])


@pytest.mark.parametrize(
    ("over", "reasons"),
    [
        (
            {"next_scheduled_execution": NOW + 5},
            ["not due until 2025-06-15T15:06:40.005Z", "nodes that may run it: node-a"],
        ),
        ({"next_scheduled_execution": NOW}, ["due since 2025-06-15T15:06:40.000Z", "nodes that may run it: node-a"]),
        ({"task_type": "rare"}, ["due since", "no live node with an executor for type rare"]),
        ({"on_tags": ("gpu",)}, ["due since", "no live node is one of those it names (gpu)"]),
        ({"enabled": False}, ["disabled"]),
        ({"next_scheduled_execution": None}, ["no next run is set"]),
        ({"status": _S.CANCELLED, "enabled": False}, ["cancelled; it does not run again"]),
        (
            {"status": _S.CANCELLED, "enabled": False, "lock_owner": "node-a", "delete_requested": True},
            ["marked for removal", "its run on node node-a has not returned", "cancelled"],
        ),
        ({"status": _S.COMPLETED, "last_execution_date": NOW}, ["completed at 2025-06-15T15:06:40.000Z"]),
        (
            {"status": _S.FAILED, "failure_count": 1, "last_error": "boom"},
            ["FAILED after 1 failure, last error: boom", "a retry"],
        ),
        (
            {"status": _S.WAITING, "waiting_on_tasks": ("a", "b")},
            ["waiting on a: there is no such task", "waiting on b: there is no such task"],
        ),
        (
            {"status": _S.CRASHED, "crash_count": 2, "last_error": "node failure"},
            ["crashed (crash 2 of 5 in a row), last error: node failure", "due now", "nodes that may run it"],
        ),
        (
            {"failure_count": 2, "last_error": "boom"},
            ["to be tried again after 2 failures, last error: boom", "due", "nodes"],
        ),
        (
            {"allow_parallel_execution": False},
            ["due since", "nodes that may run it", "task other of the same type runs on node node-b"],
        ),
    ],
)
def test_explanations(kit: Kit, over: dict[str, Any], reasons: list[str]) -> None:
    """
    Why a task does not run, or when it will.
    """
    _beat(kit, task_types=("sample",))
    _beat(kit, node_id="gone", task_types=("rare", "sample"), tags=("gpu",), dead_by="node-a")
    _beat(kit, node_id="manager", task_types=("rare",), executor_node=False)
    kit.store.write([Write(Action.CREATE, make_slot(task_id="other", claim_id="c", owner="node-b"))])
    kit.put(make_due_task(id="one", **over))
    explained = kit.scheduler.explain("one")

    assert len(reasons) == len(explained)
    assert all(found.startswith(wanted) for found, wanted in zip(explained, reasons, strict=True))


def test_a_run_is_explained(kit: Kit) -> None:
    """
    Where it runs, since when, and whether that node still lives.
    """
    kit.put(make_running_task(id="one"))
    before = kit.scheduler.explain("one")
    _beat(kit)

    assert ("running on node node-a since 2025-06-15T15:06:40.000Z",) == kit.scheduler.explain("one")
    assert before[1].startswith("that node shows no sign of life")


def test_a_quarantined_document_is_explained(kit: Kit) -> None:
    """
    With what is wrong in it; reading it as a task is an error that says so too.
    """
    kit.store.plant("odd", {"itemId": "odd", "taskType": "a", "period": "often"})

    (reason,) = kit.scheduler.explain("odd")
    assert reason.startswith("in quarantine")
    assert "period" in reason
    with pytest.raises(InvalidTask, match="period"):
        kit.scheduler.get_task("odd")


def test_a_memory_task_is_explained(kit: Kit) -> None:
    """
    It runs in this process or not at all.
    """
    task = kit.scheduler.new_task("sample").non_persistent().on_nodes("other").schedule()
    reasons = [kit.scheduler.explain(task.id)[1]]
    kit.scheduler._wiring.node.running = True
    reasons.append(kit.scheduler.explain(task.id)[1])
    kit.scheduler.executor("sample")(print)
    reasons.append(kit.scheduler.explain(task.id)[1])

    assert reasons == [
        "a memory task, and the node of this process is not started",
        "a memory task, and no executor for type sample is registered in this process",
        "a memory task that names other nodes (other)",
    ]


def test_a_long_list_says_that_it_is_cut(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Nobody should take a part for the whole.
    """
    monkeypatch.setattr("unomi_scheduler.stores.memory.LIST_CAP", 2)
    _add(kit, *[make_task() for _ in range(3)])

    assert len(kit.scheduler.get_persistent_tasks()) == 2
    assert ["list_capped"] == [record.action for record in caplog.records]  # type: ignore[attr-defined]


def test_history_and_nodes(kit: Kit) -> None:
    """
    As they stand; nodes that were declared dead are not shown.
    """
    _beat(kit)
    _beat(kit, node_id="gone", dead_by="node-a")
    kit.put(make_task(id="one", history=({"status": "FAILED", "fence": 1}, {"status": "SUCCESS", "fence": 2})))

    assert ["SUCCESS", "FAILED"] == [row.status for row in kit.scheduler.history("one").list]
    assert ["node-a"] == [node.node_id for node in kit.scheduler.nodes()]


def test_metrics(kit: Kit) -> None:
    """
    By name, all with the original's `pendingOperations`, and back to 0.
    """
    kit.scheduler.new_task("sample").schedule()

    assert (1, 0) == (kit.scheduler.get_metric("tasks.created"), kit.scheduler.get_metric("nonsense"))
    assert {
        "tasks.created": 1,
        "tasks.failed": 0,
        "pendingOperations": 0,
    }.items() <= kit.scheduler.get_all_metrics().items()
    kit.scheduler.reset_metrics()
    assert kit.scheduler.get_metric("tasks.created") == 0


def test_the_check_never_raises(kit: Kit) -> None:
    """
    It shows the store's facts, or says what is wrong.
    """
    assert kit.scheduler.check().facts["store"] == "memory"
    assert "no store is bound" in Scheduler(store=None).check().problems[0]
    assert Scheduler(store="sqlite:////nowhere/at/all/x.db").check().problems


def test_the_nodes_name(kit: Kit) -> None:
    """
    As it was set, and unique where it was not.
    """
    names = {Scheduler(store=None).node_id for _ in range(5)}

    assert (kit.scheduler.node_id, kit.scheduler.executor_node) == ("node-a", True)
    assert not Scheduler(store=None, executor_node=False).executor_node
    assert len(names) == 5
