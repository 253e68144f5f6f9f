"""
Scenarios of dependencies: S6, X10, X11, and what happens when one fails, is cancelled, deleted or recurs.
"""

from __future__ import annotations

import time
from threading import Event

import pytest

from tests.scenarios.nodes import Nodes
from tests.waiting import eventually
from unomi_scheduler import InvalidTask, NotAllScheduled, Task, TaskContext, TaskStatus

TRIPS = 10
"""Round trips to the store within which a dependent starts: it takes four, and other work stands in their way."""
_S = TaskStatus


def _nothing(context: TaskContext) -> None:
    pass


def _short(context: TaskContext) -> None:
    context.wait_cancelled(0.2)


def _broken(context: TaskContext) -> None:
    raise RuntimeError("boom")


_BODIES = {"short": _short, "last": _nothing, "broken": _broken}


def _last(nodes: Nodes, *names: str, on_failure: str | None = None) -> Task:
    builder = nodes.manager.new_task("last").with_id("last").as_one_shot()
    return builder.with_dependencies(*names, on_failure=on_failure).schedule()


def _soon(nodes: Nodes) -> float:
    """
    Return the seconds within which a dependent starts: far less than any scan, on a machine as busy as this one is now.
    """
    trips = []
    for _ in range(5):
        began = time.monotonic()
        nodes.manager.get_task("last")
        trips.append(time.monotonic() - began)
    return 0.4 + TRIPS * max(trips)


def _gap(nodes: Nodes, *names: str) -> float:
    """
    Return the seconds from the end of the last dependency to the beginning of the dependent.
    """
    eventually(lambda: nodes.journal.ran("last"), "the dependent runs", 20)
    gap = nodes.journal.ran("last")[0].began - max(nodes.journal.ran(name)[0].ended for name in names)
    print(f"started {gap * 1000:.0f} ms after the last dependency")
    return gap


