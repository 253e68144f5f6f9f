"""
Who waits for a task: named in its document, woken by whoever ends it, and found by a scan when that was lost.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.core_bench import Bench
from tests.factories import NOW, make_due_task, make_task
from tests.lossy_store import Fault
from tests.originals import document_id, original
from tests.service_kit import Kit, make_kit
from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.model import DependencyPolicy, Stored, Task, TaskStatus, TimeUnit, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import Failed, Pool
from unomi_scheduler.node.waiting import IDLE_SCAN
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.rules.dependencies import MANY, MOST_DEPENDENTS, with_dependents

_S = TaskStatus


def _waiting(*names: str, **over: Any) -> Task:
    return make_task(
        **{"id": "last", "status": _S.WAITING, "waiting_on_tasks": names, "next_scheduled_execution": NOW, **over}
    )


def _started(bench: Bench) -> list[str]:
    return [one.task.id for one in bench.starts()]


def _scanless() -> Bench:
    """
    A node whose first scan is over, so that it looks for nobody for the next twenty seconds.
    """
    bench = Bench()
    bench.pass_time(100)
    return bench


def _run(bench: Bench, *tasks: Task) -> None:
    bench.put(*tasks)
    bench.pass_time(1_200)


# --- rules


def test_names_are_kept_once_and_not_without_end() -> None:
    """
    The same again changes nothing; too many are a mark to search for them.
    """
    one = with_dependents(make_task(), ["a", "b"])
    many = with_dependents(one, [f"x{n}" for n in range(MOST_DEPENDENTS)])

    assert ("a", "b") == one.dependents
    assert with_dependents(one, ["b"]) is one
    assert (MANY,) == many.dependents
    assert with_dependents(many, ["c"]) is many


# --- core


def test_a_stranger_to_the_dependent_wakes_it() -> None:
    """
    Another process scheduled it, and this node's scan is far off: it learns of it by the dependency's own document.
    """
    bench = _scanless()
    _run(bench, make_due_task(id="first", dependents=("last",)), _waiting("first"))
    before = _started(bench)
    bench.end(bench.starts()[0])
    bench.settle()

    assert ["first"] == before
    assert ["first", "last"] == _started(bench)
    assert () == bench.task("first").dependents


def test_a_name_that_was_added_during_the_run_counts() -> None:
    """
    The end meets a conflict, reads, and sees the new name.
    """
    bench = _scanless()
    _run(bench, make_due_task(id="first"), _waiting("first"))
    (stored,) = bench.store.tasks(["first"])
    assert stored is not None
    named = with_dependents(bench.task("first"), ["last"])
    bench.store.write([Write(Action.REPLACE, named, stored.version)])
    bench.end(bench.starts()[0])
    bench.settle()

    assert ["first", "last"] == _started(bench)


def test_two_dependencies_are_both_looked_at() -> None:
    """
    The first end wakes nobody, the second does; each was told of the dependent.
    """
    bench = _scanless()
    _run(
        bench,
        *(make_due_task(id=name, dependents=("last",)) for name in ("first", "second")),
        _waiting("first", "second"),
    )
    bench.end(bench.starts()[0])
    bench.settle()
    between = _started(bench)
    bench.end(bench.starts()[1])
    bench.settle()

    assert ["first", "second"] == between
    assert ["first", "second", "last"] == _started(bench)


def test_a_retry_that_is_to_come_breaks_nothing() -> None:
    """
    The names stay through it; the failure for good fails the dependent with the reason, and who waits for that.
    """
    bench = _scanless()
    _run(
        bench,
        make_due_task(id="first", dependents=("last",), max_retries=1, retry_delay=100),
        _waiting("first", dependents=("after",)),
        _waiting("last", id="after"),
    )
    bench.end(bench.starts()[0], Failed("boom"))
    bench.settle()
    between = bench.task("last").status
    bench.pass_time(1_200)
    bench.end(bench.starts()[1], Failed("boom"))
    bench.settle()

    assert between is _S.WAITING
    assert (_S.FAILED, "dependency first failed: boom") == (bench.task("last").status, bench.task("last").last_error)
    assert (_S.FAILED, "dependency last failed: dependency first failed: boom") == (
        bench.task("after").status, bench.task("after").last_error,
    )  # fmt: skip


def test_dependents_too_many_to_name_are_searched_for() -> None:
    """
    After a refresh, page by page.
    """
    bench = _scanless()
    bench.core.board.slots = dict.fromkeys(Pool, 2_000)
    _run(
        bench,
        make_due_task(id="first", dependents=(MANY,)),
        *(_waiting("first", id=f"last-{n}") for n in range(1_100)),
    )
    bench.end(bench.starts()[0])
    bench.pass_time(100)
    searches = [one for one in bench.asked(m.AskWaiting) if one.on == "first"]

    assert len(_started(bench)) == 1_101
    assert [True, False, False] == [one.fresh for one in searches]


@pytest.mark.parametrize(
    "over", [{"enabled": False}, {"status": _S.CANCELLED}, {"status": _S.SCHEDULED, "next_scheduled_execution": None}]
)
def test_a_dependent_that_does_not_wait_is_left_alone(over: dict[str, Any]) -> None:
    """
    Disabled, over, or released by somebody else; so is one that was deleted.
    """
    bench = _scanless()
    _run(bench, make_due_task(id="first", dependents=("last", "deleted")), dependent := _waiting("first", **over))
    bench.end(bench.starts()[0])
    bench.settle()

    assert dependent == bench.task("last")


@pytest.mark.parametrize("purpose", ["dependents", "dependencies"])
def test_a_wake_that_fails_is_made_up_for_by_a_scan(purpose: str) -> None:
    """
    Soon, not after the long pause of a node that knows of nobody who waits.
    """
    bench = _scanless()
    _run(
        bench,
        make_due_task(id="first", dependents=("last",)),
        make_task(id="second", status=_S.COMPLETED),
        _waiting("first", "second"),
    )
    bench.hold = lambda command: isinstance(command, m.Ask) and getattr(command.query, "purpose", "") == purpose
    bench.end(bench.starts()[0])
    bench.settle()
    held = [(command.query, sent) for command, sent in bench.held if isinstance(command, m.Ask)]
    bench.held.clear()
    bench.hold = lambda _: False
    for query, sent in held:
        bench.post(m.Answered(query, sent, error=StoreUnavailable("no answer")))
    bench.pass_time(7_500)

    assert held
    assert ["first", "last"] == _started(bench)


def test_a_scan_finds_whom_nobody_was_told_of() -> None:
    """
    A document that another program wrote, or a node that died between the end and the wake.
    """
    bench = _scanless()
    _run(bench, make_due_task(id="first"), _waiting("first"))
    bench.end(bench.starts()[0])
    bench.settle()
    before = _started(bench)
    bench.pass_time(IDLE_SCAN + 1_500, step=100)

    assert ["first"] == before
    assert ["first", "last"] == _started(bench)


def test_a_node_that_stops_wakes_whom_its_last_run_held_up() -> None:
    """
    Before it says that it is done; another node runs them.
    """
    bench = _scanless()
    _run(bench, make_due_task(id="first", dependents=("last",)), _waiting("first"))
    bench.post(m.StopRequested(deadline=bench.clock.now().boot + 5_000, exiting=False))
    bench.hold = lambda command: isinstance(command, m.Ask) and getattr(command.query, "purpose", "") == "dependents"
    bench.end(bench.starts()[0])
    bench.settle()
    before = [one for one in bench.given if isinstance(one, m.Stopped)]
    bench.release()
    bench.settle()

    assert before == []
    assert bench.task("last").status is _S.SCHEDULED
    assert any(isinstance(one, m.Stopped) for one in bench.given)


@pytest.mark.parametrize("asked", [m.AskWaiting, m.AskTasks])
def test_a_node_that_stops_looks_for_those_too_many_to_name(asked: type[Any]) -> None:
    """
    It waits for the search, and for the reads of what those wait for besides.
    """
    bench = _scanless()
    bench.put(_waiting("first", "second"), make_task(id="second", status=_S.COMPLETED))
    _run(bench, make_due_task(id="first", dependents=(MANY,)))
    bench.post(m.StopRequested(deadline=bench.clock.now().boot + 5_000, exiting=False))
    bench.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, asked)
    bench.end(bench.starts()[0])
    bench.settle()
    before = [one for one in bench.given if isinstance(one, m.Stopped)]
    bench.hold = lambda _: False
    bench.release()
    bench.settle()

    assert before == []
    assert bench.task("last").status is _S.SCHEDULED
    assert any(isinstance(one, m.Stopped) for one in bench.given)


def test_a_stop_does_not_wait_for_a_search_that_fails() -> None:
    """
    A scan of another node finds them.
    """
    bench = _scanless()
    _run(bench, make_due_task(id="first", dependents=(MANY,)))
    bench.post(m.StopRequested(deadline=bench.clock.now().boot + 5_000, exiting=False))
    bench.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, m.AskWaiting)
    bench.end(bench.starts()[0])
    bench.settle()
    for command, sent in bench.held:
        assert isinstance(command, m.Ask)
        bench.post(m.Answered(command.query, sent, error=StoreUnavailable("no answer")))
    bench.settle()

    assert len(bench.held) == 1
    assert any(isinstance(one, m.Stopped) for one in bench.given)


def test_an_edit_does_not_cost_a_claim_its_turn() -> None:
    """
    A dependent is named in a task while its claim is under way: it is claimed again at once, not after the grace.
    """
    bench = Bench()
    (version,) = bench.put(task := make_due_task(id="first"))
    assert version is not None
    bench.core.discovery.mine = lambda task: False  # type: ignore[method-assign]

    def claims(command: m.Command) -> bool:
        return isinstance(command, m.Batch) and any(isinstance(write.record, Task) for write in command.writes)

    bench.hold = claims
    bench.post(m.Offered(Stored(task, version)))
    bench.settle()
    bench.store.write([Write(Action.REPLACE, evolve(task, dependents=("last",)), version)])
    bench.hold = lambda _: False
    bench.release()
    bench.settle()

    assert ["first"] == _started(bench)


def test_what_was_met_is_not_waited_for_any_more() -> None:
    """
    It may be purged before the last dependency ends: nobody takes it for a deleted one.
    """
    bench = _scanless()
    _run(bench, *(make_due_task(id=name, dependents=("last",)) for name in ("a", "b")), _waiting("a", "b"))
    bench.end(bench.starts()[0])
    bench.settle()
    left = bench.task("last").waiting_on_tasks
    (met,) = bench.store.tasks(["a"])
    assert met is not None
    bench.store.write([Write(Action.DELETE, met.record, met.version)])
    bench.end(bench.starts()[1])
    bench.settle()

    assert ["a", "b", "last"] == _started(bench)
    assert left == ("b",)


def test_a_scan_takes_off_what_was_met() -> None:
    """
    The same, where nobody was told that the dependency had ended.
    """
    bench = _scanless()
    _run(bench, make_task(id="a", status=_S.COMPLETED), make_task(id="b"), _waiting("a", "b"))
    bench.pass_time(IDLE_SCAN + 100, 100)

    assert (_S.WAITING, ("b",)) == (bench.task("last").status, bench.task("last").waiting_on_tasks)


@pytest.mark.parametrize("met", [False, True])
def test_a_dependency_in_quarantine_neither_frees_nor_fails(met: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """
    It may be put right. What is known of the others counts all the same.
    """
    bench = Bench()
    bench.store.plant("odd", {"itemId": "odd", "taskType": 7, "quarantineReason": "no text", "partition": 1})
    bench.put(make_task(id="a", status=_S.COMPLETED if met else _S.CANCELLED), _waiting("odd", "a"))
    bench.pass_time(3_000)
    last = bench.task("last")

    assert (last.status, last.waiting_on_tasks) == ((_S.WAITING, ("odd",)) if met else (_S.FAILED, ("odd", "a")))


# --- service


@pytest.fixture
def kit() -> Kit:
    """
    A scheduler whose store has no faults.
    """
    return make_kit()


def test_a_new_dependent_is_named_in_what_it_waits_for(kit: Kit) -> None:
    """
    By one write more for a dependency that exists, by none where both are made in one call; not where it has succeeded.
    """
    make = kit.scheduler.create_task
    kit.put(make_task(id="old"), make_task(id="done", status=_S.COMPLETED))
    kit.scheduler.schedule_many([
        make("x", id="a", depends_on=("old", "done", "b")), make("x", id="c", depends_on=("b",)), make("x", id="b"),
    ])  # fmt: skip
    stored = {name: kit.stored(name) for name in ("old", "done", "a", "b")}

    assert {"old": ("a",), "done": (), "a": (), "b": ("a", "c")} == {
        name: task.dependents for name, task in stored.items() if task is not None
    }
    assert stored["a"] is not None
    assert ("old", "b") == stored["a"].waiting_on_tasks


def test_a_dependency_that_ends_while_its_dependent_is_made(kit: Kit) -> None:
    """
    Between the look at it and the naming: nobody will end it again, so the process that made the dependent judges it.
    """
    kit.put(first := make_due_task(id="first"))
    ended = evolve(first, status=_S.COMPLETED, next_scheduled_execution=None)
    kit.faults.before.append(lambda: kit.replace(ended))
    kit.scheduler.new_task("x").with_id("last").with_dependencies("first").schedule()
    last = kit.stored("last")

    assert last is not None
    assert (_S.SCHEDULED, ()) == (last.status, last.waiting_on_tasks)


@pytest.mark.parametrize(
    ("policy", "status"),
    [(DependencyPolicy.FAIL, _S.FAILED), (DependencyPolicy.RUN, _S.SCHEDULED), (DependencyPolicy.WAIT, _S.WAITING)],
)
def test_a_dependency_that_becomes_endless_while_its_dependent_is_made(
    kit: Kit, policy: DependencyPolicy, status: TaskStatus
) -> None:
    """
    It was made to run on all nodes in each period, which has no end, when nobody was named in it yet. It counts as one
    that is broken, instead of being waited for without a word.
    """
    kit.put(first := make_due_task(id="first", run_on_all_nodes=True))
    kit.faults.before.append(lambda: kit.replace(evolve(first, period=1, time_unit=TimeUnit.DAYS)))
    kit.scheduler.new_task("x").with_id("last").with_dependencies("first", on_failure=policy).schedule()
    last = kit.stored("last")

    assert last is not None
    assert status is last.status
    if status is _S.FAILED:
        assert last.last_error == "dependency first runs on all nodes in each period and is never done"
    if status is _S.WAITING:
        assert "never done; this task waits until it has succeeded" in kit.scheduler.explain("last")[0]


def test_an_endless_dependency_is_found_by_a_scan() -> None:
    """
    Where the process that made the dependent did not see it.
    """
    bench = _scanless()
    endless = make_task(
        id="first", run_on_all_nodes=True, period=1, time_unit=TimeUnit.DAYS, next_scheduled_execution=NOW + 9_000_000
    )
    _run(bench, endless, _waiting("first"))
    bench.pass_time(IDLE_SCAN + 100, 100)

    assert _S.FAILED is bench.task("last").status


def test_naming_bears_lost_races(kit: Kit) -> None:
    """
    The dependency is written by another between the read and the write, twice: read again, named.
    """
    kit.put(first := make_due_task(id="first"))
    kit.faults.before += [lambda: None, *(partial(kit.replace, evolve(first, max_retries=n)) for n in (1, 2))]
    kit.scheduler.new_task("x").with_id("last").with_dependencies("first").schedule()
    named = kit.stored("first")

    assert named is not None
    assert (("last",), 2) == (named.dependents, named.max_retries)


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST_REQUEST, Fault.LOST_ANSWER])
def test_a_store_that_fails_after_the_creation_fails_no_schedule(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The dependent is stored and says so; that it is found by a scan only is in the log. A lost answer is sent for again.
    """
    kit = make_kit(Fault.NONE, *[fault] * 9)
    kit.put(make_due_task(id="first"))
    task = kit.scheduler.new_task("x").with_id("last").with_dependencies("first").schedule()
    named = kit.stored("first")
    told = [record.action for record in caplog.records]  # type: ignore[attr-defined]

    assert named is not None
    assert task.status is _S.WAITING
    assert (told, named.dependents) == (
        ([], ("last",)) if fault is Fault.LOST_ANSWER else (["dependents_not_named"], ())
    )


