"""
REST as programs meet it: a real node served by gunicorn on a real Elasticsearch, asked by curl.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from tests.factories import NOW, make_task
from tests.rest.support import plant
from tests.waiting import eventually
from unomi_rest.accounts import hash_password
from unomi_scheduler import Scheduler, Settings, TaskStatus

COMMAND = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]
PASSWORD = "correct horse"
WAIT_SECONDS = 60
USERS = {"admin": "ADMINISTRATOR", "viewer": "VIEWER", "guest": "NOTHING"}
APP = """
from pathlib import Path
from threading import Event
from unomi_scheduler import Scheduler

scheduler = Scheduler()
wait = Event().wait

@scheduler.executor("dataSync")
def sync(context):
    context.update_step("Processing records", processedCount=500, totalCount=1000)
    while not Path("go").exists() and not context.cancelled:
        wait(0.02)

@scheduler.executor("failing")
def fail(context):
    raise OSError("no route to the source")

@scheduler.executor("quick")
def quick(context):
    pass

def broken(task_id):
    raise RuntimeError("inner secret")

scheduler.explain = broken
"""


@dataclass(frozen=True)
class Reply:
    """
    What came back.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """
        The body's document.
        """
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """
        Status, short text and message of an error, which has the promised form.
        """
        body = self.json
        assert set(body) == {"error", "code", "message"}
        assert body["code"] == str(self.status)
        assert self.headers["content-type"] == "application/json"
        return self.status, body["error"], body["message"]


@dataclass(frozen=True)
class Node:
    """
    A server that runs, and a scheduler beside it that runs nothing.
    """

    address: str
    folder: Path
    scheduler: Scheduler

    def ask(self, method: str, target: str, body: object = None, user: str = "admin", **headers: str) -> Reply:
        """
        Send one request.
        """
        token = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        sent = {"Authorization": f"Basic {token}", **headers}
        if body is not None:
            sent["Content-Type"] = "application/json"
        fields = [part for name, value in sent.items() for part in ("-H", f"{name}: {value}")]
        data = [] if body is None else ["--data-binary", json.dumps(body)]
        # -i puts the head of the answer before its body.
        command = ["curl", "-sS", "-i", "--http1.1", "-m", str(WAIT_SECONDS), "-X", method, *fields, *data]
        answer = subprocess.run([*command, f"{self.address}/cxs{target}"], capture_output=True, check=True).stdout
        head, _, rest = answer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        names = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return Reply(int(status.split()[1]), names, rest)

    def listed(self, query: str) -> list[str]:
        """
        Return the ids that a list shows now.
        """
        self.scheduler._wiring.required_store().refresh()
        return [one["itemId"] for one in self.ask("GET", f"/tasks?{query}").json["list"]]

    def when(self, task_id: str, status: str) -> Any:
        """
        Return a task once it has this status.
        """

        def look() -> Any:
            task = self.ask("GET", f"/tasks/{task_id}").json
            return task if task["status"] == status else None

        return eventually(look, f"{task_id} is not {status}", WAIT_SECONDS)


