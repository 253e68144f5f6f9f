"""
Tokens and the audit in a cluster: two processes, `serve` and `api`, on a real Elasticsearch.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from tests.waiting import eventually

COMMAND = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]
PASSWORD = "correct horse"
WAIT_SECONDS = 60
REVOKED_WITHIN_SECONDS = 5.0


@pytest.fixture
def admin(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    """
    A client for what is kept.
    """
    with Elasticsearch(elasticsearch_url) as client:
        yield client


@contextmanager
def served(folder: Path, role: str, variables: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """
    Run a server and give its address, and the file with what it says.
    """
    said = folder / f"{role}.out"
    with said.open("w") as out:
        process = subprocess.Popen(
            [*COMMAND, role, "--port", "0"], cwd=folder, env={**os.environ, **variables}, stdout=out, stderr=out
        )
    try:
        found = eventually(lambda: _address_in(said, process), "the server does not serve")
        yield found, said
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _address_in(said: Path, process: subprocess.Popen[bytes]) -> str | None:
    text = said.read_text()
    assert process.poll() is None, text
    found = re.search(r"(http://127\.0\.0\.1:\d+)/cxs/tasks", text)
    return found[1] if found else None


def ask(address: str, method: str, target: str, token: str | None = None, body: object = None) -> tuple[int, Any]:
    """
    Send one request, with a token or as the administrator; return status and document.
    """
    basic = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Bearer {token}" if token else f"Basic {basic}", "Content-Type": "application/json"}
    connection = HTTPConnection(urlsplit(address).netloc, timeout=WAIT_SECONDS)
    try:
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


@pytest.mark.smoke
def test_tokens_and_audit_of_two_processes(elasticsearch_url: str, admin: Elasticsearch, tmp_path: Path) -> None:
    """
    A token made at one works at the other at once; revoked at one it is refused at the other within five seconds; the
    rows of both are listed by both; and nobody's secret is in what they say, answer or keep.
    """
    prefix, secret = f"access{uuid4().hex[:8]}", f"planted-{uuid4().hex}"
    variables = {
        "UNOMI_SCHEDULER_STORE": elasticsearch_url,
        "UNOMI_SCHEDULER_INDEX_PREFIX": prefix,
        "UNOMI_SCHEDULER_REST__ADMIN_PASSWORD": PASSWORD,
        "UNOMI_SCHEDULER_LOG_LEVEL": "DEBUG",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    try:
        with served(tmp_path, "serve", variables) as (one, said), served(tmp_path, "api", variables) as (two, also):
            status, made = ask(one, "POST", "/cxs/tokens", body={"name": "ci", "roles": ["ADMINISTRATOR"]})
            assert status == 201, made
            token = made["token"]
            assert ask(two, "GET", "/cxs/tasks", token)[0] == 200
            definition = {"taskType": "sample", "itemId": "a", "parameters": {"password": secret}}
            assert ask(two, "POST", "/cxs/tasks", token, definition)[0] == 201
            assert ask(one, "DELETE", "/cxs/tasks/a", token)[0] == 204
            assert ask(two, "GET", "/cxs/tasks", f"us_{made['id']}_{secret}")[0] == 401

            assert ask(one, "DELETE", f"/cxs/tokens/{made['id']}")[0] == 204
            revoked = time.monotonic()
            eventually(lambda: ask(two, "GET", "/cxs/tasks", token)[0] == 401, "the token is still accepted")
            took = time.monotonic() - revoked

            lists = [ask(address, "GET", "/cxs/audit?limit=50")[1]["list"] for address in (one, two)]
            shown = json.dumps([lists, ask(two, "GET", "/openapi.json"), ask(two, "GET", "/cxs/tokens")])
        said_by_both = said.read_text() + also.read_text()
    finally:
        kept = str(list(admin.search(index=f"{prefix}-scheduler*,-{prefix}-scheduledtask*", size=100)["hits"]["hits"]))
        for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
            admin.indices.delete(index=index)

    print(f"refused {took:.2f} s after the revocation")
    assert took <= REVOKED_WITHIN_SECONDS
    actions = [(row["action"], row["who"], row["status"], row.get("byToken")) for row in lists[0][-4:]]
    assert actions == [
        ("sign-in", "unknown", 401, None), ("cancel", "ci", 204, made["id"]), ("create", "ci", 201, made["id"]),
        ("create token", "admin", 201, None),
    ]  # fmt: skip
    assert {row["id"] for row in lists[0]} <= {row["id"] for row in lists[1]}
    assert "revoke token" in {row["action"] for row in lists[1]}
    for hidden in (secret, PASSWORD, token, token.split("_", 2)[2]):
        assert hidden not in shown
        assert hidden not in said_by_both
        assert hidden not in kept
