"""
The service: how tasks are made.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.factories import NOW, make_task
from tests.lossy_store import Fault
from tests.service_kit import Kit, make_kit
from unomi_scheduler.errors import ConfigurationError, Conflict, InvalidTask, StoreRefused, StoreUnavailable
from unomi_scheduler.model import Task, TaskStatus, TimeUnit, evolve
from unomi_scheduler.rules.claims import Claimant, claim
from unomi_scheduler.service import NotAllScheduled, Scheduler


@pytest.fixture
def kit() -> Kit:
    """
    A scheduler whose store has no faults.
    """
    return make_kit()


def test_schedule_writes_at_once(kit: Kit) -> None:
    """
    Started or not; what is returned is what stands in the store.
    """
    task = kit.scheduler.new_task("sample").with_parameters({"a": (1, 2)}).with_initial_delay(5, "SECONDS").schedule()

    assert kit.stored(task.id) == task
    assert (TaskStatus.SCHEDULED, NOW, NOW, NOW + 5_000, {"a": [1, 2]}) == (
        task.status,
        task.creation_date,
        task.fence,
        task.next_scheduled_execution,
        task.parameters,
    )
    assert kit.scheduler.get_metric("tasks.created") == 1


def test_a_task_counts_from_its_scheduling(kit: Kit) -> None:
    """
    Of a task made earlier only the definition counts; state that came with it does not.
    """
    made = evolve(kit.scheduler.create_task("sample", initial_delay=50), failure_count=3, status=TaskStatus.FAILED)
    kit.clock.advance(1_000)
    task = kit.scheduler.schedule_task(made)

    assert kit.scheduler.get_metric("tasks.created") == 1
    assert (made.id, TaskStatus.SCHEDULED, 0, NOW + 1_000, NOW + 1_050) == (
        task.id,
        task.status,
        task.failure_count,
        task.creation_date,
        task.next_scheduled_execution,
    )


def test_create_task_takes_every_part_of_a_definition(kit: Kit) -> None:
    """
    And stores nothing.
    """
    task = kit.scheduler.create_task(
        "sample", {"a": 1}, 2, timedelta(hours=1), "seconds", id="one", retry_delay=timedelta(seconds=2), max_retries=7
    )

    assert ("one", {"a": 1}, 2_000, 3_600_000, 2_000, 7) == (
        task.id,
        task.parameters,
        task.initial_delay_millis,
        task.period_millis,
        task.retry_delay,
        task.max_retries,
    )
    assert kit.scheduler.get_all_tasks() == []


@pytest.mark.parametrize(
    "definition",
    [
        {"task_type": " "},
        {"period": -1},
        {"period": 1_000, "one_shot": True},
        {"max_retries": -1},
        {"max_retries": "many"},
        {"period": "often"},
        {"status": TaskStatus.RUNNING},
        {"parameters": {"a": object()}},
        {"parameters": [1]},
        {"system_task": True, "id": "other"},
    ],
)
def test_a_wrong_definition_is_refused(kit: Kit, definition: dict[str, Any]) -> None:
    """
    Whoever passes it, before anything is stored.
    """
    with pytest.raises(InvalidTask):
        kit.scheduler.create_task(**{"task_type": "sample", **definition})


def test_hand_made_tasks_are_checked_too(kit: Kit) -> None:
    """
    Types and rules.
    """
    wrong: list[dict[str, Any]] = [
        {"period": -1},
        {"period": "often"},
        {"id": None},
        {"depends_on": "a"},
        {"task_type": 5},
    ]
    for over in wrong:
        with pytest.raises(InvalidTask):
            kit.scheduler.schedule_task(make_task(**over))
    assert kit.faults.written == []


def test_an_id_that_exists_is_a_conflict(kit: Kit) -> None:
    """
    Unless it shall be kept; then the one that stands is returned.
    """
    first = kit.scheduler.new_task("sample").with_id("one").with_parameters({"first": True}).schedule()
    builder = kit.scheduler.new_task("sample").with_id("one")

    with pytest.raises(Conflict, match="one exists already"):
        builder.schedule()
    assert builder.schedule(if_exists="keep") == first
    assert kit.scheduler.get_metric("tasks.created") == 1
    with pytest.raises(InvalidTask, match="if_exists"):
        builder.schedule(if_exists="replace")  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
def test_a_lost_answer_is_asked_again(fault: Fault) -> None:
    """
    Done or not done at first, in the end there is one task, counted once (P3).
    """
    kit = make_kit(fault, fault)
    task = kit.scheduler.new_task("sample").schedule()

    assert kit.stored(task.id) == task
    assert kit.scheduler.get_metric("tasks.created") == 1


def test_a_creation_that_was_claimed_meanwhile_is_ours() -> None:
    """
    The claim replaced our token, and the answer that got lost was a success all the same.
    """
    kit = make_kit(Fault.LOST_ANSWER)
    node = Claimant(node_id="node-b", incarnation="first", lease_millis=10_000)

    def claim_it() -> None:
        task = kit.stored("one")
        assert task is not None
        kit.replace(claim(task, by=node, claim_id="claim-1", now=NOW))

    kit.faults.before.extend([lambda: None, claim_it])
    task = kit.scheduler.new_task("sample").with_id("one").schedule()

    assert (TaskStatus.RUNNING, "claim-1") == (task.status, task.claim_id)


def test_another_ones_creation_is_not_ours() -> None:
    """
    Our request got lost, and somebody else took the id before it was sent again.
    """
    kit = make_kit(Fault.LOST_REQUEST)
    kit.faults.before.extend([lambda: None, lambda: kit.put(make_task(id="one", creation_date=NOW - 1))])

    with pytest.raises(Conflict):
        kit.scheduler.new_task("sample").with_id("one").schedule()


def test_an_unknown_end_is_told() -> None:
    """
    After three tries without an answer.
    """
    kit = make_kit(*[Fault.LOST_REQUEST] * 3)

    with pytest.raises(StoreUnavailable, match="may or may not exist"):
        kit.scheduler.new_task("sample").schedule()
    assert len(kit.faults.written) == 3


def test_a_refusal_is_told() -> None:
    """
    Nothing was done, and nothing is sent again.
    """
    kit = make_kit(Fault.REFUSED)

    with pytest.raises(StoreRefused):
        kit.scheduler.new_task("sample").schedule()
    assert len(kit.faults.written) == 1


def test_many_tasks_go_in_few_calls(kit: Kit) -> None:
    """
    A thousand in a call, returned in order.
    """
    tasks = [kit.scheduler.create_task("sample") for _ in range(2_500)]
    calls: list[int] = []
    kit.faults.before.extend([lambda: calls.append(len(kit.faults.written))] * 9)
    made = kit.scheduler.schedule_many(tasks)

    assert [task.id for task in tasks] == [task.id for task in made]
    assert calls == [0, 1_000, 2_000]
    assert kit.scheduler.find_tasks().total_size == kit.scheduler.get_metric("tasks.created") == 2_500


def test_those_that_fail_are_named(kit: Kit) -> None:
    """
    The others are stored; nothing is silently dropped.
    """
    kit.put(make_task(id="taken"))
    tasks = [
        make_task(id="good"),
        make_task(id="taken"),
        make_task(id="bad", period=-1),
        make_task(id="good"),
        make_task(id="orphan", depends_on=("bad",)),
        make_task(id="local", persistent=False),
    ]
    with pytest.raises(NotAllScheduled, match=r"^4 of 6 tasks .*taken: .*exists already") as caught:
        kit.scheduler.schedule_many(tasks)

    assert {"taken": Conflict, "bad": InvalidTask, "good": Conflict, "orphan": InvalidTask} == {
        name: type(error) for name, error in caught.value.failed.items()
    }
    assert ["good", "local"] == [task.id for task in caught.value.scheduled]


def test_a_store_that_cannot_be_read_fails_its_batch(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The other tasks of the call are stored, and each failure is named.
    """

    def unreachable(ids: object) -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(kit.faults, "tasks", unreachable, raising=False)
    kit.scheduler.new_task("sample").with_id("local").non_persistent().schedule()
    tasks = [make_task(id="a"), make_task(id="b", depends_on=("a",)), make_task(id="local", persistent=False)]
    with pytest.raises(NotAllScheduled) as caught:
        kit.scheduler.schedule_many(tasks)

    assert {"b": StoreUnavailable, "local": Conflict} == {
        name: type(error) for name, error in caught.value.failed.items()
    }


