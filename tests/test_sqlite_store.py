"""
What is the SQLite store's own: several processes, crashes, full disks, waits and plans.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.factories import NOW, make_due_task, make_task
from tests.sqlite_support import DUE, by_hand, create, refusals
from unomi_scheduler.errors import ConfigurationError, SchedulerError, StoreRefused, StoreUnavailable
from unomi_scheduler.model import evolve
from unomi_scheduler.ports import Action, OwnedQuery, Result, TaskQuery, Write
from unomi_scheduler.stores import sqlite_queries
from unomi_scheduler.stores.batches import body_of
from unomi_scheduler.stores.gate import Gate
from unomi_scheduler.stores.sqlite import SqliteStore
from unomi_scheduler.stores.sqlite_transaction import commit, item_of

PROCESS = Path(__file__).with_name("sqlite_process.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """
    Where the database is.
    """
    return tmp_path / "tasks.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """
    A store in a new file.
    """
    store = SqliteStore(path)
    store.open()
    yield store
    store.close()


@contextmanager
def process(verb: str, path: Path, argument: object) -> Iterator[subprocess.Popen[str]]:
    """
    Run `sqlite_process.py` until it is ready to begin; it does not outlive the block.
    """
    command = [sys.executable, str(PROCESS), verb, str(path), str(argument)]
    with subprocess.Popen(
        command, cwd=PROCESS.parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def begin(*children: subprocess.Popen[str]) -> None:
    """
    Let processes that are ready begin.
    """
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()


def answer(child: subprocess.Popen[str]) -> Any:
    """
    Wait for a line of a process.
    """
    assert child.stdout is not None
    return json.loads(child.stdout.readline())


class TestProcesses:
    """
    Several processes on one file.
    """

    def test_two_processes_race_fairly_and_never_share_a_version(self, store: SqliteStore, path: Path) -> None:
        """
        From both ends of one list they claim each task once, and meet near the middle.
        """
        create(store, *(make_due_task() for _ in range(400)))
        with process("claim", path, "first") as one, process("claim", path, "last") as two:
            begin(one, two)
            first, last = answer(one), answer(two)

        assert len({*first, *last}) == len(first) + len(last) == 400
        assert min(len(first), len(last)) / max(len(first), len(last)) >= 0.5

    def test_what_was_acknowledged_survives_a_kill(self, store: SqliteStore, path: Path) -> None:
        """
        After `kill -9` in the middle of its writes every acknowledged batch is there, and no half of one.
        """
        with process("fill", path, 50) as child:
            begin(child)
            acknowledged = [task_id for _ in range(10) for task_id in answer(child)]
            child.kill()
            child.wait()
            assert child.stdout is not None
            acknowledged += [task_id for line in child.stdout if line.endswith("]\n") for task_id in json.loads(line)]
        store.close()
        again = SqliteStore(path)
        again.open()

        assert None not in again.tasks(acknowledged)
        assert again.find(TaskQuery(limit=0)).total_size % 50 == 0
        assert again.check().problems == ()
        again.close()

    def test_a_forked_child_uses_connections_of_its_own(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A connection must not cross a fork.
        """
        create(store, make_task(id="a"))
        (mine,) = store._connections._idle
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert store.tasks(["a"]) != [None]

        (childs,) = store._connections._idle
        assert childs.connection is not mine.connection
        assert store._connections._retired == [mine]
        store.close()
        assert store._connections._retired == [mine]
        assert mine.connection.execute("SELECT 1").fetchone() == (1,)


