"""
Binding and unbinding the store of a scheduler that runs, on a real Elasticsearch (scenarios S26, S27, S28); and one
that does not tell its clock.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch

from integration_tests.faults.proxy import FaultProxy
from tests.waiting import ended, eventually, told
from unomi_scheduler import ConfigurationError, LeaseLost, Scheduler, StoreUnavailable, Task, TaskContext, TaskStatus

LIMIT = 30.0
_BODY = b'{"error":{"type":"security_exception","reason":"action is unauthorized"},"status":403}'
_DENIED = (
    b"HTTP/1.1 403 Forbidden\r\nX-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)
Make = Callable[..., Scheduler]


@pytest.fixture
def admin(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    """
    Return a client that does what an administrator does.
    """
    with Elasticsearch(elasticsearch_url) as client:
        yield client


@pytest.fixture
def prefix(admin: Elasticsearch) -> Iterator[str]:
    """
    Return an index prefix of the test's own; its indices are removed at the end.
    """
    name = f"bind-{uuid4().hex[:12]}"
    yield name
    for index in admin.indices.get(index=f"{name}-*", expand_wildcards="all"):
        admin.indices.delete(index=index)


@pytest.fixture
def make(prefix: str, tmp_path: Path) -> Iterator[Make]:
    """
    Return a function that makes schedulers on indices of the test's own; at the end they are stopped.
    """
    made: list[Scheduler] = []

    def one(**settings: Any) -> Scheduler:
        common = {
            "index_prefix": prefix, "node_id": "a", "lease": "3s", "poll_interval": "200ms", "drain_timeout": "2s",
            "state_dir": tmp_path / "state", "purge_enabled": False,
        }  # fmt: skip
        made.append(Scheduler(**{**common, **settings}))
        return made[-1]

    yield one
    for scheduler in made:
        scheduler.stop()


def run_one(scheduler: Scheduler, task_id: str) -> Task:
    """
    Schedule a task and return it once it has ended.
    """
    scheduler.new_task("short").with_id(task_id).with_simple_executor(lambda: None).schedule()
    task = ended(scheduler, task_id, LIMIT)
    assert task.status is TaskStatus.COMPLETED
    return task


def beating(admin: Elasticsearch, prefix: str) -> list[str]:
    """
    Return the ids of the nodes that have a heartbeat document.
    """
    name = f"{prefix}-schedulernode"
    if not admin.indices.exists_alias(name=name):
        return []
    admin.indices.refresh(index=name)
    return [hit["_source"]["nodeId"] for hit in admin.search(index=name)["hits"]["hits"]]


def test_s26_without_a_store_only_memory_tasks_run(make: Make, admin: Elasticsearch, prefix: str) -> None:
    """
    A memory task completes, the list is empty without an error, and nothing is made on the server.
    """
    ran = Event()
    with make(store=None) as scheduler:
        task = scheduler.new_task("memory").non_persistent().with_simple_executor(ran.set).schedule()
        assert ran.wait(LIMIT)
        assert ended(scheduler, task.id, LIMIT).status is TaskStatus.COMPLETED
        assert scheduler.get_persistent_tasks() == []
        with pytest.raises(ConfigurationError, match="No store is bound"):
            scheduler.new_task("stored").with_simple_executor(ran.set).schedule()

    assert not admin.indices.exists(index=f"{prefix}-*", allow_no_indices=False, expand_wildcards="all")


def test_s27_a_store_may_come_late_and_go(
    make: Make, elasticsearch_url: str, admin: Elasticsearch, prefix: str
) -> None:
    """
    Bound: a stored task runs, is completed and listed. Unbound: the list is empty; bound again, it is as it was.
    """
    with make(store=None) as scheduler:
        scheduler.bind_store(elasticsearch_url)
        task = run_one(scheduler, "one")
        eventually(lambda: [one.id for one in scheduler.get_persistent_tasks()] == ["one"], "not listed", LIMIT)
        assert beating(admin, prefix) == ["a"]
        scheduler.bind_store(None)
        assert scheduler.get_persistent_tasks() == []
        assert beating(admin, prefix) == []
        scheduler.bind_store(elasticsearch_url)
        assert scheduler.get_task("one") == task
        run_one(scheduler, "two")


def test_s28_three_threads_bind_and_unbind(
    make: Make, elasticsearch_url: str, admin: Elasticsearch, prefix: str, tmp_path: Path
) -> None:
    """
    The server and two files: all finish, and then the node works in the store that is bound last, and in no other.
    """
    stores = [elasticsearch_url, f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/two.db"]
    with make(store=None) as scheduler:

        def turn(store: str) -> None:
            for _ in range(4):
                scheduler.bind_store(store)
                scheduler.get_persistent_tasks()
                scheduler.bind_store(None)

        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(turn, store) for store in stores]:
                done.result(3 * LIMIT)
        assert scheduler.get_persistent_tasks() == []
        assert beating(admin, prefix) == []
        scheduler.bind_store(elasticsearch_url)
        run_one(scheduler, "after")

        assert beating(admin, prefix) == ["a"]


def test_a_run_is_told_and_goes_on_where_the_store_is(make: Make, elasticsearch_url: str, tmp_path: Path) -> None:
    """
    The one node leaves for a file; the other goes on from the checkpoint, and nothing counts as a crash.
    """
    begun, refused, resumed = Event(), Event(), Event()
    leaver, stayer = make(store=elasticsearch_url), make(store=elasticsearch_url, node_id="b")

    def first(context: TaskContext) -> None:
        context.save_checkpoint({"n": 7})
        begun.set()
        context.wait_cancelled(LIMIT)
        try:
            context.save_checkpoint({"n": 8})
        except LeaseLost:
            refused.set()
            raise

    def second(context: TaskContext) -> None:
        if context.checkpoint_data == {"n": 7}:
            resumed.set()

    leaver.executor("long", can_resume=True)(first)
    stayer.executor("long", can_resume=True)(second)
    with leaver:
        leaver.new_task("long").with_id("one").schedule()
        assert begun.wait(LIMIT)
        with stayer:
            leaver.bind_store(f"sqlite:///{tmp_path}/x.db")
            task = ended(stayer, "one", LIMIT)
            run_one(leaver, "two")

    assert refused.is_set()
    assert resumed.is_set()
    assert (TaskStatus.COMPLETED, 0) == (task.status, task.crash_count)


def test_a_server_out_of_reach_leaves_the_store_before(
    make: Make, elasticsearch_url: str, admin: Elasticsearch, prefix: str
) -> None:
    """
    The error says what to do, and the node goes on with the same incarnation.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with make(store=elasticsearch_url) as scheduler:
            (before,) = eventually(scheduler.nodes, "the search does not show the node", LIMIT)
            with pytest.raises(StoreUnavailable, match="is it running"):
                scheduler.bind_store(nobody)
            (after,) = scheduler.nodes()
            run_one(scheduler, "one")

            assert before.incarnation == after.incarnation
            assert beating(admin, prefix) == ["a"]


class TimelessProxy(FaultProxy):
    """
    A server that denies what its clock is told by.
    """

    def _pump_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                if data.startswith(b"GET /_nodes"):
                    client.sendall(_DENIED)
                else:
                    server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)


def test_a_user_without_the_permission_for_the_clock_can_work(
    make: Make, elasticsearch_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    It is said once what that means.
    """
    split = urlsplit(elasticsearch_url)
    with TimelessProxy(split.hostname or "", split.port or 9200) as proxy, make(store=proxy.url) as scheduler:
        assert scheduler.clock_trusted
        run_one(scheduler, "one")
        (line,) = told(caplog, "clock_unknown")

    assert "monitor" in line
