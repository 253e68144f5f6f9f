"""
The service and memory tasks: dependencies, purge, and why one does not run.
"""

from __future__ import annotations

import pytest

from tests.factories import NOW, make_task
from tests.service_kit import Kit, make_kit
from unomi_scheduler import DependencyPolicy
from unomi_scheduler.builder import TaskBuilder
from unomi_scheduler.errors import Conflict, InvalidTask
from unomi_scheduler.model import Task, TaskStatus, evolve
from unomi_scheduler.service import Scheduler
from unomi_scheduler.service.creation import NotAllScheduled

_S = TaskStatus
DAY = 86_400_000


@pytest.fixture
def kit() -> Kit:
    """
    A scheduler that is not started, on a store without faults.
    """
    return make_kit()


def _near(kit: Kit, task_id: str, *names: str) -> TaskBuilder:
    return kit.scheduler.new_task("sample").with_id(task_id).non_persistent().with_dependencies(*names)


def _put(kit: Kit, *tasks: Task) -> None:
    for task in tasks:
        kit.scheduler._wiring.node.memory_put(evolve(task, persistent=False))


# --- dependencies


def test_a_memory_task_waits_for_memory_tasks_and_stored_ones(kit: Kit) -> None:
    """
    Only for those that have not succeeded; it is counted as waiting.
    """
    kit.put(make_task(id="stored"), make_task(id="done", status=_S.COMPLETED))
    _near(kit, "near").schedule()
    task = _near(kit, "one", "near", "stored", "done").schedule()

    assert (task.status, set(task.waiting_on_tasks)) == (_S.WAITING, {"near", "stored"})
    assert task.depends_on == ("near", "stored", "done")
    assert [kit.scheduler.get_metric(f"tasks.{name}") for name in ("created", "waiting")] == [2, 1]
    assert [one.partition(":")[0] for one in kit.scheduler.explain("one")][:2] == [
        "waiting on near",
        "waiting on stored",
    ]


def test_a_memory_task_whose_dependencies_are_met_is_due(kit: Kit) -> None:
    """
    It never waits; by its policy a broken one may be as good as met.
    """
    kit.put(make_task(id="done", status=_S.COMPLETED), make_task(id="failed", status=_S.FAILED))
    builder = _near(kit, "one", "done", "failed").with_dependency_policy(DependencyPolicy.RUN)

    assert builder.schedule().status is _S.SCHEDULED


def test_a_broken_dependency_is_the_node_s_to_judge(kit: Kit) -> None:
    """
    With the history and the wake-up of those who wait for this one.
    """
    _put(kit, make_task(id="failed", status=_S.FAILED))

    assert _near(kit, "one", "failed").schedule().status is _S.WAITING


@pytest.mark.parametrize("name", ["nobody", "leaving", "stored-leaving"])
def test_a_missing_dependency_is_told(kit: Kit, name: str) -> None:
    """
    Unknown, or marked for removal; in memory and in the store.
    """
    _put(kit, make_task(id="leaving", delete_requested=True))
    kit.put(make_task(id="stored-leaving", delete_requested=True))
    with pytest.raises(InvalidTask, match=f"dependency not found: {name}"):
        _near(kit, "one", name).schedule()
    assert kit.scheduler.get_metric("tasks.created") == 0


def test_without_a_store_dependencies_are_looked_for_in_memory_alone() -> None:
    """
    Nothing is asked that is not there.
    """
    scheduler = Scheduler(store=None)
    first = scheduler.new_task("sample").non_persistent().schedule()
    second = scheduler.new_task("sample").non_persistent().with_dependencies(first.id).schedule()

    assert second.status is _S.WAITING
    with pytest.raises(InvalidTask, match="dependency not found: nobody"):
        scheduler.new_task("sample").non_persistent().with_dependencies("nobody").schedule()


def test_a_memory_task_that_depends_on_itself_is_refused(kit: Kit) -> None:
    """
    Also by way of others: here the one that waits for it was there before.
    """
    with pytest.raises(InvalidTask, match="lead back"):
        _near(kit, "one", "one").schedule()
    _put(kit, make_task(id="two", depends_on=("three",)), make_task(id="three", depends_on=("one",)))
    with pytest.raises(InvalidTask, match="lead back"):
        _near(kit, "one", "two").schedule()


def test_a_stored_task_cannot_depend_on_a_memory_task(kit: Kit) -> None:
    """
    No other node could see it; the message says so, whether it is there already or of the same call.
    """
    _near(kit, "near").schedule()
    with pytest.raises(InvalidTask, match=r"near, a memory task.*make near persistent"):
        kit.scheduler.new_task("sample").with_dependencies("near").schedule()
    tasks = [
        kit.scheduler.create_task("sample", id="a", depends_on=("b",)),
        kit.scheduler.create_task("sample", id="b", persistent=False),
    ]
    with pytest.raises(NotAllScheduled, match="b, a memory task"):
        kit.scheduler.schedule_many(tasks)
    assert kit.stored("a") is None


