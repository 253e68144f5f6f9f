"""
The served API against its own description: generated requests, right ones and wrong ones, with every check there is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.waiting import eventually
from unomi_rest.routes import ROUTES

COMMAND = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]
PASSWORD = "correct horse"
EXAMPLES = 25
EVENTS = "/cxs/tasks/events"
WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """
    Return where a real server listens: a node and REST, as `unomi-scheduler serve` starts them.
    """
    folder = tmp_path_factory.mktemp("served")
    variables = {
        "UNOMI_SCHEDULER_REST__ADMIN_PASSWORD": PASSWORD,
        # Wrong credentials are to be answered as such, and not as too many.
        "UNOMI_SCHEDULER_REST__SIGN_IN_ATTEMPTS": "1000000",
        "UNOMI_SCHEDULER_STORE": "sqlite:///tasks.db",
    }
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0"], cwd=folder, env={**os.environ, **variables}, stdout=out, stderr=out
        )
    try:
        yield eventually(lambda: _address_in(folder / "out", process), "the server does not serve")
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _address_in(said: Path, process: subprocess.Popen[bytes]) -> str | None:
    text = said.read_text()
    assert process.poll() is None, text
    found = re.search(r"http://127\.0\.0\.1:\d+", text)
    return found[0] if found else None


@pytest.fixture(scope="module")
def described(address: str) -> OpenApiSchema:
    """
    Return the description that the server gives of itself.
    """
    # A rule that spans several fields cannot be said in a schema, so what fits the schema may be 400 all the same.
    accepted = {"expected-statuses": ["2xx", "400", "404", "409"]}
    # Everybody is signed in here: the matrix of callers tests who is not.
    config = schemathesis.Config.from_dict(
        {"checks": {"positive_data_acceptance": accepted}, "generation": {"with-security-parameters": False}}
    )
    return schemathesis.openapi.from_url(f"{address}/openapi.json", config=config)


# What takes nothing cannot be asked wrongly.
REQUESTS = [
    (route.path, one.method, mode)
    for route in ROUTES
    for one in route.operations
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or one.query or one.body
]


@pytest.mark.parametrize(
    ("path", "method", "mode"), [pytest.param(*one, id=f"{one[1]} {one[0]} {one[2].value}") for one in REQUESTS]
)
def test_what_is_served_is_what_is_described(
    described: OpenApiSchema, path: str, method: str, mode: GenerationMode
) -> None:
    """
    No crash, no status and no body that the description does not name, and nothing wrong is accepted.
    """
    operation = described[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def answered(case: Case[Any]) -> None:
        if path == EVENTS and mode is GenerationMode.POSITIVE:
            # It would go on for minutes; with this the answer is what there is.
            case.query = {**(case.query or {}), "timeout": 0}
        case.call_and_validate(auth=("admin", PASSWORD))

    answered()
