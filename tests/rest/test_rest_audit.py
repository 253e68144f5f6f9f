"""
The audit over REST: what is recorded, of whom, and what never is.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import pytest

from tests.factories import make_task
from tests.rest.support import PASSWORD, Api, basic, error, plant
from unomi_rest.auditing import ROWS_AT_ONCE
from unomi_rest.auth import READING
from unomi_rest.routes import ROUTES
from unomi_scheduler import Metric, Settings, StoreUnavailable, TaskStatus
from unomi_scheduler.ports import Outcome, Result
from unomi_scheduler.stores.memory import MemoryStore

SECRET = "s3cr3t-of-somebody"


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store=f"memory://{uuid4().hex}")


def audit(api: Api, query: str = "") -> list[dict[str, Any]]:
    """
    Return what the audit lists.
    """
    found: list[dict[str, Any]] = api.get("/cxs/audit", query_string=query).json["list"]
    return found


def words(api: Api) -> list[tuple[str, int]]:
    """
    Return action and status of each row, the oldest first.
    """
    return [(row["action"], row["status"]) for row in reversed(audit(api))]


def test_every_change_has_its_row(api: Api) -> None:
    """
    By its word, with who asked, from where, and what for.
    """
    plant(api.scheduler, make_task(id="f", status=TaskStatus.FAILED), make_task(id="c", status=TaskStatus.CRASHED))
    api.post("/cxs/tasks", json={"taskType": "sample", "itemId": "new", "parameters": {"password": SECRET}})
    api.post("/cxs/tasks/f/retry", query_string="resetFailureCount=true")
    api.post("/cxs/tasks/c/resume", user="unomi")
    api.put("/cxs/tasks/new/config", query_string="maxRetries=7", json={"parameters": {"a": 1, "b": SECRET}})
    api.post("/cxs/tasks/new/run")
    api.post("/cxs/tasks/bulk", json={"action": "disable", "filter": {"type": "sample"}})
    api.delete("/cxs/tasks/new")
    api.delete("/cxs/tasks/new", query_string="remove=true")
    api.post("/cxs/tasks/purge", query_string="days=3")
    made = api.post("/cxs/tokens", json={"name": "ci"}).json
    api.delete(f"/cxs/tokens/{made['id']}")
    rows = {row["action"]: row for row in audit(api)}

    assert words(api) == [
        ("create", 201), ("retry", 200), ("resume", 200), ("config", 200), ("run", 200), ("bulk", 200),
        ("disable", 200), ("disable", 200), ("disable", 200),
        ("cancel", 204), ("delete", 204), ("purge", 200), ("create token", 201), ("revoke token", 204),
    ]  # fmt: skip
    assert {(row["via"], row["address"]) for row in rows.values()} == {("REST", "127.0.0.1")}
    assert (rows["resume"]["who"], rows["resume"]["taskId"]) == ("unomi", "c")
    assert (rows["create"]["taskId"], rows["create"]["parameters"]["parameters"]) == ("new", {"names": ["password"]})
    assert rows["config"]["parameters"] == {"maxRetries": "7", "parameters": {"names": ["a", "b"]}}
    assert rows["retry"]["parameters"] == {"resetFailureCount": "true"}
    assert rows["bulk"]["parameters"] == {"action": "disable", "filter": {"type": "sample"}}
    assert {row["taskId"] for row in audit(api) if row["action"] == "disable"} == {"f", "c", "new"}
    assert rows["bulk"]["counts"]["changed"] == rows["bulk"]["counts"]["matched"] == 3
    assert rows["purge"]["counts"] == {"count": 0}
    assert rows["create token"]["tokenId"] == rows["revoke token"]["tokenId"] == made["id"]
    assert SECRET not in str(rows)
    assert made["token"].split("_", 2)[2] not in str(rows)


CHANGES = [
    (route, one.method) for route in ROUTES if not route.public for one in route.operations if one.method not in READING
]


@pytest.mark.parametrize(("path", "method"), [(route.path, method) for route, method in CHANGES])
def test_whoever_may_not_is_recorded_on_every_route(api: Api, path: str, method: str) -> None:
    """
    With no word of what was asked, which nobody has checked.
    """
    target = path.replace("{task_id}", "x").replace("{node_id}", "x").replace("{token_id}", "x")
    api.client.simulate_request(method, target, headers=basic("viewer"), query_string=f"name={SECRET}")
    (row,) = audit(api)

    assert (row["who"], row["status"]) == ("viewer", 403)
    assert "parameters" not in row
    assert SECRET not in str(row)


def test_a_token_is_named_with_its_id(api: Api) -> None:
    """
    Its name alone could be a user's.
    """
    token, text = api.scheduler.tokens.make("admin", ["ADMINISTRATOR"], created_by="admin")
    api.client.simulate_delete("/cxs/tasks/none", headers={"Authorization": f"Bearer {text}"})
    (row,) = audit(api)

    assert (row["who"], row["byToken"], row["status"], row["taskId"]) == ("admin", token.id, 404, "none")


def test_a_bulk_change_stands_beside_the_runs_of_each_task(api: Api) -> None:
    """
    Of those that it changed, and of no other.
    """
    plant(api.scheduler, make_task(id="a"), make_task(id="b", enabled=False))
    api.post("/cxs/tasks/bulk", json={"action": "disable", "filter": {"all": True}})
    changes = {name: api.get(f"/cxs/tasks/{name}/history").json["changes"] for name in "ab"}

    assert [(one["who"], one["action"]) for one in changes["a"]] == [("admin", "disable")]
    assert changes["b"] == []


def test_looking_trying_and_mistyping_leave_no_row(api: Api) -> None:
    """
    Nothing could have changed.
    """
    plant(api.scheduler, make_task(id="a"))
    api.get("/cxs/tasks/a")
    api.get("/cxs/audit", user="viewer")
    api.post("/cxs/tasks/bulk", json={"action": "run", "filter": {"all": True}, "dryRun": True})
    api.post("/cxs/tasks", json={"taskTyp": "x"})
    api.post("/cxs/tasks/a/run", query_string="x=1")
    api.post("/cxs/nowhere")
    api.post("/livez")
    api.client.simulate_post("/cxs/tasks/a/run")

    assert audit(api) == []


def test_a_wrong_state_is_recorded(api: Api) -> None:
    """
    Somebody tried.
    """
    plant(api.scheduler, make_task(id="a"))
    api.post("/cxs/tasks/a/retry", query_string="strict=true")
    api.post("/cxs/tasks", json={"taskType": "sample", "itemId": "a", "parameters": {"password": SECRET}})
    api.put("/cxs/tasks/b/config", query_string="maxRetries=2")
    rows = audit(api)[::-1]

    assert words(api) == [("retry", 409), ("create", 409), ("config", 404)]
    assert [row["taskId"] for row in rows] == ["a", "a", "b"]
    assert rows[2]["parameters"] == {"maxRetries": "2"}
    assert SECRET not in str(rows)


def test_failed_sign_ins_are_recorded_without_what_was_typed(api: Api) -> None:
    """
    A user's name is kept; another may be a password in the wrong field. Of a token its id.
    """
    client = api.client
    client.simulate_get("/cxs/tasks", headers=basic("admin", SECRET))
    client.simulate_get("/cxs/tasks", headers=basic(SECRET, "x"))
    client.simulate_get("/cxs/tasks", headers={"Authorization": f"Bearer us_{'a' * 16}_{SECRET}"})
    client.simulate_get("/cxs/tasks", headers={"Authorization": f"Bearer {SECRET}"})
    client.simulate_get("/cxs/tasks", headers={"Authorization": SECRET})
    rows = audit(api)[::-1]

    assert [row["who"] for row in rows] == ["admin", "unknown", "unknown", "unknown", "unknown"]
    assert [row.get("tokenId") for row in rows] == [None, None, "a" * 16, None, None]
    assert {(row["action"], row["status"], row["address"]) for row in rows} == {("sign-in", 401, "127.0.0.1")}
    assert SECRET not in str(rows)


def test_nobody_fills_the_store_with_refusals(api: Api) -> None:
    """
    They are rationed, whatever names are tried; the next row tells how many had none. Others' rows are not affected.
    """
    for number in range(ROWS_AT_ONCE + 40):
        headers = {"Authorization": f"Bearer us_{number:016x}_x"}
        api.client.simulate_get("/cxs/tasks", headers=headers, remote_addr=f"10.0.0.{number}")
    assert len(audit(api, "limit=-1")) == ROWS_AT_ONCE
    api.post("/cxs/tasks/purge", user="viewer")
    assert audit(api)[0]["action"] == "purge"

    api.clock.advance(10_000)
    api.client.simulate_get("/cxs/tasks", headers={"Authorization": "Bearer x"})
    assert [row["leftOut"] for row in audit(api, "limit=-1") if "leftOut" in row] == [40]


def test_pages_and_filters(api: Api) -> None:
    """
    The newest first, of one task or one person.
    """
    plant(api.scheduler, *(make_task(id=name) for name in "abc"))
    for name in "abc":
        api.post(f"/cxs/tasks/{name}/run")
        api.delete(f"/cxs/tasks/{name}", user="unomi")
    page = api.get("/cxs/audit", query_string="offset=1&limit=2").json

    assert (page["offset"], page["pageSize"], page["totalSize"], page["totalSizeRelation"]) == (1, 2, 6, "EQUAL")
    assert [(row["taskId"], row["action"]) for row in page["list"]] == [("c", "run"), ("b", "cancel")]
    assert {row["taskId"] for row in audit(api, "task=b")} == {"b"}
    assert [row["taskId"] for row in audit(api, "who=unomi")] == ["c", "b", "a"]
    assert [row["action"] for row in audit(api, "who=unomi&task=a")] == ["cancel"]
    assert error(api.get("/cxs/audit", query_string="offset=9999&limit=2"))[0] == 400


def test_the_changes_of_a_task_are_beside_its_runs(api: Api) -> None:
    """
    On the first page, for viewers too, and without addresses; the list of runs is what it was.
    """
    plant(api.scheduler, make_task(id="a"), make_task(id="b"))
    api.put("/cxs/tasks/a/config", query_string="maxRetries=1")
    api.delete("/cxs/tasks/a")
    api.delete("/cxs/tasks/b")
    page = api.get("/cxs/tasks/a/history", user="viewer").json

    assert [change["action"] for change in page["changes"]] == ["cancel", "config"]
    assert {*page["changes"][1]} == {"at", "who", "action", "status", "via", "parameters"}
    assert page["totalSize"] == len(page["list"])
    assert api.get("/cxs/tasks/a/history", query_string="offset=1").json["changes"] == []


@pytest.mark.parametrize("result", [Result.REFUSED, Result.UNKNOWN])
def test_a_lost_row_makes_no_change_look_failed(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, result: Result
) -> None:
    """
    It is answered as done; the log has the row, and it is counted.
    """
    plant(api.scheduler, make_task(id="a"))
    lost = [Outcome(result, error=StoreUnavailable("no answer"))]
    monkeypatch.setattr(MemoryStore, "add_audit", lambda *_: lost)

    with caplog.at_level(logging.ERROR):
        assert api.delete("/cxs/tasks/a").status_code == 204
    assert api.get("/cxs/tasks/a").json["status"] == "CANCELLED"
    (record,) = caplog.records
    assert vars(record)["row"]["taskId"] == "a"
    assert api.scheduler.get_metric(Metric.AUDIT_LOST) == 1


def test_a_mistake_in_the_audit_changes_no_answer(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Whatever it is.
    """
    plant(api.scheduler, make_task(id="a"))
    monkeypatch.setattr("unomi_rest.auditing.action_of", lambda _req: 1 // 0)

    assert api.delete("/cxs/tasks/a").status_code == 204
    assert "not in the audit" in caplog.text


def test_no_secret_is_shown_anywhere(tmp_path: Any, api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """
    Passwords, tokens and task parameters: in no log, error, audit row or description.
    """
    caplog.set_level(logging.DEBUG)
    made = api.post("/cxs/tokens", json={"name": "ci", "roles": ["ADMINISTRATOR"]}).json["token"]
    answers = [
        api.client.simulate_get("/cxs/tasks", headers=basic("admin", SECRET)),
        api.client.simulate_get("/cxs/tasks", headers=basic("mallory", SECRET)),
        api.client.simulate_get("/cxs/tasks", headers={"Authorization": f"Bearer us_{'a' * 16}_{SECRET}"}),
        api.client.simulate_get("/cxs/nowhere", headers={"Authorization": f"Bearer {made}"}),
        api.client.simulate_delete("/cxs/tasks/none", headers={"Authorization": f"Bearer {made}"}),
        api.post("/cxs/tasks", json={"taskType": "x", "itemId": "x", "parameters": {"password": SECRET}}),
        api.post("/cxs/tokens", json={"name": "ci", "password": SECRET}),
        api.post("/cxs/tasks/x/run", query_string=f"password={SECRET}"),
        api.get("/openapi.json"),
        api.get("/cxs/audit"),
        api.get("/cxs/tokens"),
        api.get("/cxs/tasks/x/history"),
        api.get("/cxs/nodes"),
        api.get("/readyz"),
    ]
    # The task itself is shown as it is to those who may look.
    shown = "".join(answer.text for answer in answers if answer.status_code != 201)

    for secret in (SECRET, PASSWORD, made, made.split("_", 2)[2]):
        assert secret not in shown
        assert secret not in caplog.text
        assert secret not in "".join(str(vars(record)) for record in caplog.records)
