"""
Steering over REST: retry, resume, run now, edit; history and explanation.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.factories import NOW, make_task
from tests.rest.support import Api, error, plant
from tests.waiting import ended
from unomi_scheduler import Scheduler, TaskStatus

HOUR = timedelta(hours=1)
DAY_MILLIS = 86_400_000


def failed(scheduler: Scheduler, task_id: str = "f") -> None:
    """
    Store a task that failed for good.
    """
    plant(scheduler, make_task(id=task_id, status=TaskStatus.FAILED, failure_count=4, last_error="no route"))


def crashed(scheduler: Scheduler, task_id: str = "c") -> None:
    """
    Store a task that crashed behind a checkpoint.
    """
    checkpoint = {"lastProcessedId": "record-500"}
    plant(scheduler, make_task(id=task_id, status=TaskStatus.CRASHED, checkpoint_data=checkpoint, crash_count=1))


def scheduled(scheduler: Scheduler, task_id: str = "s", **more: Any) -> None:
    """
    Store a task that is due in an hour.
    """
    task = scheduler.create_task("sample", id=task_id, initial_delay=HOUR, **more)
    scheduler.schedule_task(task)


@pytest.mark.parametrize(
    ("query", "failures"), [("", 4), ("resetFailureCount=true", 0), ("resetFailureCount=FALSE", 4)]
)
def test_a_failed_task_is_retried(api: Api, query: str, failures: int) -> None:
    """
    The answer is the task as the request's own write left it: SCHEDULED for now.
    """
    failed(api.scheduler)
    result = api.post("/cxs/tasks/f/retry", query_string=query)

    assert result.status_code == 200
    assert (result.json["itemId"], result.json["status"]) == ("f", "SCHEDULED")
    assert result.json["failureCount"] == failures
    assert result.json["nextScheduledExecution"]
    assert api.scheduler.get_task("f").status is TaskStatus.SCHEDULED


def test_a_crashed_task_is_resumed(api: Api) -> None:
    """
    Its checkpoint is in the answer.
    """
    crashed(api.scheduler)
    answer = api.post("/cxs/tasks/c/resume").json

    assert (answer["status"], answer["checkpointData"]) == ("SCHEDULED", {"lastProcessedId": "record-500"})


@pytest.mark.parametrize("action", ["retry", "resume"])
def test_the_wrong_state_leaves_the_task_unchanged(api: Api, action: str) -> None:
    """
    200 and the task as it is; with `strict=true` 409, naming id and state.
    """
    scheduled(api.scheduler)
    before = api.get("/cxs/tasks/s").json
    plain = api.post(f"/cxs/tasks/s/{action}")
    strict = api.post(f"/cxs/tasks/s/{action}?strict=true")

    assert (plain.status_code, plain.json) == (200, before)
    assert error(strict)[:2] == (409, "Wrong state")
    assert "s is SCHEDULED" in strict.json["message"]
    assert api.get("/cxs/tasks/s").json == before


@pytest.mark.parametrize(
    ("method", "action"),
    [("POST", "retry"), ("POST", "resume"), ("POST", "run"), ("PUT", "config"), ("GET", "history"), ("GET", "explain")],
)
def test_of_an_unknown_task_nothing_can_be_asked(api: Api, method: str, action: str) -> None:
    """
    404 with the id.
    """
    send = {"GET": api.get, "POST": api.post, "PUT": api.put}[method]

    assert error(send(f"/cxs/tasks/none/{action}")) == (404, "Task not found", "Task not found: none")


@pytest.mark.parametrize(
    ("action", "name"), [("retry", "resetFailureCount"), ("retry", "strict"), ("resume", "strict")]
)
def test_a_flag_that_is_none_changes_nothing(api: Api, action: str, name: str) -> None:
    """
    400, and the task stays as it is.
    """
    failed(api.scheduler, "x")
    status, short, message = error(api.post(f"/cxs/tasks/x/{action}?{name}=1"))

    assert (status, short, message) == (400, "Invalid parameter", f"{name}: expected true or false, got '1'")
    assert api.scheduler.get_task("x").status is TaskStatus.FAILED


def test_the_mission_s_configuration(api: Api) -> None:
    """
    By query parameters alone.
    """
    scheduled(api.scheduler)
    result = api.put("/cxs/tasks/s/config?maxRetries=5&retryDelay=60001")

    assert (result.status_code, result.json["maxRetries"], result.json["retryDelay"]) == (200, 5, 60_001)
    assert api.scheduler.get_task("s").max_retries == 5


def test_a_configuration_may_come_as_a_body(api: Api) -> None:
    """
    With all that can be edited, beside the query's.
    """
    scheduled(api.scheduler)
    body = {
        "enabled": False,
        "parameters": {"source": {"deep": [1, None, "x"]}},
        "period": 2.0,
        "timeUnit": "HOURS",
        "fixedRate": False,
        "allowParallelExecution": False,
        "maxCrashes": 1,
        "keepCheckpoint": True,
        "onNodes": ["a"],
        "onTags": ["big"],
        "nextScheduledExecution": "2030-01-02T03:04:05+02:00",
    }
    answer = api.put("/cxs/tasks/s/config?maxRetries=0", json=body).json

    expected = body | {"maxRetries": 0, "period": 2, "nextScheduledExecution": "2030-01-02T01:04:05.000Z"}
    assert {name: answer.get(name) for name in expected} == expected


def test_nothing_said_changes_nothing(api: Api) -> None:
    """
    Neither an empty query nor an empty object.
    """
    scheduled(api.scheduler)
    before = api.get("/cxs/tasks/s").json

    assert api.put("/cxs/tasks/s/config").json == before
    assert api.put("/cxs/tasks/s/config", json={}).json == before


@pytest.mark.parametrize(
    "query", ["maxRetries=-1", "maxRetries=two", "maxRetries=", "retryDelay=-5", "retryDelay=9999999999999999"]
)
def test_numbers_of_a_configuration_have_bounds(api: Api, query: str) -> None:
    """
    400, naming the parameter.
    """
    scheduled(api.scheduler)
    name = query.partition("=")[0]
    status, short, message = error(api.put("/cxs/tasks/s/config", query_string=query))

    assert (status, short) == (400, "Invalid parameter")
    assert message.startswith(f"{name}: expected a whole number")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"maxRetries": -1}, "maxRetries: Input should be greater than or equal to 0, got -1"),
        ({"maxRetries": "5"}, "maxRetries: Value error, expected a whole number, got '5'"),
        ({"maxRetries": True}, "maxRetries: Value error, expected a whole number, got True"),
        ({"maxRetries": 1.5}, "maxRetries: "),
        ({"maxRetries": None}, "maxRetries: "),
        ({"enabled": "yes"}, "enabled: Value error, expected true or false, got 'yes'"),
        ({"timeUnit": "FORTNIGHTS"}, "timeUnit: "),
        ({"parameters": [1]}, "parameters: "),
        ({"onNodes": "a"}, "onNodes: "),
        ({"onNodes": [" "]}, "onNodes.0: "),
        ({"nextScheduledExecution": "tomorrow"}, "nextScheduledExecution: "),
        ({"nextScheduledExecution": 5}, "nextScheduledExecution: "),
        ({"maxretries": 5}, "maxretries: no such field; did you mean maxRetries?"),
        ({"status": "FAILED"}, "status: no such field; "),
        ({"itemId": "other"}, "itemId: no such field; known are: enabled, parameters"),
    ],
)
def test_a_bad_field_is_named(api: Api, body: dict[str, Any], message: str) -> None:
    """
    400, and nothing is changed.
    """
    scheduled(api.scheduler)
    before = api.get("/cxs/tasks/s").json
    status, short, text = error(api.put("/cxs/tasks/s/config", json=body))

    assert (status, short) == (400, "Invalid body")
    assert text.startswith(message)
    assert api.get("/cxs/tasks/s").json == before


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'{"a": NaN}', b"\xff", b'{"enabled": "\\ud800"}', b" "])
def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    """
    400, whatever it is.
    """
    scheduled(api.scheduler)
    result = api.put("/cxs/tasks/s/config", body=body, content_type="application/json")

    assert error(result)[:2] == (400, "Invalid body")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json-seq"])
def test_a_body_that_says_it_is_no_json_is_refused(api: Api, kind: str) -> None:
    """
    415, even if it could be read.
    """
    scheduled(api.scheduler)

    assert error(api.put("/cxs/tasks/s/config", body=b"{}", content_type=kind))[:2] == (415, "Unsupported media type")


def test_one_value_has_one_place(api: Api) -> None:
    """
    Nobody has to guess which of two counts.
    """
    scheduled(api.scheduler)
    status, _, message = error(api.put("/cxs/tasks/s/config?maxRetries=5", json={"maxRetries": 6}))

    assert (status, message) == (400, "maxRetries: expected it in the query or in the body, not in both, got '5'")


def test_a_rule_that_an_edit_breaks_is_told(api: Api) -> None:
    """
    400 with the rule; a cancelled task cannot be enabled, which is 409.
    """
    scheduled(api.scheduler, one_shot=True)
    rule = error(api.put("/cxs/tasks/s/config", json={"period": 5}))
    api.delete("/cxs/tasks/s")
    state = error(api.put("/cxs/tasks/s/config", json={"enabled": True}))

    assert rule[:2] == (400, "Invalid request")
    assert "one-shot" in rule[2]
    assert state[:2] == (409, "Wrong state")


def test_a_run_can_be_asked_for(api: Api) -> None:
    """
    Beside the schedule; a cancelled task does not run again.
    """
    scheduled(api.scheduler)
    asked = api.post("/cxs/tasks/s/run")
    api.delete("/cxs/tasks/s")

    assert (asked.status_code, asked.json["runRequests"]) == (200, 1)
    assert error(api.post("/cxs/tasks/s/run"))[:2] == (409, "Wrong state")


def test_the_history_comes_in_pages(api: Api) -> None:
    """
    The newest run first, with the true total; of tasks in memory too.
    """
    entries = tuple(
        {"timestamp": f"2025-06-15T15:0{minute}:00.000Z", "status": "SUCCESS", "nodeId": "a", "fence": NOW + minute}
        for minute in range(5)
    )
    plant(api.scheduler, make_task(id="h", history=entries))
    page = api.get("/cxs/tasks/h/history?offset=1&limit=2").json

    assert [row["end"] for row in page.pop("list")] == ["2025-06-15T15:03:00.000Z", "2025-06-15T15:02:00.000Z"]
    assert page == {"offset": 1, "pageSize": 2, "totalSize": 5, "totalSizeRelation": "EQUAL", "changes": []}


def test_a_page_of_history_has_bounds(api: Api) -> None:
    """
    400 behind the newest 10,000 rows.
    """
    scheduled(api.scheduler)

    assert error(api.get("/cxs/tasks/s/history?offset=9999&limit=2"))[0] == 400
    assert error(api.get("/cxs/tasks/s/history?limit=-2"))[0] == 400


def test_a_task_is_explained(api: Api) -> None:
    """
    In sentences.
    """
    scheduled(api.scheduler)
    answer = api.get("/cxs/tasks/s/explain").json

    assert answer["itemId"] == "s"
    assert answer["reasons"][0].startswith("not due until ")


def test_a_task_in_memory_is_steered_too(api: Api) -> None:
    """
    In the process that has it.
    """
    api.scheduler.register_executor(_Failing())
    api.scheduler.new_task("failing").with_id("m").non_persistent().with_max_retries(0).schedule()
    with api.scheduler:
        ended(api.scheduler, "m")
    retried = api.post("/cxs/tasks/m/retry?resetFailureCount=true").json
    edited = api.put("/cxs/tasks/m/config?maxRetries=7").json

    assert (retried["status"], retried["failureCount"], edited["maxRetries"]) == ("SCHEDULED", 0, 7)
    assert api.get("/cxs/tasks/m/history").json["totalSize"] >= 1


class _Failing:
    task_type = "failing"

    def execute(self, task: Any, callback: Any) -> None:
        """
        Fail.
        """
        callback.fail("no")

    def can_resume(self, task: Any) -> bool:
        """
        Tell that it cannot.
        """
        return False

    def resume(self, task: Any, callback: Any) -> None:
        """
        Fail again.
        """
        callback.fail("no")


def test_a_task_is_made_with_the_builder_s_defaults(api: Api) -> None:
    """
    201, where it is, and the task as stored.
    """
    result = api.post("/cxs/tasks", json={"taskType": "sample"})
    made = result.json
    built = api.scheduler.new_task("sample").build()
    stored = api.scheduler.get_task(made["itemId"])

    assert (result.status_code, result.headers["location"]) == (201, f"/cxs/tasks/{made['itemId']}")
    assert api.get(result.headers["location"]).json == made
    for name in ("fixed_rate", "one_shot", "allow_parallel_execution", "max_retries", "retry_delay", "max_crashes"):
        assert getattr(stored, name) == getattr(built, name)
    assert (made["status"], made["enabled"], made["persistent"]) == ("SCHEDULED", True, True)


def test_a_task_is_made_as_defined(api: Api) -> None:
    """
    With an id of one's own, also one with a slash.
    """
    api.post("/cxs/tasks", json={"taskType": "sample", "itemId": "first"})
    body = {
        "itemId": "a/b",
        "taskType": "sample",
        "parameters": {"n": 1},
        "initialDelay": 2,
        "initialDelayUnit": "DAYS",
        "period": 1,
        "timeUnit": "HOURS",
        "fixedRate": False,
        "allowParallelExecution": False,
        "maxRetries": 0,
        "retryDelay": 5,
        "maxCrashes": 1,
        "keepCheckpoint": True,
        "dependsOn": ["first", "first"],
        "dependencyPolicy": "RUN",
        "onNodes": ["a"],
        "onTags": ["t"],
        "enabled": False,
    }
    result = api.post("/cxs/tasks", json=body)

    expected = body | {"dependsOn": ["first"]}
    assert (result.status_code, result.headers["location"]) == (201, "/cxs/tasks/a%2Fb")
    assert {name: result.json.get(name) for name in expected} == expected


def test_a_system_task_has_its_type_as_id_and_is_made_once(api: Api) -> None:
    """
    The second one is answered as it stands.
    """
    body = {"taskType": "nightly", "systemTask": True, "period": 1, "timeUnit": "DAYS"}
    first, second = (api.post("/cxs/tasks", json=body) for _ in range(2))

    assert first.json["itemId"] == "nightly"
    assert second.json == first.json


@pytest.mark.parametrize(
    ("body", "short", "message"),
    [
        ({}, "Invalid body", "taskType: Field required"),
        ({"taskType": " "}, "Invalid body", "taskType: "),
        ({"taskType": "x", "itemId": "bulk"}, "Invalid request", "Invalid task id: expected not one of the reserved"),
        ({"taskType": "x", "period": 1, "oneShot": True}, "Invalid request", "Invalid period: expected 0 for"),
        ({"taskType": "x", "period": -1}, "Invalid body", "period: "),
        ({"taskType": "x", "dependsOn": ["none"]}, "Invalid request", "Task "),
        ({"taskType": "x", "systemTask": True, "itemId": "y"}, "Invalid request", "Invalid task id: a system task's"),
        ({"taskType": "x", "persistent": False}, "Invalid request", "Invalid persistent: expected true"),
        ({"taskType": "x", "status": "RUNNING"}, "Invalid body", "status: no such field"),
        ({"task_type": "x"}, "Invalid body", ""),
    ],
)
def test_a_definition_that_breaks_a_rule_is_refused(api: Api, body: dict[str, Any], short: str, message: str) -> None:
    """
    400 with the rule, and nothing is stored.
    """
    status, title, text = error(api.post("/cxs/tasks", json=body))

    assert (status, title) == (400, short)
    assert text.startswith(message)
    assert api.scheduler.find_tasks().total_size == 0


def test_an_id_that_exists_is_a_conflict(api: Api) -> None:
    """
    409, and the one that is there stays.
    """
    scheduled(api.scheduler)

    assert error(api.post("/cxs/tasks", json={"taskType": "x", "itemId": "s"}))[:2] == (409, "Conflict")
    assert api.scheduler.get_task("s").task_type == "sample"


def test_a_body_is_needed_to_make_a_task(api: Api) -> None:
    """
    None is 400.
    """
    assert error(api.post("/cxs/tasks")) == (400, "Invalid body", "expected a JSON object, got no body")


def test_a_task_in_memory_is_made_where_a_node_runs(api: Api) -> None:
    """
    Elsewhere nothing would ever run it.
    """
    with api.scheduler:
        body = {"taskType": "x", "persistent": False, "initialDelay": 1, "timeUnit": "HOURS"}
        made = api.post("/cxs/tasks", json=body)

        assert (made.status_code, made.json["persistent"]) == (201, False)
        assert made.json["itemId"] in [task.id for task in api.scheduler.get_memory_tasks()]