@pytest.mark.parametrize("faults", [[Fault.REFUSED], [Fault.LOST_REQUEST] * 3])
def test_a_confirmation_that_fails_leaves_the_end_unknown(faults: list[Fault]) -> None:
    """
    What was read is not believed without an acknowledged write (P1).
    """
    kit = make_kit(Fault.LOST_ANSWER, Fault.NONE, *faults)
    with pytest.raises(StoreUnavailable, match="may or may not exist"):
        kit.scheduler.new_task("sample").schedule()


def test_a_confirmation_may_lose_races(kit: Kit) -> None:
    """
    It is tried again, but not for ever.
    """
    kit.faults.faults.append(Fault.LOST_ANSWER)

    def touch() -> None:
        task = kit.stored("one")
        assert task is not None
        kit.replace(evolve(task, max_retries=task.max_retries + 1))

    kit.faults.before.extend([lambda: None, *[touch] * 40])
    with pytest.raises(Conflict, match="may or may not be this one"):
        kit.scheduler.new_task("sample").with_id("one").schedule()


def test_many_may_depend_on_each_other(kit: Kit) -> None:
    """
    In any order; dependencies are stored before those who wait for them, and a circle is refused.
    """
    tasks = [
        make_task(id="c", depends_on=("b", "a")),
        make_task(id="b", depends_on=("a",)),
        make_task(id="a"),
    ]
    made = kit.scheduler.schedule_many(tasks)
    with pytest.raises(NotAllScheduled) as caught:
        kit.scheduler.schedule_many([make_task(id="x", depends_on=("y",)), make_task(id="y", depends_on=("x",))])

    assert [TaskStatus.WAITING, TaskStatus.WAITING, TaskStatus.SCHEDULED] == [task.status for task in made]
    assert ["a", "b", "c"] == [write.record.id for write in kit.faults.written]
    assert {"x", "y"} == caught.value.failed.keys()


