"""
The other searches.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.support import (
    SECOND,
    Plant,
    create,
    due_query,
    foreign,
    ids,
    put,
    remove,
    results,
    rewrite,
    save,
    unreadable,
    walk,
    written,
)
from tests.factories import NOW, make_due_task, make_heartbeat, make_running_task, make_slot, make_task
from unomi_scheduler.model import (
    Malformed,
    Misplaced,
    Note,
    Stored,
    TaskStatus,
    evolve,
)
from unomi_scheduler.ports import (
    Found,
    OwnedQuery,
    Result,
    TaskQuery,
    TaskStore,
)


class SearchesContract:
    """
    The other searches.
    """

    def test_owned_tasks_are_found_whatever_their_status(self, store: TaskStore) -> None:
        """
        All that name an owner, sorted by id, with their versions.
        """
        running, idle = make_running_task(id="b"), make_running_task(id="a", status=TaskStatus.SCHEDULED)
        put(store, running, idle, make_due_task())
        found = store.find_owned(OwnedQuery(except_incarnations=frozenset(), limit=10))

        assert ids(found) == ["a", "b"]
        assert found.after is None
        assert store.tasks(["a", "b"]) == list(found.tasks)

    def test_living_incarnations_are_left_out(self, store: TaskStore) -> None:
        """
        Only the runs of others are found, among them those that name no incarnation.
        """
        foreign_run = make_running_task(owner_incarnation=None)
        dead = make_running_task(owner_incarnation="dead")
        put(store, make_running_task(), make_running_task(owner_incarnation="second"), dead, foreign_run)

        found = store.find_owned(OwnedQuery(except_incarnations=frozenset({"first", "second"}), limit=10))
        assert sorted([dead.id, foreign_run.id]) == ids(found)

    def test_the_owned_are_walked_exactly_once(self, store: TaskStore) -> None:
        """
        Pages by `after` neither skip nor repeat.
        """
        tasks = [make_running_task() for _ in range(11)]
        put(store, *tasks)
        query = OwnedQuery(except_incarnations=frozenset({"other"}), limit=3)

        assert sorted(task.id for task in tasks) == list(
            walk(lambda after: store.find_owned(replace(query, after=after)))
        )

    def test_waiting_tasks_are_found_by_what_they_wait_for(self, store: TaskStore) -> None:
        """
        Enabled WAITING tasks alone; with `on`, those that wait on that task.
        """
        on_x = make_task(id="b", status=TaskStatus.WAITING, waiting_on_tasks=("w", "x"))
        on_y = make_task(id="a", status=TaskStatus.WAITING, waiting_on_tasks=("y", "xx"))
        on_none = make_task(id="c", status=TaskStatus.WAITING)
        disabled = evolve(on_x, id="d", enabled=False)
        put(store, on_x, on_y, on_none, disabled, make_due_task(waiting_on_tasks=("x",)))

        assert ids(store.find_waiting(on=None, limit=10)) == ["a", "b", "c"]
        assert ids(store.find_waiting(on="x", limit=10)) == ["b"]
        assert ids(store.find_waiting(on="z", limit=10)) == []

    def test_the_waiting_are_walked_exactly_once(self, store: TaskStore) -> None:
        """
        Pages by `after` neither skip nor repeat.
        """
        tasks = [make_task(status=TaskStatus.WAITING, waiting_on_tasks=("x",)) for _ in range(7)]
        put(store, *tasks)
        expected = sorted(task.id for task in tasks)

        assert expected == list(walk(lambda after: store.find_waiting(on="x", limit=3, after=after)))
        assert expected == list(walk(lambda after: store.find_waiting(on=None, limit=3, after=after)))

    def test_foreign_documents_are_adopted_by_a_write_back(self, store: TaskStore, plant: Plant) -> None:
        """
        A document without a partition is found until it is written back; then it is due like any other.
        """
        put(store, make_due_task(next_scheduled_execution=NOW + SECOND))
        plant("foreign", foreign("foreign"))
        store.refresh()
        (stored,) = store.find_unplaced(limit=10).tasks
        rewrite(store, stored.record, stored.version)

        assert stored.record.id == "foreign"
        assert Found() == store.find_unplaced(limit=10)
        assert ids(store.find_due(due_query())) == ["foreign"]

    def test_unreadable_foreign_documents_are_found_until_quarantine(self, store: TaskStore, plant: Plant) -> None:
        """
        What nobody can read is still adopted: as malformed.
        """
        document = unreadable("broken")
        del document["partition"]
        plant("broken", document)
        store.refresh()
        (malformed,) = store.find_unplaced(limit=10).malformed
        rewrite(store, malformed.record, malformed.version)

        assert Found() == store.find_unplaced(limit=10)

    def test_a_document_under_the_original_s_id_is_found_read_and_listed(self, store: TaskStore, plant: Plant) -> None:
        """
        As the task it is, to be moved, and never as one that may be claimed where it stands.
        """
        plant("acme_one", foreign("one", tenantId="acme", lockOwner="node-z", status="RUNNING"))
        store.refresh()
        (stored,) = store.find_unplaced(limit=10).malformed
        page = store.find(TaskQuery())
        owned = store.find_owned(OwnedQuery(except_incarnations=frozenset(), limit=10))

        assert isinstance(stored.record, Misplaced)
        assert (stored.record.id, stored.record.task.id) == ("acme_one", "one")
        assert (page.list, page.total_size) == ((stored.record.task,), 1)
        assert store.tasks(["acme_one", "one"]) == [stored, None]
        assert owned.tasks == ()

    def test_only_the_original_s_id_is_a_place_to_move_from(self, store: TaskStore, plant: Plant) -> None:
        """
        Another tenant's name, or a document that was placed already, is somebody's mistake.
        """
        plant("acme_one", foreign("one", tenantId="other"))
        plant("acme_two", foreign("two", tenantId="acme", partition=3))
        found = store.tasks(["acme_one", "acme_two"])

        assert [type(one.record) for one in found if one is not None] == [Malformed, Malformed]

    @pytest.mark.parametrize("task_type", [None, ""])
    def test_a_document_without_a_type_is_found_until_quarantine(
        self, store: TaskStore, plant: Plant, task_type: str | None
    ) -> None:
        """
        It has its place and is due, but no node asks for it.
        """
        document = {**unreadable("nameless", timeUnit="SECONDS", taskType=task_type)}
        plant("nameless", {name: value for name, value in document.items() if value is not None})
        store.refresh()
        (malformed,) = store.find_unplaced(limit=10).malformed
        rewrite(store, malformed.record, malformed.version)

        assert "taskType" in malformed.record.reason
        assert Found() == store.find_unplaced(limit=10)
        assert Found() == store.find_due(due_query())

    def test_the_unplaced_are_limited(self, store: TaskStore, plant: Plant) -> None:
        """
        No more than asked for.
        """
        for number in range(4):
            plant(f"foreign-{number}", foreign(f"foreign-{number}"))
        store.refresh()

        assert len(store.find_unplaced(limit=3).tasks) == 3
        assert len(store.find_unplaced(limit=10).tasks) == 4

    def test_old_completed_tasks_are_purgeable(self, store: TaskStore) -> None:
        """
        COMPLETED, without an owner, last run at or before the limit, to the millisecond.
        """
        old = make_task(status=TaskStatus.COMPLETED, last_execution_date=NOW)
        put(
            store,
            old,
            evolve(old, id="newer", last_execution_date=NOW + 1),
            evolve(old, id="never", last_execution_date=None),
            evolve(old, id="failed", status=TaskStatus.FAILED),
            evolve(old, id="owned", lock_owner="node-a"),
        )

        assert [old.id] == ids(store.find_purgeable(before=NOW, limit=10))
        assert ids(store.find_purgeable(before=NOW - 1, limit=10)) == []

    def test_tasks_marked_for_deletion_are_purgeable(self, store: TaskStore) -> None:
        """
        Any status and age, as soon as nobody owns them; each is found once.
        """
        marked = make_task(delete_requested=True, status=TaskStatus.CANCELLED)
        both = make_task(delete_requested=True, status=TaskStatus.COMPLETED, last_execution_date=1)
        put(store, marked, both, make_running_task(delete_requested=True))

        assert sorted([marked.id, both.id]) == sorted(ids(store.find_purgeable(before=NOW, limit=10)))
        assert len(store.find_purgeable(before=NOW, limit=1).tasks) == 1

    def test_unreadable_documents_come_apart_in_every_search(self, store: TaskStore, plant: Plant) -> None:
        """
        One bad document among good ones hides none of them.
        """
        running = make_running_task()
        waiting = make_task(status=TaskStatus.WAITING)
        old = make_task(status=TaskStatus.COMPLETED, last_execution_date=NOW)
        put(store, running, waiting, old)
        plant("bad-run", unreadable("bad-run", status="RUNNING", lockOwner="node-b", ownerIncarnation="b"))
        plant("bad-wait", unreadable("bad-wait", status="WAITING"))
        plant("bad-old", unreadable("bad-old", status="COMPLETED", lastExecutionDate="2025-06-15T15:06:39.000Z"))
        store.refresh()
        owned = store.find_owned(OwnedQuery(except_incarnations=frozenset(), limit=10))
        waits = store.find_waiting(on=None, limit=10)
        purgeable = store.find_purgeable(before=NOW, limit=10)

        assert ([running.id], [waiting.id], [old.id]) == (ids(owned), ids(waits), ids(purgeable))
        assert [one.record.id for found in (owned, waits, purgeable) for one in found.malformed] == [
            "bad-run",
            "bad-wait",
            "bad-old",
        ]

    def test_heartbeats_are_read_and_searched(self, store: TaskStore) -> None:
        """
        By id those that exist, in the order asked for; without ids all.
        """
        first = make_heartbeat(tags=("gpu",), task_types=("a", "b"), address="http://h:1", busy=True, dead_by="x")
        second = make_heartbeat(node_id="node-b")
        versions = put(store, first, second)

        assert [Stored(second, versions[1]), Stored(first, versions[0])] == store.heartbeats(
            [second.id, "node-c:first", first.id]
        )
        assert [first.id, second.id] == sorted(one.record.id for one in store.heartbeats())
        assert store.heartbeats([]) == []

    def test_heartbeats_are_conditional_too(self, store: TaskStore) -> None:
        """
        A mark of death between two beats refuses the second.
        """
        beat = make_heartbeat()
        (version,) = put(store, beat)
        dead = rewrite(store, replace(beat, dead_by="node-b"), version)

        assert results(store.write([save(replace(beat, counter=2), version)])) == [Result.CONFLICT]
        assert [Stored(replace(beat, dead_by="node-b"), dead)] == store.heartbeats([beat.id])
        written(store.write([remove(beat, dead)])[0])
        assert results(store.write([save(replace(beat, counter=3), dead)])) == [Result.MISSING]

    def test_notes_are_read_and_searched_by_kind(self, store: TaskStore) -> None:
        """
        By name those of a kind that exist, in order; without names all of that kind, by name.
        """
        second, first = (Note(kind="list", name=name, body={"deep": [{"a": None}, 1.5]}) for name in ("b", "a:x"))
        other = Note(kind="other", name="a:x", body={})
        versions = put(store, second, first, other)

        assert [Stored(second, versions[0]), Stored(first, versions[1])] == store.notes("list", ["b", "none", "a:x"])
        assert [Stored(first, versions[1]), Stored(second, versions[0])] == store.notes("list")
        assert store.notes("nothing") == store.notes("list", []) == []

    def test_a_note_is_written_on_condition(self, store: TaskStore) -> None:
        """
        Made once, replaced and removed by version, read at once.
        """
        note = Note(kind="list", name="a", body={"count": 1})
        first = written(store.write([create(note)])[0])
        assert results(store.write([create(note)])) == [Result.CONFLICT]
        changed = replace(note, body={"count": 2})
        second = written(store.write([save(changed, first)])[0])
        assert results(store.write([save(changed, first)])) == [Result.CONFLICT]
        assert [Stored(changed, second)] == store.notes("list", ["a"])
        written(store.write([remove(changed, second)])[0])
        assert store.notes("list", ["a"]) == []

    def test_heartbeats_and_notes_are_read_together(self, store: TaskStore) -> None:
        """
        Those that exist, in order, heartbeats first.
        """
        beat, note = make_heartbeat(), Note(kind="list", name="a:x", body={"deep": [1]})
        seen, version = put(store, beat, note)

        both = [Stored(beat, seen), Stored(note, version)]
        assert both == store.watched([beat.id, "none"], [("list", "none"), ("list", "a:x"), ("other", "a:x")])
        assert both[1:] == store.watched([], [("list", "a:x")])
        assert both[:1] == store.watched([beat.id], [])
        assert store.watched([], []) == []

    def test_slots_are_read_and_the_taken_are_searched(self, store: TaskStore) -> None:
        """
        By type those that exist; without ids only the taken ones.
        """
        free = make_slot(task_type="free")
        taken = make_slot(task_type="taken", task_id="t", claim_id="c", owner="node-a", incarnation="first", since=NOW)
        versions = put(store, free, taken)

        assert [Stored(taken, versions[1]), Stored(free, versions[0])] == store.slots(["taken", "none", "free"])
        assert [Stored(taken, versions[1])] == store.slots()

    def test_a_slot_is_taken_once(self, store: TaskStore) -> None:
        """
        Two that saw the free slot cannot both have it.
        """
        slot = make_slot()
        (version,) = put(store, slot)
        answers = [store.write([save(replace(slot, claim_id=claim), version)])[0] for claim in ("c1", "c2")]

        assert results(answers) == [Result.WRITTEN, Result.CONFLICT]
        assert [one.record.claim_id for one in store.slots(["sample"])] == ["c1"]
