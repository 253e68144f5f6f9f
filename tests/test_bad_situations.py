"""
Bad situations without a server: executors that misbehave, files and disks that will not do, documents that are no
tasks; and what doctor says of each.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from tests.commands import complaints_about, doctor
from tests.factories import NOW, SetClock, make_due_task, make_heartbeat, make_task
from tests.sqlite_support import by_hand, create
from tests.waiting import PATIENCE, ended, eventually, told
from unomi_scheduler import (
    AsyncTaskContext,
    Callback,
    ConfigurationError,
    InvalidTask,
    Scheduler,
    Settings,
    StoreRefused,
    StoreReport,
    StoreUnavailable,
    Task,
    TaskContext,
    TaskStatus,
    examine_store,
)
from unomi_scheduler.clock import Instant, SystemClock
from unomi_scheduler.metrics import Metrics
from unomi_scheduler.model import Malformed, Page
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.complaints import AGAIN, STALE, Complaints, and_more
from unomi_scheduler.node.core import Core
from unomi_scheduler.node.options import NodeOptions
from unomi_scheduler.node.table import MemoryTable
from unomi_scheduler.ports import OVERDUE, Action, Found, Outcome, Result, Write
from unomi_scheduler.stores import sqlite, sqlite_transaction
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.stores.sqlite import SqliteStore
from unomi_scheduler.stores.sqlite_errors import explained
from unomi_shell import examination

# --- executors


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    """
    A started scheduler on a file.
    """
    made = Scheduler(
        store=f"sqlite:///{tmp_path}/tasks.db", node_id="a", poll_interval="100ms", callback_timeout="1s",
        drain_timeout="5s",
    )  # fmt: skip
    with made:
        yield made


@pytest.fixture(params=["stored", "memory"])
def submit(request: pytest.FixtureRequest, scheduler: Scheduler) -> Callable[[str, Any], str]:
    """
    A function that registers a body and schedules a task for it, stored or in memory; it returns the id.
    """

    def submit(task_type: str, body: Any) -> str:
        if callable(body):
            scheduler.executor(task_type)(body)
        else:
            scheduler.register_executor(body)
        builder = scheduler.new_task(task_type).with_id(f"{task_type}-1").as_one_shot().with_max_retries(0)
        if request.param == "memory":
            builder = builder.non_persistent()
        return builder.schedule().id

    return submit


class Unkind:
    """
    An executor of the original's shape whose `execute` is given.
    """

    def __init__(self, task_type: str, execute: Callable[[Task, Callback], Any]) -> None:
        self.task_type = task_type
        self._execute = execute

    def execute(self, task: Task, callback: Callback) -> Any:
        """
        Do what is asked for.
        """
        return self._execute(task, callback)

    def can_resume(self, task: Task) -> bool:
        """
        Never.
        """
        return False

    def resume(self, task: Task, callback: Callback) -> None:
        """
        Never called.
        """


def raising(error: BaseException, task_type: str, kind: str) -> Any:
    """
    Return a body of a kind that raises.
    """

    def body() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    return {"def": body, "async": coroutine, "object": Unkind(task_type, lambda *_: body())}[kind]


ERRORS = (SystemExit(3), KeyboardInterrupt(), GeneratorExit("over"))


@pytest.mark.parametrize("kind", ["def", "async", "object"])
def test_whatever_a_body_raises_fails_its_run_and_nothing_else(
    scheduler: Scheduler, submit: Callable[[str, Any], str], kind: str
) -> None:
    """
    SystemExit, KeyboardInterrupt and GeneratorExit too; the node goes on with the next task.
    """
    for number, error in enumerate(ERRORS):
        submit(f"raises-{number}", raising(error, f"raises-{number}", kind))
    failed = [ended(scheduler, f"raises-{number}-1") for number in range(len(ERRORS))]
    after = ended(scheduler, submit("well", lambda: None))

    assert [(task.status, task.last_error) for task in failed] == [
        (TaskStatus.FAILED, "SystemExit: 3"),
        (TaskStatus.FAILED, "KeyboardInterrupt"),
        (TaskStatus.FAILED, "GeneratorExit: over"),
    ]
    assert after.status is TaskStatus.COMPLETED


async def forgotten() -> None:
    """
    Never awaited.
    """


@pytest.mark.parametrize("kind", ["def", "object"])
def test_a_coroutine_that_nobody_awaits_is_a_failure(
    scheduler: Scheduler, submit: Callable[[str, Any], str], kind: str
) -> None:
    """
    The body did nothing, and the error says how to write it.
    """
    body: Any = (lambda: forgotten()) if kind == "def" else Unkind("late", lambda *_: forgotten())  # noqa: PLW0108
    task = ended(scheduler, submit("late", body))

    assert task.status is TaskStatus.FAILED
    assert task.last_error == (
        "the body returned the coroutine forgotten, which nobody awaits: make the body `async def`"
    )


def test_any_other_value_that_a_function_returns_is_ignored(
    scheduler: Scheduler, submit: Callable[[str, Any], str]
) -> None:
    """
    As a caller ignores it.
    """
    ids = [submit(f"odd-{number}", lambda value=value: value) for number, value in enumerate((object(), {1: {2}}, "x"))]

    assert [ended(scheduler, one).status for one in ids] == [TaskStatus.COMPLETED] * 3


def test_an_executor_that_never_calls_back_fails_by_the_time_out(
    scheduler: Scheduler, submit: Callable[[str, Any], str]
) -> None:
    """
    With a text that names it; a call that comes later changes nothing.
    """
    kept: list[Callback] = []
    task_id = submit("silent", Unkind("silent", lambda _, callback: kept.append(callback)))
    failed = ended(scheduler, task_id)
    kept[0].complete()
    after = ended(scheduler, submit("well", lambda: None))

    assert (failed.status, failed.last_error) == (TaskStatus.FAILED, "no callback within 1 s")
    assert after.status is TaskStatus.COMPLETED
    assert scheduler.get_task(task_id).status is TaskStatus.FAILED


BAD = ({"when": object()}, {"x": float("nan")}, {1: "key"}, {"text": "\ud800"}, ["no", "object"])


def saves(context: TaskContext) -> None:
    """
    Save checkpoints that are no JSON, then one that is.
    """
    for one in BAD:
        with pytest.raises(InvalidTask, match="checkpoint"):
            context.save_checkpoint(one)  # type: ignore[arg-type]
    context.save_checkpoint({"good": 1})


async def saves_too(context: AsyncTaskContext) -> None:
    """
    The same in an async body.
    """
    for one in BAD:
        with pytest.raises(InvalidTask, match="checkpoint"):
            await context.save_checkpoint(one)  # type: ignore[arg-type]
    await context.save_checkpoint({"good": 1})


def saves_as_well(_: Task, callback: Callback) -> None:
    """
    The same by the callback of an object.
    """
    for one in BAD:
        with pytest.raises(InvalidTask, match="checkpoint"):
            callback.checkpoint(one)  # type: ignore[arg-type]
    callback.checkpoint({"good": 1})
    callback.complete()


@pytest.mark.parametrize("body", [saves, saves_too, Unkind("saving", saves_as_well)], ids=["def", "async", "object"])
def test_a_checkpoint_that_is_not_json_is_refused_in_the_body(
    scheduler: Scheduler, submit: Callable[[str, Any], str], body: Any
) -> None:
    """
    The run goes on, and the good one is stored.
    """
    task = ended(scheduler, submit("saving", body))

    assert (task.status, task.last_error) == (TaskStatus.COMPLETED, None)
    assert task.checkpoint_data == {"good": 1}


# --- documents and types


GOOD = 100
MALFORMED: dict[str, object] = {
    "no-type": {"itemId": "no-type", "status": "SCHEDULED"},
    "wrong-types": {"itemId": "wrong-types", "taskType": "good", "maxRetries": "many", "history": 3},
    "wrong-status": {"itemId": "wrong-status", "taskType": "good", "status": "ASLEEP"},
    "other-id": {"itemId": "another", "taskType": "good"},
    "a-list": [1, 2],
    "not-json": "{not json",
    "no-bytes": b"\xff\x00",
}


def plant(path: Path, documents: dict[str, object]) -> None:
    """
    Put rows into the file, as another program would.
    """
    rows = [(one, body if isinstance(body, str | bytes) else json.dumps(body)) for one, body in documents.items()]
    with by_hand(path) as connection:
        connection.executemany("INSERT INTO tasks (id, body) VALUES (?, ?)", rows)


def test_malformed_rows_are_set_aside_and_the_others_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    Each gets its reason, the log says so without a flood, and doctor tells how many and which, before and after.
    """
    url, path = f"sqlite:///{tmp_path}/tasks.db", tmp_path / "tasks.db"
    made = Scheduler(store=url, node_id="a", lease="1s", poll_interval="100ms")
    made.schedule_many([made.create_task("good", id=f"good-{number}", one_shot=True) for number in range(GOOD)])
    plant(path, MALFORMED)
    plant(path, {"by-hand": {"itemId": "by-hand", "taskType": "good", "nextScheduledExecution": 1}})
    before = examine_store(Settings(store=url))
    runs: list[str] = []
    made.executor("good")(lambda context: runs.append(context.task.id))
    caplog.set_level(logging.INFO, "unomi_scheduler")
    with made, closing(SqliteStore(path)) as store:
        eventually(lambda: len(runs) > GOOD, "the good ones run")
        eventually(lambda: store.check().quarantined == len(MALFORMED), "all are in quarantine")
    after = examine_store(Settings(store=url))
    with by_hand(path) as connection:
        reasons = dict(connection.execute("SELECT id, quarantine FROM tasks WHERE quarantine IS NOT NULL"))

    assert sorted(runs) == sorted(["by-hand", *(f"good-{number}" for number in range(GOOD))])
    assert reasons.keys() == MALFORMED.keys()
    assert "taskType: a text is required" in reasons["no-type"]
    assert "maxRetries" in reasons["wrong-types"]
    assert "ASLEEP" in reasons["wrong-status"]
    assert "'other-id' is required, got 'another'" in reasons["other-id"]
    assert any("7 task documents that cannot be read" in one for one in before.problems)
    (problem,) = after.problems
    assert problem.startswith("7 task documents in quarantine, left alone by every node: a-list (a JSON object")
    assert problem.endswith("and 2 more. Put each right and remove its quarantineReason, or delete it")
    told = [record for record in caplog.records if getattr(record, "action", "") == "quarantined"]
    assert 1 <= len(told) <= 2
    assert "remove its quarantineReason" in told[0].message