@pytest.mark.parametrize(
    ("statuses", "status", "waiting"),
    [
        ({"a": TaskStatus.COMPLETED, "b": TaskStatus.COMPLETED}, TaskStatus.SCHEDULED, ()),
        ({"a": TaskStatus.COMPLETED, "b": TaskStatus.RUNNING}, TaskStatus.WAITING, ("b",)),
        ({"a": TaskStatus.SCHEDULED, "b": TaskStatus.CRASHED}, TaskStatus.WAITING, ("a", "b")),
        ({"a": TaskStatus.COMPLETED, "b": TaskStatus.FAILED}, TaskStatus.WAITING, ("a", "b")),  # the node judges it
    ],
)
def test_a_dependent_waits(
    kit: Kit, statuses: dict[str, TaskStatus], status: TaskStatus, waiting: tuple[str, ...]
) -> None:
    """
    For what has not succeeded yet; its due time is computed all the same.
    """
    kit.put(*[make_task(id=name, status=value) for name, value in statuses.items()])
    task = kit.scheduler.new_task("sample").with_dependencies("a", "b").schedule()

    assert (status, waiting, NOW) == (task.status, task.waiting_on_tasks, task.next_scheduled_execution)


@pytest.mark.parametrize("depends_on", [("nobody",), ("one",), ("chain",), ("going",)])
def test_dependencies_must_exist_and_not_lead_back(kit: Kit, depends_on: tuple[str, ...]) -> None:
    """
    Missing, itself, itself through others, or marked for removal.
    """
    kit.put(
        make_task(id="chain", depends_on=("link",)),
        make_task(id="link", depends_on=("one",)),
        make_task(id="going", delete_requested=True),
    )
    with pytest.raises(InvalidTask, match="dependenc"):
        kit.scheduler.new_task("sample").with_id("one").with_dependencies(*depends_on).schedule()
    assert kit.stored("one") is None


def test_memory_tasks_stay_in_the_process(kit: Kit) -> None:
    """
    Not in the store; parameters may be anything.
    """
    thing = object()
    builder = kit.scheduler.new_task("sample").with_id("one").non_persistent().with_parameters({"a": thing})
    task = builder.schedule()

    assert kit.scheduler.get_task("one") is task
    assert (task.parameters["a"], task.next_scheduled_execution) == (thing, NOW)
    assert kit.faults.written == []
    with pytest.raises(Conflict):
        builder.schedule()
    assert builder.schedule(if_exists="keep") is task


def test_without_a_store_only_memory_tasks() -> None:
    """
    The message says what to do.
    """
    scheduler = Scheduler(store=None)
    task = scheduler.new_task("sample").non_persistent().schedule()

    assert scheduler.get_all_tasks() == [task]
    assert scheduler.get_persistent_tasks() == []
    with pytest.raises(ConfigurationError, match="bind_store"):
        scheduler.new_task("sample").schedule()


