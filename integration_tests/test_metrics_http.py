"""
Metrics and health as an operator meets them: a real node served by gunicorn, on a real Elasticsearch behind a proxy
that falls silent.
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
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch
from prometheus_client.parser import text_string_to_metric_families

from tests.waiting import eventually
from unomi_rest.accounts import hash_password
from unomi_scheduler import Scheduler, Settings

from .faults.proxy import FaultProxy

COMMAND = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]
PASSWORD = "correct horse"
WAIT_SECONDS = 60
READY = {"store", "index", "node", "accepting", "clock", "lease"}
APP = """
from unomi_scheduler import Scheduler

scheduler = Scheduler()

@scheduler.executor("quick")
def quick(context):
    pass

@scheduler.executor("failing")
def fail(context):
    raise OSError("planted-error")
"""


@dataclass(frozen=True)
class Served:
    """
    A node that is served, the proxy between it and its store, and a scheduler beside it that runs nothing.
    """

    address: str
    proxy: FaultProxy
    scheduler: Scheduler

    def ask(self, path: str, user: str | None = None) -> tuple[int, bytes]:
        """
        Return status and body of one request.
        """
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=WAIT_SECONDS)
        token = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        try:
            connection.request("GET", path, headers={} if user is None else {"Authorization": f"Basic {token}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def health(self, path: str) -> tuple[int, Any]:
        """
        Return status and document of a health check.
        """
        status, body = self.ask(path)
        return status, json.loads(body)

    def scrape(self) -> dict[str, float]:
        """
        Return what a viewer's scrape says, by name and labels.
        """
        status, body = self.ask("/metrics", "viewer")
        assert status == 200
        return {
            sample.name + "".join(f" {name}={label}" for name, label in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }


@pytest.fixture
def served(elasticsearch_url: str, tmp_path: Path) -> Iterator[Served]:
    """
    Return a node with REST on indices of its own.
    """
    prefix = f"metrics-{uuid4().hex[:12]}"
    users = f'[[rest.users]]\nname = "viewer"\npassword_hash = "{hash_password(PASSWORD)}"\nroles = ["VIEWER"]\n'
    (tmp_path / "app.py").write_text(APP)
    aside = Scheduler(Settings(store=elasticsearch_url, index_prefix=prefix, node_id="aside", state_dir=tmp_path))
    with FaultProxy.to(elasticsearch_url) as proxy, (tmp_path / "out").open("w") as out:
        (tmp_path / "scheduler.toml").write_text(
            f'store = "{proxy.url}"\nindex_prefix = "{prefix}"\nnode_id = "first"\nstate_dir = "state"\n'
            f"purge_enabled = false\n{users}"
        )
        command = [*COMMAND, "serve", "--app", "app:scheduler", "--port", "0"]
        process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ}, stdout=out, stderr=out)
        try:
            yield Served(eventually(lambda: _address(tmp_path / "out", process), "no address"), proxy, aside)
        finally:
            proxy.heal()
            process.terminate()
            process.wait(WAIT_SECONDS)
            aside.stop()
            with Elasticsearch(elasticsearch_url) as admin:
                for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
                    admin.indices.delete(index=index)


def _address(said: Path, process: subprocess.Popen[bytes]) -> str | None:
    text = said.read_text()
    assert process.poll() is None, text
    found = re.search(r"(http://127\.0\.0\.1:\d+)/cxs/tasks", text)
    return found[1] if found else None


def test_the_counters_are_what_was_run(served: Served) -> None:
    """
    Scraped while tasks run, no number ever falls, and in the end each is right.
    """
    for number in range(60):
        served.scheduler.new_task("quick").with_id(f"planted-{number}").as_one_shot().schedule()
    for _ in range(5):
        served.scheduler.new_task("failing").with_max_retries(1).with_retry_delay(1).as_one_shot().schedule()
    before: dict[str, float] = {}
    took: list[float] = []

    def done() -> dict[str, float] | None:
        nonlocal before
        began = time.perf_counter()
        now = served.scrape()
        took.append(time.perf_counter() - began)
        fallen = {name for name, value in before.items() if name.endswith("_total") and now.get(name, 0) < value}
        assert fallen == set()
        before = now
        settled = now["unomi_scheduler_tasks_lock_released_total"] == 70 and now["unomi_scheduler_runs_under_way"] == 0
        return now if settled else None

    found = eventually(done, "not all was run", WAIT_SECONDS)

    assert found["unomi_scheduler_tasks_completed_total"] == 60
    assert found["unomi_scheduler_tasks_failed_total"] == 10
    assert found["unomi_scheduler_tasks_running_total"] == 70
    assert found["unomi_scheduler_tasks_created_total"] == 0
    assert found["unomi_scheduler_runs_total outcome=succeeded task_type=quick"] == 60
    assert found["unomi_scheduler_runs_total outcome=failed task_type=failing"] == 10
    assert found["unomi_scheduler_run_duration_seconds_count task_type=quick"] == 60
    assert found["unomi_scheduler_start_delay_seconds_count task_type=failing"] == 10
    assert found["unomi_scheduler_store_up"] == found["unomi_scheduler_lease_held"] == 1
    assert found["unomi_scheduler_node_info executor_node=true node_id=first version=0.1.0"] == 1
    assert "planted" not in str(found)
    print(f"scrapes: {len(took)}, best {min(took) * 1000:.1f} ms, worst {max(took) * 1000:.1f} ms")


def test_the_whole_cluster_is_counted(served: Served) -> None:
    """
    Also what another process made, and nobody can run.
    """
    for _ in range(3):
        served.scheduler.new_task("of-nobody").schedule()
    served.scheduler._wiring.required_store().refresh()

    eventually(
        lambda: served.scrape().get("unomi_scheduler_tasks status=SCHEDULED task_type=of-nobody") == 3,
        "the tasks are not counted",
        WAIT_SECONDS,
    )


def test_a_silent_store_is_told_and_restarts_nobody(served: Served) -> None:
    """
    Not ready within seconds, though its requests would wait for longer; alive all the time; ready when it is back.
    """
    eventually(lambda: served.health("/readyz")[0] == 200, "it is not ready")
    assert set(served.health("/readyz")[1]["checks"]) == READY

    served.proxy.black_hole()
    status, body = eventually(
        lambda: answer if (answer := served.health("/readyz"))[0] == 503 else None, "it is ready without a store", 8
    )
    assert served.health("/livez") == (200, {"status": "UP"})
    assert body["checks"]["store"] is False
    assert body["problems"]["store"].startswith("The store does not answer")
    assert "http" not in body["message"]
    eventually(lambda: served.scrape()["unomi_scheduler_store_up"] == 0, "the store seems up", WAIT_SECONDS)
    lost = eventually(
        lambda: one if not (one := served.health("/readyz"))[1]["checks"]["lease"] else None, "its lease is held"
    )
    assert lost[1]["problems"]["lease"].startswith("The node does not hold its lease")
    assert served.scrape()["unomi_scheduler_lease_held"] == 0

    served.proxy.heal()
    eventually(lambda: served.health("/readyz")[0] == 200, "it is not ready again", WAIT_SECONDS)
    eventually(lambda: served.scrape()["unomi_scheduler_store_up"] == 1, "the store seems down", WAIT_SECONDS)
    assert status == 503
    failed = [name for name in served.scrape() if name.startswith("unomi_scheduler_store_errors_total kind=unavail")]
    assert failed


def test_what_is_wrong_with_the_index_is_told(served: Served, elasticsearch_url: str) -> None:
    """
    A block for writes, and an index that is gone: nobody but an administrator puts that right.
    """
    eventually(lambda: served.health("/readyz")[0] == 200, "it is not ready")
    prefix = served.scheduler.settings.index_prefix
    assert served.scheduler.store_defects() == ()
    with Elasticsearch(elasticsearch_url) as admin:
        admin.indices.put_settings(index=f"{prefix}-scheduledtask", settings={"index.blocks.write": True})
        (blocked,) = served.scheduler.store_defects()
        for index in admin.indices.get(index=f"{prefix}-scheduledtask"):
            admin.indices.delete(index=index)
    (missing,) = served.scheduler.store_defects()
    status, body = eventually(
        lambda: answer if (answer := served.health("/readyz"))[0] == 503 else None, "it is ready without an index"
    )

    assert "is blocked by index.blocks.write" in blocked
    assert "is missing: start a scheduler again" in missing
    assert (status, body["checks"]["store"], body["checks"]["index"]) == (503, True, False)
