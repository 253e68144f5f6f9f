"""
Filtering and querying.
"""

from __future__ import annotations

import pytest

from tests.factories import make_running_task
from tests.service_suite.peers import Peers, waiting_task
from unomi_scheduler import InvalidTask, TaskStatus, TotalRelation

_S = TaskStatus
STATES = (_S.RUNNING, _S.COMPLETED, _S.FAILED, _S.WAITING)


def _fill(peers: Peers) -> None:
    over = {"task_type": "queried", "creation_date": 1_000}
    peers.put(
        *(
            make_running_task(id="RUNNING", **over, owner_incarnation="x", lock_owner="x")
            if status is _S.RUNNING
            else waiting_task(str(status), **over, status=status)
            for status in STATES
        ),
        waiting_task("another", creation_date=2_000),
    )


class Querying:
    """
    The tests; a subclass stands where a fixture `peers` gives the store.
    """

    def test_s20_tasks_are_found_by_status_and_type(self, peers: Peers) -> None:
        """
        One of each state; a page has its size, and the true total.
        """
        _fill(peers)
        find = peers.manager.find_tasks
        page = find(task_type="queried", limit=2)

        assert {status: [one.id for one in find(status=status, task_type="queried").list] for status in STATES} == {
            status: [str(status)] for status in STATES
        }
        assert find(task_type="queried").total_size == 4
        assert (len(page.list), page.page_size, page.total_size) == (2, 2, 4)
        assert page.total_size_relation is TotalRelation.EQUAL

    def test_filters_combine_and_order_holds_without_them(self, peers: Peers) -> None:
        """
        The original lets the status win over the type, and does not sort an unfiltered list.
        """
        _fill(peers)
        peers.manager.new_task("queried").with_id("m").non_persistent().with_initial_delay(1, "HOURS").schedule()
        find = peers.manager.find_tasks

        assert [one.id for one in find(status="scheduled", task_type="queried").list] == ["m"]
        assert [one.id for one in find(sort_by="creationDate:desc", limit=2).list] == ["m", "another"]
        assert [one.id for one in find(limit=-1).list][-2:] == ["another", "m"]
        assert find(offset=9).total_size == 6

    @pytest.mark.parametrize("wrong", [{"offset": -1}, {"limit": -2}, {"status": "LOST"}])
    def test_a_wrong_query_is_refused(self, peers: Peers, wrong: dict[str, int]) -> None:
        """
        Before the store is asked.
        """
        with pytest.raises(InvalidTask):
            peers.manager.find_tasks(**wrong)  # type: ignore[arg-type]
