"""
The tasks over REST: pages, one task, cancelling and removing.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.rest.support import Api, basic, error
from unomi_scheduler import Scheduler, TaskNotFound, TaskStatus

HOUR = timedelta(hours=1)


def schedule(scheduler: Scheduler, task_id: str, task_type: str = "sample", *, hours: int = 1) -> None:
    """
    Store a task that is due in some hours.
    """
    scheduler.new_task(task_type).with_id(task_id).with_initial_delay(hours * HOUR).as_one_shot().schedule()


@pytest.fixture
def filled(api: Api) -> Api:
    """
    Three stored tasks of two types, one of them cancelled, and one in memory.
    """
    schedule(api.scheduler, "a", hours=3)
    schedule(api.scheduler, "b", "other", hours=2)
    schedule(api.scheduler, "c", hours=1)
    api.scheduler.cancel_task("c")
    api.scheduler.new_task("sample").with_id("m").non_persistent().with_initial_delay(4 * HOUR).schedule()
    return api


def ids(api: Api, query: str = "") -> list[str]:
    """
    Return the ids on the page that a query answers.
    """
    return [task["itemId"] for task in api.get("/cxs/tasks", query_string=query).json["list"]]


def test_a_page_has_the_tasks_and_the_true_total(filled: Api) -> None:
    """
    Stored tasks and those in memory are one list; pageSize is the limit asked for.
    """
    page = filled.get("/cxs/tasks", query_string="limit=3").json

    assert len(page.pop("list")) == 3
    assert page == {"offset": 0, "pageSize": 3, "totalSize": 4, "totalSizeRelation": "EQUAL"}


def test_without_parameters_a_page_has_fifty_tasks_from_the_first(api: Api) -> None:
    """
    The defaults.
    """
    page = api.get("/cxs/tasks").json

    assert page == {"list": [], "offset": 0, "pageSize": 50, "totalSize": 0, "totalSizeRelation": "EQUAL"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=SCHEDULED", {"a", "b", "m"}),
        ("status=scheduled", {"a", "b", "m"}),
        ("status=Cancelled", {"c"}),
        ("type=sample", {"a", "c", "m"}),
        ("type=sample&status=SCHEDULED", {"a", "m"}),
        ("type=none", set()),
        ("status=&type=", {"a", "b", "c", "m"}),
        ("limit=-1", {"a", "b", "c", "m"}),
        ("limit=0", set()),
        ("offset=99", set()),
    ],
)
def test_filters_combine(filled: Api, query: str, expected: set[str]) -> None:
    """
    Status in any case; an empty parameter is none.
    """
    assert set(ids(filled, query)) == expected


def test_an_offset_behind_the_end_keeps_the_total(filled: Api) -> None:
    """
    An empty page still says how many there are.
    """
    page = filled.get("/cxs/tasks", query_string="offset=99&status=SCHEDULED").json

    assert (page["list"], page["totalSize"]) == ([], 3)


@pytest.mark.parametrize(
    ("sort_by", "expected"),
    [
        ("itemId", "abcm"),
        ("itemId:asc", "abcm"),
        ("itemId:desc", "mcba"),
        ("ITEMID:DESC", "mcba"),
        ("taskType:asc", "b"),
        ("nextScheduledExecution:desc", "ma"),
        ("status", "abmc"),
    ],
)
def test_pages_are_sorted(filled: Api, sort_by: str, expected: str) -> None:
    """
    Any field of the contract, in both directions.
    """
    found = "".join(ids(filled, f"sortBy={sort_by}"))

    assert found.startswith(expected)


@pytest.mark.parametrize("direction", ["", ":asc", ":desc"])
def test_a_field_nobody_knows_sorts_by_creation(filled: Api, direction: str) -> None:
    """
    As the original does.
    """
    assert ids(filled, f"sortBy=nobodyKnows{direction}") == ids(filled, f"sortBy=creationDate{direction}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("status=BROKEN", "status: expected one of SCHEDULED, WAITING"),
        ("limit=-2", "limit: expected a whole number from -1 to 10,000, got '-2'"),
        ("limit=many", "limit: expected a whole number from -1 to 10,000, got 'many'"),
        ("limit=10001", "limit: expected a whole number from -1 to 10,000, got '10001'"),
        ("limit=1e3", "limit: "),
        ("limit=%D9%A3", "limit: "),
        ("limit=99999999999", "limit: "),
        ("offset=-1", "offset: expected a whole number of 0 or more, got '-1'"),
        ("offset=1.5", "offset: "),
        ("sortBy=itemId:up", "sortBy: expected FIELD, FIELD:asc or FIELD:desc, got 'itemId:up'"),
        ("sortBy=itemId:asc:desc", "sortBy: "),
        ("status=FAILED&status=RUNNING", "status: expected one value, got 'FAILED, RUNNING'"),
        ("statsu=FAILED", "statsu: no parameter of this request; did you mean status?"),
        ("colour=red", "colour: no parameter of this request; known are: status, type, offset, limit, sortBy, records"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, query: str, message: str) -> None:
    """
    400, and the message says which one and what it may be.
    """
    status, short, text = error(api.get("/cxs/tasks", query_string=query))

    assert (status, short) == (400, "Invalid parameter")
    assert text.startswith(message)


def test_a_task_is_its_document(filled: Api) -> None:
    """
    Names and dates as in the contract; what is null is left out.
    """
    task = filled.get("/cxs/tasks/a").json

    assert [task[name] for name in ("itemId", "itemType", "taskType")] == ["a", "scheduledTask", "sample"]
    assert task["status"] == "SCHEDULED"
    assert task["nextScheduledExecution"].endswith("Z")
    assert len(task["nextScheduledExecution"]) == len("2024-03-20T15:00:00.000Z")
    assert None not in task.values()


def test_a_task_in_memory_is_found_too(filled: Api) -> None:
    """
    In the process that has it.
    """
    assert filled.get("/cxs/tasks/m").json["persistent"] is False


def test_what_is_not_json_in_memory_is_shown_as_text(api: Api) -> None:
    """
    A task in memory may hold anything; looking at it never fails.
    """
    task = api.scheduler.new_task("sample").with_id("odd").non_persistent().with_initial_delay(HOUR).schedule()

    assert api.get(f"/cxs/tasks/{task.id}").status_code == 200


@pytest.mark.parametrize(
    "task_id",
    ["ä b", "a:b", "50%", "x.y", "a/b", "/", "/a/b/", "a%2Fb", "a%252Fb", "..", "a?b#c", "a+b;c", "{task_id}"],
)
def test_ids_may_have_any_letters(api: Api, task_id: str) -> None:
    """
    They are decoded once, and a slash in them is no end of a segment.
    """
    schedule(api.scheduler, task_id)
    path = f"/cxs/tasks/{quote(task_id, safe='')}"
    found = api.get(path).json["itemId"]
    cancelled = api.delete(path).status_code

    assert (found, cancelled) == (task_id, 204)
    assert api.scheduler.get_task(task_id).status is TaskStatus.CANCELLED


@pytest.mark.parametrize(
    "sent", ["/cxs/tasks/a%3Ab", "/cxs/t%61sks/a:b", "/cxs/tasks/%61:b/", "http://host/cxs/tasks/a:b"]
)
def test_a_path_may_be_encoded_in_other_ways(api: Api, sent: str) -> None:
    """
    Letters that need no encoding, a slash at the end, and the form for proxies lead to the same task.
    """
    schedule(api.scheduler, "a:b")
    result = api.get("/cxs/tasks/elsewhere", extras={"RAW_URI": f"{sent}?x=1"})

    assert result.json["itemId"] == "a:b"


def test_a_server_that_does_not_tell_what_was_sent_serves_the_other_ids(api: Api) -> None:
    """
    Such a server has decoded the path already.
    """
    schedule(api.scheduler, "50% ä")
    found = api.get("/cxs/tasks/50%25%20%C3%A4", extras={"RAW_URI": ""})

    assert found.json["itemId"] == "50% ä"


@pytest.mark.parametrize("path", ["/cxs/tasks%2Fa", "/cxs/tasks/a/b", "/cxs%2Ftasks"])
def test_an_encoded_slash_is_no_slash_and_a_slash_no_encoded_one(api: Api, path: str) -> None:
    """
    What is no path of ours is not found, and needs sign-in as all others.
    """
    schedule(api.scheduler, "a")

    assert api.get(path).status_code == 404
    assert api.client.simulate_get(path).status_code == 401


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_task_is_not_found(api: Api, method: str) -> None:
    """
    The message has the id.
    """
    result = api.client.simulate_request(method, "/cxs/tasks/none", headers=basic("admin"))

    assert error(result) == (404, "Task not found", "Task not found: none")


def test_delete_cancels_and_keeps_the_record(filled: Api) -> None:
    """
    204 without a body.
    """
    result = filled.delete("/cxs/tasks/a")

    assert (result.status_code, result.content) == (204, b"")
    assert filled.scheduler.get_task("a").status is TaskStatus.CANCELLED


def test_delete_with_remove_takes_the_record_away(filled: Api) -> None:
    """
    Also of a task that is cancelled already.
    """
    assert filled.delete("/cxs/tasks/c?remove=true").status_code == 204
    with pytest.raises(TaskNotFound):
        filled.scheduler.get_task("c")
    assert filled.delete("/cxs/tasks/c?remove=true").status_code == 404


def test_cancelling_what_is_cancelled_is_no_error_unless_asked(filled: Api) -> None:
    """
    As the original answers; `strict=true` makes it a conflict that names the state.
    """
    assert filled.delete("/cxs/tasks/c").status_code == 204

    status, short, message = error(filled.delete("/cxs/tasks/c?strict=true"))

    assert (status, short) == (409, "Wrong state")
    assert "c is CANCELLED" in message


@pytest.mark.parametrize("name", ["remove", "strict"])
def test_a_flag_is_true_or_false(filled: Api, name: str) -> None:
    """
    Anything else changes nothing.
    """
    status, _, message = error(filled.delete(f"/cxs/tasks/a?{name}=perhaps"))

    assert (status, message) == (400, f"{name}: expected true or false, got 'perhaps'")
    assert filled.scheduler.get_task("a").status is TaskStatus.SCHEDULED
