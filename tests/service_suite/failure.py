"""
Failure and retry.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.service_suite.bodies import SAMPLE
from tests.service_suite.peers import LIMIT, Peers, statuses, wall
from tests.waiting import eventually
from unomi_scheduler import TaskStatus

_S = TaskStatus


class Failure:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_run6_a_run_that_failed_is_tried_again(self, peers: Peers) -> None:
        """
        Once, after 50 ms; the success takes the count back, the last error stays.
        """
        builder = peers.one().new_task(SAMPLE).with_id("twice").with_parameters({"script": ["fail", "ok"]})
        builder.as_one_shot().with_retry_delay(50, "MILLISECONDS").schedule()
        done = peers.completed("twice")
        first, second = peers.said("start", "twice", 2)

        assert statuses(done) == ["FAILED", "SUCCESS"]
        assert (done.failure_count, done.last_error) == (0, "RuntimeError: failed in run 1")
        assert second.at - first.at >= 0.05
        assert second.fence > first.fence

    @pytest.mark.parametrize("one_shot", [True, False])
    def test_run7_without_retries_a_failure_is_the_end(self, peers: Peers, one_shot: bool) -> None:  # noqa: FBT001 - a table's column
        """
        FAILED, counted once, enabled still; of a plain task too (fault 17: it was stuck, SCHEDULED).
        """
        node = peers.one()
        builder = node.new_task(SAMPLE).with_id("fails").with_parameters({"script": ["fail"]}).with_max_retries(0)
        (builder.as_one_shot() if one_shot else builder).schedule()
        failed = peers.reached("fails", _S.FAILED)

        assert (failed.failure_count, failed.enabled, statuses(failed)) == (1, True, ["FAILED"])
        eventually(lambda: node.get_metric("tasks.failed"), "the failure is counted")
        assert node.get_metric("tasks.failed") == 1

    @pytest.mark.parametrize("fixed_rate", [True, False])
    def test_run8_a_period_that_used_its_retries_up_is_followed_by_the_next(
        self,
        peers: Peers,
        fixed_rate: bool,  # noqa: FBT001 - a table's column
    ) -> None:
        """
        SCHEDULED for the next period, with all its retries again (fault 25).
        """
        builder = peers.one().new_task(SAMPLE).with_id("period").with_parameters({"script": ["fail"]})
        builder = builder.with_max_retries(1).with_retry_delay(50, "MILLISECONDS").with_period(10, "SECONDS")
        before = wall()
        (builder.with_fixed_rate() if fixed_rate else builder.with_fixed_delay()).schedule()
        later = peers.when("period", lambda task: len(task.history) == 2)

        assert (later.status, later.failure_count, statuses(later)) == (_S.SCHEDULED, 0, ["FAILED", "FAILED"])
        assert before < (later.next_scheduled_execution or 0) - 10_000 <= wall() + 10_000

    def test_x9_each_period_has_its_own_retries(self, peers: Peers) -> None:
        """
        One retry, four runs in two periods: the first period uses its retry up, the second fails once and is retried.
        """
        node = peers.one()
        builder = node.new_task(SAMPLE).with_id("period").with_parameters({"script": ["fail", "fail", "fail", "ok"]})
        builder.with_max_retries(1).with_retry_delay(50, "MILLISECONDS").with_period(2, "SECONDS").schedule()
        later = peers.when("period", lambda task: task.success_count >= 1)
        starts = [line.at for line in peers.said("start", "period", 4)]

        assert statuses(later)[:4] == ["FAILED", "FAILED", "FAILED", "SUCCESS"]
        assert starts[2] - starts[0] >= 1.9
        assert 0.05 <= starts[3] - starts[2] < 1.5, "the fourth run is a retry, not the next period"

    def test_run9_a_failure_in_a_stop_is_retried_by_the_next_start(self, peers: Peers) -> None:
        """
        The retry stands in the document: SCHEDULED, counted once, and no timer is left (faults 8 and 10).
        """
        node, began = peers.one(), Event()

        def failing() -> None:
            began.set()
            eventually(lambda: peers.journal.is_open("failing"), "the gate opens")
            raise RuntimeError("during the stop")

        builder = node.new_task("failing").with_id("failing").with_simple_executor(failing)
        builder.with_retry_delay(50, "MILLISECONDS").schedule()
        assert began.wait(LIMIT)
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(node.stop)
            eventually(lambda: node._wiring.node._cores.current.board.stopping, "the node stops")
            peers.journal.open_gate("failing")
            stopped.result()
        left = peers.now("failing")
        peers.start("next", types=("failing",))
        peers.completed("failing")

        assert (left.status, left.failure_count, left.lock_owner) == (_S.SCHEDULED, 1, None)
        assert [line.node for line in peers.journal.lines("failing")] == ["next"]
