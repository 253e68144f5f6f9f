"""
The Elasticsearch store on a real server: the contract, its indices, and what it says when something breaks.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch, helpers

# It asks pytest to explain the asserts of the modules that are imported after it.
from tests.store_contract import StoreContract

# isort: split
from integration_tests.faults.proxy import FaultProxy
from tests.contract.support import create, due_query, ids, put, read_one, remove, results, save, written
from tests.factories import NOW, make_due_task, make_heartbeat, make_row, make_slot, make_task
from unomi_scheduler.errors import ConfigurationError, InvalidTask, StoreRefused, StoreUnavailable
from unomi_scheduler.model import TaskStatus, evolve
from unomi_scheduler.ports import SORT_FIELDS, HistoryQuery, Outcome, Result, TaskQuery, TaskStore
from unomi_scheduler.service.listing import in_order
from unomi_scheduler.stores.elasticsearch import ElasticsearchStore
from unomi_scheduler.stores.elasticsearch.mapping import (
    HISTORY_PROPERTIES,
    META_KEY,
    Kind,
    mappings_of,
    monthly_mappings,
    write_alias_of,
)
from unomi_scheduler.stores.options import ElasticsearchOptions

MakeStore = Callable[..., ElasticsearchStore]


def open_store(url: str, prefix: str, **options: Any) -> ElasticsearchStore:
    """
    Return an opened store.
    """
    store = ElasticsearchStore.from_url(url, index_prefix=prefix, options=ElasticsearchOptions(**options))
    store.open()
    return store


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
    name = f"test-{uuid4().hex[:12]}"
    yield name
    for index in names_of(admin, name):
        admin.indices.delete(index=index)


@pytest.fixture
def make_store(elasticsearch_url: str, prefix: str) -> Iterator[MakeStore]:
    """
    Return a function that opens one more handle on the test's own indices.
    """
    opened = []

    def make(url: str = elasticsearch_url, **options: Any) -> ElasticsearchStore:
        opened.append(open_store(url, prefix, **options))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store: MakeStore) -> ElasticsearchStore:
    """
    Return an opened store on indices of the test's own.
    """
    return make_store()


@pytest.fixture
def proxy(elasticsearch_url: str) -> Iterator[FaultProxy]:
    """
    Return a network in front of the server that the test may break.
    """
    with FaultProxy.to(elasticsearch_url) as one:
        yield one


def names_of(admin: Elasticsearch, prefix: str) -> list[str]:
    """
    Return the concrete indices that begin with a prefix.
    """
    return sorted(admin.indices.get(index=f"{prefix}*", expand_wildcards="all"))


@pytest.fixture(scope="module")
def shared(admin: Elasticsearch, elasticsearch_url: str) -> Iterator[str]:
    """
    Return the prefix of the indices that the contract's tests share.
    """
    name = f"contract-{uuid4().hex[:12]}"
    open_store(elasticsearch_url, name).close()
    yield name
    for index in names_of(admin, name):
        admin.indices.delete(index=index)


class TestElasticsearchStore(StoreContract):
    """
    The contract; its tests share indices, which are emptied before each.
    """

    @pytest.fixture
    def make_store(self, elasticsearch_url: str, shared: str) -> Iterator[MakeStore]:
        """
        Return a function that opens one more handle on the shared indices.
        """
        opened = []

        def make() -> ElasticsearchStore:
            opened.append(open_store(elasticsearch_url, shared))
            return opened[-1]

        yield make
        for one in opened:
            one.close()

    @pytest.fixture
    def store(self, admin: Elasticsearch, shared: str, make_store: MakeStore) -> ElasticsearchStore:
        """
        Return an opened store without documents.
        """
        admin.indices.refresh(index=f"{shared}*")
        hits = helpers.scan(admin, index=f"{shared}*", _source=False)
        helpers.bulk(admin, ({"_op_type": "delete", "_index": one["_index"], "_id": one["_id"]} for one in hits))
        admin.indices.refresh(index=f"{shared}*")
        return make_store()

    @pytest.fixture
    def plant(self, admin: Elasticsearch, shared: str) -> Callable[[str, dict[str, Any]], None]:
        """
        Return a function that writes a document as another program would.
        """
        return lambda name, document: plant_in(admin, shared, name, document)


def plant_in(admin: Elasticsearch, prefix: str, name: str, document: dict[str, Any]) -> None:
    """
    Write a document past our codec.
    """
    admin.index(index=f"{prefix}-scheduledtask", id=name, document=document)


class TestIndices:
    """
    Making, finding and refusing indices.
    """

    def test_eight_that_start_together_leave_one_index_of_each_kind(
        self, make_store: MakeStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        Creation is decided by the cluster; the losers use the winner's index.
        """
        barrier = threading.Barrier(8)

        def start(_: int) -> ElasticsearchStore:
            barrier.wait(10)
            return make_store()

        with ThreadPoolExecutor(8) as pool:
            stores = list(pool.map(start, range(8)))
        versions = [put(one, make_task())[0] for one in stores]

        assert len(names_of(admin, prefix)) == len(Kind)
        assert len({version.index for version in versions}) == 1

    def test_opening_again_changes_nothing(self, make_store: MakeStore, admin: Elasticsearch, prefix: str) -> None:
        """
        `open` may be repeated on one store and by another.
        """
        store = make_store()
        before = admin.indices.get(index=f"{prefix}*").body
        store.open()
        make_store()

        assert before == admin.indices.get(index=f"{prefix}*").body

    def test_the_index_is_as_configured(self, make_store: MakeStore, admin: Elasticsearch, prefix: str) -> None:
        """
        Shards, refresh and replicas come from the options; nothing is mapped by guessing.
        """
        make_store(shards=2, replicas=0, refresh_interval="250ms")
        ((_, shown),) = admin.indices.get(index=f"{prefix}-scheduledtask").items()
        settings = shown["settings"]["index"]

        assert tuple(settings[name] for name in ("number_of_shards", "number_of_replicas", "refresh_interval")) == (
            "2",
            "0",
            "250ms",
        )
        assert settings["translog"] == {"durability": "request"}
        assert shown["mappings"]["dynamic"] == "false"

    def test_a_version_of_a_recreated_index_is_refused(
        self, store: ElasticsearchStore, make_store: MakeStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        The same document at the same seq_no and term, in an index of the same name: another identity.
        """
        task = make_task()
        (old,) = put(store, task)
        drop(admin, prefix)
        (new,) = put(make_store(), task)

        assert (old.seq_no, old.primary_term) == (new.seq_no, new.primary_term)
        assert results(store.write([save(task, old)])) == [Result.MISSING]
        assert results(store.write([remove(task, old)])) == [Result.MISSING]
        assert new == read_one(store, task.id).version

    def test_a_creation_finds_the_recreated_index(
        self, store: ElasticsearchStore, make_store: MakeStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        A store that knows the old index writes new documents to the new one, tasks and slots alike.
        """
        put(store, make_task())
        drop(admin, prefix)
        make_store()
        task, slot = make_task(), make_slot()
        put(store, task, slot)

        assert task == read_one(store, task.id).record
        assert [slot] == [one.record for one in store.slots([slot.id])]

    def test_writes_to_a_deleted_index_make_no_index(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        Nothing is created by a write, whatever the server would do by itself.
        """
        task, beat = make_task(), make_heartbeat()
        old, old_beat = put(store, task, beat)
        drop(admin, prefix)
        outcomes = store.write(
            [save(task, old), remove(make_task(), old), create(make_task()), create(make_slot()), save(beat, old_beat)]
        )

        assert results(outcomes) == [Result.MISSING, Result.MISSING, Result.REFUSED, Result.REFUSED, Result.MISSING]
        assert isinstance(outcomes[2].error, ConfigurationError)
        assert "missing" in str(outcomes[2].error)
        assert names_of(admin, prefix) == []

    def test_a_read_of_a_deleted_index_is_an_error(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        No index is not the same as no documents.
        """
        drop(admin, prefix)

        with pytest.raises(ConfigurationError, match="missing"):
            store.tasks(["one"])
        with pytest.raises(ConfigurationError, match="missing"):
            store.find_due(due_query())

    def test_the_original_s_index_is_refused_with_the_way_out(
        self, make_store: MakeStore, admin: Elasticsearch, prefix: str, elasticsearch_url: str
    ) -> None:
        """
        A concrete index of the alias's name is not ours; doctor says the same.
        """
        admin.indices.create(index=f"{prefix}-scheduledtask")
        command = f"unomi-scheduler import --from-index {prefix}-scheduledtask"
        closed = ElasticsearchStore.from_url(elasticsearch_url, index_prefix=prefix, options=ElasticsearchOptions())

        with pytest.raises(ConfigurationError, match=command):
            make_store()
        assert any(command in problem for problem in closed.check().problems)
        closed.close()

    def test_an_alias_of_several_indices_is_refused(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        Two indices would be two truths.
        """
        admin.indices.create(index=f"{prefix}-other", aliases={f"{prefix}-scheduledtask": {}})

        with pytest.raises(ConfigurationError, match="several"):
            store.open()

    def test_an_index_that_was_put_behind_the_alias_gets_its_own_name_for_writes(
        self, make_store: MakeStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        An administrator may swap in a copy; opening makes it usable.
        """
        admin.indices.create(
            index=f"{prefix}-copy", mappings=mappings_of(Kind.TASK), aliases={f"{prefix}-scheduledtask": {}}
        )
        (version,) = put(make_store(), make_task())

        assert version.index == f"{prefix}-copy"

    def test_an_older_mapping_is_upgraded(
        self, make_store: MakeStore, admin: Elasticsearch, prefix: str, elasticsearch_url: str
    ) -> None:
        """
        Missing fields are added in place and the version is written; doctor names it before.
        """
        older = {"dynamic": False, "_meta": {META_KEY: {"mappingVersion": 0}}, "properties": {}}
        admin.indices.create(
            index=f"{prefix}-scheduledtask-v1-old", mappings=older, aliases={f"{prefix}-scheduledtask": {}}
        )
        closed = ElasticsearchStore.from_url(elasticsearch_url, index_prefix=prefix, options=ElasticsearchOptions())
        before = closed.check().problems
        make_store()
        ((_, shown),) = admin.indices.get_mapping(index=f"{prefix}-scheduledtask").items()

        assert any("mapping version 0" in problem for problem in before)
        assert shown["mappings"]["_meta"] == mappings_of(Kind.TASK)["_meta"]
        assert shown["mappings"]["properties"].keys() == mappings_of(Kind.TASK)["properties"].keys()
        assert closed.check().problems == ()
        closed.close()

    def test_a_newer_mapping_is_refused(self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str) -> None:
        """
        An older program would leave out what the newer one relies on.
        """
        admin.indices.put_mapping(index=f"{prefix}-scheduledtask", meta={META_KEY: {"mappingVersion": 99}})

        with pytest.raises(ConfigurationError, match=r"mapping version 99.*newer"):
            store.open()
        assert any("mapping version 99" in problem for problem in store.check().problems)


def drop(admin: Elasticsearch, prefix: str) -> None:
    """
    Delete all indices of a prefix, as an administrator by mistake.
    """
    for index in names_of(admin, prefix):
        admin.indices.delete(index=index)


class TestRefusals:
    """
    What the server does not take.
    """

    def test_a_write_block_is_a_refusal_that_says_what_to_do(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        Each item is refused, doctor names the block, and all goes on when it is lifted.
        """
        task = make_task()
        (version,) = put(store, task)
        admin.indices.put_settings(index=f"{prefix}-scheduledtask", settings={"index.blocks.write": True})
        blocked = store.write([save(task, version), create(make_task())])

        assert results(blocked) == [Result.REFUSED] * 2
        assert isinstance(blocked[0].error, StoreRefused)
        assert "index.blocks.write" in str(blocked[0].error)
        assert any("index.blocks.write" in problem for problem in store.check().problems)

        admin.indices.put_settings(index=f"{prefix}-scheduledtask", settings={"index.blocks.write": None})
        written(store.write([save(task, version)])[0])

    def test_the_block_of_a_full_disk_is_a_refusal_that_says_so(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        The block the server sets at its flood stage; reads go on.
        """
        task = make_task()
        (version,) = put(store, task)
        block = "index.blocks.read_only_allow_delete"
        admin.indices.put_settings(index=f"{prefix}-scheduledtask", settings={block: True})
        (outcome,) = store.write([save(task, version)])

        assert outcome.result is Result.REFUSED
        assert isinstance(outcome.error, StoreRefused)
        assert "disk" in str(outcome.error)
        assert any(block in problem and "disk" in problem for problem in store.check().problems)
        assert task == read_one(store, task.id).record
        admin.indices.put_settings(index=f"{prefix}-scheduledtask", settings={block: None})

    def test_a_closed_index_is_a_matter_for_a_person(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        Not the document's fault.
        """
        admin.indices.close(index=f"{prefix}-scheduledtask")
        (outcome,) = store.write([create(make_task())])

        assert outcome.result is Result.REFUSED
        assert isinstance(outcome.error, ConfigurationError)

    def test_a_document_the_server_does_not_take_is_refused_alone(self, store: ElasticsearchStore) -> None:
        """
        The refusal carries the server's reason; its neighbours are written.
        """
        huge, overflow = make_task(task_type="x" * 40_000), make_task(failure_count=2**40)
        outcomes = store.write([create(huge), create(make_task()), create(overflow)])

        assert results(outcomes) == [Result.REFUSED, Result.WRITTEN, Result.REFUSED]
        assert isinstance(outcomes[0].error, InvalidTask)
        assert "taskType" in str(outcomes[0].error)
        assert "failureCount" in str(outcomes[2].error)

    @pytest.mark.parametrize("name", ["", "é" * 257])
    def test_an_id_the_server_does_not_take_is_refused_alone(self, store: ElasticsearchStore, name: str) -> None:
        """
        Such an id would make the server refuse the whole batch.
        """
        outcomes = store.write([create(make_task(id=name)), create(make_task())])

        assert results(outcomes) == [Result.REFUSED, Result.WRITTEN]
        assert isinstance(outcomes[0].error, InvalidTask)
        assert store.tasks([name]) == [None]

    def test_a_batch_larger_than_a_request_is_written_in_order(self, store: ElasticsearchStore) -> None:
        """
        The batch goes in several requests; the outcomes stay in order.
        """
        tasks = [make_task(parameters={"text": "x" * 700_000, "number": number}) for number in range(12)]
        outcomes = store.write([create(task) for task in tasks] + [create(make_task(id=""))])
        stored = [read_one(store, task.id) for task in tasks]

        assert [one.version for one in stored] == [written(outcome) for outcome in outcomes[:-1]]
        assert [one.record.parameters["number"] for one in stored] == list(range(12))

    def test_pages_reach_behind_the_server_s_window(self, store: ElasticsearchStore) -> None:
        """
        In every order, with most tasks alike and without a date: the same page that sorting all of them gives.
        """
        numbers = random.Random(7)
        tasks = [
            make_task(
                id=f"{numbers.getrandbits(64):016x}",
                creation_date=NOW + number // 3,
                last_execution_date=None if number < 10_050 else NOW - number,
                next_scheduled_execution=NOW + numbers.randrange(10**10),
                task_type="b" if number < 10_060 else "ac"[number % 2],
                status=TaskStatus.FAILED if number < 10_070 else TaskStatus.SCHEDULED,
                failure_count=number // 10_080,
            )
            for number in range(10_300)
        ]
        for start in range(0, len(tasks), 1_000):
            put(store, *tasks[start : start + 1_000])
        asked = [
            TaskQuery(sort_by=field, descending=descending, offset=offset, limit=limit)
            for field in SORT_FIELDS
            for descending in (False, True)
            for offset, limit in ((9_990, 20), (10_040, 40), (10_250, 100), (10_300, 5))
        ]
        asked += [
            TaskQuery(task_type="b", sort_by="last_execution_date", offset=10_020, limit=60),
            TaskQuery(status=TaskStatus.FAILED, offset=10_030, limit=-1),
        ]

        for query in asked:
            page = store.find(query)
            of_type = [one for one in tasks if query.task_type in (None, one.task_type)]
            wanted = [one for one in of_type if query.status in (None, one.status)]
            expected = in_order(wanted, query)[query.offset :][: query.limit if query.limit >= 0 else None]
            assert [one.id for one in expected] == [one.id for one in page.list], query
            assert (page.total_size, page.page_size) == (len(wanted), query.limit), query

    def test_a_page_has_at_most_ten_thousand_tasks(self, store: ElasticsearchStore) -> None:
        """
        More at once is refused, in words.
        """
        with pytest.raises(InvalidTask, match="at most 10,000"):
            store.find(TaskQuery(limit=10_001))


class TestHistory:
    """
    An index a month.
    """

    def test_the_first_row_makes_its_index(self, make_store: MakeStore, admin: Elasticsearch, prefix: str) -> None:
        """
        With an explicit mapping, whoever is first of eight; a month that needs none has none.
        """
        stores = [make_store(replicas=0) for _ in range(8)]
        barrier = threading.Barrier(8)

        def add(number: int) -> list[Outcome]:
            barrier.wait(10)
            return stores[number].add_history([make_row(id=f"one:{number}"), make_row(id="one:all")])

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(add, range(8)))
        (shown,) = admin.indices.get(index=f"{prefix}-schedulerhistory-*").body.items()

        assert answers == [[Outcome(Result.WRITTEN)] * 2] * 8
        assert shown[0] == f"{prefix}-schedulerhistory-2025.06"
        assert shown[1]["mappings"]["dynamic"] == "false"
        assert shown[1]["mappings"]["properties"].keys() == HISTORY_PROPERTIES.keys()
        assert shown[1]["settings"]["index"]["number_of_replicas"] == "0"
        stores[0].refresh()
        assert stores[0].history(HistoryQuery(task_id="one")).total_size == 9

    def test_the_edge_of_a_month(self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str) -> None:
        """
        UTC; and a month is dropped from the moment on when it is over, not a millisecond before.
        """
        july = 1_751_328_000_000
        store.add_history([make_row(end=july - 1), make_row(end=july)])
        store.refresh()
        name = f"{prefix}-schedulerhistory-2025"

        assert [f"{name}.06", f"{name}.07"] == [one for one in names_of(admin, prefix) if name in one]
        assert store.drop_history(before=july - 1) == 0
        assert store.drop_history(before=july) == 1
        assert [f"{name}.07"] == [one for one in names_of(admin, prefix) if name in one]

    def test_an_index_that_vanishes_is_made_again(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        And never by guessing its mapping.
        """
        store.add_history([make_row()])
        admin.indices.delete(index=f"{prefix}-schedulerhistory-2025.06")

        assert store.add_history([make_row()]) == [Outcome(Result.WRITTEN)]
        shown = admin.indices.get_mapping(index=f"{prefix}-schedulerhistory-2025.06").body
        assert next(iter(shown.values()))["mappings"]["dynamic"] == "false"

    def test_an_index_that_others_restored_gets_its_name_for_writes(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        As from a snapshot that left the aliases out.
        """
        admin.indices.create(index=f"{prefix}-schedulerhistory-2025.06", mappings=monthly_mappings(HISTORY_PROPERTIES))

        assert store.add_history([make_row()]) == [Outcome(Result.WRITTEN)]

    def test_a_write_block_is_a_refusal_of_rows_alone(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        Of this month; tasks and other months go on, and doctor says so.
        """
        store.add_history([make_row()])
        index = f"{prefix}-schedulerhistory-2025.06"
        admin.indices.put_settings(index=index, settings={"index.blocks.write": True})
        answers = store.add_history([make_row(end=NOW + 1), make_row(end=NOW + 40 * 86_400_000)])

        assert results(answers) == [Result.REFUSED, Result.WRITTEN]
        assert results(store.write([create(make_task())])) == [Result.WRITTEN]
        assert any(f"{index} is blocked" in problem for problem in store.check().problems)
        admin.indices.put_settings(index=index, settings={"index.blocks.write": None})
        assert results(store.add_history([make_row(end=NOW + 1)])) == [Result.WRITTEN]

    def test_a_lost_answer_is_unknown_and_again_is_harmless(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        """
        Also where it was the answer to the making of the index.
        """
        store = make_store(proxy.url)
        for number in range(3):
            proxy.drop_responses(1)
            answer = store.add_history([make_row(id=f"one:{number}")])
            assert results(answer)[0] in (Result.UNKNOWN, Result.WRITTEN, Result.REFUSED)
            assert store.add_history([make_row(id=f"one:{number}")]) == [Outcome(Result.WRITTEN)]
        store.refresh()

        assert store.history(HistoryQuery(task_id="one")).total_size == 3

    def test_an_index_that_is_being_made_holds_up_no_answer(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        Of its month nothing is acknowledged yet, so there is no row to miss; the other months are told.
        """
        store.add_history([row := make_row(duration=5)])
        put(store, make_task(task_type=row.task_type))
        store.refresh()
        index, nowhere = f"{prefix}-schedulerhistory-2025.07", {"index.routing.allocation.require._name": "nobody"}
        aliases: dict[str, dict[str, str]] = {write_alias_of(index): {}}
        admin.indices.create(
            index=index,
            settings=nowhere,
            mappings=monthly_mappings(HISTORY_PROPERTIES),
            aliases=aliases,
            wait_for_active_shards="0",
        )

        assert store.history(HistoryQuery(task_id="one")).list == (row,)
        assert [(one.task_type, one.runs) for one in store.summaries(since=0)] == [(row.task_type, 1)]

    def test_the_history_is_among_the_facts(self, store: ElasticsearchStore, prefix: str) -> None:
        """
        How many rows, in how many indices.
        """
        assert store.check().facts[f"{prefix}-schedulerhistory"] == "0 rows in 0 indices"
        store.add_history([make_row(), make_row(end=NOW - 40 * 86_400_000)])
        store.refresh()

        assert store.check().facts[f"{prefix}-schedulerhistory"] == "2 rows in 2 indices"

    def test_junk_among_the_rows_is_passed_over(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        What others put there is not shown, and stops nothing.
        """
        store.add_history([make_row()])
        admin.index(index=f"{prefix}-schedulerhistory-2025.06", document={"taskId": "one", "note": "junk"})
        store.refresh()

        assert store.history(HistoryQuery(task_id="one")).list == (make_row(),)

    def test_a_page_of_rows_behind_the_server_s_window_is_refused_clearly(self, store: ElasticsearchStore) -> None:
        """
        The server sorts no further than 10,000.
        """
        with pytest.raises(InvalidTask, match="10,000"):
            store.history(HistoryQuery(task_id="one", offset=9_951, limit=50))


class TestOddDocuments:
    """
    Documents that other programs left among ours.
    """

    def test_a_cursor_passes_documents_without_an_id(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        They sort behind all others of their due date, and the walk goes on to the next date.
        """
        early, late = make_due_task(), make_due_task(next_scheduled_execution=NOW + 1)
        put(store, early, late)
        odd = {"taskType": "sample", "dueDate": NOW, "partition": 7}
        plant_in(admin, prefix, "odd", odd)
        store.refresh()
        first = store.find_due(due_query(due_before=NOW + 1, limit=2))
        second = store.find_due(due_query(due_before=NOW + 1, limit=2, after=first.after))

        assert ids(first) == [early.id]
        assert [one.record.id for one in first.malformed] == ["odd"]
        assert ids(second) == [late.id]

    def test_junk_among_nodes_and_slots_is_passed_over(
        self, store: ElasticsearchStore, admin: Elasticsearch, prefix: str
    ) -> None:
        """
        One bad document does not hide the good ones.
        """
        beat, slot = make_heartbeat(), make_slot(claim_id="claim-1")
        put(store, beat, slot)
        admin.index(index=f"{prefix}-schedulernode", id="junk", document={"x": 1})
        admin.index(index=f"{prefix}-schedulerslot", id="junk", document={"claimId": "x"})
        store.refresh()

        assert [beat] == [one.record for one in store.heartbeats()]
        assert [slot] == [one.record for one in store.slots()]


class TestNetwork:
    """
    What is known, and what is not, when the network breaks.
    """

    def test_a_lost_answer_is_unknown_and_the_write_was_done(
        self, make_store: MakeStore, proxy: FaultProxy, store: ElasticsearchStore
    ) -> None:
        """
        The client does not send it again, which would call a won claim a conflict.
        """
        task = make_due_task()
        (version,) = put(store, task)
        broken = make_store(proxy.url)
        proxy.drop_responses(1)
        (outcome,) = broken.write([save(evolve(task, claim_id="mine"), version)])

        assert outcome.result is Result.UNKNOWN
        assert type(outcome.error) is StoreUnavailable
        assert read_one(store, task.id).record.claim_id == "mine"

    def test_a_late_write_is_unknown_and_lands_later(
        self, make_store: MakeStore, proxy: FaultProxy, store: ElasticsearchStore
    ) -> None:
        """
        A read straight after the time-out proves nothing.
        """
        task = make_due_task()
        (version,) = put(store, task)
        broken = make_store(proxy.url).lane(0.3)
        assert broken.tasks([]) == []
        proxy.hold_requests()
        (outcome,) = broken.write([save(evolve(task, claim_id="mine"), version)])
        before = read_one(store, task.id).record.claim_id
        proxy.heal()
        until(lambda: read_one(store, task.id).record.claim_id == "mine")
        broken.close()

        assert outcome.result is Result.UNKNOWN
        assert before is None

    def test_a_connection_cut_under_a_write_is_unknown(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        """
        The request was sent; whether it arrived nobody knows.
        """
        broken = make_store(proxy.url)
        task = make_due_task()
        (version,) = put(broken, task)
        proxy.hold_requests()
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(broken.write, [save(task, version)])
            assert proxy.wait_until_held()
            proxy.reset()
            (outcome,) = writing.result(10)

        assert outcome.result is Result.UNKNOWN
        assert type(outcome.error) is StoreUnavailable

    def test_a_read_is_repeated_once_when_its_connection_breaks(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        """
        A read changes nothing, so one lost answer is not worth an error; two are.
        """
        broken = make_store(proxy.url)
        task = make_due_task()
        put(broken, task)
        proxy.drop_responses(1)
        assert task == read_one(broken, task.id).record
        proxy.drop_responses(1)
        assert [task.id] == ids(broken.find_due(due_query()))
        proxy.drop_responses(2)

        with pytest.raises(StoreUnavailable):
            broken.tasks([task.id])

    def test_all_goes_on_when_the_network_heals(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        """
        While every connection is cut nothing is written and nothing pretends to be; the same store serves afterwards.
        """
        broken = make_store(proxy.url)
        task = make_due_task()
        (version,) = put(broken, task)
        proxy.reset()
        outcomes = [broken.write([save(task, version)])[0].result for _ in range(3)]
        with pytest.raises(StoreUnavailable):
            broken.tasks([task.id])
        proxy.heal()

        assert set(outcomes) <= {Result.REFUSED, Result.UNKNOWN}
        written(broken.write([save(task, version)])[0])

    def test_a_black_hole_ends_at_the_time_out(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        """
        Reads, searches and the clock give up; after the heal all is as before.
        """
        broken = make_store(proxy.url).lane(0.3)
        proxy.black_hole()
        for ask in (lambda: broken.tasks(["one"]), lambda: broken.find_due(due_query()), broken.clock, broken.open):
            with pytest.raises(StoreUnavailable):
                ask()
        proxy.heal()

        assert broken.tasks(["one"]) == [None]
        broken.close()

    def test_a_refused_connection_is_a_refusal(self, make_store: MakeStore, proxy: FaultProxy) -> None:
        """
        Nothing was sent, so nothing was done; the rest of a large batch is not even tried.
        """
        broken = make_store(proxy.url)
        task = make_task()
        (version,) = put(broken, task)
        proxy.close()
        outcomes = broken.write([save(task, version), create(make_task())])

        # The kept connection may find out only while it writes.
        assert {outcome.result for outcome in outcomes} <= {Result.REFUSED, Result.UNKNOWN}
        again = broken.write([save(task, version), create(make_task())])
        assert results(again) == [Result.REFUSED] * 2
        assert all(isinstance(outcome.error, StoreRefused) for outcome in again)

    def test_the_next_host_is_asked_when_one_cannot_be_reached(
        self, elasticsearch_url: str, make_store: MakeStore, prefix: str
    ) -> None:
        """
        With several hosts a dead one costs neither writes nor reads.
        """
        dead = f"127.0.0.1:{free_port()}"
        task = make_task()
        both = make_store(f"http://{dead},{elasticsearch_url.removeprefix('http://')}")
        for _ in range(4):
            task = make_task()
            written(both.write([create(task)])[0])
            assert task == read_one(both, task.id).record

    def test_nobody_there_is_said_with_the_address(self, prefix: str) -> None:
        """
        `open` tells what was tried and what to do; `check` tells it too and does not raise.
        """
        url = f"http://127.0.0.1:{free_port()}"
        store = ElasticsearchStore.from_url(url, index_prefix=prefix, options=ElasticsearchOptions())

        with pytest.raises(StoreUnavailable, match=rf"{url}.*is it running"):
            store.open()
        (problem,) = store.check().problems
        assert "no connection" in problem
        store.close()

    def test_a_closed_store_refuses(self, store: ElasticsearchStore) -> None:
        """
        `close` may be repeated; afterwards nothing is sent.
        """
        (version,) = put(store, make_task())
        store.close()
        store.close()

        assert results(store.write([save(make_task(), version)])) == [Result.REFUSED]


def free_port() -> int:
    """
    Return a port where nobody listens.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], attempts: int = 2_000) -> None:
    """
    Ask again until it holds; every question is a request, which is pause enough.
    """
    assert any(holds() for _ in range(attempts))


class TestHealth:
    """
    What doctor says of a server that is well, and the lanes.
    """

    @pytest.mark.smoke
    def test_a_healthy_store_has_facts_and_no_problems(self, store: ElasticsearchStore, prefix: str) -> None:
        """
        Versions, health and documents are shown.
        """
        put(store, make_task(), make_task())
        report = store.check()

        assert report.problems == ()
        assert report.facts["server"].startswith(("8.", "9."))
        assert report.facts["health"] in ("green", "yellow")
        assert "2 documents, mapping version 2" in report.facts[f"{prefix}-scheduledtask"]

    @pytest.mark.smoke
    def test_a_lane_sees_the_same_data(self, store: TaskStore) -> None:
        """
        A lane writes what the store reads, and outlives nothing of it.
        """
        lane = store.lane(1.0)
        beat = make_heartbeat()
        (version,) = put(lane, beat)
        lane.close()

        assert [(beat, version)] == [(one.record, one.version) for one in store.heartbeats([beat.id])]
        assert [Outcome(Result.CONFLICT)] == store.write([create(beat)])


def test_the_changes_of_several_shards_are_found(make_store: MakeStore, prefix: str, elasticsearch_url: str) -> None:
    """
    Each shard numbers by itself, and the same numbers come again in others: none hides another's task.
    """
    store = make_store(shards=3)
    here = store.position()
    put(store, *(make_task(id=f"first-{number:02}") for number in range(20)))
    first = store.changes(here, limit=100)
    put(store, *(make_task(id=f"second-{number:02}") for number in range(20)))

    assert first is not None
    again = store.changes(here, skip=first.marks, limit=100)
    behind = store.changes(first.position, limit=100)
    assert again is not None
    assert behind is not None
    assert len(here.numbers) == 3
    assert len(first.tasks) == len(first.marks) == 20
    assert {one.record.id for one in again.tasks} == {f"second-{number:02}" for number in range(20)}
    assert {one.record.id for one in behind.tasks} == {f"second-{number:02}" for number in range(20)}
    assert again.position == behind.position


def test_a_position_of_an_index_made_anew_is_not_known(
    make_store: MakeStore, admin: Elasticsearch, prefix: str
) -> None:
    """
    Neither before nor after there is another; nothing of the other is taken for what changed.
    """
    store = make_store()
    here = store.position()
    admin.indices.delete(index=here.identity)
    gone = store.changes(here, limit=1)
    store.open()
    put(store, make_task())

    assert gone is None
    assert store.changes(here, limit=1) is None
    assert not store.knows(here)
    assert store.position().identity != here.identity
