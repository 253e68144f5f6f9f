"""
`GET /cxs/tasks/events`: the form of the events, the parameters, and who may listen.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from falcon.testing import Result, StartResponseMock, create_environ

from tests.rest.support import Api, basic, error
from unomi_rest.bearer import REMEMBERED_MILLIS
from unomi_rest.events import KEEP_ALIVE_SECONDS, Events
from unomi_scheduler import Scheduler
from unomi_scheduler.service import feed


class Told(NamedTuple):
    """
    One event.
    """

    event: str
    id: str
    data: Any


def events(text: str) -> list[Told]:
    """
    Return the events of a stream's text, read as a browser reads them.
    """
    found, last = [], ""
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        last = fields.get("id", last)
        if "data" in fields:
            found.append(Told(fields.get("event", "message"), last, json.loads(fields["data"])))
    return found


def first_id(result: Result) -> str:
    """
    Return the id that a stream began with.
    """
    lines = result.text.split("\n")
    assert lines[0] == "retry: 2000"
    assert lines[1].startswith("id: ")
    return lines[1].removeprefix("id: ")


def make(scheduler: Scheduler, task_id: str, task_type: str = "sample") -> None:
    """
    Schedule a task.
    """
    scheduler.schedule_task(scheduler.create_task(task_type, id=task_id))


def test_what_was_missed_comes_as_events(api: Api) -> None:
    """
    Each with the document as GET shows it, and an id to go on from; by header or by query.
    """
    opened = api.get("/cxs/tasks/events", params={"timeout": "0"})
    make(api.scheduler, "one")
    make(api.scheduler, "two")
    by_query = api.get("/cxs/tasks/events", params={"timeout": "0", "since": first_id(opened)})
    told = events(by_query.text)

    assert opened.headers["content-type"] == "text/event-stream"
    assert opened.headers["cache-control"] == "no-store"
    assert events(opened.text) == []
    assert [(one.event, one.data) for one in told] == [
        ("task", api.get(f"/cxs/tasks/{name}").json) for name in ("one", "two")
    ]
    header = {"Last-Event-ID": told[1].id, **basic("viewer")}
    again = api.client.simulate_get("/cxs/tasks/events", params={"timeout": "0"}, headers=header)
    assert events(again.text) == []


def test_a_limit_ends_the_stream(api: Api) -> None:
    """
    After so many events, whatever follows.
    """
    start = first_id(api.get("/cxs/tasks/events", params={"timeout": "0"}))
    for number in range(3):
        make(api.scheduler, f"task-{number}")
    told = events(api.get("/cxs/tasks/events", params={"limit": "2", "since": start}).text)

    assert [one.data["itemId"] for one in told] == ["task-0", "task-1"]


def test_filters_choose(api: Api) -> None:
    """
    By status, type and id.
    """
    start = first_id(api.get("/cxs/tasks/events", params={"timeout": "0"}))
    make(api.scheduler, "one", "first")
    make(api.scheduler, "two", "second")
    api.scheduler.cancel_task("two")

    def chosen(**query: str) -> list[str]:
        answer = api.get("/cxs/tasks/events", params={"timeout": "0", "since": start, **query})
        return [one.data["itemId"] for one in events(answer.text)]

    assert chosen() == ["one", "two"]
    assert chosen(status="cancelled") == ["two"]
    assert chosen(type="first") == ["one"]
    assert chosen(id="two", type="second") == ["two"]
    assert chosen(id="two", status="SCHEDULED") == []


def test_an_unknown_id_says_to_list_again(api: Api) -> None:
    """
    As an event of its own.
    """
    (told,) = events(api.get("/cxs/tasks/events", params={"timeout": "0", "since": "1@nobody"}).text)

    assert (told.event, told.data) == ("reset", {"message": "What was missed cannot be told; list the tasks again"})


@pytest.mark.parametrize(
    "query", [{"timeout": "-1"}, {"timeout": "601"}, {"limit": "0"}, {"status": "GONE"}, {"lastEventId": "1"}]
)
def test_a_wrong_parameter_is_refused_before_the_stream(api: Api, query: dict[str, str]) -> None:
    """
    With the common form of an error, and no place taken.
    """
    assert error(api.get("/cxs/tasks/events", params=query))[:2] == (400, "Invalid parameter")
    assert api.scheduler._wiring.feed.watches == 0


def test_who_may_look_may_listen(api: Api) -> None:
    """
    And nobody else.
    """
    answers = {
        user: api.get("/cxs/tasks/events", user=user, params={"timeout": "0"}).status_code
        for user in ("viewer", "admin", "guest", "nobody")
    }

    assert answers == {"viewer": 200, "admin": 200, "guest": 403, "nobody": 401}


def test_one_stream_too_many_is_refused(api: Api) -> None:
    """
    503 with the time to try again; the streams that are there go on.
    """
    several = [api.scheduler.watch() for _ in range(feed.MOST_WATCHES)]
    refused = api.get("/cxs/tasks/events", params={"timeout": "0"})
    for watch in several:
        watch.close()

    assert error(refused) == (
        503,
        "No more streams",
        "64 watch this process already; watch another one, or try again later",
    )
    assert refused.headers["retry-after"] == "1"
    assert api.get("/cxs/tasks/events", params={"timeout": "0"}).status_code == 200


def test_an_answer_that_ends_gives_its_place_back(api: Api) -> None:
    """
    However it ends.
    """
    stream = Events(api.scheduler.watch(), most=None, seconds=60, resumed=False)
    assert next(iter(stream)).startswith(b"retry: ")
    assert api.scheduler._wiring.feed.watches == 1
    stream.close()

    assert api.scheduler._wiring.feed.watches == 0


def test_a_quiet_stream_is_kept_open(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By comments with the id to go on from.
    """
    assert KEEP_ALIVE_SECONDS == 15
    monkeypatch.setattr("unomi_rest.events.KEEP_ALIVE_SECONDS", 0.05)
    stream = Events(api.scheduler.watch(), most=None, seconds=60, resumed=False)
    parts = iter(stream)
    first, second = next(parts), next(parts)
    stream.close()

    assert second == b": \n" + first.partition(b"\n")[2]


def test_a_stream_ends_with_its_token(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that was revoked while it listened hears nothing more: after 4 seconds, as with any other request.
    """
    monkeypatch.setattr("unomi_rest.events.KEEP_ALIVE_SECONDS", 0.01)
    token, text = api.scheduler.tokens.make("ci", ["VIEWER"], created_by="admin")
    environ = create_environ("/cxs/tasks/events", headers={"Authorization": f"Bearer {text}"})
    begun = StartResponseMock()
    parts = iter(api.client.app(environ, begun))

    assert next(parts).startswith(b"retry: ")
    assert next(parts).startswith(b": ")
    api.scheduler.tokens.revoke(token.id)
    assert next(parts).startswith(b": ")
    api.clock.advance(REMEMBERED_MILLIS)
    assert list(parts) == []
    assert begun.status == "200 OK"
