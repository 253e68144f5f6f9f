"""
Nodes that die: what they ran and what they would have run goes on elsewhere.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.service_suite.bodies import RESUMABLE, SAMPLE
from tests.service_suite.peers import Peers, known, shares, statuses, waiting_task, wall
from tests.waiting import eventually
from unomi_scheduler import TaskStatus
from unomi_scheduler.model import evolve

_S = TaskStatus


class Deaths:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_s21_a_survivor_takes_over_what_a_dead_node_held(self, peers: Peers) -> None:
        """
        The run is RUNNING on the node that dies; a peer completes it, and the dead node owns nothing any more.
        """
        dead = peers.doomed("dead")
        peers.task(SAMPLE, "hold", "ok").with_id("held").schedule()
        peers.said("start", "held")
        peers.start("survivor")
        dead.kill()
        done = peers.completed("held")
        first, second = peers.journal.lines("held")

        assert (done.last_executed_by, done.lock_owner, statuses(done)) == ("survivor", None, ["CRASHED", "SUCCESS"])
        assert (first.node, second.node) == ("dead", "survivor")
        assert second.fence > first.fence
        eventually(lambda: not peers.alive("dead"), "it is declared dead")

    def test_x5_a_task_of_a_dead_share_runs_elsewhere_before_the_death_is_known(self, peers: Peers) -> None:
        """
        Its node is dead and listed as alive for half a minute; a peer claims it a second after its due time (P13).
        """
        dead = peers.doomed("dead", lease="30s")
        (backup,) = peers.start("backup")
        eventually(lambda: known(backup) == {"dead"}, "they have met")
        dead.kill()
        (task_id,) = shares(("dead", "backup"), "dead")
        due = wall() + 200
        peers.manager.schedule_task(evolve(waiting_task(task_id), next_scheduled_execution=due))
        done = peers.completed(task_id)

        assert peers.alive("dead")
        assert done.last_executed_by == "backup"
        assert (done.last_execution_date or 0) - due >= 1_000

    def test_x6_a_retry_outlives_the_node_that_was_at_it(self, peers: Peers) -> None:
        """
        It dies in the second try of a task that failed once; a peer does it again.
        """
        dead = peers.doomed("dead")
        builder = peers.task(SAMPLE, "fail", "hold", "ok").with_id("retried")
        builder.with_retry_delay(50, "MILLISECONDS").schedule()
        peers.said("start", "retried", 2)
        peers.start("peer")
        dead.kill()
        done = peers.completed("retried")

        assert statuses(done) == ["FAILED", "CRASHED", "SUCCESS"]
        assert [line.node for line in peers.journal.lines("retried")] == ["dead", "dead", "peer"]

    def test_a_retry_outlives_the_node_that_would_have_done_it(self, peers: Peers) -> None:
        """
        It dies before the retry is due; the document has it, so a peer does it in time (fault 10).
        """
        dead = peers.doomed("dead")
        builder = peers.task(SAMPLE, "fail", "ok").with_id("retried")
        builder.with_retry_delay(1_500, "MILLISECONDS").schedule()
        failed = peers.when("retried", lambda task: task.failure_count == 1)
        dead.kill()
        peers.start("peer")
        done = peers.completed("retried")

        assert (failed.status, done.last_executed_by, statuses(done)) == (_S.SCHEDULED, "peer", ["FAILED", "SUCCESS"])
        assert (done.last_execution_date or 0) >= (failed.next_scheduled_execution or 0)

    def test_x7_a_crashed_run_is_resumed_from_its_checkpoint(self, peers: Peers) -> None:
        """
        The node dies behind its checkpoint: until somebody notices, the task is RUNNING with the checkpoint stored;
        then it is resumed once and never executed again (fault 7).
        """
        dead = peers.doomed("dead")
        peers.task(RESUMABLE, "save", "ok").with_id("import").schedule()
        peers.said("saved", "import")
        dead.kill()
        left = peers.now("import")
        peers.start("survivor")
        done = peers.completed("import")

        assert (left.status, left.checkpoint_data) == (_S.RUNNING, {"processed": 3})
        assert [(line.resumed, line.checkpoint) for line in peers.journal.lines("import")] == [
            (False, {}),
            (True, {"processed": 3}),
        ]
        assert (done.checkpoint_data, done.crash_count, done.failure_count) == ({"processed": 3}, 0, 0)

    def test_x8_a_run_that_stalls_beyond_its_lease_is_started_again(self, peers: Peers) -> None:
        """
        A one-shot that had failed once; it cannot resume, and the crash costs none of its retries.
        """
        dead = peers.doomed("dead")
        builder = peers.task(SAMPLE, "fail", "hold", "fail", "ok").with_id("once").as_one_shot()
        builder.with_max_retries(2).with_retry_delay(50, "MILLISECONDS").schedule()
        peers.said("start", "once", 2)
        dead.kill()
        peers.start("peer")
        done = peers.completed("once")

        assert statuses(done) == ["FAILED", "CRASHED", "FAILED", "SUCCESS"]
        assert (done.success_count, done.enabled) == (1, False)

    def test_x13_of_two_survivors_one_resumes(self, peers: Peers) -> None:
        """
        Both look at the same moment, again and again.
        """
        dead = peers.doomed("dead")
        peers.task(RESUMABLE, "save", "ok").with_id("import").schedule()
        peers.said("saved", "import")
        survivors = peers.start("b", "c")
        dead.kill()

        def recovered() -> bool:
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda node: node.recover_crashed_tasks(), survivors))
            return peers.now("import").status is _S.COMPLETED

        eventually(recovered, "it is recovered")
        done = peers.completed("import")

        assert [line.resumed for line in peers.journal.lines("import")] == [False, True]
        assert statuses(done) == ["CRASHED", "RESUMED", "SUCCESS"]
        assert sum(node.get_metric("tasks.crashed") for node in survivors) == 1
