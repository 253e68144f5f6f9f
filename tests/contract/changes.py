"""
What has changed behind a position.
"""

from __future__ import annotations

from tests.contract.support import MakeStore, Plant, create, put, remove, rewrite, save, unreadable, written
from tests.factories import make_heartbeat, make_task
from unomi_scheduler.model import evolve
from unomi_scheduler.ports import Changes, Mark, Position, TaskStore


def read(store: TaskStore, since: Position, *, skip: frozenset[Mark] = frozenset(), limit: int = 100) -> Changes:
    """
    Return the changes behind a position that the store knows.
    """
    store.refresh()
    found = store.changes(since, skip=skip, limit=limit)
    assert found is not None
    return found


class ChangesContract:
    """
    What has changed behind a position.
    """

    def test_what_is_written_behind_a_position_is_found_there(self, store: TaskStore) -> None:
        """
        Each task once, as it is now and with its version, whoever wrote it; other documents are no changes.
        """
        put(store, make_task(id="before"))
        here = store.position()
        first, second = make_task(id="first"), make_task(id="second")
        versions = put(store, first, second, make_heartbeat())
        changed = evolve(first, current_step="on")
        version = rewrite(store, changed, versions[0])

        found = read(store, here)
        assert {(one.record.id, one.record.current_step, one.version) for one in found.tasks} == {
            ("first", "on", version),
            ("second", None, versions[1]),
        }
        assert len(found.marks) == 2
        assert not found.more
        assert read(store, found.position).tasks == ()

    def test_every_position_is_one_to_go_on_from(self, store: TaskStore) -> None:
        """
        Page by page nothing is skipped; what was written meanwhile comes last.
        """
        here = store.position()
        put(store, *(make_task(id=f"task-{number}") for number in range(9)))
        seen: list[str] = []
        for turn in range(20):
            found = read(store, here, limit=2)
            seen += [one.record.id for one in found.tasks]
            here = found.position
            if turn == 0:
                put(store, make_task(id="later"))
            if not found.more:
                break

        assert sorted(seen) == sorted([*(f"task-{number}" for number in range(9)), "later"])

    def test_what_is_known_by_its_mark_is_skipped(self, store: TaskStore) -> None:
        """
        So one may look again at a stretch, and gets what became visible in it since.
        """
        here = store.position()
        version = put(store, make_task(id="known"), make_task(id="changed"))[1]
        first = read(store, here)
        rewrite(store, make_task(id="changed"), version)
        put(store, make_task(id="fresh"))
        again = read(store, here, skip=first.marks)

        assert {one.record.id for one in first.tasks} == {"known", "changed"}
        assert {one.record.id for one in again.tasks} == {"changed", "fresh"}
        assert not first.marks & again.marks
        assert read(store, again.position).tasks == ()

    def test_a_removed_task_is_no_change(self, store: TaskStore) -> None:
        """
        Its place stays one to go on from.
        """
        here = store.position()
        (version,) = put(store, make_task(id="gone"))
        there = read(store, here).position
        written(store.write([remove(make_task(id="gone"), version)])[0])

        assert read(store, here).tasks == ()
        assert store.knows(there)
        put(store, make_task(id="next"))
        assert [one.record.id for one in read(store, there).tasks] == ["next"]

    def test_documents_that_are_no_tasks_are_left_out(self, store: TaskStore, plant: Plant) -> None:
        """
        They hold nothing up.
        """
        here = store.position()
        plant("broken", unreadable("broken"))
        put(store, make_task(id="good"))

        found = read(store, here)
        assert [one.record.id for one in found.tasks] == ["good"]
        assert read(store, found.position).tasks == ()

    def test_a_position_is_of_one_store(self, store: TaskStore, make_store: MakeStore) -> None:
        """
        Another handle on the same data goes on from it; one of another index, or ahead of this one, is not known.
        """
        put(store, make_task())
        here = store.position()
        elsewhere = here._replace(identity=f"{here.identity}-other")
        ahead = here._replace(numbers=tuple(number + 1_000 for number in here.numbers))

        assert make_store().knows(here)
        assert not store.knows(elsewhere)
        assert not store.knows(ahead)
        assert not store.knows(here._replace(numbers=(*here.numbers, 0)))
        assert store.changes(elsewhere, limit=1) is None

    def test_a_lost_race_is_no_change(self, store: TaskStore) -> None:
        """
        Only what was written is found.
        """
        (old,) = put(store, make_task(id="one"))
        rewrite(store, make_task(id="one"), old)
        here = store.position()
        store.write([save(make_task(id="one", current_step="lost"), old), create(make_task(id="two"))])

        assert [one.record.id for one in read(store, here).tasks] == ["two"]