class TestDurability:
    """
    What is done is done, and what is refused is not.
    """

    def test_every_commit_is_synced(self, store: SqliteStore) -> None:
        """
        A write-ahead log, synced at each commit.
        """
        facts = store.check().facts

        assert (facts["journal mode"], facts["synchronous"]) == ("wal", "2")

    def test_a_full_database_refuses_and_recovers(self, store: SqliteStore) -> None:
        """
        All items of the call are refused, nothing of it is done, reads go on, and with room again writes do.
        """
        create(store, make_task(id="before"))
        with store._connections.one() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count={pages + 4}")
        many = [make_task(parameters={"text": "x" * 5_000}) for _ in range(50)]

        assert refusals(store, *many) == [StoreRefused] * 50
        assert store.tasks([task.id for task in many]) == [None] * 50
        assert store.tasks(["before"]) != [None]

        with store._connections.one() as connection:
            connection.execute("PRAGMA max_page_count=1000000")
        assert len(create(store, *many)) == 50

    def test_a_file_that_may_not_grow_never_lies(self, store: SqliteStore, path: Path) -> None:
        """
        Beyond a limit of the file size a batch is refused or unknown as a whole, and here not done.
        """
        with process("overflow", path, 400_000) as child:
            begin(child)
            results, there, batch = answer(child)

        assert len(results) == 1
        assert results[0] in {"refused", "unknown"}
        assert there == 0
        assert batch > 0
        assert store.find(TaskQuery(limit=0)).total_size == batch * 10

    @pytest.mark.parametrize(
        ("code", "result", "error"),
        [
            (sqlite3.SQLITE_IOERR_FSYNC, Result.UNKNOWN, StoreUnavailable),
            (sqlite3.SQLITE_IOERR_WRITE, Result.UNKNOWN, StoreUnavailable),
            (sqlite3.SQLITE_FULL, Result.REFUSED, StoreRefused),
            (sqlite3.SQLITE_BUSY, Result.REFUSED, StoreRefused),
        ],
    )
    def test_a_commit_that_fails(
        self, store: SqliteStore, path: Path, code: int, result: Result, error: type[SchedulerError]
    ) -> None:
        """
        Unless the error proves that nothing was written, the outcome is unknown.
        """
        write = Write(Action.CREATE, make_task())
        body = body_of(write)
        assert isinstance(body, bytes)

        class Failing(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    failure = sqlite3.OperationalError("made up")
                    failure.sqlite_errorcode = code
                    raise failure
                return super().execute(sql, *parameters)

        with closing(sqlite3.connect(path, factory=Failing, isolation_level=None)) as connection:
            (outcome,) = commit(connection, [item_of(write, body)], str(path))

        assert outcome.result is result
        assert type(outcome.error) is error

    def test_a_re_created_file_never_accepts_an_old_version(self, store: SqliteStore, path: Path) -> None:
        """
        A running handle notices the new file, and the old version does not fit it.
        """
        task = make_task()
        (old,) = create(store, task)
        for name in ("tasks.db", "tasks.db-wal", "tasks.db-shm"):
            path.with_name(name).unlink(missing_ok=True)
        assert refusals(store, make_task()) == [ConfigurationError]
        other = SqliteStore(path)
        other.open()
        (new,) = create(other, task)

        assert old.index != new.index
        assert old.seq_no == new.seq_no
        assert [one.result for one in store.write([Write(Action.REPLACE, task, old)])] == [Result.MISSING]
        assert [one.result for one in store.write([Write(Action.REPLACE, task, new)])] == [Result.WRITTEN]
        other.close()

    def test_closing_leaves_one_file(self, store: SqliteStore, path: Path) -> None:
        """
        The last to close writes the log back; a closed store works again when it is used.
        """
        create(store, make_task(id="a"))
        store.close()

        assert sorted(one.name for one in path.parent.iterdir()) == ["tasks.db", "tasks.db.gate"]
        assert store.tasks(["a"]) != [None]


class TestWaiting:
    """
    Whoever cannot write in time is told that nothing was done.
    """

    def test_a_kept_gate_refuses_in_time(self, store: SqliteStore, path: Path) -> None:
        """
        The lane's time-out holds, nothing is done, and reads do not wait.
        """
        lane, task = store.lane(0.05), make_task()
        with Gate(f"{path}.gate").held(1):
            assert refusals(lane, task) == [StoreRefused]
            assert lane.tasks([task.id]) == [None]
            lane.close()

        assert len(create(lane, task)) == 1
        lane.close()

    def test_a_gate_given_up_is_given_back(self, path: Path) -> None:
        """
        A turn that comes too late goes to the next in the queue.
        """
        first, second = Gate(f"{path}.gate"), Gate(f"{path}.gate")
        with first.held(1), pytest.raises(StoreRefused, match="nothing was done"), second.held(0.01):
            pytest.fail("two hold the gate")
        with first.held(5), pytest.raises(StoreRefused), second.held(0):
            pytest.fail("two hold the gate")
        with second.held(5):
            pass

    def test_a_gate_without_threads_refuses(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Where no thread can wait, the write is refused at once.
        """

        def start(self: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)
        first, second = Gate(f"{path}.gate"), Gate(f"{path}.gate")
        with first.held(1), pytest.raises(StoreRefused, match="can't start"), second.held(1):
            pytest.fail("two hold the gate")

    @pytest.mark.parametrize(
        ("number", "error"),
        [(errno.EMFILE, StoreRefused), (errno.ENOSPC, StoreRefused), (errno.EACCES, ConfigurationError)],
    )
    def test_a_gate_that_cannot_be_opened(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, number: int, error: type[SchedulerError]
    ) -> None:
        """
        What passes is refused for now; what a person must put right is said.
        """

        def fail(*_: object) -> int:
            raise OSError(number, "made up")

        monkeypatch.setattr(os, "open", fail)
        assert refusals(store, make_task()) == [error]

    def test_a_system_out_of_locks_refuses(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Nothing is done without the gate.
        """

        def fail(*_: object) -> None:
            raise OSError(errno.ENOLCK, "made up")

        monkeypatch.setattr(fcntl, "flock", fail)
        assert refusals(store, make_task()) == [StoreRefused]

    def test_another_program_s_transaction_refuses_in_time(self, store: SqliteStore, path: Path) -> None:
        """
        Someone who writes past the gate is waited for, but not without end.
        """
        lane = store.lane(0.05)
        with by_hand(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            assert refusals(lane, make_task()) == [StoreRefused]
            connection.execute("ROLLBACK")

        assert len(create(lane, make_task())) == 1
        lane.close()


class TestPlans:
    """
    Searches read an index that holds only what they look for.
    """

    @pytest.mark.parametrize(
        ("query", "index"),
        [
            (sqlite_queries.due(DUE), "tasks_due ((due,id)>(?,?) AND due<?)"),
            (sqlite_queries.owned(OwnedQuery(except_incarnations=frozenset({"a"}), limit=1)), "tasks_owned (id>?)"),
            (sqlite_queries.waiting(on="a", limit=1, after=None), "tasks_waiting (id>?)"),
            (sqlite_queries.unplaced(limit=1), "tasks_unplaced"),
            (sqlite_queries.marked(limit=1), "tasks_deleting"),
            (sqlite_queries.completed(before=1, limit=1), "tasks_completed (last_execution<?)"),
            (sqlite_queries.listed_ids(TaskQuery()), "tasks_listed"),
            (sqlite_queries.listed_count(TaskQuery()), "tasks_listed"),
        ],
    )
    def test_searches_use_their_index(self, store: SqliteStore, query: sqlite_queries.Query, index: str) -> None:
        """
        And nothing is sorted afterwards.
        """
        with store._connections.one() as connection:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.parameters)]

        assert plan[0].endswith(index)
        assert not any("TEMP B-TREE" in step for step in plan)

    def test_due_work_costs_the_same_among_many(self, store: SqliteStore) -> None:
        """
        The steps of the search do not grow with the number of stored tasks.
        """
        create(store, *(make_due_task() for _ in range(5)))
        steps = []
        for _ in range(2):
            steps.append(_steps(store))
            create(store, *(make_due_task(next_scheduled_execution=NOW + 1 + number) for number in range(2_000)))
            create(store, *(evolve(make_task(), enabled=False) for _ in range(2_000)))

        assert steps[0] == pytest.approx(_steps(store), rel=0.2)


def _steps(store: SqliteStore) -> int:
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with store._connections.one() as connection:
        connection.set_progress_handler(count, 1)
        query = sqlite_queries.due(DUE)
        assert len(connection.execute(*query).fetchall()) == 5
        connection.set_progress_handler(None, 0)
    return counted
