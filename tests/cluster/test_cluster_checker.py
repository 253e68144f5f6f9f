"""
The checker finds what it is there to find.
"""

from __future__ import annotations

from typing import Any

from tests.cluster.checker import faults, reruns
from tests.cluster.nodes import Said
from tests.factories import make_task
from unomi_scheduler import Task, TaskStatus


def start(**over: Any) -> Said:
    """
    Return the start of a run of `one` by process 1, at second 10.
    """
    return Said(
        **{"event": "start", "pid": 1, "at": 10.0, "wall": 0.0, "task": "one", "claim": "a", "fence": 5, **over}
    )


def done(*history: tuple[str, str], **over: Any) -> Task:
    """
    Return the completed task `one`; by default its one run was claim `a`.
    """
    entries = tuple({"status": status, "claimId": claim} for status, claim in (history or (("SUCCESS", "a"),)))
    return make_task(**{"id": "one", "status": TaskStatus.COMPLETED, "success_count": 1, "history": entries, **over})


AGAIN = [start(), start(pid=2, at=13.0, claim="b", fence=6)]
CRASHED = done(("CRASHED", "a"), ("SUCCESS", "b"))


class TestFaults:
    """
    What goes through and what does not.
    """

    def test_one_run_that_was_committed_is_right(self) -> None:
        """
        Nothing is found.
        """
        assert faults(["one"], tasks=[done()], said=[start()]) == []

    def test_a_run_that_died_may_be_followed_by_another(self) -> None:
        """
        It is counted as a second run.
        """
        assert faults(["one"], tasks=[CRASHED], said=AGAIN, dead={1: 11.0}) == []
        assert reruns(AGAIN) == 1

    def test_what_is_lost_left_or_never_ran_is_found(self) -> None:
        """
        A lost document, a document left RUNNING, a document without a run.
        """
        left = done(status=TaskStatus.RUNNING, lock_owner="node-a")

        assert faults(["one"], tasks=[], said=[start()]) == ["one: the document is lost"]
        assert faults(["one"], tasks=[done()], said=[]) == ["one: never executed"]
        assert faults(["one"], tasks=[left], said=[start()]) == ["one: it is left RUNNING, owner node-a"]

    def test_a_second_run_without_a_death_is_found(self) -> None:
        """
        Also before the death, not said by the document, or with the same fence.
        """
        same = [AGAIN[0], start(pid=2, at=13.0, claim="b", fence=5)]
        unsaid = done(("SUCCESS", "b"))

        assert "lives" in faults(["one"], tasks=[CRASHED], said=AGAIN)[0]
        assert "before" in faults(["one"], tasks=[CRASHED], said=AGAIN, dead={1: 14.0})[0]
        assert "does not say" in faults(["one"], tasks=[unsaid], said=AGAIN, dead={1: 11.0})[0]
        assert "not above" in faults(["one"], tasks=[CRASHED], said=same, dead={1: 11.0})[0]

    def test_an_outcome_that_is_not_the_last_runs_is_found(self) -> None:
        """
        Or one that was committed twice.
        """
        twice = done(("SUCCESS", "a"), ("SUCCESS", "a"), success_count=2)

        assert "committed" in faults(["one"], tasks=[done(("SUCCESS", "b"))], said=[start()])[0]
        assert "committed" in faults(["one"], tasks=[twice], said=[start()])[0]