def test_a_quarantined_document_comes_back_when_it_is_put_right(tmp_path: Path) -> None:
    """
    Whoever repairs it takes the reason away; the next look adopts it.
    """
    path = tmp_path / "tasks.db"
    made = Scheduler(store=f"sqlite:///{path}", node_id="a", lease="1s", poll_interval="100ms")
    made.executor("good")(lambda: None)
    body = {"itemId": "ill", "taskType": "good", "maxRetries": "many", "nextScheduledExecution": 1, "oneShot": True}
    with made, closing(SqliteStore(path)) as store:
        plant(path, {"ill": body})
        eventually(lambda: store.check().quarantined == 1, "it is set aside")
        with by_hand(path) as connection:
            connection.execute(
                "UPDATE tasks SET body = json_remove(json_set(body, '$.maxRetries', 1), '$.quarantineReason'),"
                " quarantine = NULL WHERE id = 'ill'"
            )

        assert ended(made, "ill").status is TaskStatus.COMPLETED


def test_a_type_that_nobody_knows_is_left_alone(scheduler: Scheduler, tmp_path: Path) -> None:
    """
    Its document is not touched, others of known types run beside it, and doctor names the type.
    """
    path = tmp_path / "tasks.db"
    scheduler.executor("known")(lambda: None)
    task_id = scheduler.new_task("unknown").as_one_shot().schedule().id
    with closing(SqliteStore(path)) as store:
        (first,) = store.tasks([task_id])
        for number in range(10):
            # Each takes at least a look of the node.
            scheduler.new_task("known").with_id(f"known-{number}").as_one_shot().schedule()
            ended(scheduler, f"known-{number}")
        (last,) = store.tasks([task_id])
        with by_hand(path) as connection:
            connection.execute("UPDATE tasks SET due = due - ?", (2 * OVERDUE,))
    _, problems = examination.examine(scheduler.settings)

    assert first == last
    assert any("1 task is due and of type unknown, which no live node knows" in problem for problem in problems)


