"""
Conditional writes: what is done, what is refused, and what each answer says.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.support import create, due_query, ids, put, read_one, remove, results, rewrite, save, written
from tests.factories import make_due_task, make_heartbeat, make_running_task, make_slot, make_task
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.model import (
    Stored,
    TaskStatus,
    evolve,
)
from unomi_scheduler.ports import (
    Action,
    Outcome,
    Result,
    TaskStore,
    Write,
)


class WritesContract:
    """
    Conditional writes: what is done, what is refused, and what each answer says.
    """

    def test_a_created_task_reads_back_as_it_was(self, store: TaskStore) -> None:
        """
        All that was written comes back, with the version the write answered.
        """
        task = make_running_task(parameters={"a": [1, {"b": None}]}, depends_on=("x",), on_tags=("gpu",))
        version = written(store.write([create(task)])[0])

        assert [Stored(task, version)] == store.tasks([task.id])

    def test_creation_is_create_only(self, store: TaskStore) -> None:
        """
        A second creation of an id is a conflict and changes nothing.
        """
        task = make_task()
        (version,) = put(store, task)

        assert [Outcome(Result.CONFLICT)] == store.write([create(evolve(task, current_step="mine"))])
        assert [Stored(task, version)] == store.tasks([task.id])

    def test_a_replacement_needs_the_present_version(self, store: TaskStore) -> None:
        """
        The version that was read is accepted once; afterwards it is stale.
        """
        task = make_task()
        (first,) = put(store, task)
        changed = evolve(task, current_step="one")
        second = written(store.write([save(changed, first)])[0])

        assert [Outcome(Result.CONFLICT)] == store.write([save(evolve(task, current_step="two"), first)])
        assert [Stored(changed, second)] == store.tasks([task.id])

    def test_each_write_has_a_newer_version(self, store: TaskStore) -> None:
        """
        Versions of one document grow, within one index.
        """
        task = make_task()
        (first,) = put(store, task)
        second = written(store.write([save(task, first)])[0])

        assert second.newer_than(first)
        assert not first.newer_than(second)
        assert first.index == second.index

    def test_a_replacement_replaces_the_whole_document(self, store: TaskStore) -> None:
        """
        Maps are replaced, not merged.
        """
        task = make_task(checkpoint_data={"old": 1}, parameters={"old": {"deep": 1}})
        (version,) = put(store, task)
        changed = evolve(task, checkpoint_data={"new": 2}, parameters={"old": {}})
        rewrite(store, changed, version)

        assert changed == read_one(store, task.id).record

    def test_a_deletion_needs_the_present_version(self, store: TaskStore) -> None:
        """
        A stale version deletes nothing; the present one does, and its answer carries a version.
        """
        task = make_task()
        (first,) = put(store, task)
        second = written(store.write([save(task, first)])[0])

        assert [Outcome(Result.CONFLICT)] == store.write([remove(task, first)])
        written(store.write([remove(task, second)])[0])
        assert store.tasks([task.id]) == [None]

    def test_writes_of_what_is_not_there_are_missing(self, store: TaskStore) -> None:
        """
        Neither a replacement nor a deletion creates a document.
        """
        (version,) = put(store, make_task())
        ghost = make_task()

        assert [Outcome(Result.MISSING)] == store.write([save(ghost, version)])
        assert [Outcome(Result.MISSING)] == store.write([remove(ghost, version)])
        assert store.tasks([ghost.id]) == [None]

    def test_an_old_version_never_fits_a_created_again_document(self, store: TaskStore) -> None:
        """
        After deletion and creation the old versions stay stale.
        """
        task = make_task()
        (first,) = put(store, task)
        written(store.write([remove(task, first)])[0])

        assert results(store.write([save(task, first)])) == [Result.MISSING]
        (again,) = put(store, task)
        assert again != first
        assert results(store.write([save(task, first)])) == [Result.CONFLICT]
        assert results(store.write([remove(task, first)])) == [Result.CONFLICT]
        assert [Stored(task, again)] == store.tasks([task.id])

    def test_a_version_of_another_index_is_missing(self, store: TaskStore) -> None:
        """
        The same numbers under another identity are refused.
        """
        task = make_task()
        (version,) = put(store, task)
        other = version._replace(index="another-index")

        assert results(store.write([save(task, other)])) == [Result.MISSING]
        assert results(store.write([remove(task, other)])) == [Result.MISSING]
        assert [Stored(task, version)] == store.tasks([task.id])

    def test_outcomes_are_each_item_s_own_and_in_order(self, store: TaskStore) -> None:
        """
        One call, seven fates: nothing that fails takes another item along.
        """
        taken, stale, gone, kept = make_task(), make_task(), make_task(), make_task()
        old, replaced, deleted = put(store, stale, kept, gone)
        put(store, taken)
        written(store.write([save(stale, old)])[0])
        fresh, wrong = make_task(), make_task(parameters={"a": object()})
        answer = store.write(
            [
                create(taken),
                create(fresh),
                save(stale, old),
                save(evolve(kept, current_step="here"), replaced),
                create(wrong),
                remove(gone, deleted),
                save(make_task(), old),
            ]
        )

        assert results(answer) == [
            Result.CONFLICT,
            Result.WRITTEN,
            Result.CONFLICT,
            Result.WRITTEN,
            Result.REFUSED,
            Result.WRITTEN,
            Result.MISSING,
        ]
        assert [fresh, None, "here", None] == [
            read_one(store, fresh.id).record,
            store.tasks([wrong.id])[0],
            read_one(store, kept.id).record.current_step,
            store.tasks([gone.id])[0],
        ]

    def test_a_document_that_is_not_json_is_refused(self, store: TaskStore) -> None:
        """
        The refusal says what is wrong, and the write does not raise.
        """
        (outcome,) = store.write([create(make_task(parameters={"a": {1, 2}}))])

        assert outcome.result is Result.REFUSED
        assert outcome.version is None
        assert isinstance(outcome.error, InvalidTask)

    def test_two_writes_of_one_document_in_one_call_are_an_error(self, store: TaskStore) -> None:
        """
        The caller is told, and nothing is done.
        """
        task = make_task()
        with pytest.raises(ValueError, match=task.id):
            store.write([create(task), create(task)])

        assert store.tasks([task.id]) == [None]

    def test_a_condition_belongs_to_replacements_and_deletions(self, store: TaskStore) -> None:
        """
        A write with the wrong kind of condition is the caller's error.
        """
        task = make_task()
        (version,) = put(store, task)

        with pytest.raises(ValueError, match="condition"):
            store.write([Write(Action.CREATE, make_task(), version)])
        with pytest.raises(ValueError, match="condition"):
            store.write([Write(Action.REPLACE, task)])
        with pytest.raises(ValueError, match="condition"):
            store.write([Write(Action.DELETE, task)])

    def test_one_id_may_name_a_task_a_slot_and_a_heartbeat(self, store: TaskStore) -> None:
        """
        The three kinds of documents are apart.
        """
        task, slot, beat = make_task(id="a:b"), make_slot(task_type="a:b"), make_heartbeat(node_id="a", incarnation="b")
        put(store, task, slot, beat)

        assert task == read_one(store, "a:b").record
        assert [slot] == [one.record for one in store.slots(["a:b"])]
        assert [beat] == [one.record for one in store.heartbeats(["a:b"])]

    def test_nothing_to_write_is_nothing(self, store: TaskStore) -> None:
        """
        An empty call answers with an empty list.
        """
        assert store.write([]) == []

    def test_a_thousand_writes_in_one_call(self, store: TaskStore) -> None:
        """
        A large batch is written whole, and read back in the order asked for.
        """
        many = [make_task() for _ in range(1_000)]
        versions = [written(outcome) for outcome in store.write([create(task) for task in many])]

        assert len(set(versions)) == 1_000
        assert [*reversed(many)] == [one and one.record for one in store.tasks([task.id for task in reversed(many)])]

    def test_ids_are_any_text(self, store: TaskStore) -> None:
        """
        Spaces, quotes, slashes and letters of any script are part of an id.
        """
        names = ("a b", 'it\'s "x"', "a/b?c#d%20", "ключ-é-鍵", "_underscore", "-dash")
        odd = [make_due_task(id=name) for name in names]
        put(store, *odd)

        assert odd == [read_one(store, task.id).record for task in odd]
        assert sorted(names) == ids(store.find_due(due_query()))

    def test_eight_threads_race_for_one_claim(self, store: TaskStore) -> None:
        """
        Exactly one conditional write on a version is acknowledged.
        """
        task = make_due_task()
        (version,) = put(store, task)
        barrier = threading.Barrier(8)

        def claim(number: int) -> Result:
            claimed = evolve(task, status=TaskStatus.RUNNING, claim_id=f"claim-{number}", fence=number)
            barrier.wait(10)
            return store.write([save(claimed, version)])[0].result

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(claim, range(8)))

        winner = answers.index(Result.WRITTEN)
        assert answers[:winner] + answers[winner + 1 :] == [Result.CONFLICT] * 7
        assert f"claim-{winner}" == read_one(store, task.id).record.claim_id

    def test_eight_threads_race_for_one_creation(self, store: TaskStore) -> None:
        """
        A system task that all nodes create is created once.
        """
        barrier = threading.Barrier(8)

        def make(number: int) -> Result:
            barrier.wait(10)
            return store.write([create(make_task(id="system", fence=number))])[0].result

        with ThreadPoolExecutor(8) as pool:
            answers = sorted(pool.map(make, range(8)), key=lambda one: one.value)

        assert answers == [Result.CONFLICT] * 7 + [Result.WRITTEN]
