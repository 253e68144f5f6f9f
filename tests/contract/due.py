"""
`find_due`, clause by clause.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.contract.support import (
    EVERY_PARTITION,
    SECOND,
    Plant,
    due_query,
    elsewhere,
    foreign,
    ids,
    put,
    remove,
    rewrite,
    save,
    unreadable,
    walk,
)
from tests.factories import NOW, make_due_task
from unomi_scheduler.model import (
    Malformed,
    Stored,
    TaskStatus,
    evolve,
)
from unomi_scheduler.ports import (
    Found,
    TaskStore,
)
from unomi_scheduler.rules.placement import partition_of
from unomi_scheduler.rules.readiness import EVERYWHERE_DUE


class DueContract:
    """
    `find_due`, clause by clause.
    """

    def test_due_work_is_found_by_due_date_then_id(self, store: TaskStore) -> None:
        """
        The limit of the due date is inclusive; one millisecond later is not due.
        """
        third = make_due_task(id="b")
        second = make_due_task(id="a")
        first = make_due_task(next_scheduled_execution=NOW - 5)
        put(store, third, second, first, make_due_task(next_scheduled_execution=NOW + 1))

        found = store.find_due(due_query())
        assert [first.id, "a", "b"] == ids(found)
        assert found.after is None

    def test_definitions_for_all_nodes_come_first_and_to_everybody(self, store: TaskStore) -> None:
        """
        Whatever the share, and with the least that a query may ask for; those that are not active come to nobody.
        """
        everyone = make_due_task(run_on_all_nodes=True, next_scheduled_execution=NOW + 10**9)
        others = (
            evolve(everyone, id="disabled", enabled=False),
            evolve(everyone, id="over", status=TaskStatus.COMPLETED),
            evolve(everyone, id="named", on_nodes=("node-x",)),
            evolve(everyone, id="foreign", task_type="unknown"),
        )
        put(store, *others, everyone, due := make_due_task())
        nobody = due_query(shares=(), overdue_before=EVERYWHERE_DUE)

        assert [everyone.id, due.id] == ids(store.find_due(due_query()))
        assert [everyone.id] == ids(store.find_due(nobody))
        assert ["named", everyone.id] == sorted(ids(store.find_due(replace(nobody, node_id="node-x"))))

    def test_found_tasks_carry_their_version(self, store: TaskStore) -> None:
        """
        A found task may be claimed without another read.
        """
        task = make_due_task()
        (version,) = put(store, task)

        assert (Stored(task, version),) == store.find_due(due_query()).tasks

    def test_a_foreign_share_is_due_a_grace_later(self, store: TaskStore) -> None:
        """
        Another node's partition is left to it until the task is overdue, to the millisecond.
        """
        task = make_due_task(next_scheduled_execution=NOW - SECOND)
        put(store, task)

        assert ids(store.find_due(due_query(shares=elsewhere(task), overdue_before=NOW - SECOND - 1))) == []
        assert [task.id] == ids(store.find_due(due_query(shares=elsewhere(task), overdue_before=NOW - SECOND)))

    def test_shares_differ_by_type(self, store: TaskStore) -> None:
        """
        Each group of types has partitions of its own.
        """
        one, two = make_due_task(task_type="one"), make_due_task(task_type="two")
        put(store, one, two)
        types = frozenset({"one", "two"})
        shares = ((frozenset({"one"}), EVERY_PARTITION), (frozenset({"two"}), EVERY_PARTITION - {partition_of(two)}))

        assert [one.id] == ids(store.find_due(due_query(shares=shares, task_types=types)))

    def test_a_share_holds_no_work_that_names_others(self, store: TaskStore) -> None:
        """
        A task with a target is found by its target alone, whatever its partition.
        """
        put(store, make_due_task(on_nodes=("node-b",)), make_due_task(on_tags=("blue",)))

        assert [] == ids(store.find_due(due_query()))

    def test_without_a_share_only_overdue_and_targeted_work_is_found(self, store: TaskStore) -> None:
        """
        A node that owns nothing still helps.
        """
        overdue, targeted = make_due_task(next_scheduled_execution=NOW - SECOND), make_due_task(on_nodes=("node-a",))
        put(store, make_due_task(), overdue, targeted)

        assert [overdue.id, targeted.id] == ids(store.find_due(due_query(shares=())))

    def test_a_target_is_found_by_its_node_and_its_tags(self, store: TaskStore) -> None:
        """
        A named node or tag needs no share and no grace.
        """
        by_node = make_due_task(on_nodes=("node-b", "node-a"))
        by_tag = make_due_task(on_tags=("gpu",))
        by_both = make_due_task(on_nodes=("node-b",), on_tags=("gpu", "ssd"))
        put(store, by_node, by_tag, by_both)
        nothing: Any = due_query(shares=())

        assert [by_node.id] == ids(store.find_due(nothing))
        assert [by_node.id, by_tag.id, by_both.id] == ids(store.find_due(replace(nothing, tags=("hdd", "gpu"))))
        assert [by_both.id] == ids(store.find_due(replace(nothing, node_id="node-c", tags=("ssd",))))

    def test_names_of_targets_are_compared_whole(self, store: TaskStore) -> None:
        """
        A tag is no node id, and a part of a name is no name.
        """
        put(store, make_due_task(on_nodes=('node-a"b', "node-abc", "gpu")), make_due_task(on_tags=("node-a", "gp")))

        assert ids(store.find_due(due_query(shares=(), tags=("gpu", "b")))) == []

    def test_overdue_work_with_another_target_is_left_alone(self, store: TaskStore) -> None:
        """
        The grace is for tasks without a target.
        """
        task = make_due_task(next_scheduled_execution=NOW - SECOND, on_nodes=("node-b",))
        put(store, task)

        assert ids(store.find_due(due_query(shares=elsewhere(task)))) == []

    def test_unknown_types_are_left_alone(self, store: TaskStore) -> None:
        """
        Neither a share nor being overdue makes an unknown type ours.
        """
        put(store, make_due_task(task_type="other", next_scheduled_execution=0), make_due_task(task_type="sample-2"))
        both = ((frozenset({"other", "sample", "sample-2"}), EVERY_PARTITION),)

        assert ids(store.find_due(due_query(shares=both))) == []
        assert ids(store.find_due(due_query(task_types=frozenset()))) == []

    @pytest.mark.parametrize(
        "over",
        [
            {"enabled": False},
            {"delete_requested": True},
            {"next_scheduled_execution": None},
            {"status": TaskStatus.RUNNING},
            {"status": TaskStatus.WAITING},
            {"status": TaskStatus.COMPLETED},
            {"status": TaskStatus.FAILED},
            {"status": TaskStatus.CANCELLED},
            {"status": TaskStatus.CRASHED, "enabled": False},
        ],
    )
    def test_what_may_not_be_claimed_is_not_due(self, store: TaskStore, over: dict[str, Any]) -> None:
        """
        Disabled, running, waiting and finished tasks are not found, however old.
        """
        put(store, make_due_task(**{"next_scheduled_execution": NOW - SECOND, **over}))

        assert ids(store.find_due(due_query())) == []

    def test_crashed_work_is_due_for_all(self, store: TaskStore) -> None:
        """
        A crashed task is found at once, in any partition and before all else.
        """
        crashed = make_due_task(status=TaskStatus.CRASHED, next_scheduled_execution=NOW + 60 * SECOND)
        put(store, make_due_task(next_scheduled_execution=1), crashed)

        assert crashed.id == ids(store.find_due(due_query(shares=elsewhere(crashed))))[0]

    def test_a_request_to_run_now_is_due(self, store: TaskStore) -> None:
        """
        `run now` makes due what its schedule does not.
        """
        task = make_due_task(next_scheduled_execution=NOW + 60 * SECOND, run_requests=1, run_requested_at=NOW)
        put(store, task)

        assert [task.id] == ids(store.find_due(due_query()))
        assert ids(store.find_due(due_query(due_before=NOW - 1))) == []

    def test_a_change_moves_the_task_in_the_search(self, store: TaskStore) -> None:
        """
        After a refresh a search knows the new due date, and what was claimed or deleted is gone.
        """
        moved, claimed, deleted = make_due_task(), make_due_task(), make_due_task()
        first, second, third = put(store, moved, claimed, deleted)
        store.write(
            [
                save(evolve(moved, next_scheduled_execution=NOW + SECOND), first),
                save(evolve(claimed, status=TaskStatus.RUNNING), second),
                remove(deleted, third),
            ]
        )
        store.refresh()

        assert ids(store.find_due(due_query())) == []
        assert [moved.id] == ids(store.find_due(due_query(due_before=NOW + SECOND)))

    def test_the_cursor_walks_all_exactly_once(self, store: TaskStore) -> None:
        """
        Pages by `after` neither skip nor repeat, also within one due date.
        """
        tasks = [make_due_task(next_scheduled_execution=NOW - number // 5) for number in range(23)]
        put(store, *tasks)
        in_order = sorted(tasks, key=lambda task: (task.next_scheduled_execution or 0, task.id))

        seen = list(walk(lambda after: store.find_due(due_query(limit=4, after=after))))
        assert [task.id for task in in_order] == seen

    def test_the_limit_is_kept(self, store: TaskStore) -> None:
        """
        No more than asked for, the earliest first, with a cursor to go on from.
        """
        tasks = [make_due_task(next_scheduled_execution=NOW - number) for number in range(5)]
        put(store, *tasks)
        found = store.find_due(due_query(limit=2))

        assert [tasks[4].id, tasks[3].id] == ids(found)
        assert (NOW - 3, tasks[3].id) == found.after

    def test_many_shares_and_types(self, store: TaskStore) -> None:
        """
        A node with many types and groups asks in one search.
        """
        types = [f"type-{number}" for number in range(120)]
        tasks = [make_due_task(task_type=name) for name in types]
        put(store, *tasks)
        shares = tuple((frozenset({name}), EVERY_PARTITION) for name in types)

        found = store.find_due(due_query(shares=shares, task_types=frozenset(types), limit=1_000))
        assert [task.id for task in tasks] == ids(found)

    def test_an_unreadable_document_stops_nothing(self, store: TaskStore, plant: Plant) -> None:
        """
        It comes apart from the tasks, with its id, the reason and all its fields.
        """
        task = make_due_task()
        put(store, task)
        plant("broken", unreadable("broken"))
        store.refresh()
        found = store.find_due(due_query())
        (malformed,) = found.malformed

        assert [task.id] == ids(found)
        assert malformed.record.id == "broken"
        assert "timeUnit" in malformed.record.reason
        assert malformed.record.document["note"] == "kept"

    def test_an_unreadable_document_is_put_in_quarantine_by_a_write_back(self, store: TaskStore, plant: Plant) -> None:
        """
        No search for work meets it again, and nothing of it is lost.
        """
        plant("broken", unreadable("broken"))
        store.refresh()
        (malformed,) = store.find_due(due_query()).malformed
        rewrite(store, malformed.record, malformed.version)
        (stored,) = store.tasks(["broken"])

        assert Found() == store.find_due(due_query())
        assert Found() == store.find_unplaced(limit=10)
        assert stored is not None
        assert isinstance(stored.record, Malformed)
        assert stored.record.document["note"] == "kept"
        assert malformed.record.reason == stored.record.document["quarantineReason"]

    def test_a_document_under_another_id_is_no_task(self, store: TaskStore, plant: Plant) -> None:
        """
        A claim of it would write to the other id, so it is not handed out as a task.
        """
        plant("here", foreign("there"))
        (stored,) = store.tasks(["here"])

        assert stored is not None
        assert isinstance(stored.record, Malformed)
        assert stored.record.id == "here"
        assert "itemId" in stored.record.reason