def test_many_memory_tasks_of_one_call_may_depend_on_each_other(kit: Kit) -> None:
    """
    In whatever order they are given, on stored ones of the same call too; a circle is told.
    """
    make = kit.scheduler.create_task
    made = kit.scheduler.schedule_many(
        [
            make("sample", id="c", persistent=False, depends_on=("b",)),
            make("sample", id="b", persistent=False, depends_on=("a", "s")),
            make("sample", id="s"),
            make("sample", id="a", persistent=False),
        ]
    )
    with pytest.raises(NotAllScheduled) as caught:
        kit.scheduler.schedule_many(
            [
                make("sample", id="x", persistent=False, depends_on=("y",)),
                make("sample", id="y", persistent=False, depends_on=("x",)),
                make("sample", id="a", persistent=False),
                make("sample", id="z", persistent=False),
            ]
        )

    assert [(one.id, one.status) for one in made] == [
        ("c", _S.WAITING), ("b", _S.WAITING), ("s", _S.SCHEDULED), ("a", _S.SCHEDULED),
    ]  # fmt: skip
    assert {"x", "y", "a"} == caught.value.failed.keys()
    assert "lead back" in str(caught.value.failed["x"])
    assert isinstance(caught.value.failed["a"], Conflict)
    assert ["z"] == [one.id for one in caught.value.scheduled]


# --- purge and delete


def _ended(task_id: str, status: TaskStatus, days: int, **over: object) -> Task:
    return make_task(id=task_id, status=status, last_execution_date=NOW - days * DAY, **over)


@pytest.mark.parametrize(("days", "gone"), [(None, {"old"}), (2, {"old", "young"}), (0, {"old", "young", "new"})])
def test_purge_takes_memory_tasks_too(kit: Kit, days: int | None, gone: set[str]) -> None:
    """
    Completed ones of the same age; what failed, was cancelled, crashed or recurs stays, and so does what is waited for.
    """
    done = [_ended("old", _S.COMPLETED, 30), _ended("young", _S.COMPLETED, 2), _ended("new", _S.COMPLETED, 0)]
    kept = [_ended(one, one, 99) for one in (_S.FAILED, _S.CANCELLED, _S.CRASHED, _S.SCHEDULED)]
    kept += [_ended("again", _S.COMPLETED, 99, period=5), _ended("runs", _S.COMPLETED, 99, lock_owner="node-a")]
    kept += [_ended("wanted", _S.COMPLETED, 99), make_task(id="waits", status=_S.WAITING, waiting_on_tasks=("wanted",))]
    _put(kit, *done, *kept)
    kit.put(_ended("stored", _S.COMPLETED, 99))
    removed = kit.scheduler.purge_old_tasks(days)

    assert removed == len(gone) + 1
    assert {one.id for one in [*done, *kept]} - gone == {one.id for one in kit.scheduler.get_all_tasks()}


def test_purge_without_a_store() -> None:
    """
    Memory has tasks to forget all the same.
    """
    scheduler = Scheduler(store=None)
    scheduler._wiring.node.memory_put(_ended("old", _S.COMPLETED, 99, persistent=False))

    assert scheduler.purge_old_tasks() == 1


def test_how_long_ended_memory_tasks_are_kept() -> None:
    """
    As long as stored ones; without a purge, until somebody removes them.
    """
    kept = [make_kit(**settings).scheduler._wiring.node.options.memory_ttl_millis for settings in _SETTINGS]

    assert kept == [30 * DAY, 0, None]


_SETTINGS: list[dict[str, object]] = [{}, {"completed_task_ttl": "0s"}, {"purge_enabled": False}]


def test_a_deleted_memory_task_is_cancelled_once(kit: Kit) -> None:
    """
    Counted like a cancellation; one that had ended was none.
    """
    _near(kit, "live").schedule()
    _put(kit, _ended("over", _S.COMPLETED, 1))
    for one in ("live", "over"):
        kit.scheduler.delete_task(one)

    assert kit.scheduler.get_all_tasks() == []
    assert kit.scheduler.get_metric("tasks.cancelled") == 1


def test_a_memory_task_that_runs_is_removed_by_its_run(kit: Kit) -> None:
    """
    Until its body has returned the id is taken; deleting it again changes nothing.
    """
    _put(kit, make_task(id="one", status=_S.RUNNING, claim_id="claim-1", owner_incarnation="first"))
    for _ in range(2):
        kit.scheduler.delete_task("one")
    task = kit.scheduler.get_task("one")

    assert (task.status, task.delete_requested, task.owner_incarnation) == (_S.CANCELLED, True, "first")
    assert kit.scheduler.get_metric("tasks.cancelled") == 1
    with pytest.raises(Conflict):
        _near(kit, "one").schedule()


# --- why it does not run


def test_an_exclusive_memory_task_says_who_runs(kit: Kit) -> None:
    """
    Among the exclusive memory tasks of its type in this process.
    """
    _put(
        kit,
        make_task(id="parallel", status=_S.RUNNING, owner_incarnation="first"),
        make_task(id="other", task_type="b", allow_parallel_execution=False, owner_incarnation="first"),
    )
    task = kit.scheduler.new_task("sample").non_persistent().disallow_parallel_execution().schedule()
    before = kit.scheduler.explain(task.id)
    runs = make_task(
        id="runs", status=_S.RUNNING, allow_parallel_execution=False, owner_incarnation="first", claim_id="claim-1"
    )
    _put(kit, runs)
    after = kit.scheduler.explain(task.id)

    assert set(after) - set(before) == {
        "task runs of the same type runs on node node-a, and the type runs one at a time"
    }


def test_a_node_that_runs_nothing_says_so() -> None:
    """
    Unless the task is for every node.
    """
    kit = make_kit(executor_node=False)
    kit.scheduler._wiring.node.running = True
    kit.scheduler.executor("sample")(print)
    reasons = [
        kit.scheduler.explain(builder.schedule().id)
        for builder in (_near(kit, "one"), _near(kit, "two").run_on_all_nodes())
    ]

    assert reasons[0][1:] == ("a memory task, and the node of this process runs no tasks (executor_node is false)",)
    assert reasons[1][1:] == ()