class DependencyScenarios:
    """
    The tests; a subclass gives the store by its fixture `nodes`.
    """

    @pytest.mark.parametrize("names", ["a", "a b c"])
    def test_s6_a_dependent_starts_right_after_its_dependencies(self, nodes: Nodes, names: str) -> None:
        """
        Scheduled by a process that takes no part, so whoever ends the last of them was never told of the dependent.
        """
        nodes.start(names, _BODIES)
        for name in ("first", "second"):
            nodes.manager.new_task("short").with_id(name).schedule()
        waiting = _last(nodes, "first", "second")
        gap = _gap(nodes, "first", "second")

        assert (_S.WAITING, ("first", "second")) == (waiting.status, waiting.waiting_on_tasks)
        assert 0 <= gap < _soon(nodes)
        assert () == nodes.reached("last", _S.COMPLETED).waiting_on_tasks
        assert () == nodes.task("first").dependents

    def test_s6_a_chain_of_one_call_runs_link_by_link(self, nodes: Nodes) -> None:
        """
        Five tasks, each waiting for the one before, scheduled in the wrong order.
        """
        make = nodes.manager.create_task
        nodes.start("a b", {"link": _nothing})
        chain = [make("link", id=f"link-{n}", depends_on=(f"link-{n - 1}",) if n else ()) for n in range(5)]
        nodes.manager.schedule_many(reversed(chain))
        nodes.reached("link-4", _S.COMPLETED)

        assert [f"link-{n}" for n in range(5)] == [one.task_id for one in nodes.journal.ran()]

    def test_s6_more_dependents_than_a_document_names_start_as_well(self, nodes: Nodes) -> None:
        """
        They are searched for by the node that ends the dependency.
        """
        make = nodes.manager.create_task
        gate = Event()
        nodes.start("a b", {"gate": lambda _: gate.wait(20), "last": _nothing})
        nodes.manager.new_task("gate").with_id("first").schedule()
        nodes.manager.schedule_many([make("last", id=f"last-{n}", depends_on=("first",)) for n in range(150)])
        gate.set()
        eventually(lambda: len(nodes.journal.ran()) == 151, "all have run", 30)

        assert 151 == len({one.task_id for one in nodes.journal.ran()})

    def test_x10_a_dependent_waits_for_dependencies_on_different_nodes(self, nodes: Nodes) -> None:
        """
        Each dependency runs on a node of its own; the dependent is WAITING until both have ended, never early.
        """
        gates = {"first": Event(), "second": Event()}

        def gated(context: TaskContext) -> None:
            gates[context.task.id].wait(20)

        nodes.start("a b", {"gated": gated, "last": _nothing})
        for name, node in (("first", "a"), ("second", "b")):
            nodes.manager.new_task("gated").with_id(name).on_nodes(node).schedule()
        _last(nodes, "first", "second")
        nodes.reached("first", _S.RUNNING)
        nodes.reached("second", _S.RUNNING)
        gates["first"].set()
        nodes.reached("first", _S.COMPLETED)
        between = nodes.task("last")
        gates["second"].set()
        gap = _gap(nodes, "first", "second")

        assert between.status is _S.WAITING
        assert 0 <= gap < _soon(nodes)
        assert {"a", "b"} == {nodes.journal.ran(name)[0].node_id for name in ("first", "second")}

    def test_x11_what_leads_back_to_itself_is_refused(self, nodes: Nodes) -> None:
        """
        Through each other in one call, through a stored chain to an id that is free again, and by itself.
        """
        manager = nodes.manager
        make = manager.create_task
        with pytest.raises(NotAllScheduled) as told:
            manager.schedule_many([make("x", id="a", depends_on=("b",)), make("x", id="b", depends_on=("a",))])
        manager.schedule_many([make("x", id="one"), make("x", id="two", depends_on=("one",))])
        manager.schedule_many([make("x", id="three", depends_on=("two",))])
        manager.delete_task("one")
        for name in ("three", "one"):
            with pytest.raises(InvalidTask, match="lead back"):
                manager.new_task("x").with_id("one").with_dependencies(name).schedule()

        assert {"a", "b"} == told.value.failed.keys()

    def test_x11_an_unknown_dependency_is_refused(self, nodes: Nodes) -> None:
        """
        With its id; nothing is stored.
        """
        with pytest.raises(InvalidTask, match="dependency not found: nobody"):
            nodes.manager.new_task("x").with_dependencies("nobody").schedule()

        assert nodes.manager.find_tasks(limit=0).total_size == 0

    @pytest.mark.parametrize("on_failure", [None, "RUN"])
    def test_a_failed_dependency_ends_or_starts_its_dependent(self, nodes: Nodes, on_failure: str | None) -> None:
        """
        With the reason, by default; or it runs all the same. A retry that is still to come breaks nothing.
        """
        nodes.start("a b", _BODIES)
        nodes.manager.new_task("broken").with_id("first").with_max_retries(1).with_retry_delay(
            700, "MILLISECONDS"
        ).schedule()
        _last(nodes, "first", on_failure=on_failure)
        eventually(lambda: nodes.journal.ran("first"), "the first try", 20)
        between = nodes.reached("first", _S.SCHEDULED)
        waiting = nodes.task("last")
        ended = nodes.reached("last", _S.COMPLETED if on_failure else _S.FAILED)

        assert between.failure_count == 1
        assert waiting.status is _S.WAITING
        assert len(nodes.journal.ran("first")) == 2
        assert bool(on_failure) is (ended.last_error is None)
        assert on_failure or "dependency first failed: " in str(ended.last_error)

    def test_a_dependency_that_is_retried_by_hand_wakes_who_went_on_waiting(self, nodes: Nodes) -> None:
        """
        The policy WAIT: it failed for good, a person retries it, it succeeds, and the dependent runs at once.
        """
        mended = Event()

        def sometimes(context: TaskContext) -> None:
            if not mended.is_set():
                raise RuntimeError("boom")

        nodes.start("a b", {"sometimes": sometimes, "last": _nothing})
        nodes.manager.new_task("sometimes").with_id("first").with_max_retries(0).schedule()
        _last(nodes, "first", on_failure="WAIT")
        nodes.reached("first", _S.FAILED)
        mended.set()
        waiting = nodes.task("last")
        nodes.manager.retry_task("first", reset_failure_count=True)
        eventually(lambda: nodes.journal.ran("last"), "the dependent runs", 20)
        gap = nodes.journal.ran("last")[0].began - nodes.journal.ran("first")[1].ended

        assert waiting.status is _S.WAITING
        assert 0 <= gap < _soon(nodes)

    @pytest.mark.parametrize("how", ["cancel_task", "delete_task"])
    @pytest.mark.parametrize(
        ("on_failure", "status"), [("FAIL", _S.FAILED), ("RUN", _S.SCHEDULED), ("WAIT", _S.WAITING)]
    )
    def test_a_cancelled_or_deleted_dependency(
        self, nodes: Nodes, how: str, on_failure: str, status: TaskStatus
    ) -> None:
        """
        Decided by the request itself, without any node, and so is what waits for the dependent.
        """
        manager = nodes.manager
        manager.new_task("short").with_id("first").schedule()
        _last(nodes, "first", on_failure=on_failure)
        manager.new_task("last").with_id("after").with_dependencies("last").schedule()
        getattr(manager, how)("first")

        assert (status, _S.FAILED if status is _S.FAILED else _S.WAITING) == (
            nodes.task("last").status, nodes.task("after").status,
        )  # fmt: skip

    def test_a_recurring_dependency_counts_with_its_next_success(self, nodes: Nodes) -> None:
        """
        Not with those before the dependent was scheduled (16.18).
        """
        nodes.start("a b", _BODIES)
        nodes.manager.new_task("short").with_id("first").with_period(1_500, "MILLISECONDS").schedule()
        eventually(lambda: nodes.journal.ran("first"), "the first run", 20)
        eventually(lambda: nodes.task("first").success_count or None, "the first success", 20)
        waiting = _last(nodes, "first")
        eventually(lambda: nodes.journal.ran("last"), "the dependent runs", 20)
        gap = nodes.journal.ran("last")[0].began - nodes.journal.ran("first")[1].ended

        assert waiting.status is _S.WAITING
        assert 0 <= gap < _soon(nodes)
