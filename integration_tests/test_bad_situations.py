"""
Bad situations with a real Elasticsearch: it is gone, it is older than the client, it takes no writes, it holds
documents that are no tasks; what is said of each, and that nothing is lost.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from integration_tests.servers import Server
from tests.commands import complaints_about, doctor
from tests.waiting import ended, eventually, told
from unomi_scheduler import (
    LeaseLost,
    Scheduler,
    Settings,
    StoreRefused,
    StoreUnavailable,
    Task,
    TaskContext,
    TaskStatus,
    examine_store,
)

OUTAGE = 30
LONG = 120
Make = Callable[..., Scheduler]


@pytest.fixture
def admin(breakable_server: Server) -> Iterator[Elasticsearch]:
    """
    Return a client that does what an administrator does.
    """
    with Elasticsearch(breakable_server.url) as client:
        yield client


@pytest.fixture
def prefix(admin: Elasticsearch) -> Iterator[str]:
    """
    Return an index prefix of the test's own; its indices are removed at the end.
    """
    name = f"bad-{uuid4().hex[:12]}"
    yield name
    for index in admin.indices.get(index=f"{name}-*", expand_wildcards="all"):
        admin.indices.delete(index=index)


@pytest.fixture
def settings(breakable_server: Server, prefix: str, tmp_path: Path) -> Settings:
    """
    Return settings of a node on indices of the test's own.
    """
    return Settings(
        store=breakable_server.url, index_prefix=prefix, node_id="a", lease="5s", poll_interval="200ms",
        state_dir=tmp_path / "state",
    )  # fmt: skip


class Work:
    """
    A scheduler whose bodies note each run: `short`, `long` (until `gate` is set) and `steps` (a checkpoint each 50 ms).
    """

    def __init__(self, settings: Settings) -> None:
        self.scheduler = Scheduler(settings)
        self.runs: Counter[str] = Counter()
        self.begins: list[int] = []
        self.steps_done: list[int] = []
        self.lost = 0
        self.gate = Event()
        self.long_returned = Event()
        self.scheduler.executor("short")(self._short)
        self.scheduler.executor("long")(self._long)
        self.scheduler.executor("steps", can_resume=True)(self._steps)

    def _short(self, context: TaskContext) -> None:
        self.runs[context.task.id] += 1

    def _long(self, context: TaskContext) -> None:
        self.runs[context.task.id] += 1
        self.gate.wait(LONG)
        self.long_returned.set()

    def _steps(self, context: TaskContext) -> None:
        begin = context.checkpoint_data.get("step", 0)
        self.begins.append(begin)
        for step in range(begin, context.parameters["steps"]):
            self.steps_done.append(step)
            context.wait_cancelled(0.05)
            try:
                context.save_checkpoint({"step": step + 1})
            except LeaseLost:
                self.lost += 1
                raise

    def schedule(self, number: int, *, spread: float, steps: int) -> list[str]:
        """
        Schedule one `long`, one `steps` and a number of `short` tasks that become due within some seconds.
        """
        make = self.scheduler.create_task
        tasks = [
            make("long", id="long-1", one_shot=True),
            make("steps", id="steps-1", one_shot=True, parameters={"steps": steps}),
        ]
        for one in range(number):
            delay = timedelta(seconds=spread * one / number)
            builder = self.scheduler.new_task("short").with_id(f"short-{one}").as_one_shot()
            tasks.append(builder.with_initial_delay(delay).build())
        self.scheduler.schedule_many(tasks)
        return [task.id for task in tasks]

    def results(self, ids: list[str]) -> list[Task]:
        """
        Return the tasks once all have ended.
        """
        return [ended(self.scheduler, one, LONG) for one in ids]

    def check(self, ids: list[str], steps: int) -> None:
        """
        Check the promise: all done, what is not resumed ran once, and steps went on from a stored checkpoint.
        """
        tasks = self.results(ids)

        assert [task.status for task in tasks] == [TaskStatus.COMPLETED] * len(ids)
        assert [task.success_count for task in tasks] == [1] * len(ids)
        assert [task.failure_count for task in tasks] == [0] * len(ids)
        assert self.runs == dict.fromkeys((one for one in ids if one != "steps-1"), 1)
        assert tasks[1].checkpoint_data == {"step": steps}
        assert set(self.steps_done) == set(range(steps))
        # A step is done again only where its checkpoint was not acknowledged.
        assert len(self.steps_done) - steps <= self.lost
        assert len(self.begins) == 1 + self.lost


def outage(server: Server, how: str) -> Callable[[], object]:
    """
    Make the server unreachable, and return what brings it back.
    """
    if how == "stop":
        server.stop()
        return server.start
    server.pause()
    return server.resume


@pytest.mark.measured
@pytest.mark.parametrize("how", ["stop", "pause"])
def test_a_server_that_is_gone_for_half_a_minute(
    how: str, breakable_server: Server, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Work goes on after and nothing is lost: a body that ended meanwhile is not run again, one with checkpoints goes on,
    what became due meanwhile runs. A caller is told; the log has few lines for each kind of failure, one at the end.
    """
    caplog.set_level(logging.INFO, "unomi_scheduler")
    work = Work(settings)
    number, steps = 150, 300
    with work.scheduler:
        ids = work.schedule(number, spread=OUTAGE + 10.0, steps=steps)
        eventually(lambda: work.runs["long-1"] and len(work.steps_done) > 10, "the work is under way")
        back, began, lines = outage(breakable_server, how), time.monotonic(), len(caplog.records)
        eventually(lambda: told(caplog, "lease_lapsed"), "the lease ends")
        work.gate.set()
        assert work.long_returned.wait(10)
        if how == "stop":
            with pytest.raises(StoreUnavailable, match="no connection to the store"):
                work.scheduler.get_task("long-1")
        eventually(lambda: time.monotonic() - began > OUTAGE, "half a minute", within=2 * OUTAGE)
        said = Counter(getattr(record, "action", record.name) for record in caplog.records[lines:])
        back()
        took = time.monotonic() - began
        work.check(ids, steps)
        eventually(lambda: told(caplog, "store_back"), "the log says that it is back")

    assert took >= OUTAGE
    assert work.lost == 1
    refused = {"query_failed", "write_refused", "history_refused", "heartbeat_refused"}
    assert said.keys() <= refused | {"lease_lapsed", "run_lease_lost", "run_interrupted"}
    # One line for each body that ran: the long one, and the one with checkpoints.
    assert said["run_lease_lost"] == 2
    assert said["query_failed"] + said["write_refused"] > 0
    assert said["heartbeat_refused"] > 0
    assert all(count <= 2 + OUTAGE / 10 for count in said.values()), said
    assert 1 <= len(told(caplog, "store_back")) <= 2
    assert len(told(caplog, "lease_renewed")) == 1