# --- doctor


def report(**over: Any) -> tuple[str, ...]:
    """
    Return the problems that doctor finds in a store that reports this.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examination, "examine_store", lambda _: StoreReport(now=NOW, **over))
        return examination.examine(Settings(store="memory://"))[1]


def test_doctor_tells_of_overdue_tasks_that_no_live_node_will_take() -> None:
    """
    Nodes that are silent, that run nothing or that do not know the type do not count.
    """
    beat = make_heartbeat(task_types=("known",))
    silent = replace(beat, beat_at=NOW - 30_000)
    manager = replace(beat, executor_node=False)

    assert report(nodes=(beat,), overdue={"known": 3}) == ()
    assert report(nodes=(), overdue={}) == ()
    assert report(nodes=(beat,), overdue={"strange": 2, "known": 3}) == (
        (
            "2 tasks are due and of type strange, which no live node knows: register an executor for it on a node, "
            "or cancel what is not wanted"
        ),
    )
    for nodes in ((), (silent,), (manager,)):
        assert report(nodes=nodes, overdue={"known": 3, "other": 1}) == (
            "no node that runs tasks is alive, and 4 tasks are due: start one (unomi-scheduler node, or serve)",
        )


def test_doctor_tells_of_a_clock_that_is_off() -> None:
    """
    A node that is as far off is not called silent for it.
    """
    ahead = make_heartbeat(clock_offset=60_000, beat_at=NOW + 60_000, task_types=("known",))

    assert report(nodes=(ahead,), overdue={"known": 1}) == (
        (
            "the clock of node node-a is 60000 ms from the store's, at most 1000 ms are allowed: set the clock (NTP); "
            "until then the node claims nothing"
        ),
    )


def test_a_memory_store_tells_of_its_documents_too() -> None:
    """
    As the other stores do.
    """
    clock = SetClock()
    store = MemoryStore(clock)
    store.write([Write(Action.CREATE, one) for one in (make_due_task(), make_task(), make_heartbeat())])
    store.plant("bad", {"itemId": "bad"})
    unread = store.check()
    (found,) = store.find_unplaced(limit=1).malformed
    store.write([Write(Action.REPLACE, found.record, found.version)])
    clock.advance(OVERDUE)
    late = store.check()

    assert (unread.overdue, unread.quarantined, len(unread.nodes)) == ({}, 0, 1)
    assert "bad (not a task document: taskType: a text is required" in unread.problems[0]
    assert (late.overdue, late.quarantined, late.now) == ({"sample": 1}, 1, NOW + OVERDUE)
    assert "1 task document in quarantine" in late.problems[0]


def test_doctor_makes_nothing_where_nothing_is(tmp_path: Path) -> None:
    """
    A file that does not exist yet is said and nothing wrong, and neither it nor a lock file comes of it.
    """
    told = doctor(tmp_path, store="sqlite:///tasks.db")

    assert told.code == 0
    assert "content: nothing there yet; the first node makes it" in told.out.splitlines()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said_by_every_command(tmp_path: Path) -> None:
    """
    None of them makes it.
    """
    said = complaints_about("sqlite:///typo/tasks.db", tmp_path)
    advice = {"unomi-task": "the first node makes it"}

    for name, line in said.items():
        assert line.endswith(
            advice.get(name, f"the folder {tmp_path}/typo does not exist: make it, or name another file")
        )
    assert not (tmp_path / "typo").exists()


def test_doctor_changes_nothing_in_what_it_looks_at(tmp_path: Path) -> None:
    """
    Not the documents, and no lock file or node name.
    """
    path = tmp_path / "tasks.db"
    with closing(SqliteStore(path)) as store:
        store.open()
        create(store, make_task())
    before = path.read_bytes()
    told = doctor(tmp_path, store="sqlite:///tasks.db")

    assert told.code == 0, told
    assert "tasks: 1" in told.out.splitlines()
    assert {one.name for one in tmp_path.iterdir()} == {"tasks.db", "tasks.db.gate"}
    assert path.read_bytes() == before


# --- files and disks


def test_a_file_that_is_no_database_is_said_by_every_command(tmp_path: Path) -> None:
    """
    In one line with what to do; the file stays as it is.
    """
    path = tmp_path / "letter.db"
    path.write_text("a letter to someone " * 100)
    said = complaints_about(f"sqlite:///{path}", tmp_path)

    assert said.keys() == {"node", "serve", "doctor", "unomi-task"}
    for line in said.values():
        assert line.endswith(f"{path}: file is not a database; move the file away, or put a sound database there")
    assert path.read_text() == "a letter to someone " * 100


def test_a_state_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """
    As on a full disk: an error of ours with what to do, before anything runs.
    """
    (tmp_path / "state").write_text("a file")
    made = Scheduler(store=f"sqlite:///{tmp_path}/tasks.db", node_id="a", state_dir=tmp_path / "state")

    with pytest.raises(ConfigurationError, match=r"lock file .*cannot be written.*set state_dir to a folder"):
        made.start()


@pytest.mark.parametrize(
    ("free", "advice"), [(0, "free space in {folder}, then it goes on"), (2**30, "look after the disk of {folder}")]
)
def test_an_error_of_the_disk_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, advice: str
) -> None:
    """
    SQLite calls a disk without room for its shared memory an I/O error.
    """
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    said = explained(error, str(tmp_path / "tasks.db"))

    assert isinstance(said, StoreRefused)
    assert advice.format(folder=tmp_path) in str(said)


class Disk:
    """
    A place for a database that can be filled up and freed again.
    """

    def __init__(self, path: Path, fill: Callable[[], object], free: Callable[[], object]) -> None:
        self.path = path
        self.fill = fill
        self.free = free


@pytest.fixture(params=["small disk", "page limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """
    A disk of 2 MB where this user may mount one; and where not, a limit of SQLite's own, which stops what grows.
    """
    if request.param == "page limit":
        yield limited_pages(tmp_path, monkeypatch)
        return
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount has a small disk; the page limit is tried in any case")
    ballast = folder / "ballast"
    try:
        yield Disk(folder, lambda: fill_up(ballast), ballast.unlink)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(ballast: Path) -> None:
    """
    Write until there is no room.
    """
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - that it comes is what the loop ends by


def limited_pages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """
    Return a disk where SQLite may not take a further page while it is full.
    """
    full = Event()
    commit = sqlite_transaction.commit

    def limited(connection: Any, items: Any, path: str) -> list[Outcome]:
        connection.execute(f"PRAGMA max_page_count={1 if full.is_set() else 2**30}")
        # A document grows by a page, so that every write meets the limit.
        large = [
            one._replace(body=one.body[:-1] + f',"x":"{"y" * 5_000}"}}') if full.is_set() else one for one in items
        ]
        return commit(connection, large, path)

    monkeypatch.setattr(sqlite, "commit", limited)
    return Disk(folder, full.set, full.clear)


def test_work_outlives_a_full_disk(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    """
    The log says what to do and is not flooded; what ends meanwhile is kept and written later, nothing runs twice, a
    caller is told, and all goes on by itself when there is room.
    """
    caplog.set_level(logging.INFO, "unomi_scheduler")
    path = disk.path / "tasks.db"
    made = Scheduler(
        store=f"sqlite:///{path}", node_id="a", lease="2s", poll_interval="100ms",
        state_dir=disk.path.parent / "state",
    )  # fmt: skip
    runs: list[str] = []
    gate, stored = Event(), Event()

    @made.executor("short")
    def short(context: TaskContext) -> None:
        runs.append(context.task.id)

    @made.executor("long")
    def long(context: TaskContext) -> None:
        runs.append(context.task.id)
        gate.wait(PATIENCE)

    @made.executor("steps", can_resume=True)
    def steps(context: TaskContext) -> None:
        step = context.checkpoint_data.get("step", 0)
        runs.append(f"{context.task.id} from {step}")
        if step == 0:
            context.save_checkpoint({"step": 1})
            stored.set()
            gate.wait(PATIENCE)
        context.save_checkpoint({"step": 2})

    ids = ["long-1", "steps-1", *(f"short-{number}" for number in range(20))]
    with made:
        made.schedule_many([made.create_task(one.partition("-")[0], id=one, one_shot=True) for one in ids])
        later = made.create_task("short", id="later", one_shot=True)
        ids.append("later")
        eventually(lambda: "long-1" in runs and stored.wait(0), "the long ones run")
        for number in range(20):
            ended(made, f"short-{number}")
        disk.fill()
        with pytest.raises(StoreRefused, match=re.escape(f"free space in {disk.path}, then it goes on by itself")):
            made.schedule_task(later)
        gate.set()
        lines = eventually(lambda: told(caplog, "write_refused"), "the log says so")
        eventually(lambda: told(caplog, "lease_lapsed"), "the lease ends")
        problems = examine_store(Settings(store=f"sqlite:///{path}")).problems
        full = made.get_task("long-1")
        disk.free()
        made.schedule_task(later)
        results = [ended(made, one).status for one in ids]

    assert full.status is TaskStatus.RUNNING
    assert results == [TaskStatus.COMPLETED] * len(ids)
    assert sorted(one for one in runs if not one.startswith("steps")) == sorted(set(ids) - {"steps-1"})
    # The second checkpoint may be written although its body was told that it was too late.
    assert [one for one in runs if one.startswith("steps")] in (
        ["steps-1 from 0"],
        ["steps-1 from 0", "steps-1 from 1"],
        ["steps-1 from 0", "steps-1 from 2"],
    )
    assert "database or disk is full; free space in" in lines[0]
    assert len(told(caplog, "write_refused")) <= 4
    assert len(told(caplog, "heartbeat_refused")) <= 4
    if disk.path.name == "disk":
        assert any("bytes are free beside" in problem for problem in problems)


# --- the log of an outage


def test_a_line_of_a_kind_is_told_once_in_a_while() -> None:
    """
    The next one says how many were kept back; kinds do not hold up each other.
    """
    complaints = Complaints()

    assert complaints.tell("a", 0) == 0
    assert [complaints.tell("a", at) for at in (1, 500, AGAIN - 1)] == [None] * 3
    assert complaints.tell("b", 500) == 0
    assert complaints.tell("a", AGAIN) == 3
    assert complaints.tell("a", 2 * AGAIN) == 0
    assert (and_more(0), and_more(3)) == ("", " (and 3 more like it)")


def test_the_end_is_told_when_the_last_part_works_again() -> None:
    """
    Once, and only after a complaint.
    """
    complaints = Complaints()

    assert not complaints.worked("read", 0)
    complaints.failed("store", "read", 0)
    complaints.failed("store", "write", 1)
    assert [complaints.worked(part, 2) for part in ("read", "other", "write", "write")] == [False, False, True, False]


def test_an_end_without_a_line_before_it_is_not_told() -> None:
    """
    A store that comes and goes makes no more lines than one that is gone.
    """
    complaints = Complaints()
    complaints.failed("store", "read", 0)

    assert complaints.worked("read", 1)
    assert complaints.failed("store", "read", 2) is None
    assert not complaints.worked("read", 3)
    assert complaints.failed("store", "read", AGAIN) == 1
    assert complaints.worked("read", AGAIN + 1)


def test_a_failure_that_is_not_met_again_is_over_in_time() -> None:
    """
    What was given up must not keep the store in trouble for ever.
    """
    complaints = Complaints()
    complaints.failed("store", "claim", 0)

    assert not complaints.worked("read", STALE - 1)
    assert complaints.worked("read", STALE)


def make_core() -> Core:
    """
    Return a core that has joined.
    """
    return Core(
        NodeOptions(node_id="a"), incarnation="first", rng=Random(1), metrics=Metrics(), memory=MemoryTable(),
        lease_held=lambda _: True,
    )  # fmt: skip


def test_an_outage_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """
    Half a minute of questions and writes without an answer: a line of each kind every ten seconds, and one at the end.
    """
    caplog.set_level(logging.INFO, "unomi_scheduler")
    core, error = make_core(), StoreUnavailable("nobody is there")
    core.handle(m.ExecutorsChanged({}), Instant(NOW, 0))
    core.handle(m.Answered(m.AskClock(), Instant(NOW, 0), answer=NOW), Instant(NOW, 0))
    malformed = MemoryStore(SystemClock())
    malformed.plant("ill", {"itemId": "ill"})
    core.discovery.adopt(malformed.find_unplaced(limit=1), Instant(NOW, 0))
    asked = 0
    for boot in range(0, 30_000, 50):
        now = Instant(NOW + boot, boot)
        for command in core.advance(now):
            if isinstance(command, m.Ask):
                asked += 1
                core.handle(m.Answered(command.query, now, error=error), now)
            elif isinstance(command, m.Batch):
                core.handle(m.Committed(command.number, [Outcome(Result.UNKNOWN, error=error)]), now)
    outage = list(caplog.records)
    end = Instant(NOW + 30_000, 30_000)
    questions = [command.query for command in core.advance(end) if isinstance(command, m.Ask)]
    page = Page(list=(), offset=0, page_size=-1, total_size=0)
    nothing: dict[type, Any] = {m.AskClock: NOW + 30_000, m.AskHeartbeats: (), m.AskSlots: (), m.AskRecords: page}
    for query in (*questions, m.AskClock(), m.AskClock()):
        core.handle(m.Answered(query, end, answer=nothing.get(type(query), Found())), end)
    for boot in range(30_000, 70_000, 1_000):
        now = Instant(NOW + boot, boot)
        for command in core.advance(now):
            if isinstance(command, m.Batch):
                outcomes = malformed.write(command.writes)
                core.handle(m.Committed(command.number, outcomes), now)
        core.handle(m.Answered(m.AskClock(), now, answer=NOW + boot), now)

    assert asked > 15
    assert [getattr(record, "action", "") for record in outage].count("query_failed") == 3
    assert [getattr(record, "action", "") for record in outage].count("write_refused") == 3
    assert len(outage) == 6
    assert "more like it): nobody is there" in outage[-1].getMessage()
    assert told(caplog, "store_back") == ["The store is back: the node goes on"]
    (kept,) = malformed.tasks(["ill"])
    assert kept is not None
    assert isinstance(kept.record, Malformed)
