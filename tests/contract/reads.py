"""
Reads by id, what a document keeps, and the handles on a store.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.contract.support import (
    SECOND,
    MakeStore,
    Plant,
    create,
    due_query,
    foreign,
    ids,
    put,
    read_one,
    remove,
    results,
    rewrite,
    save,
    written,
)
from tests.factories import NOW, make_due_task, make_heartbeat, make_task
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.model import (
    Stored,
    evolve,
)
from unomi_scheduler.ports import (
    Result,
    StoreReport,
    TaskQuery,
    TaskStore,
)


class ReadsContract:
    """
    Reads by id, and what a document keeps.
    """

    def test_reads_are_in_order_with_none_for_what_is_missing(self, store: TaskStore) -> None:
        """
        The answer has one place for each id asked for, also when one is asked for twice.
        """
        first, second = make_task(), make_task()
        put(store, first, second)
        answer = store.tasks([second.id, "no such task", first.id, second.id])

        assert [second, None, first, second] == [one and one.record for one in answer]
        assert store.tasks([]) == []

    def test_reads_by_id_do_not_wait_for_a_refresh(self, store: TaskStore) -> None:
        """
        What was acknowledged is read at once: creations, changes and deletions.
        """
        task = make_task()
        first = written(store.write([create(task)])[0])
        assert Stored(task, first) == store.tasks([task.id])[0]

        changed = evolve(task, current_step="next")
        second = written(store.write([save(changed, first)])[0])
        assert Stored(changed, second) == store.tasks([task.id])[0]

        written(store.write([remove(task, second)])[0])
        assert store.tasks([task.id]) == [None]

    def test_what_is_handed_out_is_a_copy(self, store: TaskStore) -> None:
        """
        Changing a nested map of a record changes nothing in the store: neither one written nor one read.
        """
        given: dict[str, Any] = {"deep": {"list": [1]}}
        task = make_task(parameters=given, checkpoint_data={"deep": {}})
        put(store, task)
        given["deep"]["list"].append(2)
        read = read_one(store, task.id).record
        assert isinstance(read.checkpoint_data, dict)
        read.checkpoint_data["deep"]["mine"] = True
        store.find(TaskQuery()).list[0].parameters["deep"]["list"].append(3)
        again = read_one(store, task.id).record

        assert again.parameters == {"deep": {"list": [1]}}
        assert again.checkpoint_data == {"deep": {}}

    def test_only_json_survives(self, store: TaskStore) -> None:
        """
        A tuple in the parameters comes back as a list, as from any other process.
        """
        put(store, make_task(id="json", parameters={"pair": (1, 2)}))

        assert read_one(store, "json").record.parameters == {"pair": [1, 2]}

    def test_unknown_fields_are_kept(self, store: TaskStore, plant: Plant) -> None:
        """
        What another version or program wrote is written back as it was.
        """
        plant("foreign", foreign("foreign", tenantId="acme", future={"nested": [1, {"x": None}]}))
        stored = read_one(store, "foreign")
        rewrite(store, evolve(stored.record, current_step="ours"), stored.version)
        again = read_one(store, "foreign").record

        assert again.extra == {"tenantId": "acme", "future": {"nested": [1, {"x": None}]}}
        assert again.current_step == "ours"

    def test_milliseconds_are_kept(self, store: TaskStore) -> None:
        """
        Dates come back exact, also in the order of a search.
        """
        late, early = make_due_task(next_scheduled_execution=NOW - 1), make_due_task(next_scheduled_execution=NOW - 2)
        put(store, late, early)

        assert [early.id, late.id] == ids(store.find_due(due_query(due_before=NOW - 1)))
        assert [early.id] == ids(store.find_due(due_query(due_before=NOW - 2)))
        assert read_one(store, late.id).record.next_scheduled_execution == NOW - 1

    def test_another_handle_sees_the_same_data(self, store: TaskStore, make_store: MakeStore) -> None:
        """
        Two handles agree on documents, versions and conflicts.
        """
        other, task = make_store(), make_task()
        (version,) = put(store, task)

        assert [Stored(task, version)] == other.tasks([task.id])
        written(other.write([save(task, version)])[0])
        assert results(store.write([save(task, version)])) == [Result.CONFLICT]

    def test_a_lane_is_the_same_data(self, store: TaskStore) -> None:
        """
        A lane reads what the store wrote, writes for it, and may be closed alone.
        """
        lane, beat = store.lane(5.0), make_heartbeat()
        version = written(lane.write([create(beat)])[0])

        assert [Stored(beat, version)] == store.heartbeats([beat.id])
        lane.close()
        assert [Stored(beat, version)] == store.heartbeats([beat.id])

    def test_opening_and_closing_again_is_harmless(self, store: TaskStore, make_store: MakeStore) -> None:
        """
        `open` keeps what is there; `close` twice is like once.
        """
        task = make_task()
        (version,) = put(store, task)
        store.open()
        other = make_store()
        other.open()
        other.close()
        other.close()

        assert [Stored(task, version)] == store.tasks([task.id])

    def test_many_open_at_once(self, store: TaskStore, make_store: MakeStore) -> None:
        """
        Nodes that start together find one store.
        """
        with ThreadPoolExecutor(4) as pool:
            handles = list(pool.map(lambda _: make_store(), range(4)))
        versions = [put(handle, make_task())[0] for handle in handles]

        assert len({version.index for version in versions}) == 1

    def test_the_store_tells_the_time(self, store: TaskStore) -> None:
        """
        The store's clock is epoch milliseconds, here the same machine's.
        """
        assert abs(store.clock() - SystemClock().now().wall) < 5 * SECOND

    def test_a_sound_store_has_no_defects(self, store: TaskStore) -> None:
        """
        Its index or its tables are as this version makes them.
        """
        assert store.defects() == ()

    def test_a_sound_store_has_no_problems(self, store: TaskStore) -> None:
        """
        The check gives facts and finds nothing wrong.
        """
        report = store.check()

        assert isinstance(report, StoreReport)
        assert report.problems == ()
        assert report.facts
