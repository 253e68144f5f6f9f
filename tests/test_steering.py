"""
Steering nodes of other schedulers, and the memory tasks in them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest

from tests.waiting import eventually
from unomi_scheduler import (
    Conflict,
    Heartbeat,
    InvalidTask,
    InvalidTransition,
    NodeNotFound,
    NodeUnavailable,
    Scheduler,
    Selection,
    TaskNotFound,
    TaskStatus,
)
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.ports import Action, TaskStore, Write
from unomi_scheduler.stores import memory_notes
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.stores.opening import open_store

LEASE = timedelta(seconds=3)
LIMIT = 20.0
HOUR = timedelta(hours=1)


class Cluster:
    """
    Schedulers on one store, as if each were a process of its own.
    """

    def __init__(self, url: str | None, stack: ExitStack) -> None:
        self.store: TaskStore = MemoryStore(SystemClock()) if url is None else open_store(url, clock=SystemClock())
        self._stack = stack
        self._given: Any = self.store if url is None else url

    def scheduler(self, node_id: str, **settings: Any) -> Scheduler:
        """
        Return one that is not started: it only manages.
        """
        given = {"node_id": node_id, "lease": LEASE, "purge_enabled": False, "threads": 4, **settings}
        made = Scheduler(store=self._given, **given)
        self._stack.callback(made.stop)
        return made

    def node(self, node_id: str, **settings: Any) -> Scheduler:
        """
        Return one that takes part.
        """
        made = self.scheduler(node_id, **settings)
        made.executor("plain")(lambda: None)
        made.start()
        return made

    def beats(self, node_id: str) -> list[Heartbeat]:
        """
        Return the heartbeats of a node.
        """
        return [one.record for one in self.store.heartbeats() if one.record.node_id == node_id]

    def notes(self) -> list[str]:
        """
        Return the names of the notes about nodes.
        """
        return [one.record.id for kind in ("inbox", "memory") for one in self.store.notes(kind)]


@pytest.fixture(params=["memory", "sqlite"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """
    Return a cluster without nodes.
    """
    with ExitStack() as stack:
        yield Cluster(None if request.param == "memory" else f"sqlite:///{tmp_path}/{uuid4().hex}.db", stack)


def listed(scheduler: Scheduler, node_id: str, number: int) -> list[str]:
    """
    Return the memory tasks of a node once another scheduler lists as many, by id.
    """

    def look() -> list[str] | None:
        page = scheduler.find_tasks(sort_by="id")
        found = [task.id for task in page.list if task.executing_node_id == node_id and not task.persistent]
        return found if len(found) == number else None

    return eventually(look, f"{number} memory tasks of {node_id}", LIMIT)


class TestExecutor:
    """
    Whether a node runs tasks.
    """

    def test_a_node_is_disabled_and_enabled_from_any_process(self, cluster: Cluster) -> None:
        """
        It claims nothing, its heartbeat says so, and then it takes part again.
        """
        node, boss = cluster.node("node-a"), cluster.scheduler("boss")
        began = time.monotonic()
        boss.set_executor_node("node-a", enabled=False)
        assert time.monotonic() - began < LEASE.total_seconds()
        eventually(lambda: not node.executor_node, "it runs nothing more", 1)
        eventually(lambda: [one.executor_node for one in boss.nodes()] == [False], "its heartbeat says so", LIMIT)
        task = boss.new_task("plain").schedule()
        assert boss.explain(task.id)
        eventually(lambda: "executor" in " ".join(boss.explain(task.id)), "the reason is told", LIMIT)
        assert boss.get_task(task.id).status is TaskStatus.SCHEDULED

        boss.set_executor_node("node-a", enabled=True)
        eventually(lambda: boss.get_task(task.id).status is TaskStatus.COMPLETED, "it runs", LIMIT)
        eventually(lambda: [one.executor_node for one in boss.nodes()] == [True], "its heartbeat says so", LIMIT)

    def test_the_own_node_does_it_at_once(self, cluster: Cluster) -> None:
        """
        Without an order, with or without a store.
        """
        node = cluster.node("node-a", lease=timedelta(minutes=1))
        node.set_executor_node("node-a", enabled=False)
        eventually(lambda: not node.executor_node, "disabled", 2)
        eventually(lambda: [one.executor_node for one in node.nodes()] == [False], "its heartbeat says so", 2)
        assert cluster.notes() == []

    def test_it_lasts_until_the_node_restarts(self, cluster: Cluster) -> None:
        """
        Its settings decide then.
        """
        node = cluster.node("node-a")
        node.set_executor_node("node-a", enabled=False)
        eventually(lambda: not node.executor_node, "disabled", 2)
        node.stop()
        node.start()
        assert node.executor_node is True

    def test_an_unknown_or_silent_node_is_not_found(self, cluster: Cluster) -> None:
        """
        The message names those there are.
        """
        cluster.node("node-a")
        boss = cluster.scheduler("boss")
        silent = Heartbeat(node_id="silent", incarnation="one", counter=1, lease_millis=100, started_at=0, beat_at=0)
        cluster.store.write([Write(Action.CREATE, silent)])
        for name in ("none", "silent", "boss"):
            with pytest.raises(NodeNotFound, match=f"Node not found: {name}; there are: node-a"):
                boss.set_executor_node(name, enabled=False)
        with pytest.raises(NodeNotFound, match="there are: none"):
            Scheduler(store=None).set_executor_node("node-a", enabled=False)

    def test_a_node_that_does_not_answer_is_not_told_later(self, cluster: Cluster) -> None:
        """
        The order is withdrawn.
        """
        boss = cluster.scheduler("boss")
        now = SystemClock().now().wall
        deaf = Heartbeat(
            node_id="deaf", incarnation="one", counter=1, lease_millis=600, started_at=now, beat_at=now + 60_000
        )
        cluster.store.write([Write(Action.CREATE, deaf)])
        with pytest.raises(
            NodeUnavailable, match="deaf did not answer within 3 s; the order to executor was withdrawn"
        ):
            boss.set_executor_node("deaf", enabled=False)
        (note,) = cluster.store.notes("inbox", ["deaf:one"])
        assert note.record.body == {"orders": []}


class TestMemoryTasks:
    """
    The memory tasks of other nodes.
    """

    def test_they_are_listed_with_their_node_beside_the_stored_ones(self, cluster: Cluster) -> None:
        """
        Filters, order, pages and totals are those of one list.
        """
        node, boss = cluster.node("node-a"), cluster.node("boss")
        for number in (1, 3, 5):
            node.new_task("near").with_id(f"task-{number}").non_persistent().with_initial_delay(HOUR).schedule()
        for number in (2, 4):
            boss.new_task("far").with_id(f"task-{number}").with_initial_delay(HOUR).schedule()
        boss.new_task("near").with_id("task-6").non_persistent().with_initial_delay(HOUR).schedule()

        assert ["task-1", "task-3", "task-5"] == listed(boss, "node-a", 3)
        page = boss.find_tasks(sort_by="id:desc", offset=1, limit=3)
        assert (["task-5", "task-4", "task-3"], 6) == ([task.id for task in page.list], page.total_size)
        assert ["node-a", None, "node-a"] == [task.executing_node_id for task in page.list]
        assert 4 == boss.find_tasks(task_type="near").total_size
        assert 0 == boss.find_tasks(status="FAILED").total_size
        assert "node-a" == boss.get_task("task-1").executing_node_id
        assert "in the memory of node node-a, which alone runs it" == boss.explain("task-1")[0]
        assert 0 == boss.history("task-1").total_size
        assert ["task-6"] == [task.id for task in boss.get_memory_tasks()]
        assert node.get_task("task-1").executing_node_id is None

    def test_they_go_when_the_node_stops(self, cluster: Cluster) -> None:
        """
        With everything else that it left.
        """
        node, boss = cluster.node("node-a"), cluster.scheduler("boss")
        node.new_task("near").with_id("gone").non_persistent().with_initial_delay(HOUR).schedule()
        listed(boss, "node-a", 1)
        boss.update_task_config("gone", max_retries=7)
        node.stop()
        eventually(lambda: boss.find_tasks().total_size == 0, "none is listed", LIMIT)
        assert cluster.notes() == []
        with pytest.raises(TaskNotFound):
            boss.get_task("gone")

    def test_a_node_without_memory_tasks_writes_nothing(self, cluster: Cluster) -> None:
        """
        Nor does one whose tasks do not change, again.
        """
        node, boss = cluster.node("node-a"), cluster.scheduler("boss")
        node.new_task("plain").with_id("stored").schedule()
        eventually(lambda: boss.get_task("stored").status is TaskStatus.COMPLETED, "a run", LIMIT)
        assert cluster.notes() == []

    def test_they_are_steered(self, cluster: Cluster) -> None:
        """
        Each request is done by its node, and answered with the task as it stands.
        """
        node, boss = cluster.node("node-a"), cluster.scheduler("boss")
        runs: list[str] = []
        node.executor("near")(lambda context: runs.append(context.task.id))
        node.new_task("near").with_id("one").non_persistent().with_initial_delay(HOUR).schedule()
        listed(boss, "node-a", 1)

        changed = boss.update_task_config("one", period=(2, "HOURS"), parameters={"a": [1]}, retry_delay=HOUR)
        assert (7_200_000, {"a": [1]}, 3_600_000) == (changed.period_millis, changed.parameters, changed.retry_delay)
        assert node.get_task("one").period_millis == boss.get_task("one").period_millis == 7_200_000
        assert boss.update_task_config("one", enabled=False).enabled is node.get_task("one").enabled is False
        assert boss.update_task_config("one", enabled=True).executing_node_id == "node-a"
        boss.run_now("one")
        eventually(lambda: runs == ["one"], "it runs there", LIMIT)
        assert boss.retry_task("one") is False
        with pytest.raises(InvalidTransition, match="Task one is SCHEDULED"):
            boss.resume_task("one", strict=True)
        with pytest.raises(InvalidTask, match="Invalid max retries"):
            boss.update_task_config("one", max_retries=-1)
        assert boss.cancelled("one").task.status is TaskStatus.CANCELLED
        assert node.get_task("one").status is boss.get_task("one").status is TaskStatus.CANCELLED
        assert boss.find_tasks(status="CANCELLED").total_size == 1
        assert boss.cancel_task("one") is False
        boss.delete_task("one")
        assert boss.find_tasks().total_size == 0
        with pytest.raises(TaskNotFound):
            node.get_task("one")
        with pytest.raises(TaskNotFound, match="one"):
            boss.delete_task("one")

    def test_a_failed_one_is_tried_again(self, cluster: Cluster) -> None:
        """
        And a run in flight hears that it is cancelled.
        """
        node, boss = cluster.node("node-a"), cluster.scheduler("boss")
        stopped = Event()

        def body(context: Any) -> None:
            if context.task.failure_count == 0:
                raise ValueError("first")
            eventually(lambda: context.cancelled, "cancelled", LIMIT)
            stopped.set()

        node.executor("near")(body)
        node.new_task("near").with_id("one").non_persistent().with_max_retries(0).schedule()
        eventually(lambda: node.get_task("one").status is TaskStatus.FAILED, "it fails", LIMIT)
        listed(boss, "node-a", 1)
        assert boss.retried("one").task.status is TaskStatus.SCHEDULED
        eventually(lambda: node.get_task("one").status is TaskStatus.RUNNING, "it runs again", LIMIT)
        assert boss.cancel_task("one") is True
        assert stopped.wait(LIMIT)

    def test_one_id_on_two_nodes_is_listed_twice_and_steered_by_nobody_else(self, cluster: Cluster) -> None:
        """
        The same program makes its memory tasks on every node.
        """
        boss = cluster.scheduler("boss")
        for name in ("node-a", "node-b"):
            cluster.node(name).new_task("near").with_id("same").non_persistent().with_initial_delay(HOUR).schedule()
        listed(boss, "node-a", 1)
        listed(boss, "node-b", 1)
        with pytest.raises(Conflict, match="in the memory of the nodes node-a, node-b"):
            boss.cancel_task("same")

    def test_many_at_once(self, cluster: Cluster) -> None:
        """
        A bulk action reaches them, too.
        """
        node, boss = cluster.node("node-a"), cluster.scheduler("boss")
        for number in range(40):
            node.new_task("near").with_id(f"task-{number}").non_persistent().with_initial_delay(HOUR).schedule()
        listed(boss, "node-a", 40)
        result = boss.bulk("cancel", Selection(task_type="near"))
        assert (40, 40, {}) == (result.matched, result.changed, result.errors)
        assert {TaskStatus.CANCELLED} == {task.status for task in node.get_memory_tasks()}

    def test_too_many_are_only_counted(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        In the total, by type and status.
        """
        monkeypatch.setattr(memory_notes, "MOST_TASKS", 2)
        node, boss = cluster.node("node-a"), cluster.scheduler("boss")
        for number in range(3):
            node.new_task("near").with_id(f"task-{number}").non_persistent().with_initial_delay(HOUR).schedule()
        eventually(lambda: boss.find_tasks(task_type="near").total_size == 3, "they are counted", LIMIT)
        assert boss.find_tasks().list == ()
        assert 0 == boss.find_tasks(status="FAILED").total_size == boss.find_tasks(task_type="far").total_size
        assert 3 == boss.find_tasks(status="SCHEDULED").total_size
