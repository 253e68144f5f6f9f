"""
`summaries`: what there is of each type, and how its runs went.
"""

from __future__ import annotations

from tests.contract.support import Plant, put, unreadable
from tests.factories import NOW, make_row, make_task
from unomi_scheduler.model import Activity, TaskStatus, TypeSummary
from unomi_scheduler.ports import TaskStore


class SummariesContract:
    """
    `summaries`.
    """

    def test_tasks_are_counted_by_type_and_state(self, store: TaskStore, plant: Plant) -> None:
        """
        By name; run records and what is in quarantine are not counted.
        """
        put(
            store,
            *(make_task(task_type="b", status=TaskStatus.FAILED) for _ in range(2)),
            make_task(task_type="b"),
            make_task(task_type="a", status=TaskStatus.RUNNING),
            make_task(task_type="a", all_nodes_of="all", run_on_all_nodes=True, all_nodes_period=NOW),
        )
        plant("broken", unreadable("broken", taskType="c", quarantineReason="no task"))
        store.refresh()

        assert store.summaries(since=NOW) == [
            TypeSummary(task_type="a", counts={TaskStatus.RUNNING: 1}),
            TypeSummary(task_type="b", counts={TaskStatus.SCHEDULED: 1, TaskStatus.FAILED: 2}),
        ]

    def test_runs_are_added_up_by_type(self, store: TaskStore) -> None:
        """
        Those that ended in time, whatever became of their tasks; what has no duration is no run.
        """
        put(store, make_task(task_type="a"))
        store.add_history(
            [
                make_row(task_id="1", task_type="a", end=NOW, duration=5),
                make_row(task_id="2", task_type="a", end=NOW + 1, duration=7, status="FAILED"),
                make_row(task_id="3", task_type="a", end=NOW + 2, duration=0, status="CRASHED"),
                make_row(task_id="4", task_type="a", end=NOW + 3, duration=90, status="CANCELLED"),
                make_row(task_id="5", task_type="a", end=NOW + 4, status="RETRIED"),
                make_row(task_id="6", task_type="a", end=NOW - 1, duration=1_000),
                make_row(task_id="7", task_type="gone", end=NOW + 5, duration=3, all_nodes_of="all"),
            ]
        )
        store.refresh()

        assert store.summaries(since=NOW) == [
            TypeSummary(
                task_type="a",
                counts={TaskStatus.SCHEDULED: 1},
                runs=4,
                failures=2,
                run_millis=102,
                longest_millis=90,
            ),
            TypeSummary(task_type="gone", runs=1, run_millis=3, longest_millis=3),
        ]

    def test_runs_are_added_up_by_time(self, store: TaskStore) -> None:
        """
        By stretches that begin at the moment asked for, whatever the clock says; where none ended there is no stretch.
        """
        since = NOW + 137
        store.add_history(
            [
                make_row(task_id="1", end=since - 1, duration=1_000),
                make_row(task_id="2", end=since, duration=5),
                make_row(task_id="3", end=since + 999, duration=7, status="FAILED"),
                make_row(task_id="4", end=since + 999, status="RETRIED"),
                make_row(task_id="5", end=since + 3_000, duration=0, status="CRASHED"),
                make_row(task_id="6", task_type="b", end=since + 3_999, duration=2, status="CANCELLED"),
            ]
        )
        store.refresh()

        assert store.activity(since=since, step=1_000) == [
            Activity(start=since, runs=2, failures=1, run_millis=12, longest_millis=7),
            Activity(start=since + 3_000, runs=2, failures=1, run_millis=2, longest_millis=2),
        ]

    def test_of_nothing_there_is_no_summary(self, store: TaskStore) -> None:
        """
        Neither tasks nor a history.
        """
        assert store.summaries(since=0) == []
        assert store.activity(since=0, step=60_000) == []
