"""
Files, folders and rows as people leave them, and what the SQLite store makes of them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import make_due_task, make_heartbeat, make_task
from tests.sqlite_support import DUE, by_hand, create, refusals
from unomi_scheduler.errors import ConfigurationError, SchedulerError
from unomi_scheduler.model import Malformed
from unomi_scheduler.ports import Action, Records, Result, TaskQuery, Write
from unomi_scheduler.stores import gate, sqlite
from unomi_scheduler.stores.local_disk import file_system_of, on_network
from unomi_scheduler.stores.sqlite import SqliteStore


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


class TestRowsByHand:
    """
    Rows that people put in or edit.
    """

    def test_an_id_and_a_body_are_enough(self, store: SqliteStore, path: Path) -> None:
        """
        The row has a version, is found as unplaced, and is due once it was written back.
        """
        body = {"itemId": "mine", "taskType": "sample", "nextScheduledExecution": "2025-06-15T15:06:40Z"}
        with by_hand(path) as connection:
            connection.execute("INSERT INTO tasks (id, body) VALUES ('mine', ?)", (json.dumps(body),))
        (found,) = store.find_unplaced(limit=10).tasks
        (outcome,) = store.write([Write(Action.REPLACE, found.record, found.version)])

        assert outcome.result is Result.WRITTEN
        assert store.find_unplaced(limit=10).tasks == ()
        assert [one.record.id for one in store.find_due(DUE).tasks] == ["mine"]

    def test_a_row_put_in_again_never_has_an_old_version(self, store: SqliteStore, path: Path) -> None:
        """
        Neither after our deletion nor after one by hand.
        """
        task = make_task(id="again")
        (version,) = create(store, task)
        store.write([Write(Action.DELETE, task, version)])
        seen = {version}
        for _ in range(2):
            with by_hand(path) as connection:
                connection.execute("DELETE FROM tasks")
                connection.execute(
                    'INSERT INTO tasks (id, body) VALUES (\'again\', \'{"itemId": "again", "taskType": "x"}\')'
                )
            (stored,) = store.tasks(["again"])
            assert stored is not None
            seen.add(stored.version)

        assert len(seen) == 3

    def test_an_edited_body_has_a_new_version_and_is_adopted(self, store: SqliteStore, path: Path) -> None:
        """
        The edit is not overwritten by who read before it, and the search columns follow at the next adoption.
        """
        task = make_due_task(id="edited")
        (old,) = create(store, task)
        with by_hand(path) as connection:
            connection.execute("UPDATE tasks SET body = json_set(body, '$.maxRetries', 9, '$.enabled', json('false'))")
        conflict = store.write([Write(Action.REPLACE, task, old)])
        (found,) = store.find_unplaced(limit=10).tasks
        store.write([Write(Action.REPLACE, found.record, found.version)])

        assert conflict[0].result is Result.CONFLICT
        assert (found.record.max_retries, found.record.enabled) == (9, False)
        assert store.find_due(DUE).tasks == ()

    @pytest.mark.parametrize(
        "body", ["{not json", "[]", "null", "7", "", "{}", None, 5, 2.5, b"\xff\xfe{}", b'{"itemId": "\xff"}', b"\x00"]
    )
    def test_any_body_is_malformed_at_worst(self, store: SqliteStore, path: Path, body: object) -> None:
        """
        Whatever stands in a row, reads and searches go on, and a write back puts it in quarantine.
        """
        good = make_due_task()
        create(store, good, make_due_task(id="broken"))
        with by_hand(path) as connection:
            connection.execute("UPDATE tasks SET body = ? WHERE id = 'broken'", (body,))
        found = store.find_due(DUE)
        (malformed,) = found.malformed
        page = store.find(TaskQuery())
        store.write([Write(Action.REPLACE, malformed.record, malformed.version)])

        assert [one.record for one in found.tasks] == [good]
        assert malformed.record.id == "broken"
        assert (page.list, page.total_size) == ((good,), 1)
        assert store.find_due(DUE).malformed == store.find_unplaced(limit=10).malformed == ()
        (kept,) = store.tasks(["broken"])
        assert kept is not None
        assert isinstance(kept.record, Malformed)

    def test_what_was_unreadable_is_kept_in_quarantine(self, store: SqliteStore, path: Path) -> None:
        """
        The text that stood there can still be repaired.
        """
        with by_hand(path) as connection:
            connection.execute("INSERT INTO tasks (id, body) VALUES ('broken', '{\"itemId\": ')")
        (malformed,) = store.find_unplaced(limit=10).malformed
        store.write([Write(Action.REPLACE, malformed.record, malformed.version)])
        (kept,) = store.tasks(["broken"])

        assert kept is not None
        assert isinstance(kept.record, Malformed)
        assert kept.record.document["unreadable"] == '{"itemId": '

    def test_broken_heartbeats_and_slots_are_left_out(self, store: SqliteStore, path: Path) -> None:
        """
        One bad row does not hide the living.
        """
        beat = make_heartbeat()
        store.write([Write(Action.CREATE, beat)])
        with by_hand(path) as connection:
            connection.execute("INSERT INTO heartbeats (id, body) VALUES ('a', '{'), ('b', '{}'), ('c', NULL)")
            connection.execute("INSERT INTO slots (id, body) VALUES ('a', '{}')")

        assert [one.record for one in store.heartbeats()] == [beat]
        assert [one.record for one in store.heartbeats(["a", beat.id, "b"])] == [beat]
        assert store.slots() == store.slots(["a"]) == []

    def test_an_id_that_is_no_text_is_not_there(self, store: SqliteStore) -> None:
        """
        It is neither found nor stored, and nothing raises.
        """
        task = make_task(id="good")
        create(store, task)
        read = store.tasks(["\ud800", "good"])

        assert [one and one.record for one in read] == [None, task]
        assert store.write([Write(Action.CREATE, make_task(id="\ud800"))])[0].result is Result.REFUSED

    def test_a_date_out_of_range_is_refused(self, store: SqliteStore) -> None:
        """
        Only its own item is.
        """
        outcomes = store.write(
            [Write(Action.CREATE, make_task(creation_date=10**18)), Write(Action.CREATE, make_task())]
        )

        assert [one.result for one in outcomes] == [Result.REFUSED, Result.WRITTEN]


class TestPlaces:
    """
    Files and folders that will not do.
    """

    def test_a_file_that_is_no_database(self, path: Path) -> None:
        """
        It is refused with what to do, by every verb, and stays as it is.
        """
        path.write_text("a letter to someone " * 100)
        store = SqliteStore(path)

        with pytest.raises(ConfigurationError, match="move the file away"):
            store.open()
        with pytest.raises(ConfigurationError):
            store.tasks(["a"])
        assert refusals(store, make_task()) == [ConfigurationError]
        assert store.check().problems
        assert path.read_text().startswith("a letter")

    def test_another_program_s_database(self, path: Path) -> None:
        """
        Nothing is put into it.
        """
        with by_hand(path) as connection:
            connection.execute("CREATE TABLE letters (text)")

        with pytest.raises(ConfigurationError, match="another program"):
            SqliteStore(path).open()
        assert refusals(SqliteStore(path), make_task()) == [ConfigurationError]
        with by_hand(path) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    def test_an_older_schema_is_upgraded(self, store: SqliteStore, path: Path) -> None:
        """
        The documents stay, and lists and searches go on; several openings do it once.
        """
        store.close()
        with by_hand(path) as connection:
            connection.execute("DROP INDEX tasks_listed")
            connection.execute("DROP INDEX tasks_records")
            connection.execute("ALTER TABLE tasks DROP COLUMN record_of")
            connection.execute("CREATE INDEX tasks_listed ON tasks (created, id) WHERE quarantine IS NULL")
            body = '{"itemId": "old", "taskType": "sample"}'
            connection.execute("INSERT INTO tasks (id, body) VALUES ('old', ?)", (body,))
            connection.execute("UPDATE meta SET value = 1 WHERE key = 'schema'")
        before = SqliteStore(path).check().problems
        for _ in range(2):
            again = SqliteStore(path)
            again.open()
        page = again.find(TaskQuery())

        assert any("start a node once" in problem for problem in before)
        assert [task.id for task in page.list] == ["old"]
        assert again.find(TaskQuery(records=Records.ONLY)).total_size == 0
        assert again.check().problems == ()
        again.close()

    def test_a_newer_schema(self, store: SqliteStore, path: Path) -> None:
        """
        An older program says that it is too old.
        """
        with by_hand(path) as connection:
            connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")

        with pytest.raises(ConfigurationError, match="upgrade"):
            store.open()

    def test_a_newer_schema_is_a_defect(self, store: SqliteStore, path: Path) -> None:
        """
        Also of a store that was open before.
        """
        with by_hand(path) as connection:
            connection.execute("UPDATE meta SET value = 99 WHERE key = 'schema'")
        (defect,) = store.defects()

        assert "has schema 99" in defect
        assert "upgrade the scheduler" in defect

    def test_a_damaged_meta_table(self, store: SqliteStore, path: Path) -> None:
        """
        Without an identity no version can be given, so nothing is written.
        """
        with by_hand(path) as connection:
            connection.execute("DELETE FROM meta WHERE key = 'identity'")

        assert refusals(store, make_task()) == [ConfigurationError]

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        """
        It is named.
        """
        with pytest.raises(ConfigurationError, match="nowhere does not exist"):
            SqliteStore(tmp_path / "nowhere" / "tasks.db").open()

    def test_a_folder_in_place_of_a_file(self, tmp_path: Path) -> None:
        """
        An error of the port, not of SQLite.
        """
        with pytest.raises(SchedulerError):
            SqliteStore(tmp_path).open()

    def test_a_missing_file(self, path: Path) -> None:
        """
        A store that was never opened makes no file.
        """
        store = SqliteStore(path)

        with pytest.raises(ConfigurationError, match="open the store"):
            store.find_due(DUE)
        assert refusals(store, make_task()) == [ConfigurationError]
        assert store.check().problems == ()
        assert store.check().facts["content"] == "nothing there yet; the first node makes it"
        assert not path.exists()

    def test_a_file_that_was_taken_away(self, store: SqliteStore, path: Path) -> None:
        """
        Where there was one, its absence is a problem.
        """
        path.unlink()

        assert "put the file back" in store.check().problems[0]

    def test_a_network_file_system(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        It is refused before a file is made.
        """
        monkeypatch.setattr(sqlite, "file_system_of", lambda _: "nfs4")

        with pytest.raises(ConfigurationError, match="nfs4"):
            SqliteStore(path).open()
        assert not path.exists()

    def test_the_file_system_is_known(self, path: Path) -> None:
        """
        Where the system tells, local is local.
        """
        assert not on_network(file_system_of(str(path)))
        assert on_network("nfs")
        assert on_network("fuse.sshfs")
        assert not on_network(None)

    def test_a_system_without_flock(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The message says what to use instead.
        """
        monkeypatch.setattr(gate, "fcntl", None)

        with pytest.raises(ConfigurationError, match="Elasticsearch"):
            SqliteStore(path)

    def test_one_gate_by_whatever_name(self, store: SqliteStore, path: Path) -> None:
        """
        A link to the file leads to the same gate.
        """
        link = path.with_name("link.db")
        link.symlink_to(path)

        assert SqliteStore(link)._path == store._path

    def test_the_report_tells_versions_and_place(self, store: SqliteStore, path: Path) -> None:
        """
        Facts, not problems.
        """
        report = store.check()

        assert report.problems == ()
        assert report.facts["sqlite"].startswith(sqlite3.sqlite_version)
        assert report.facts["path"] == str(path)
        assert report.facts["tasks"] == "0"
