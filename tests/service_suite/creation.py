"""
Creation and scheduling: plain tasks, wrong definitions, hand-made tasks, due times, system tasks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.service_suite.bodies import SAMPLE
from tests.service_suite.peers import Peers, left_behind, statuses, waiting_task, wall
from unomi_scheduler import InvalidTask, TaskStatus
from unomi_scheduler.model import evolve

_S = TaskStatus


class Creation:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_s1_a_plain_task_runs_and_completes(self, peers: Peers) -> None:
        """
        With its history.
        """
        task = peers.one().new_task(SAMPLE).schedule()
        done = peers.completed(task.id)

        assert statuses(done) == ["SUCCESS"]
        assert (done.success_count, done.lock_owner, done.executing_node_id) == (1, None, None)

    @pytest.mark.parametrize(
        "definition",
        [
            {"task_type": None},
            {"task_type": " "},
            {"period": -1},
            {"period": 1_000, "one_shot": True},
            {"max_retries": -1},
            {"retry_delay": -1},
            {"initial_delay": -1},
            {"run_on_all_nodes": True, "allow_parallel_execution": False},
            {"run_on_all_nodes": True, "one_shot": True},
        ],
    )
    def test_s11_a_wrong_definition_is_refused(self, peers: Peers, definition: dict[str, Any]) -> None:
        """
        As a ValueError, before anything is stored.
        """
        with pytest.raises(InvalidTask) as told:
            peers.manager.schedule_task(evolve(waiting_task("wrong"), **definition))

        assert isinstance(told.value, ValueError)
        assert peers.manager.get_all_tasks() == []

    def test_s25_a_hand_made_task_runs_though_others_hold_locks(self, peers: Peers) -> None:
        """
        Locks say nothing about who is alive: heartbeats do (P7), so nobody waits for `node1` to `node3`.

        The locked tasks are not touched while their lease lasts.
        """
        locked = [left_behind(f"of-node{n}", age=100, lease=600_000, lock_owner=f"node{n}") for n in (1, 2, 3)]
        peers.put(*locked)
        peers.one()
        made = waiting_task("hand-made", next_scheduled_execution=None, parameters={"script": ["hold"]})
        peers.manager.schedule_task(made)
        peers.said("start", "hand-made")
        running = peers.now("hand-made")
        peers.journal.open_gate("hand-made")
        peers.completed("hand-made")

        assert running.executing_node_id == "test-scheduler-node"
        assert [peers.now(task.id) for task in locked] == locked

    def test_a_task_runs_neither_before_its_delay_nor_while_it_is_disabled(self, peers: Peers) -> None:
        """
        A one-shot that runs once is disabled afterwards.
        """
        node = peers.one()
        disabled = node.schedule_task(evolve(node.create_task(SAMPLE), enabled=False))
        delayed = node.new_task(SAMPLE).with_initial_delay(300, "MILLISECONDS").as_one_shot().schedule()
        done = peers.completed(delayed.id)

        assert (done.last_execution_date or 0) >= delayed.creation_date + 300
        assert (done.enabled, done.next_scheduled_execution) == (False, None)
        assert peers.now(disabled.id).status is _S.SCHEDULED
        assert peers.journal.lines(disabled.id) == []

    def test_tasks_of_one_type_do_not_wait_for_each_other(self, peers: Peers) -> None:
        """
        Three runs of a type at once, on one node, begun in one moment (fault 17: one dispatch per type and poll).
        """
        node = peers.one(poll_interval="10s")
        names = [node.new_task(SAMPLE).with_parameters({"script": ["hold"]}).schedule().id for _ in range(3)]
        starts = [peers.said("start", name)[0].at for name in names]
        held = [peers.now(name).status for name in names]

        assert held == [_S.RUNNING] * 3
        assert max(starts) - min(starts) < 5

    def test_s29_a_system_task_is_used_again(self, peers: Peers) -> None:
        """
        It ran, was cancelled, and is scheduled again: the same id, and one task of the type.
        """
        node = peers.one(types=("daily",))
        first = node.new_task("daily").as_system_task().with_period(1, "DAYS").schedule()
        peers.when(first.id, lambda task: task.success_count == 1)
        node.cancel_task(first.id)
        again = node.new_task("daily").as_system_task().with_period(1, "DAYS").schedule()
        peers.store.refresh()

        assert (again.id, again.status) == (first.id, _S.CANCELLED)
        assert peers.manager.find_tasks(task_type="daily").total_size == 1

    def test_starts_at_once_leave_one_system_task(self, peers: Peers) -> None:
        """
        Eight nodes create it at the same moment (fault 29).
        """
        nodes = [peers.make(f"node-{number}") for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            made = list(
                pool.map(lambda node: node.new_task("daily").as_system_task().with_period(1, "DAYS").schedule(), nodes)
            )
        peers.store.refresh()

        assert {task.id for task in made} == {"daily"}
        assert peers.manager.find_tasks(task_type="daily").total_size == 1

    def test_s31_a_system_task_keeps_its_parameters_over_a_restart(self, peers: Peers) -> None:
        """
        And its period, though new ones were passed (a string and 123 stay what they were).
        """
        given = {"text": "original", "number": 123}
        node = peers.one()
        first = node.new_task("daily").as_system_task().with_parameters(given).with_period(1, "DAYS").schedule()
        node.stop()
        node = peers.one()
        again = node.new_task("daily").as_system_task().with_parameters({"text": "new"}).with_period(2, "DAYS")

        assert again.schedule().id == first.id
        assert peers.now(first.id).parameters == given
        assert peers.now(first.id).period_millis == 86_400_000

    def test_s32_the_purge_task_is_used_again_after_a_restart(self, peers: Peers) -> None:
        """
        The same task, of the same type, a system task still.
        """
        node = peers.one(purge_enabled=True)
        first = peers.when("task-purge", lambda task: task.success_count == 1)
        node.stop()
        peers.one(purge_enabled=True)
        again = peers.now("task-purge")

        assert (again.task_type, again.system_task, again.creation_date) == ("task-purge", True, first.creation_date)
        peers.store.refresh()
        assert peers.manager.find_tasks(task_type="task-purge").total_size == 1

    def test_s33_a_dedicated_executor_goes_on_after_a_restart(self, peers: Peers) -> None:
        """
        A system task every 100 ms: one run, a restart, a second run with the parameters that it was given.
        """
        given = {"script": ["ok"], "kept": True}
        node = peers.one(types=("often",))
        task = (
            node.new_task("often").as_system_task().with_parameters(given).with_period(100, "MILLISECONDS").schedule()
        )
        peers.said("start", task.id)
        node.stop()
        before = len(peers.journal.lines(task.id))
        peers.one(types=("often",))
        peers.said("start", task.id, before + 1)
        later = peers.when(task.id, lambda one: one.success_count > before)

        assert (later.id, later.parameters) == (task.id, given)

    def test_reg2_without_an_executor_a_task_waits_for_a_node_that_has_one(self, peers: Peers) -> None:
        """
        It is stored and stays SCHEDULED; an unregistered executor lets its run end; another node takes the next.
        """
        (node,) = peers.start("a", types=("other",))
        task = node.new_task(SAMPLE).schedule()
        ran = node.new_task("other").schedule()
        peers.completed(ran.id)
        waiting = peers.now(task.id)
        peers.start("b", types=(SAMPLE,))
        done = peers.completed(task.id)

        assert (waiting.status, waiting.lock_owner) == (_S.SCHEDULED, None)
        assert done.last_executed_by == "b"
        assert (done.last_execution_date or 0) <= wall()
