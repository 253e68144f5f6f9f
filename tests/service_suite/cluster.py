"""
Cluster node behaviour: nodes that die, stop, join, pause, and race.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest

from tests.service_suite.bodies import RESUMABLE, SAMPLE
from tests.service_suite.peers import Peers, left_behind, shares, statuses, waiting_task, wall
from tests.waiting import eventually, told
from unomi_scheduler import Callback, Task, TaskStatus
from unomi_scheduler.model import evolve
from unomi_scheduler.ports import Action, Write

_S = TaskStatus


class Silent:
    """
    An executor of the original's shape that returns without a word.
    """

    task_type = "silent"

    def __init__(self) -> None:
        self.callbacks: list[Callback] = []

    def execute(self, task: Task, callback: Callback) -> None:
        """
        Keep the callback for later.
        """
        self.callbacks.append(callback)

    def can_resume(self, task: Task) -> bool:
        """
        Never.
        """
        return False

    def resume(self, task: Task, callback: Callback) -> None:
        """
        Never called.
        """


class Clustering:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_s21_a_run_that_waits_for_its_callback_is_held(self, peers: Peers) -> None:
        """
        `execute` has returned without a word: the task stays RUNNING with its owner while that node lives, and a late
        word from another thread ends it.
        """
        node, other = peers.start("a", "b")
        executor = Silent()
        node.register_executor(executor)
        node.new_task("silent").with_id("silent").as_one_shot().schedule()
        eventually(lambda: executor.callbacks, "it was called")
        other.recover_crashed_tasks()
        peers.completed(other.new_task(SAMPLE).schedule().id)
        held = peers.reached("silent", _S.RUNNING)
        executor.callbacks[0].complete()
        done = peers.completed("silent")

        assert (held.lock_owner, done.last_executed_by, len(executor.callbacks)) == ("a", "a", 1)

    def test_s23_a_node_that_joins_takes_its_part(self, peers: Peers) -> None:
        """
        Recurring parallel tasks on one node; another one joins and runs those of its share (P13).

        The original has one task that both nodes run by turns, for want of a claim; here each task has one owner.
        """
        peers.start("a")
        mine, others = shares(("a", "b"), "a", 3), shares(("a", "b"), "b", 3)
        for task_id in (*mine, *others):
            peers.task().with_id(task_id).with_period(300, "MILLISECONDS").schedule()
        for task_id in (*mine, *others):
            peers.said("start", task_id)
        before = {line.node for line in peers.journal.lines()}
        peers.start("b")

        def taken() -> bool:
            lines = peers.journal.lines()
            return {line.task for line in lines if line.node == "b"} >= set(others)

        eventually(taken, "b runs its share")
        assert before == {"a"}

    def test_s24_a_living_owner_is_not_robbed(self, peers: Peers) -> None:
        """
        Both nodes look for broken-off runs while one holds: the owner stays, and there is one run.
        """
        nodes = peers.start("a", "b")
        peers.task(SAMPLE, "hold").with_id("held").schedule()
        owner = peers.said("start", "held")[0].node
        for node in nodes * 3:
            node.recover_crashed_tasks()
            peers.completed(node.new_task(SAMPLE).schedule().id)
        held = peers.now("held")
        peers.journal.open_gate("held")
        done = peers.completed("held")

        assert (held.status, held.lock_owner, done.last_executed_by) == (_S.RUNNING, owner, owner)
        assert (len(peers.journal.lines("held")), statuses(done)) == (1, ["SUCCESS"])

    def test_x3_a_run_may_outlast_the_observers_lease(self, peers: Peers) -> None:
        """
        The owner's lease is 10 s, the observer's 1 s, and it looks three times when the lock is older than that: the
        lock is kept. Nor is the lock of another kind of node, whose recorded lease is 10 s (faults 4 and 13).
        """
        owner = peers.start("owner")[0]
        owner.new_task(SAMPLE).with_id("held").with_parameters({"script": ["hold"]}).schedule()
        peers.said("start", "held")
        observer = peers.start("observer", lease="1s")[0]
        peers.put(foreign := left_behind("foreign", age=1_200, lease=600_000))
        lock = peers.now("held").lock_date or 0
        eventually(lambda: wall() - lock > 1_300, "the lock is older than the observer's lease")
        for _ in range(3):
            observer.recover_crashed_tasks()
            peers.completed(observer.new_task(SAMPLE).schedule().id)
        held = peers.now("held")
        peers.journal.open_gate("held")
        done = peers.completed("held")

        assert (held.status, held.lock_owner, done.crash_count) == (_S.RUNNING, "owner", 0)
        assert len(peers.journal.lines("held")) == 1
        assert peers.now("foreign") == foreign

    def test_x15_an_expired_lock_of_a_living_node_is_no_reason_to_steal(self, peers: Peers) -> None:
        """
        The lock's date is set back by hand; the owner's heartbeat moves, so it keeps its run (P7).
        """
        nodes = peers.start("a", "b")
        peers.task(SAMPLE, "hold").with_id("held").schedule()
        owner = peers.said("start", "held")[0].node
        peers.edit("held", lambda task: evolve(task, lock_date=1, lock_lease_millis=1))
        for node in nodes:
            node.recover_crashed_tasks()
            peers.completed(node.new_task(SAMPLE).schedule().id)
        peers.journal.open_gate("held")
        done = peers.completed("held")

        assert (done.last_executed_by, statuses(done)) == (owner, ["SUCCESS"])
        assert len(peers.journal.lines("held")) == 1

    def test_x15_who_is_declared_dead_loses_its_run(self, peers: Peers) -> None:
        """
        The owner lives, but a peer's mark says otherwise: its run is told and its outcome dropped, the peer's counts
        (P8). It joins again as a new incarnation.
        """
        owner = peers.start("owner")[0]
        owner.new_task(SAMPLE).with_id("held").with_parameters({"script": ["hold", "ok"]}).schedule()
        peers.said("start", "held")
        incarnation = peers.now("held").owner_incarnation
        peers.start("peer")
        beat_id = f"owner:{incarnation}"

        def marked() -> bool:
            (beat,) = peers.store.heartbeats([beat_id])
            write = Write(Action.REPLACE, replace(beat.record, dead_by="peer"), beat.version)
            return peers.store.write([write])[0].version is not None

        eventually(marked, "the mark is set")
        done = peers.completed("held")
        peers.said("told", "held")
        eventually(lambda: peers.alive("owner"), "it has joined again")

        assert (done.success_count, statuses(done)) == (1, ["CRASHED", "SUCCESS"])
        assert done.history[1]["claimId"] == peers.journal.lines("held")[1].claim
        assert len(peers.journal.lines("held")) == 2

    @pytest.mark.parametrize("parallel", [True, False])
    def test_x16_two_nodes_that_poll_run_a_held_task_once(self, peers: Peers, parallel: bool) -> None:  # noqa: FBT001 - a table's column
        """
        Also one that allows parallel execution: that says nothing about two runs of the same task (fault 3).
        """
        peers.start("a", "b")
        made = evolve(waiting_task("held"), next_scheduled_execution=wall(), one_shot=True)
        made = evolve(made, parameters={"script": ["hold"]}, allow_parallel_execution=parallel)
        peers.manager.schedule_task(made)
        first = peers.said("start", "held")[0].at
        eventually(lambda: time.monotonic() > first + 0.5, "some polls more")
        peers.journal.open_gate("held")
        done = peers.completed("held")

        assert (len(peers.journal.lines("held")), done.success_count) == (1, 1)

    def test_x17_a_stop_may_race_with_a_peers_recovery(self, peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
        """
        One execution, at most one resumption, and nothing is logged as broken.
        """
        caplog.set_level(logging.INFO)
        leaving = peers.start("leaving")[0]
        builder = leaving.new_task(RESUMABLE).with_id("import").with_parameters({"script": ["save", "ok"]})
        builder.schedule()
        peers.said("saved", "import")
        (peer,) = peers.start("peer")
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(leaving.stop)
            while not stopped.done():
                peer.recover_crashed_tasks()
                wait([stopped], 0.02)
            stopped.result()
        done = peers.completed("import")

        assert [line.resumed for line in peers.journal.lines("import")] == [False, True]
        assert (done.last_executed_by, done.crash_count) == ("peer", 0)
        assert told(caplog, "core_failed") == []

    def test_lock7_a_crashed_task_is_everybodys(self, peers: Peers) -> None:
        """
        It is in the share of a peer that is busy elsewhere; whoever finds it goes on at once (P13).
        """
        peers.start("a", "b")
        (task_id,) = shares(("a", "b"), "a")
        before = wall()
        peers.put(waiting_task(task_id, status=_S.CRASHED))
        done = peers.completed(task_id)

        assert done.success_count == 1
        assert (done.last_execution_date or 0) >= before

    def test_nodes_without_the_executor_have_no_share(self, peers: Peers) -> None:
        """
        Nor have those that run nothing: nobody waits for them (fault 11). Otherwise half of the tasks would start a
        second late.
        """
        peers.start("able")
        peers.start("other", types=("unrelated",))
        peers.start("desk", executor_node=False)
        ids = shares(("able", "other"), "other", 10)
        due = wall() + 1_000
        peers.manager.schedule_many([evolve(waiting_task(one), next_scheduled_execution=due) for one in ids])
        lates = [(peers.completed(one).last_execution_date or 0) - due for one in ids]

        assert min(lates) < 1_000
        assert {peers.now(one).last_executed_by for one in ids} == {"able"}

    def test_a_full_node_still_beats_and_does_its_own_duties(self, peers: Peers) -> None:
        """
        Every thread holds a run for longer than the lease; the node is nobody's prey, and its system task runs
        (fault 22).
        """
        node = peers.one(lease="1s", threads=4)
        for number in range(4):
            node.new_task(SAMPLE).with_id(f"long-{number}").with_parameters({"script": ["hold"]}).schedule()
        for number in range(4):
            peers.said("start", f"long-{number}")
        began = time.monotonic()
        eventually(lambda: time.monotonic() > began + 1.3, "longer than the lease")
        node.recover_crashed_tasks()
        node.executor("duty")(lambda _: None)
        duty = node.new_task("duty").as_system_task().schedule()
        peers.completed(duty.id)
        peers.journal.open_gate("all")
        done = [peers.completed(f"long-{number}") for number in range(4)]

        assert [(task.crash_count, statuses(task)) for task in done] == [(0, ["SUCCESS"])] * 4
        assert node.get_metric("tasks.crashed") == 0
