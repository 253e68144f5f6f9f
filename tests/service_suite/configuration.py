"""
Configuration changes: of a task, while it waits and while it runs, and of what a node does.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.service_suite.bodies import SAMPLE
from tests.service_suite.peers import Peers, waiting_task, wall
from unomi_scheduler import InvalidTask, TaskStatus

_S = TaskStatus


class Configuration:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_changes_during_a_run_are_kept(self, peers: Peers) -> None:
        """
        The run ends by the retries and parameters of now, and overwrites none of them (P4, fault 5).
        """
        node = peers.one()
        builder = node.new_task(SAMPLE).with_id("edited").with_parameters({"script": ["hold", "fail"]})
        builder.with_max_retries(0).schedule()
        peers.said("start", "edited")
        changed = peers.manager.update_task_config(
            "edited", max_retries=5, retry_delay=timedelta(hours=1), parameters={"script": ["fail"]}
        )
        peers.journal.open_gate("edited")
        done = peers.completed("edited")

        assert changed.status is _S.RUNNING
        assert (done.max_retries, done.retry_delay, done.parameters) == (5, 3_600_000, {"script": ["fail"]})

    def test_what_is_disabled_runs_again_when_it_is_enabled(self, peers: Peers) -> None:
        """
        Until then it is left alone, whatever its due time.
        """
        node = peers.one()
        node.new_task(SAMPLE).with_id("off").with_initial_delay(200, "MILLISECONDS").schedule()
        peers.manager.update_task_config("off", enabled=False)
        peers.completed(node.new_task(SAMPLE).with_initial_delay(400, "MILLISECONDS").schedule().id)
        still = peers.now("off")
        peers.manager.update_task_config("off", enabled=True)
        peers.completed("off")

        assert still.status is _S.SCHEDULED
        assert len(peers.journal.lines("off")) == 1

    def test_a_new_period_counts_from_now(self, peers: Peers) -> None:
        """
        A task that was due in a day is due in a moment; the same period again moves nothing.
        """
        peers.one()
        task = peers.task().with_id("often").with_period(1, "DAYS").with_initial_delay(1, "DAYS").schedule()
        same = peers.manager.update_task_config("often", period=timedelta(days=1))
        before = wall()
        changed = peers.manager.update_task_config("often", period=timedelta(milliseconds=200))
        peers.when("often", lambda one: one.success_count >= 1)

        assert same.next_scheduled_execution == task.next_scheduled_execution
        assert before <= (changed.next_scheduled_execution or 0) - 200 <= wall()

    def test_a_wrong_change_changes_nothing(self, peers: Peers) -> None:
        """
        Numbers below 0, and what no user owns.
        """
        peers.put(task := waiting_task("kept"))
        for wrong in ({"max_retries": -1}, {"retry_delay": -1}, {"status": _S.RUNNING}, {"fence": 5}):
            with pytest.raises(InvalidTask):
                peers.manager.update_task_config("kept", **wrong)

        assert peers.now("kept") == task

    def test_run_now_does_not_move_the_schedule(self, peers: Peers) -> None:
        """
        One run beside it (P14).
        """
        peers.one()
        task = peers.task().with_id("asked").with_period(1, "DAYS").with_initial_delay(1, "DAYS").schedule()
        peers.manager.run_now("asked")
        later = peers.when("asked", lambda one: one.success_count == 1)

        assert (later.next_scheduled_execution, later.run_requests) == (task.next_scheduled_execution, 0)

    def test_a_node_that_runs_nothing_still_manages(self, peers: Peers) -> None:
        """
        Not an executor node: it creates, lists and cancels, purges nothing by itself, and never runs a task.
        """
        (node,) = peers.start("desk", executor_node=False, purge_enabled=True)
        node.new_task(SAMPLE).with_id("managed").schedule()
        peers.start("a")
        done = peers.completed("managed")
        node.new_task(SAMPLE).with_id("other").with_initial_delay(1, "HOURS").schedule()

        assert done.last_executed_by == "a"
        assert node.cancel_task("other")
        peers.store.refresh()
        assert {"managed", "other"} == {one.id for one in node.get_all_tasks()}