def test_an_index_that_takes_no_writes_in_the_middle_of_work(
    settings: Settings, prefix: str, admin: Elasticsearch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """
    The log and doctor name the block and what to do; when it is lifted all goes on by itself, and nothing was lost.
    """
    caplog.set_level(logging.INFO, "unomi_scheduler")
    work = Work(settings)
    alias = f"{prefix}-scheduledtask"
    with work.scheduler:
        ids = work.schedule(200, spread=12.0, steps=60)
        eventually(lambda: work.runs["long-1"] and len(work.runs) > 20, "the work is under way")
        admin.indices.put_settings(index=alias, settings={"index.blocks.write": True})
        (line, *_) = eventually(lambda: told(caplog, "write_refused"), "the log says so")
        work.gate.set()
        assert work.long_returned.wait(10)
        with pytest.raises(StoreRefused, match=r"index\.blocks\.write"):
            work.scheduler.schedule_task(work.scheduler.create_task("short", one_shot=True))
        shown = doctor(
            tmp_path, store=settings.store or "", index_prefix=prefix, state_dir=str(settings.state_dir), node_id="a"
        )
        before = work.scheduler.get_task("long-1")
        eventually(lambda: len(told(caplog, "write_refused")) > 1, "the log says so again")
        admin.indices.put_settings(index=alias, settings={"index.blocks.write": None})
        work.check(ids, 60)
        eventually(lambda: told(caplog, "store_back"), "the log says that it is over")

    assert "the index is blocked against writes: when that is not wanted, set index.blocks.write" in line
    assert shown.code == 1
    assert "is blocked by index.blocks.write: set it to null in its settings" in shown.complaint
    assert before.status is TaskStatus.RUNNING
    assert work.lost == 0
    assert not told(caplog, "lease_lapsed")
    assert len(told(caplog, "store_back")) == 1
    assert len(told(caplog, "write_refused")) <= 5


MALFORMED: dict[str, dict[str, Any]] = {
    "no-type": {"itemId": "no-type", "status": "SCHEDULED", "nextScheduledExecution": "2025-06-15T15:06:40Z"},
    "no-number": {"itemId": "no-number", "taskType": "short", "maxRetries": "many", "dueDate": 1, "partition": 7},
    "no-object": {"itemId": "no-object", "taskType": "short", "parameters": [1, 2], "dueDate": 2, "partition": 8},
    "no-list": {"itemId": "no-list", "taskType": "short", "statusDetails": {"executionHistory": "x"}},
    "no-status": {"itemId": "no-status", "taskType": "short", "status": "ASLEEP"},
    "other-id": {"itemId": "another", "taskType": "short", "status": "SCHEDULED"},
    "empty": {},
}


def test_malformed_documents_among_a_hundred_good_ones(
    settings: Settings, prefix: str, admin: Elasticsearch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """
    The good ones run; each bad one keeps all it had and gets its reason; doctor tells how many and which.
    """
    caplog.set_level(logging.INFO, "unomi_scheduler")
    alias = f"{prefix}-scheduledtask"
    work = Work(settings)
    good = work.scheduler.schedule_many(
        [work.scheduler.create_task("short", id=f"good-{number}", one_shot=True) for number in range(100)]
    )
    for task_id, document in MALFORMED.items():
        admin.index(index=alias, id=task_id, document=document)
    admin.indices.refresh(index=alias)
    unread = examine_store(settings)
    with work.scheduler:
        results = work.results([task.id for task in good])
        found = eventually(lambda: quarantined(admin, alias), "all are in quarantine")
        shown = doctor(tmp_path, store=settings.store or "", index_prefix=prefix, state_dir=str(settings.state_dir))

    assert [task.status for task in results] == [TaskStatus.COMPLETED] * 100
    assert work.runs == dict.fromkeys((task.id for task in good), 1)
    reasons = {task_id: document.pop("quarantineReason") for task_id, document in found.items()}
    assert found == {
        task_id: {name: value for name, value in document.items() if name != "dueDate"}
        for task_id, document in MALFORMED.items()
    }
    assert "taskType: a text is required" in reasons["no-type"]
    assert "maxRetries" in reasons["no-number"]
    assert "parameters" in reasons["no-object"]
    assert "statusDetails.executionHistory" in reasons["no-list"]
    assert "ASLEEP" in reasons["no-status"]
    assert "'other-id' is required, got 'another'" in reasons["other-id"]
    assert "itemId: a text is required" in reasons["empty"]
    # The two with a partition look like any other task until somebody reads them.
    assert any("5 task documents that cannot be read" in problem for problem in unread.problems)
    assert shown.code == 1
    assert shown.complaint.startswith("PROBLEM: 7 task documents in quarantine, left alone by every node: ")
    assert shown.complaint.endswith("and 2 more. Put each right and remove its quarantineReason, or delete it")
    assert 1 <= len(told(caplog, "quarantined")) <= 2


def quarantined(admin: Elasticsearch, alias: str) -> dict[str, dict[str, Any]] | None:
    """
    Return the malformed documents as they stand once all of them have a reason.
    """
    found = {one["_id"]: one["_source"] for one in admin.mget(index=alias, ids=list(MALFORMED))["docs"]}
    return found if all("quarantineReason" in document for document in found.values()) else None


def test_a_type_that_nobody_knows_is_left_alone(settings: Settings, prefix: str, admin: Elasticsearch) -> None:
    """
    Its document keeps its version while others are found and run; doctor names the type once it is overdue.
    """
    alias = f"{prefix}-scheduledtask"
    work = Work(settings)
    manager = Scheduler(settings, node_id="manager")
    task_id = manager.new_task("unheard-of").as_one_shot().schedule().id
    first = admin.get(index=alias, id=task_id)
    old = {**first["_source"], "dueDate": first["_source"]["dueDate"] - 60_000}
    admin.index(index=alias, id=task_id, document=old, refresh=True)
    planted = admin.get(index=alias, id=task_id)
    with work.scheduler:
        for number in range(6):
            # The node must find it by a search: each takes a look.
            manager.new_task("short").with_id(f"short-{number}").as_one_shot().schedule()
            ended(work.scheduler, f"short-{number}")
        report = examine_store(settings)
    manager.stop()
    last = admin.get(index=alias, id=task_id)

    assert (last["_seq_no"], last["_version"]) == (planted["_seq_no"], planted["_version"])
    assert last["_source"] == old
    assert report.overdue == {"unheard-of": 1}
    assert {node.node_id for node in report.nodes} == {"a"}
    assert "unheard-of" not in report.nodes[0].task_types


def test_doctor_makes_no_index_and_tells_of_one_that_is_missing(
    settings: Settings, prefix: str, admin: Elasticsearch
) -> None:
    """
    None at all is a server before its first start; some without the others is a loss.
    """
    fresh = examine_store(settings)
    made = admin.indices.get(index=f"{prefix}-*", expand_wildcards="all")
    Scheduler(settings).find_tasks()
    well = examine_store(settings)
    for index in admin.indices.get(index=f"{prefix}-schedulernode*", expand_wildcards="all"):
        admin.indices.delete(index=index)
    ill = examine_store(settings)

    assert fresh.problems == ()
    assert fresh.facts[f"{prefix}-scheduledtask"] == "missing; it is created when a scheduler starts"
    assert made == {}
    assert well.problems == ()
    assert ill.problems == (
        (
            f"the index {prefix}-schedulernode is missing: start a scheduler again, which creates it, or restore it "
            "from a snapshot"
        ),
    )


# --- without a server that understands us


def test_no_server_at_the_address(tmp_path: Path) -> None:
    """
    Every command says so in one line, with the address and what to do.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = complaints_about(f"http://127.0.0.1:{port}", tmp_path)

    assert said.keys() == {"node", "serve", "doctor", "unomi-task"}
    for line in said.values():
        assert f"Elasticsearch at http://127.0.0.1:{port} cannot be used: no connection to the store: [Errno" in line
        assert line.endswith(
            "Connection refused; is it running? Start it, or set `store` to the right address, then try again"
        )


# What Elasticsearch 8.19 answers to client 9.
_TOO_NEW = {
    "error": {
        "root_cause": [
            {"type": "media_type_header_exception", "reason": "Invalid media-type value on headers [Accept]"}
        ],
        "type": "media_type_header_exception",
        "reason": "Invalid media-type value on headers [Accept]",
        "caused_by": {
            "type": "status_exception",
            "reason": "Accept version must be either version 8 or 7, but found 9. "
            "Accept=application/vnd.elasticsearch+json; compatible-with=9",
        },
    },
    "status": 400,
}


class _Older(BaseHTTPRequestHandler):
    """
    A server of version 8 before client 9.
    """

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(_TOO_NEW).encode()
        self.send_response(400)
        self.send_header("X-elastic-product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: object) -> None:
        """
        Say nothing.
        """


@contextmanager
def older_server() -> Iterator[str]:
    """
    Run the server and give its address.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), _Older) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_client_above_the_server(tmp_path: Path) -> None:
    """
    Every command says so in one line, with the address and which client to install.
    """
    with older_server() as url:
        said = complaints_about(url, tmp_path)

    assert said.keys() == {"node", "serve", "doctor", "unomi-task"}
    for line in said.values():
        assert f"Elasticsearch at {url}: the server is older than the installed client" in line
        assert "pip install 'unomi-scheduler[es8]'" in line
