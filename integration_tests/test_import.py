"""
Documents of Apache Unomi: put into our own index, or taken over from an index of the original by
`unomi-scheduler import`, and run by real nodes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch, helpers

from integration_tests.faults.proxy import FaultProxy
from tests.commands import complaints_about, import_command, import_from
from tests.originals import CREATED, MAPPINGS, Document, document_id, original, purge_duplicate
from tests.waiting import ended, eventually
from unomi_scheduler import (
    ConfigurationError,
    Conflict,
    ImportReport,
    Scheduler,
    Settings,
    StoreUnavailable,
    TaskStatus,
    examine_store,
    import_tasks,
)
from unomi_scheduler.ports import Outcome, Result
from unomi_scheduler.stores.elasticsearch.connection import Connection
from unomi_scheduler.timestamps import to_iso

MANY = 3_000
ALIVE = 4


@pytest.fixture(scope="module")
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
    name = f"import-{uuid4().hex[:12]}"
    yield name
    for index in admin.indices.get(index=f"{name}*", expand_wildcards="all"):
        admin.indices.delete(index=index)


@pytest.fixture
def settings(elasticsearch_url: str, prefix: str, tmp_path: Path) -> Settings:
    """
    Return settings of a node on indices of the test's own.
    """
    return Settings(
        store=elasticsearch_url, index_prefix=prefix, node_id="a", lease="2s", poll_interval="200ms",
        state_dir=tmp_path / "state",
    )  # fmt: skip


@pytest.fixture
def source(admin: Elasticsearch, prefix: str) -> str:
    """
    Return the name of an empty index as the original makes it.
    """
    name = f"{prefix}-unomi-scheduledtask"
    admin.indices.create(index=name, mappings=MAPPINGS, settings={"number_of_replicas": 0})
    return name


def fill(admin: Elasticsearch, index: str, *documents: Document) -> None:
    """
    Put documents into an index under the ids that the original gives them.
    """
    actions = ({"_index": index, "_id": document_id(one), "_source": one} for one in documents)
    helpers.bulk(admin, actions, refresh="wait_for")


def contents(admin: Elasticsearch, index: str) -> dict[str, Document]:
    """
    Return all raw documents of an index by `_id`.
    """
    admin.indices.refresh(index=index)
    return {hit["_id"]: hit["_source"] for hit in helpers.scan(admin, index=index)}


def now_iso(admin: Elasticsearch) -> str:
    """
    Return the server's time, cut to whole seconds as the original does.
    """
    stats = admin.nodes.stats(metric="os")["nodes"]
    millis = next(iter(stats.values()))["timestamp"]
    return to_iso(millis - millis % 1_000).replace(".000Z", "Z")


def rich(item_id: str, **over: Any) -> Document:
    """
    Return a document with everything the original writes, and with what no version of ours knows.
    """
    return original(
        item_id,
        **{
            "scope": "systemscope",
            "sourceInstanceId": "dc-1",
            "version": 7,
            "lockVersion": 12,
            "lastSyncDate": CREATED,
            "parameters": {"tenant": "acme", "deep": {"list": [1, {"none": None}]}},
            "statusDetails": {
                "executionHistory": [
                    {"timestamp": CREATED, "status": "FAILED", "nodeId": "n1", "error": "x", "cause": {"line": 3}}
                ],
                "startTime": CREATED,
            },
            "checkpointData": {"lastId": 41, "deep": {"kept": True}},
            "currentStep": "CRASHED",
            "failureCount": 1,
            "lastError": "x",
            "lastExecutionDate": CREATED,
            "lastExecutedBy": "n1",
            "invention": {"of": [{"newer": "version", "nothing": None}], "words": ["a", "b"], "date": CREATED},
            "flag": True,
            **over,
        },
    )


_UNTOUCHED = (
    "itemId", "itemType", "tenantId", "createdBy", "lastModifiedBy", "lastModificationDate", "scope", "version",
    "sourceInstanceId", "lockVersion", "lastSyncDate", "taskType", "parameters", "initialDelay", "oneShot", "period",
    "timeUnit", "fixedRate", "allowParallelExecution", "persistent", "runOnAllNodes", "systemTask", "enabled",
    "maxRetries", "retryDelay", "dependsOn", "checkpointData", "lastError", "invention", "flag",
)  # fmt: skip
"""What a run of a task that does not recur leaves alone."""


class TestOurIndex:
    """
    Documents of the original in our own index, by hand or by a restore.
    """

    @pytest.mark.parametrize("place", ["{itemId}", "{tenantId}_{itemId}"])
    def test_a_document_is_run_and_written_back_without_losing_a_field(
        self, settings: Settings, admin: Elasticsearch, place: str
    ) -> None:
        """
        Raw before and after: only what the run had to say has changed, whichever id the document had.
        """
        scheduler = Scheduler(settings)
        scheduler.executor("sample", can_resume=True)(lambda: None)
        index = f"{settings.index_prefix}-scheduledtask"
        before = rich("a_task", status="CRASHED", nextScheduledExecution="2024-03-20T15:00:01Z")
        with scheduler:
            admin.index(index=index, id=place.format(**before), document=before)
            eventually(lambda: "a_task" in contents(admin, index), "it has its id")
            eventually(lambda: scheduler.get_task("a_task").status is TaskStatus.COMPLETED, "it has run")
            found = contents(admin, index)
            listed = [task.id for task in scheduler.find_tasks(task_type="sample").list]
            either = {scheduler.get_task(name).id for name in ("a_task", place.format(**before))}
        after = found.pop("a_task")

        assert {"a_task"} == either
        assert ["a_task"] == listed
        assert {name: before[name] for name in _UNTOUCHED} == {name: after.get(name) for name in _UNTOUCHED}
        assert after["creationDate"] == "2024-03-20T15:00:00.000Z"
        assert before["statusDetails"]["executionHistory"] == after["statusDetails"]["executionHistory"][:1]
        assert ("COMPLETED", 1, 0) == (after["status"], after["successCount"], after["failureCount"])
        assert not any(document.get("taskType") == "sample" for document in found.values())

    def test_a_recurring_task_keeps_its_phase_and_a_plain_one_stays_plain(
        self, settings: Settings, admin: Elasticsearch
    ) -> None:
        """
        The period is in its unit; `oneShot` before `period` does not turn a plain task into a one-shot one.
        """
        scheduler = Scheduler(settings)
        scheduler.executor("sample")(lambda: None)
        index = f"{settings.index_prefix}-scheduledtask"
        with scheduler:
            fill(
                admin, index, original("daily", period=1, timeUnit="DAYS"), original("plain"),
                original("once", oneShot=True),
            )  # fmt: skip
            for name in ("daily", "plain", "once"):
                eventually(lambda name=name: _successes(scheduler, name), f"{name} has run")  # type: ignore[misc]
            found = contents(admin, index)

        assert found["daily"]["status"] == "SCHEDULED"
        assert found["daily"]["nextScheduledExecution"].endswith("T15:00:00.000Z")
        assert (1, "DAYS", True) == (found["daily"]["period"], found["daily"]["timeUnit"], found["daily"]["fixedRate"])
        assert (False, True) == (found["plain"]["oneShot"], found["plain"]["enabled"])
        assert (True, False) == (found["once"]["oneShot"], found["once"]["enabled"])

    def test_a_document_is_listed_and_read_while_no_node_runs(self, settings: Settings, admin: Elasticsearch) -> None:
        """
        By either id.
        """
        scheduler = Scheduler(settings)
        assert scheduler.get_persistent_tasks() == []
        index = f"{settings.index_prefix}-scheduledtask"
        fill(admin, index, original("one", note={"kept": True}))

        assert [task.extra["note"] for task in scheduler.get_persistent_tasks()] == [{"kept": True}]
        assert {"one"} == {scheduler.get_task(name).id for name in ("one", "system_one")}
        with pytest.raises(Conflict, match="a running node moves it"):
            scheduler.cancel_task("one")
        assert examine_store(settings).problems == ()

    def test_two_nodes_make_one_of_the_purge_tasks(self, settings: Settings, admin: Elasticsearch) -> None:
        """
        The contract's four, RUNNING and never run, beside the one that our nodes make.
        """
        nodes = [
            Scheduler(settings.model_copy(update={"node_id": name, "state_dir": settings.state_path / name}))
            for name in ("a", "b")
        ]
        index = f"{settings.index_prefix}-scheduledtask"
        with nodes[0], nodes[1]:
            fill(admin, index, *(purge_duplicate(f"u-{number}") for number in range(4)))
            eventually(
                lambda: Counter(one["status"] for one in contents(admin, index).values())["CANCELLED"] == 4,
                "they are set aside",
            )
            found = contents(admin, index)

        assert {"task-purge", *(f"system_u-{number}" for number in range(4))} == set(found)
        assert all(one["itemId"] == name for name, one in found.items())


def _successes(scheduler: Scheduler, task_id: str) -> int:
    try:
        return scheduler.get_task(task_id).success_count
    except LookupError:
        return 0


def _mixed(now: str) -> list[Document]:
    """
    Return one document of each kind that an import meets.
    """
    purges = [purge_duplicate(f"u-{number}") for number in range(4)]
    purges[2] |= {"successCount": 5, "lastExecutionDate": CREATED}
    return [
        *purges,
        rich("nightly", period=1, timeUnit="DAYS", status="SCHEDULED", nextScheduledExecution=CREATED),
        rich("nightly", tenantId="acme", status="SCHEDULED", nextScheduledExecution=CREATED),
        original("after", tenantId="acme", status="WAITING", dependsOn=["nightly"], waitingOnTasks=["nightly"]),
        original("off", enabled=False, status="CANCELLED"),
        original("done", enabled=False, status="COMPLETED", lastExecutionDate=now, nextScheduledExecution=None),
        original("stopped", status="CRASHED", lockOwner="n1", lockDate=now, statusDetails={"crashTime": now}),
        original("ran", status="RUNNING", lockOwner="n1", lockDate=CREATED, executingNodeId="n1"),
        original("odd-unit", timeUnit="FORTNIGHTS"),
        original("bulk"),
        original("both", oneShot=True, period=5),
    ]


class TestImport:
    """
    An index of the original, taken over.
    """

    def run(self, settings: Settings, source: str, **options: Any) -> ImportReport:
        """
        Import in this process.
        """
        return import_tasks(settings, from_index=source, **options)

    def test_every_kind_of_document_is_taken_over_or_told_of(
        self, settings: Settings, admin: Elasticsearch, source: str
    ) -> None:
        """
        Copied, folded or refused with the reason; the source is as it was, and a node goes on with the tasks.
        """
        fill(admin, source, *_mixed(now_iso(admin)))
        before = contents(admin, source)
        tried = self.run(settings, source, dry_run=True)
        report = self.run(settings, source)
        index = f"{settings.index_prefix}-scheduledtask"
        found = contents(admin, index)

        assert tried == ImportReport(**{**_fields(report), "dry_run": True})
        assert (14, 8, 0, 2) == (report.documents, report.copied, report.kept, report.crashed)
        assert [("system_u-0", "task-purge"), ("system_u-1", "task-purge"), ("system_u-3", "task-purge")] == list(
            report.folded
        )
        assert {("system_u-2", "task-purge"), ("acme_nightly", "acme_nightly")} == set(report.renamed)
        reasons = dict(report.refused)
        assert {"system_odd-unit", "system_bulk", "system_both"} == set(reasons)
        assert "FORTNIGHTS" in reasons["system_odd-unit"]
        assert "one-shot" in reasons["system_both"]
        assert before == contents(admin, source)

        statuses = {name: one["status"] for name, one in found.items()}
        assert statuses == {
            "task-purge": "CRASHED", "nightly": "SCHEDULED", "acme_nightly": "SCHEDULED", "after": "WAITING",
            "off": "CANCELLED", "done": "COMPLETED", "stopped": "CRASHED", "ran": "CRASHED",
        }  # fmt: skip
        assert found["after"]["dependsOn"] == ["acme_nightly"]
        assert found["task-purge"]["successCount"] == 5
        assert found["ran"]["statusDetails"]["executionHistory"][-1]["previousOwner"] == "n1"
        assert "lockOwner" not in found["ran"]
        assert (f"{source}/system_ran", "system") == (found["ran"]["importedFrom"], found["ran"]["tenantId"])
        mine = {name: before["system_nightly"][name] for name in _UNTOUCHED}
        assert mine == {name: found["nightly"].get(name) for name in _UNTOUCHED}

        scheduler = Scheduler(settings)
        scheduler.executor("sample", can_resume=True)(lambda: None)
        with scheduler:
            for name in ("nightly", "acme_nightly", "after", "ran", "stopped", "task-purge"):
                eventually(lambda name=name: _successes(scheduler, name), f"{name} has run")  # type: ignore[misc]
            idle = {name: scheduler.get_task(name).success_count for name in ("off", "done")}
        assert {"off": 0, "done": 0} == idle
        assert scheduler.get_task("task-purge").success_count == 6

    def test_a_dry_run_writes_nothing(self, settings: Settings, admin: Elasticsearch, source: str) -> None:
        """
        Not even an index.
        """
        fill(admin, source, original("one"))
        report = self.run(settings, source, dry_run=True)

        assert (1, 1) == (report.documents, report.copied)
        assert [source] == list(admin.indices.get(index=f"{settings.index_prefix}*"))

    def test_an_import_is_repeated_and_keeps_what_is_there(
        self, settings: Settings, admin: Elasticsearch, source: str
    ) -> None:
        """
        What a node did meanwhile stays; a task of ours with the id of one of theirs is not overwritten.
        """
        scheduler = Scheduler(settings)
        scheduler.executor("sample")(lambda: None)
        scheduler.new_task("ours").with_id("taken").with_parameters({"ours": True}).schedule()
        fill(admin, source, *(original(f"t-{number}") for number in range(20)), original("taken"))
        first = self.run(settings, source)
        with scheduler:
            ended(scheduler, "t-7")
        second = self.run(settings, source)

        assert (20, 1, 21) == (first.copied, first.kept, second.kept)
        assert [("system_taken", "taken")] == list(first.occupied) == list(second.occupied)
        assert (0, ()) == (second.copied, second.refused)
        assert scheduler.get_task("t-7").success_count == 1
        assert scheduler.get_task("taken").parameters == {"ours": True}

    def test_a_lost_answer_is_not_a_lost_task(
        self, settings: Settings, admin: Elasticsearch, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The same creations go again, and what was done already counts as copied, not as there before.
        """
        fill(admin, source, *(original(f"t-{number}") for number in range(700)))
        lose(monkeypatch, lambda number: number == 1)
        report = self.run(settings, source)

        assert (700, 0, ()) == (report.copied, report.kept, report.refused)
        assert len(contents(admin, f"{settings.index_prefix}-scheduledtask")) == 700

    def test_an_outage_breaks_it_off_and_a_repetition_goes_on(
        self, settings: Settings, admin: Elasticsearch, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The message says so; together both have every task.
        """
        fill(admin, source, *(original(f"t-{number:04d}") for number in range(1_200)))
        lose(monkeypatch, lambda number: number > 0)
        with pytest.raises(StoreUnavailable, match="repeat it"):
            self.run(settings, source)
        monkeypatch.undo()
        report = self.run(settings, source)

        # The second page was written too, only nobody said so.
        assert (1_000, 200) == (report.kept, report.copied)
        assert len(contents(admin, f"{settings.index_prefix}-scheduledtask")) == 1_200

    def test_a_live_original_is_refused_unless_forced(
        self, settings: Settings, admin: Elasticsearch, source: str
    ) -> None:
        """
        Nothing is written before; by force its runs are over.
        """
        fresh: dict[str, Any] = {"lockOwner": "n1", "lockDate": now_iso(admin), "lockLeaseMillis": 600_000}
        busy = (original(f"busy-{number}", status="RUNNING", **fresh) for number in range(7))
        fill(admin, source, original("idle"), *busy)
        with pytest.raises(Conflict, match=r"alive.*fresh locks .*busy-\d of node n1.* and 2 more.*--force"):
            self.run(settings, source)
        assert [source] == list(admin.indices.get(index=f"{settings.index_prefix}*"))
        report = self.run(settings, source, force=True)

        assert (8, 7) == (report.copied, report.crashed)

    def test_what_cannot_be_a_source_is_refused(self, settings: Settings, source: str, prefix: str) -> None:
        """
        A missing index, a pattern, our own index, another store.
        """
        Scheduler(settings).get_persistent_tasks()
        for name, message in (
            (f"{prefix}-nothing", "there is no index"),
            (f"{prefix}*", "not the name"),
            (f"{prefix}-scheduledtask", "of this scheduler already"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                self.run(settings, name)
        with pytest.raises(ConfigurationError, match="import needs the Elasticsearch"):
            self.run(settings.model_copy(update={"store": "sqlite:///tasks.db"}), source)

    def test_a_document_that_the_store_does_not_take_is_refused_alone(
        self, settings: Settings, admin: Elasticsearch, source: str
    ) -> None:
        """
        The others of its page are copied.
        """
        fill(admin, source, original("good"), original("huge", successCount=2**62))
        report = self.run(settings, source)

        assert report.copied == 1
        assert {"system_huge"} == set(dict(report.refused))

    def test_a_document_that_is_no_task_is_in_the_way(
        self, settings: Settings, admin: Elasticsearch, source: str
    ) -> None:
        """
        It is not overwritten, and the task is told of.
        """
        Scheduler(settings).get_persistent_tasks()
        admin.index(index=f"{settings.index_prefix}-scheduledtask", id="one", document={"x": 1})
        fill(admin, source, original("one"))
        report = self.run(settings, source)

        assert [("system_one", "a document that is no task has the id one")] == [
            (name, reason.partition(":")[0]) for name, reason in report.refused
        ]


def lose(monkeypatch: pytest.MonkeyPatch, lost: Callable[[int], bool]) -> None:
    """
    Lose the answers to some bulks, counted from 0; the writes are done.
    """
    real = Connection.bulk
    numbers = iter(range(1_000))

    def bulk(self: Connection, body: bytes) -> Any:
        answer = real(self, body)
        return Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer")) if lost(next(numbers)) else answer

    monkeypatch.setattr(Connection, "bulk", bulk)


def _fields(report: ImportReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__dataclass_fields__}


class TestCommand:
    """
    The whole way as a person goes it.
    """

    def test_three_thousand_tasks_of_several_tenants_survive_a_killed_import(
        self, settings: Settings, admin: Elasticsearch, source: str, tmp_path: Path
    ) -> None:
        """
        Killed in the middle, repeated, repeated again, and run by a node.
        """
        tenants = ("system", "acme", "zoo_two")
        fill(admin, source, *(original(f"t-{number:04d}", tenantId=tenants[number % 3]) for number in range(MANY)))
        fill(admin, source, *(purge_duplicate(f"u-{number}") for number in range(4)))
        index = f"{settings.index_prefix}-scheduledtask"
        with FaultProxy.to(str(settings.store)) as proxy:
            proxy.delay(0.1)
            killed_when(
                lambda: admin.indices.exists_alias(name=index) and len(contents(admin, index)) >= 500,
                source,
                tmp_path,
                _environment(settings, store=proxy.url),
            )
        there = len(contents(admin, index))
        second = import_from(source, tmp_path, **_environment(settings))
        third = import_from(source, tmp_path, **_environment(settings))

        assert 500 <= there < MANY
        assert (0, 0) == (second.code, third.code), (second, third)
        assert (MANY + 1 - there, there) == (count("copied", second.out), count("kept", second.out))
        assert (0, MANY + 1) == (count("copied", third.out), count("kept", third.out))
        assert (3, 0) == (count("folded", third.out), count("refused", third.out))
        assert third.out.count("into the system task task-purge") == 3

        scheduler = Scheduler(settings)
        runs: Counter[str] = Counter()
        scheduler.executor("sample")(lambda context: runs.update([context.task.id]))
        with scheduler:
            eventually(lambda: len(runs) == MANY, "all have run", within=150)
            eventually(lambda: _successes(scheduler, "task-purge"), "the purge has run")
        assert set(runs.values()) == {1}

    def test_the_summary_and_the_exit_codes(
        self, settings: Settings, admin: Elasticsearch, source: str, tmp_path: Path
    ) -> None:
        """
        What a script sees of a refusal, of a live original, of a missing index and of a server that is not there.
        """
        fill(admin, source, original("good"), original("odd", timeUnit="FORTNIGHTS"))
        environment = _environment(settings)
        tried = import_from(source, tmp_path, "--dry-run", **environment)
        refused = import_from(source, tmp_path, **environment)
        fill(admin, source, original("busy", status="RUNNING", lockOwner="n1", lockDate="2200-01-01T00:00:00Z"))
        alive = import_from(source, tmp_path, **environment)
        missing = import_from(f"{source}-x", tmp_path, **environment)
        gone = import_from(source, tmp_path, **{**environment, "store": "http://127.0.0.1:9"})

        assert [1, 1, ALIVE, 3, 5] == [one.code for one in (tried, refused, alive, missing, gone)]
        assert tried.out.startswith(f"Dry run, nothing was written: 2 documents of {source} into ")
        assert tried.out.splitlines()[1:] == refused.out.splitlines()[1:]
        assert "refused: 1\n  system_odd: timeUnit: " in refused.out
        assert "seems to be alive" in alive.complaint
        assert "there is no index" in missing.complaint

    def test_the_command_in_the_refusal_leads_on(
        self, settings: Settings, admin: Elasticsearch, tmp_path: Path
    ) -> None:
        """
        The original's index has the name of our alias: every start says the command, and done as it says it works.
        """
        name = f"{settings.index_prefix}-scheduledtask"
        admin.indices.create(index=name, mappings=MAPPINGS)
        fill(admin, name, original("one"))
        said = complaints_about(str(settings.store), tmp_path, index_prefix=settings.index_prefix)
        same = import_from(name, tmp_path, **_environment(settings))

        assert all(f"unomi-scheduler import --from-index {name}`" in one for one in said.values()), said
        assert (1, True) == (same.code, f"unomi-scheduler import --from-index {name}`" in same.complaint)
        other = settings.model_copy(update={"index_prefix": f"{settings.index_prefix}-scheduler"})
        assert import_from(name, tmp_path, **_environment(other)).code == 0
        self._runs(other, "one")
        assert contents(admin, name) == {"system_one": original("one")}

    def test_the_documented_steps_keep_the_prefix(
        self, settings: Settings, admin: Elasticsearch, tmp_path: Path
    ) -> None:
        """
        Block, clone, delete, import: then our alias has the name.
        """
        name = f"{settings.index_prefix}-scheduledtask"
        copy = f"{name}-original"
        admin.indices.create(index=name, mappings=MAPPINGS, settings={"number_of_replicas": 0})
        fill(admin, name, *(original(f"t-{number}") for number in range(30)))
        admin.indices.put_settings(index=name, settings={"index.blocks.write": True})
        admin.indices.clone(index=name, target=copy, wait_for_active_shards="1")
        assert admin.count(index=copy)["count"] == 30
        admin.indices.delete(index=name)
        ended_well = import_from(copy, tmp_path, **_environment(settings))

        assert (0, 30) == (ended_well.code, count("copied", ended_well.out)), ended_well
        self._runs(settings, "t-7")
        assert len(contents(admin, copy)) == 30
        assert examine_store(settings).problems == ()

    def _runs(self, settings: Settings, task_id: str) -> None:
        scheduler = Scheduler(settings)
        scheduler.executor("sample")(lambda: None)
        with scheduler:
            assert ended(scheduler, task_id).status is TaskStatus.COMPLETED


def _environment(settings: Settings, **over: str) -> dict[str, str]:
    return {"store": str(settings.store), "index_prefix": settings.index_prefix, "node_id": "a", **over}


def count(what: str, printed: str) -> int:
    """
    Return a number of the summary.
    """
    found = re.search(rf"^{what}: (\d+)", printed, re.MULTILINE)
    assert found, printed
    return int(found[1])


def killed_when(there: Callable[[], object], source: str, folder: Path, settings: dict[str, str]) -> None:
    """
    Start an import and kill it once this holds.
    """
    environment = {**os.environ, **{f"UNOMI_SCHEDULER_{name.upper()}": value for name, value in settings.items()}}
    process = subprocess.Popen(import_command(source), cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        eventually(there, "it copies")
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.kill()
        process.wait()
