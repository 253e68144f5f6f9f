"""
Management over REST: many tasks at once, the purge, nodes and types.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.factories import NOW, make_row, make_task
from tests.rest.support import Api, error, plant
from tests.waiting import ended, eventually
from unomi_scheduler import NodeUnavailable, Scheduler, StoreUnavailable, Task, TaskNotFound, TaskStatus
from unomi_scheduler.rules import requests

HOUR = timedelta(hours=1)


@pytest.fixture
def filled(api: Api) -> Api:
    """
    Two failed imports and a failed sync, all old, and one import that is scheduled.
    """
    plant(
        api.scheduler,
        make_task(id="i1", task_type="import", status=TaskStatus.FAILED, failure_count=4),
        make_task(id="i2", task_type="import", status=TaskStatus.FAILED, failure_count=4, creation_date=NOW + 1),
        make_task(id="s1", task_type="sync", status=TaskStatus.FAILED, failure_count=4),
        make_task(id="i3", task_type="import", next_scheduled_execution=2 * NOW),
    )
    return api


def bulk(api: Api, action: str, selected: dict[str, Any], **more: Any) -> dict[str, Any]:
    """
    Return the answer to a bulk order.
    """
    result = api.post("/cxs/tasks/bulk", json={"action": action, "filter": selected, **more})
    assert result.status_code == 200, result.text
    answer: dict[str, Any] = result.json
    return answer


def states(api: Api) -> dict[str, str]:
    """
    Return the status of each task.
    """
    return {task.id: task.status.value for task in api.scheduler.get_all_tasks()}


def test_a_dry_run_tells_and_changes_nothing(filled: Api) -> None:
    """
    How many, and which come first.
    """
    before = states(filled)
    answer = bulk(filled, "retry", {"status": "FAILED", "type": "import"}, dryRun=True)
    by_query = filled.post(
        "/cxs/tasks/bulk?dryRun=true", json={"action": "delete", "filter": {"status": "FAILED"}}
    ).json

    assert answer == {
        "action": "retry",
        "dryRun": True,
        "matched": 2,
        "changed": 0,
        "unchanged": 0,
        "failed": 0,
        "remaining": 2,
        "ids": ["i1", "i2"],
        "errors": [],
    }
    assert (by_query["dryRun"], by_query["matched"]) == (True, 3)
    assert states(filled) == before


def test_many_tasks_are_retried(filled: Api) -> None:
    """
    Those that the filter takes, and no others.
    """
    answer = bulk(filled, "retry", {"status": "FAILED", "type": "import"}, resetFailureCount=True)

    assert [answer[name] for name in ("matched", "changed", "unchanged", "failed", "remaining")] == [2, 2, 0, 0, 0]
    assert states(filled) == {"i1": "SCHEDULED", "i2": "SCHEDULED", "s1": "FAILED", "i3": "SCHEDULED"}
    assert filled.scheduler.get_task("i1").failure_count == 0


@pytest.mark.parametrize(
    ("action", "selected", "changed", "expected"),
    [
        ("cancel", {"type": "import"}, 3, {"i1": "CANCELLED", "i2": "CANCELLED", "i3": "CANCELLED"}),
        ("retry", {"all": True}, 3, {"i1": "SCHEDULED", "i2": "SCHEDULED", "s1": "SCHEDULED"}),
        ("retry", {"ids": ["i1", "i3", "i1", "none"]}, 1, {"i1": "SCHEDULED"}),
        ("resume", {"all": True}, 0, {}),
        ("run", {"ids": ["i1"]}, 1, {"i1": "SCHEDULED"}),
        ("cancel", {"type": "nothing"}, 0, {}),
        ("cancel", {"status": "SCHEDULED", "ids": ["i1", "i3"]}, 1, {"i3": "CANCELLED"}),
    ],
)
def test_what_the_state_does_not_allow_stays(
    filled: Api, action: str, selected: dict[str, Any], changed: int, expected: dict[str, str]
) -> None:
    """
    It is counted as unchanged.
    """
    before = states(filled)
    answer = bulk(filled, action, selected)

    assert (answer["changed"], answer["failed"]) == (changed, 0)
    assert answer["matched"] == answer["changed"] + answer["unchanged"]
    assert states(filled) == before | expected


def test_many_tasks_are_disabled_enabled_and_deleted(filled: Api) -> None:
    """
    What is so already is unchanged.
    """
    first, second = (bulk(filled, "disable", {"type": "import"}) for _ in range(2))
    enabled = bulk(filled, "enable", {"ids": ["i3"]})
    deleted = bulk(filled, "delete", {"status": "FAILED"})

    assert [one["changed"] for one in (first, second, enabled, deleted)] == [3, 0, 1, 3]
    assert states(filled) == {"i3": "SCHEDULED"}
    assert filled.scheduler.get_task("i3").enabled is True


def test_a_task_that_moved_on_is_left_alone(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was FAILED when it was listed and is not at its turn.
    """
    listed = Scheduler.find_tasks

    def then_retried(scheduler: Scheduler, **query: Any) -> Any:
        page = listed(scheduler, **query)
        scheduler.retry_task("i1")
        return page

    monkeypatch.setattr(Scheduler, "find_tasks", then_retried)
    answer = bulk(filled, "delete", {"status": "FAILED", "type": "import"})

    assert (answer["matched"], answer["changed"], answer["unchanged"]) == (2, 1, 1)
    assert "i1" in states(filled)