@pytest.fixture(scope="module")
def node(elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """
    Return a node with REST on indices of its own.
    """
    folder, prefix = tmp_path_factory.mktemp("node"), f"http-{uuid4().hex[:12]}"
    users = "".join(
        f'[[rest.users]]\nname = "{name}"\npassword_hash = "{hash_password(PASSWORD)}"\nroles = ["{role}"]\n'
        for name, role in USERS.items()
    )
    (folder / "scheduler.toml").write_text(
        f'store = "{elasticsearch_url}"\nindex_prefix = "{prefix}"\nnode_id = "first"\nstate_dir = "state"\n{users}'
    )
    (folder / "app.py").write_text(APP)
    scheduler = Scheduler(Settings(store=elasticsearch_url, index_prefix=prefix, node_id="aside", state_dir=folder))
    with (folder / "out").open("w") as out:
        command = [*COMMAND, "serve", "--app", "app:scheduler", "--port", "0"]
        process = subprocess.Popen(command, cwd=folder, env={**os.environ}, stdout=out, stderr=out)
    try:
        yield Node(eventually(lambda: _address(folder / "out", process), "no address", WAIT_SECONDS), folder, scheduler)
    finally:
        (folder / "go").touch()
        process.terminate()
        process.wait(WAIT_SECONDS)
        scheduler.stop()
        with Elasticsearch(elasticsearch_url) as admin:
            for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
                admin.indices.delete(index=index)


def _address(said: Path, process: subprocess.Popen[bytes]) -> str | None:
    text = said.read_text()
    assert process.poll() is None, text
    found = re.search(r"(http://127\.0\.0\.1:\d+)/cxs/tasks", text)
    return found[1] if found else None


def test_a_running_task_shows_its_step_and_progress(node: Node) -> None:
    """
    In its document and in the lists by status and type; DELETE answers 204 and the run is told.
    """
    made = node.ask("POST", "/tasks", {"taskType": "dataSync", "itemId": "sync-1", "parameters": {"source": "crm"}})
    assert (made.status, made.headers["location"]) == (201, "/cxs/tasks/sync-1")
    node.when("sync-1", "RUNNING")
    shown = eventually(
        lambda: (task := node.ask("GET", "/tasks/sync-1").json).get("currentStep") and task, "no step", WAIT_SECONDS
    )

    assert (shown["itemId"], shown["status"], shown["currentStep"]) == ("sync-1", "RUNNING", "Processing records")
    details = shown["statusDetails"]
    assert (details["processedCount"], details["totalCount"]) == (500, 1000)
    assert shown["lockOwner"] == "first"
    assert "sync-1" in node.listed("status=RUNNING")
    plain = node.ask("GET", "/tasks").json
    assert (plain["offset"], plain["pageSize"]) == (0, 50)
    assert "sync-1" in [one["itemId"] for one in plain["list"]]
    assert node.listed("type=dataSync") == ["sync-1"]
    assert node.listed("type=dataSync&status=COMPLETED") == []

    gone = node.ask("DELETE", "/tasks/sync-1")
    assert (gone.status, gone.body) == (204, b"")
    assert node.ask("GET", "/tasks/sync-1").json["status"] == "CANCELLED"
    assert node.ask("DELETE", "/tasks/sync-1").status == 204
    assert node.ask("DELETE", "/tasks/sync-1?strict=true").error[:2] == (409, "Wrong state")


def test_pages_are_cut_and_sorted(node: Node) -> None:
    """
    As the mission asks for them: offset, limit and sortBy, with the true total; a date that is missing comes first.
    """
    plant(
        node.scheduler,
        *(
            make_task(id=f"page-{number}", task_type="paged", last_execution_date=NOW + number if number else None)
            for number in range(5)
        ),
    )
    query = "/tasks?type=paged&offset=0&limit=50&sortBy=lastExecutionDate"
    whole = node.ask("GET", query).json
    last = node.ask("GET", "/tasks?type=paged&offset=3&limit=2&sortBy=lastExecutionDate:desc").json

    ids = [task["itemId"] for task in whole.pop("list")]
    assert ids == [f"page-{number}" for number in range(5)]
    assert whole == {"offset": 0, "pageSize": 50, "totalSize": 5, "totalSizeRelation": "EQUAL"}
    assert ([task["itemId"] for task in last["list"]], last["totalSize"]) == (["page-1", "page-0"], 5)


def test_a_failed_task_is_retried(node: Node) -> None:
    """
    The answer is SCHEDULED, though the node takes the task at once; it fails again, and its history says so.
    """
    node.ask("POST", "/tasks", {"taskType": "failing", "itemId": "failing-1", "maxRetries": 0})
    failed = node.when("failing-1", "FAILED")
    retried = node.ask("POST", "/tasks/failing-1/retry?resetFailureCount=true")

    assert (failed["failureCount"], failed["lastError"]) == (1, "OSError: no route to the source")
    assert (retried.status, retried.json["status"], retried.json["failureCount"]) == (200, "SCHEDULED", 0)
    node.when("failing-1", "FAILED")

    def twice() -> list[str] | None:
        rows = [row["status"] for row in node.ask("GET", "/tasks/failing-1/history").json.get("list", ())]
        return rows if rows.count("FAILED") == 2 else None

    assert eventually(twice, "no second failure", WAIT_SECONDS) == ["FAILED", "RETRIED", "FAILED"]


def test_a_configuration_is_changed(node: Node) -> None:
    """
    By the mission's query; negative numbers are 400 and change nothing.
    """
    plant(node.scheduler, make_task(id="config-1", task_type="nobody's"))
    changed = node.ask("PUT", "/tasks/config-1/config?maxRetries=5&retryDelay=60000")
    refused = node.ask("PUT", "/tasks/config-1/config?maxRetries=-5")

    assert (changed.status, changed.json["maxRetries"], changed.json["retryDelay"]) == (200, 5, 60_000)
    assert refused.error == (400, "Invalid parameter", "maxRetries: expected a whole number of 0 or more, got '-5'")
    assert node.ask("GET", "/tasks/config-1").json["maxRetries"] == 5


def test_a_crashed_task_is_resumed_with_its_checkpoint(node: Node) -> None:
    """
    The answer has the checkpoint that the next run goes on from.
    """
    checkpoint = {"lastProcessedId": "record-500", "batch": 5}
    plant(
        node.scheduler,
        make_task(id="crashed-1", task_type="nobody's", status=TaskStatus.CRASHED, checkpoint_data=checkpoint),
    )
    resumed = node.ask("POST", "/tasks/crashed-1/resume")

    assert (resumed.status, resumed.json["status"]) == (200, "SCHEDULED")
    assert resumed.json["checkpointData"] == checkpoint


def test_a_run_is_asked_for_and_seen(node: Node) -> None:
    """
    A task that is due in an hour runs now; its type counts the run, and the nodes show who runs such tasks.
    """
    node.ask("POST", "/tasks", {"taskType": "quick", "itemId": "quick-1", "initialDelay": 1, "timeUnit": "HOURS"})
    assert node.ask("POST", "/tasks/quick-1/run").status == 200
    eventually(lambda: node.ask("GET", "/tasks/quick-1").json["successCount"] == 1, "it did not run", WAIT_SECONDS)

    def counted() -> Any:
        answer = node.ask("GET", "/types")
        # The first row of a month makes an index, which cannot be searched for a moment.
        assert answer.status == 200 or answer.headers["retry-after"] == "1", answer
        types = {one["taskType"]: one for one in answer.json.get("list", ())}
        return types["quick"] if types.get("quick", {}).get("runs") else None

    kind = eventually(counted, "no run is counted", WAIT_SECONDS)
    (one,) = node.ask("GET", "/nodes").json["list"]
    assert (kind["total"], kind["runs"], kind["failures"], kind["nodes"]) == (1, 1, 0, ["first"])
    assert (one["nodeId"], one["executorNode"]) == ("first", True)
    assert {"dataSync", "failing", "quick"} <= set(one["taskTypes"])


def test_many_tasks_are_cancelled_at_once(node: Node) -> None:
    """
    First what it would be, then it is done.
    """
    plant(node.scheduler, *(make_task(id=f"many-{number:02}", task_type="many") for number in range(30)))
    order = {"action": "cancel", "filter": {"type": "many", "status": "SCHEDULED"}}
    preview = node.ask("POST", "/tasks/bulk?dryRun=true", order).json
    done = node.ask("POST", "/tasks/bulk", order).json

    assert (preview["matched"], preview["changed"], preview["ids"][:2]) == (30, 0, ["many-00", "many-01"])
    assert (done["matched"], done["changed"], done["failed"], done["remaining"]) == (30, 30, 0, 0)
    assert len(node.listed("type=many&status=CANCELLED")) == 30


@pytest.mark.parametrize(
    ("method", "target", "user", "expected"),
    [
        ("GET", "/tasks?status=BROKEN", "admin", (400, "Invalid parameter")),
        ("GET", "/tasks?limit=-5", "admin", (400, "Invalid parameter")),
        ("GET", "/tasks", "nobody", (401, "Not signed in")),
        ("GET", "/tasks", "guest", (403, "Not allowed")),
        ("POST", "/tasks/x/retry", "viewer", (403, "Not allowed")),
        ("DELETE", "/tasks/x", "viewer", (403, "Not allowed")),
        ("GET", "/tasks/no-such-task", "viewer", (404, "Task not found")),
        ("POST", "/tasks/no-such-task/retry", "admin", (404, "Task not found")),
        ("GET", "/nothing", "admin", (404, "Not Found")),
        ("PATCH", "/tasks", "admin", (405, "Method Not Allowed")),
    ],
)
def test_each_error_has_the_one_form(
    node: Node, method: str, target: str, user: str, expected: tuple[int, str]
) -> None:
    """
    Whoever raised it.
    """
    assert node.ask(method, target, user=user).error[:2] == expected


def test_what_nobody_expected_is_in_the_log_and_not_in_the_answer(node: Node) -> None:
    """
    500 with a number under which the log has the trace.
    """
    status, short, message = node.ask("GET", "/tasks/x/explain").error

    said = (node.folder / "out").read_text()
    number = message.rpartition(" ")[2]
    assert (status, short) == (500, "Internal error")
    assert "secret" not in message
    assert "Traceback" not in message
    assert "inner secret" in said
    assert number in said
