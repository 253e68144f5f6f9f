"""
The page about REST: its requests work as they stand there, and it names every path and status.
"""

from __future__ import annotations

import re
import shlex
from contextlib import nullcontext
from pathlib import Path
from uuid import uuid4

import pytest

from tests.factories import make_task
from tests.rest.support import Api, basic, plant
from unomi_rest.openapi import statuses
from unomi_rest.routes import ROUTES
from unomi_scheduler import Settings, TaskStatus

PAGE = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
REQUESTS = [shlex.split(line) for line in PAGE.splitlines() if line.startswith("curl ")]


@pytest.fixture
def settings() -> Settings:
    """
    One store is enough here.
    """
    return Settings(store=f"memory://{uuid4().hex}", node_id="node-1")


def _option(words: list[str], name: str, default: str = "") -> str:
    return words[words.index(name) + 1] if name in words else default


def test_the_requests_work_as_they_stand(api: Api) -> None:
    """
    One after the other, with one failed task.
    """
    plant(api.scheduler, make_task(id="import-1", status=TaskStatus.FAILED))
    made, _ = api.scheduler.tokens.make("doomed", ["VIEWER"], created_by="admin")
    answers = []
    for words in REQUESTS:
        target = next(word for word in words if word.startswith("$URL")).replace("$URL", "/cxs")
        # What -N asks for goes on for minutes; here nobody would hear it.
        if "-N" in words:
            target = f"{target.replace('&timeout=60', '')}{'&' if '?' in target else '?'}timeout=0"
        target = target.replace("$ID", made.id)
        headers = basic("admin") | dict([_option(words, "-H", "Accept: */*").split(": ")])
        method, body = _option(words, "-X", "GET"), _option(words, "-d")
        # A node must be there to be told something.
        with api.scheduler if "/executor" in target else nullcontext():
            result = api.client.simulate_request(method, target, headers=headers, body=body or None)
        answers.append((result.status_code, method, target))

    assert [one for one in answers if one[0] not in (200, 201, 204)] == []
    assert len(answers) == PAGE.count("\ncurl ")


def test_every_path_has_its_request() -> None:
    """
    Each operation under `/cxs` is shown once at least.
    """
    shown = {
        (_option(words, "-X", "GET"), re.sub(r"\?.*|\$URL", "", next(word for word in words if "$URL" in word)))
        for words in REQUESTS
    }
    shown = {(method, re.sub(r"/(import|sync)-1", "/{task_id}", path)) for method, path in shown}
    shown = {(method, path.replace("/node-1", "/{node_id}")) for method, path in shown}
    shown = {(method, path.replace("/$ID", "/{token_id}")) for method, path in shown}
    served = {
        (operation.method, route.path.removeprefix("/cxs"))
        for route in ROUTES
        if route.path.startswith("/cxs")
        for operation in route.operations
    }

    assert served == shown


def test_every_status_of_an_error_is_told() -> None:
    """
    In the table.
    """
    table = PAGE[PAGE.index("| status |") :]
    told = {int(number) for row in table.splitlines() for number in re.findall(r"\d{3}", row.partition(" | ")[0])}
    documented = {status for route in ROUTES for one in route.operations for status in statuses(route, one)}

    assert {status for status in documented if status >= 400} <= told