def test_a_store_that_does_not_answer_a_read_fails_no_schedule(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The same, where the dependency could not even be read again.
    """

    def gone(_ids: object) -> None:
        raise StoreUnavailable("gone")

    kit.put(make_due_task(id="first"))
    kit.faults.before.append(lambda: monkeypatch.setattr(kit.store, "tasks", gone))
    task = kit.scheduler.new_task("x").with_id("last").with_dependencies("first").schedule()

    assert task.status is _S.WAITING
    assert ["dependents_not_told"] == [record.action for record in caplog.records]  # type: ignore[attr-defined]


def test_too_many_dependents_are_found_when_a_user_ends_their_dependency(kit: Kit) -> None:
    """
    By a search; each fails with the reason.
    """
    kit.put(
        make_task(id="first", dependents=(MANY,)),
        *(_waiting("first", id=f"last-{n:03}", depends_on=("first",)) for n in range(600)),
    )
    kit.scheduler.cancel_task("first")

    assert {"dependency first was cancelled"} == {
        task.last_error for task in kit.scheduler.find_tasks(status="FAILED", limit=-1).list
    }
    assert kit.scheduler.find_tasks(status="FAILED").total_size == 600


def test_a_dependency_cancelled_twice_wakes_nobody_twice(kit: Kit) -> None:
    """
    The dependent was retried by hand meanwhile.
    """
    kit.put(make_task(id="first", dependents=("last",)), _waiting("first", depends_on=("first",)))
    kit.scheduler.cancel_task("first")
    kit.scheduler.retry_task("last")
    kit.scheduler.cancel_task("first")
    last = kit.stored("last")

    assert last is not None
    assert last.status is _S.SCHEDULED


def test_a_new_task_may_wait_for_what_is_not_adopted_yet(kit: Kit) -> None:
    """
    The dependency has the original's document id still, which is not to be deleted.
    """
    document = original("first", nextScheduledExecution="2099-01-01T00:00:00Z")
    kit.store.plant(document_id(document), document)
    kit.scheduler.new_task("x").with_id("last").with_dependencies("first").schedule()
    last = kit.stored("last")

    assert last is not None
    assert (_S.WAITING, ("first",)) == (last.status, last.waiting_on_tasks)


def test_a_dependency_in_quarantine_fails_nobody_when_another_ends(kit: Kit) -> None:
    """
    The process that cancels the other judges by what it knows: the policy lets the dependent go on without that one.
    """
    kit.store.plant("odd", {"itemId": "odd", "taskType": 7, "quarantineReason": "no text", "partition": 1})
    kit.put(
        make_task(id="first", dependents=("last",)), _waiting("first", "odd", dependency_policy=DependencyPolicy.RUN)
    )
    kit.scheduler.cancel_task("first")
    last = kit.stored("last")

    assert last is not None
    assert (_S.WAITING, ("odd",)) == (last.status, last.waiting_on_tasks)