def test_a_system_task_that_exists_is_kept(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    """
    Its definition wins, and the difference is logged.
    """
    caplog.set_level("INFO", logger="unomi_scheduler")
    first = (
        kit.scheduler.new_task("daily").as_system_task().with_parameters({"n": 123}).with_period(1, "DAYS").schedule()
    )
    again = kit.scheduler.new_task("daily").as_system_task().with_parameters({"n": 5}).with_period(2, "DAYS").schedule()

    assert first == again == kit.stored("daily")
    assert [("system_task_kept", ["parameters", "period"])] == [
        (record.action, record.differing)  # type: ignore[attr-defined]
        for record in caplog.records
    ]


def test_update_existing_applies_what_was_set(kit: Kit) -> None:
    """
    Nothing else; id, history and counters stay, and an unchanged period does not put the next run off.
    """
    kit.scheduler.new_task("daily").as_system_task().with_period(1, "DAYS").with_max_retries(9).schedule()
    before = kit.stored("daily")
    assert before is not None
    kit.replace(evolve(before, success_count=4, history=({"status": "SUCCESS"},)))
    kit.clock.advance(5_000)
    same = kit.scheduler.new_task("daily").as_system_task().with_period(1, "DAYS").update_existing().schedule()
    other = kit.scheduler.new_task("daily").as_system_task().with_period(2, "HOURS").update_existing().schedule()

    assert (NOW, 4, 9, TimeUnit.DAYS) == (
        same.next_scheduled_execution,
        same.success_count,
        same.max_retries,
        same.time_unit,
    )
    assert (2, TimeUnit.HOURS, NOW + 5_000 + 7_200_000, 4) == (
        other.period,
        other.time_unit,
        other.next_scheduled_execution,
        other.success_count,
    )


def test_a_system_task_does_not_take_another_tasks_place(kit: Kit) -> None:
    """
    The id is in use for something else.
    """
    kit.put(make_task(id="daily"))
    with pytest.raises(Conflict, match="no system task"):
        kit.scheduler.new_task("daily").as_system_task().schedule()


@pytest.mark.parametrize("persistent", [True, False])
def test_recurring_tasks(kit: Kit, persistent: bool) -> None:  # noqa: FBT001 - a table's column
    """
    At a fixed rate; persistent or not, as was asked.
    """
    task = kit.scheduler.create_recurring_task("sample", 5, "minutes", print, persistent)

    assert (300_000, True, persistent) == (task.period_millis, task.fixed_rate, task.persistent)
    assert (kit.stored(task.id) is not None) is persistent


@pytest.mark.parametrize(("period", "unit"), [(0, "SECONDS"), (-1, "SECONDS"), (5, None), (timedelta(), None)])
def test_a_recurring_task_needs_a_period_and_a_unit(kit: Kit, period: Any, unit: Any) -> None:
    """
    As the original documents it.
    """
    with pytest.raises(InvalidTask):
        kit.scheduler.create_recurring_task("sample", period, unit, print)


class _Object:
    """
    An executor of the original's shape.
    """

    task_type = "object"

    def execute(self, task: Task, callback: Any) -> None:
        callback.complete()


def _by_builder(scheduler: Scheduler) -> None:
    scheduler.new_task("object").with_executor(_Object()).schedule()  # type: ignore[arg-type]


def _by_function(scheduler: Scheduler) -> None:
    scheduler.new_task("object").with_simple_executor(lambda: None).schedule()


def _by_decorator(scheduler: Scheduler) -> None:
    def body() -> None: ...

    assert scheduler.executor("object", can_resume=True)(body) is body


@pytest.mark.parametrize("register", [_by_builder, _by_function, _by_decorator])
def test_executors_are_registered(kit: Kit, register: Callable[[Scheduler], None]) -> None:
    """
    With the task, or by the decorator, which returns the function as it is.
    """
    register(kit.scheduler)

    assert kit.scheduler._wiring.registry.types() == {"object"}


def test_executors_can_be_forgotten(kit: Kit) -> None:
    """
    That very one; another of its type stays.
    """
    one, other = _Object(), _Object()
    kit.scheduler.register_executor(one)  # type: ignore[arg-type]
    kit.scheduler.unregister_executor(other)  # type: ignore[arg-type]
    assert kit.scheduler._wiring.registry.types() == {"object"}
    kit.scheduler.unregister_executor(one)  # type: ignore[arg-type]
    assert kit.scheduler._wiring.registry.types() == set()
