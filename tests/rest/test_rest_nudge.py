"""
The nudge on both ports of a node: no user, a signature, and nothing learned by those who have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from falcon.testing import TestClient

from tests.rest.support import Api, basic, make_api
from unomi_rest.app import create_health_app
from unomi_rest.nudge import MOST_BYTES
from unomi_scheduler import Scheduler
from unomi_scheduler.node.nudging import MOST_BYTES as NODE_TAKES
from unomi_scheduler.node.nudging import Hint, Nudge, encode, sign
from unomi_scheduler.node.secret import KIND, NAME


@pytest.fixture
def node(scheduler: Scheduler) -> Iterator[Scheduler]:
    """
    Return a node that answers somewhere.
    """
    scheduler.advertise("http://127.0.0.1:1")
    with scheduler:
        yield scheduler


@pytest.fixture(params=["rest", "admin"])
def client(request: pytest.FixtureRequest, node: Scheduler) -> Any:
    """
    Return a client of each port.
    """
    return make_api(node).client if request.param == "rest" else TestClient(create_health_app(node))


def post(client: TestClient, body: bytes, authorization: str) -> Any:
    """
    Send a nudge.
    """
    return client.simulate_post("/nudge", body=body, headers={"Authorization": authorization})


def signed(node: Scheduler) -> tuple[bytes, str]:
    """
    Return a nudge for a node as its peers would send it.
    """
    store = node._wiring.required_store()
    (note,) = store.notes(KIND, [NAME])
    (beat,) = store.heartbeats()
    (task,) = store.tasks([node.new_task("nobody").as_one_shot().schedule().id])
    assert task is not None
    body = encode(Nudge(to=beat.record.id, nonce="n", hints=(Hint(task.record.id, task.version, 0),)))
    return body, sign(body, bytes.fromhex(str(note.record.body["key"])))


def test_a_peer_is_let_in_once(client: TestClient, node: Scheduler) -> None:
    """
    What is repeated is refused.
    """
    body, authorization = signed(node)
    answers = [post(client, body, authorization) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 401]
    assert answers[0].content == b""


@pytest.mark.parametrize(
    "authorization", ["", "HMAC-SHA256", "HMAC-SHA256 " + "0" * 64, basic("admin")["Authorization"]]
)
def test_nobody_else_is(client: TestClient, node: Scheduler, authorization: str) -> None:
    """
    Not a user either; and the answer shows nothing of the secret.
    """
    body, right = signed(node)
    answer = post(client, body, authorization)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "HMAC-SHA256")
    assert right not in answer.text


def test_one_that_is_too_long_is_not_read(client: TestClient) -> None:
    """
    By the length that it announces.
    """
    assert MOST_BYTES == NODE_TAKES
    assert post(client, b"x" * (MOST_BYTES + 1), "").status_code == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_it_is_posted(client: TestClient, method: str) -> None:
    """
    And nothing else.
    """
    assert client.simulate_request(method, "/nudge").status_code == 405


@pytest.mark.parametrize("path", ["/nudge/", "/nudges", "/x/nudge"])
def test_no_other_path_is_open(client: TestClient, path: str) -> None:
    """
    Beside it stands what stood there before.
    """
    assert client.simulate_post(path).status_code in (401, 404)


def test_a_process_without_a_node_lets_nobody_in(api: Api) -> None:
    """
    As `unomi-scheduler api`.
    """
    assert post(api.client, b"{}", "").status_code == 401
    assert api.scheduler._wiring._node is None