def test_a_task_that_fails_stops_no_others(filled: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is named with its reason.
    """
    cancel = requests.cancel

    def fails_once(task: Task, **more: Any) -> Task:
        if task.id == "i1":
            raise StoreUnavailable("no answer")
        return cancel(task, **more)

    monkeypatch.setattr(requests, "cancel", fails_once)
    answer = bulk(filled, "cancel", {"all": True})

    assert (answer["matched"], answer["changed"], answer["failed"]) == (4, 3, 1)
    assert answer["errors"] == [{"itemId": "i1", "message": "no answer"}]


@pytest.mark.parametrize(
    ("body", "short", "message"),
    [
        ({"action": "explode", "filter": {"all": True}}, "Invalid body", "action: "),
        ({"action": "cancel"}, "Invalid body", "filter: Field required"),
        ({"action": "cancel", "filter": {}}, "Invalid request", "Invalid filter: expected a status, a type or ids"),
        ({"action": "cancel", "filter": {"all": False}}, "Invalid body", "filter.all: "),
        ({"action": "cancel", "filter": {"all": True, "type": "x"}}, "Invalid request", "Invalid filter: "),
        ({"action": "cancel", "filter": {"state": "FAILED"}}, "Invalid body", "filter.state: no such field"),
        ({"action": "cancel", "filter": {"status": "BROKEN"}}, "Invalid body", "filter.status: "),
        ({"action": "cancel", "filter": {"all": True}, "dryrun": True}, "Invalid body", "dryrun: no such field; did"),
    ],
)
def test_a_bulk_order_that_breaks_a_rule_changes_nothing(
    filled: Api, body: dict[str, Any], short: str, message: str
) -> None:
    """
    Least of all one with a mistyped filter.
    """
    before = states(filled)
    status, title, text = error(filled.post("/cxs/tasks/bulk", json=body))

    assert (status, title) == (400, short)
    assert text.startswith(message)
    assert states(filled) == before


def test_the_purge_removes_what_completed_long_ago(api: Api) -> None:
    """
    By the number of days; a bad number removes nothing.
    """
    plant(api.scheduler, make_task(id="old", status=TaskStatus.COMPLETED, last_execution_date=NOW))

    assert error(api.post("/cxs/tasks/purge?days=-1"))[0] == 400
    assert api.post("/cxs/tasks/purge?days=60000").json == {"count": 0}
    assert api.post("/cxs/tasks/purge?days=0").json == {"count": 1}
    with pytest.raises(TaskNotFound):
        api.scheduler.get_task("old")


@pytest.mark.parametrize("path", ["/cxs/tasks/bulk", "/cxs/tasks/purge"])
def test_the_reserved_words_are_no_tasks(api: Api, path: str) -> None:
    """
    Asked for as one, they are no method of theirs.
    """
    assert error(api.get(path))[:2] == (405, "Method Not Allowed")


def test_the_nodes_are_listed(api: Api) -> None:
    """
    With what they show the others; none before one has started.
    """
    assert api.get("/cxs/nodes").json == {"list": [], "totalSize": 0}
    api.scheduler.register_executor(_Executor())
    with api.scheduler:
        api.scheduler.advertise("http://127.0.0.1:1")
        api.scheduler.new_task("done").with_id("d").schedule()
        ended(api.scheduler, "d")
        (node,) = api.get("/cxs/nodes").json["list"]

    assert (node["nodeId"], node["executorNode"]) == (api.scheduler.node_id, True)
    assert node["startedAt"].endswith("Z")
    assert {"incarnation", "tags", "taskTypes", "running", "busy", "leaseMillis", "clockOffset"} <= node.keys()


def test_a_node_is_told_whether_to_run_tasks(api: Api) -> None:
    """
    It shows that to the others; which way must be said, and one that is not there is named with those that are.
    """
    path = f"/cxs/nodes/{api.scheduler.node_id}/executor"
    with api.scheduler:
        told = api.put(path, params={"enabled": "false"})
        eventually(lambda: not api.get("/cxs/nodes").json["list"][0]["executorNode"], "its heartbeat says so")
        missing = api.put("/cxs/nodes/nobody/executor", params={"enabled": "true"})

    assert (told.status_code, told.json) == (200, {"nodeId": api.scheduler.node_id, "executorNode": False})
    assert error(missing)[:2] == (404, "Node not found")
    assert f"nobody; there are: {api.scheduler.node_id}" in missing.json["message"]
    assert error(api.put(path))[:2] == (400, "Invalid parameter")
    assert error(api.put(path, user="viewer", params={"enabled": "true"}))[0] == 403


def test_a_node_that_does_not_answer_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With what that means for the order.
    """

    def silent(*_: object, **__: object) -> None:
        raise NodeUnavailable("Node a did not answer within 6 s; the order to executor was withdrawn")

    monkeypatch.setattr(type(api.scheduler), "set_executor_node", silent)
    result = api.put("/cxs/nodes/a/executor", params={"enabled": "true"})

    assert error(result)[:2] == (503, "Node unavailable")
    assert "withdrawn" in result.json["message"]


def test_the_types_are_listed(api: Api) -> None:
    """
    Tasks by state, those in memory too, and the runs of the last hour.
    """
    now = api.scheduler._now()
    plant(api.scheduler, make_task(id="1", task_type="a", status=TaskStatus.FAILED), make_task(id="2", task_type="a"))
    rows = [
        make_row(task_id="1", task_type="a", end=now - 1_000, duration=10, status="FAILED"),
        make_row(task_id="2", task_type="a", end=now - 2_000, duration=30),
        make_row(task_id="2", task_type="a", end=now - 3_700_000, duration=1_000),
    ]
    api.scheduler._wiring.required_store().add_history(rows)
    api.scheduler.new_task("m").non_persistent().with_initial_delay(HOUR).schedule()
    answer = api.get("/cxs/types").json

    assert answer["totalSize"] == 2
    assert answer["list"][0] == {
        "taskType": "a",
        "total": 2,
        "counts": {"SCHEDULED": 1, "FAILED": 1},
        "nodes": [],
        "runs": 2,
        "failures": 1,
        "runsPerMinute": 0.033,
        "meanDuration": 20.0,
        "longestDuration": 30,
    }
    assert (answer["list"][1]["taskType"], answer["list"][1]["counts"]) == ("m", {"SCHEDULED": 1})


class _Executor:
    task_type = "done"

    def execute(self, task: Any, callback: Any) -> None:
        """
        Be done.
        """
        callback.complete()

    def can_resume(self, task: Any) -> bool:
        """
        Tell that it cannot.
        """
        return False

    def resume(self, task: Any, callback: Any) -> None:
        """
        Be done too.
        """
        callback.complete()
