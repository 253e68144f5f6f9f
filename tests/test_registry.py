"""
The registry keeps one executor per task type.
"""

from __future__ import annotations

import logging
from threading import Thread
from typing import Any, cast

import pytest

from tests.fake_core import actions
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.node.executors import FunctionExecutor
from unomi_scheduler.node.registry import Registry
from unomi_scheduler.node.runs import ExecutorInfo, Pool


class Sync:
    """
    An object executor with the least it may have.
    """

    def __init__(self, task_type: object = "sync") -> None:
        self.task_type = task_type

    def execute(self, task: object, callback: object) -> None:
        """
        Do nothing.
        """


class Resuming(Sync):
    """
    An object executor that may resume.
    """

    def can_resume(self, task: object) -> bool:
        """
        Say yes.
        """
        return True


def make_sync(task_type: object = "sync") -> Any:
    """
    Return an executor that lacks what is optional, so it is not the whole port.
    """
    return Sync(task_type)


def _nothing() -> None:
    pass


async def _nothing_async() -> None:
    pass


def test_the_executors_are_what_was_registered() -> None:
    """
    The very object is found by its type.
    """
    registry, executor = Registry(), make_sync()
    registry.register(executor)

    assert executor is registry.executors()["sync"]


@pytest.mark.parametrize("task_type", ["unknown", ""])
def test_an_unknown_type_has_no_body(task_type: str) -> None:
    """
    An unknown and a blank type have no executor.
    """
    registry = Registry()
    registry.register(make_sync())

    assert registry.body(task_type) is None


@pytest.mark.parametrize("task_type", [None, "", "  ", 7])
def test_a_type_must_be_a_text_that_is_not_blank(task_type: object) -> None:
    """
    An object executor without a usable type is refused, as a ValueError.
    """
    registry = Registry()

    with pytest.raises(InvalidTask, match="task type") as raised:
        registry.register(make_sync(task_type))
    assert isinstance(raised.value, ValueError)
    assert frozenset() == registry.types()


def test_none_is_no_executor() -> None:
    """
    Registering None is refused.
    """
    with pytest.raises(InvalidTask, match="None"):
        Registry().register(cast("Any", None))


def test_the_last_executor_of_a_type_counts(caplog: pytest.LogCaptureFixture) -> None:
    """
    Another object of the same type replaces the first, with one warning.
    """
    registry, first, second = Registry(), make_sync(), make_sync()
    registry.register(first)
    with caplog.at_level(logging.WARNING):
        registry.register(second)

    assert second is registry.executors()["sync"]
    assert [("executor_replaced", "sync")] == [(vars(one)["action"], vars(one)["task_type"]) for one in caplog.records]


def test_registering_the_same_again_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """
    Neither the same object nor the same function in a new wrapping is a replacement.
    """
    registry, executor = Registry(), make_sync()
    registry.register(executor)
    registry.register(executor)
    registry.register(FunctionExecutor("clean", _nothing))
    registry.register(FunctionExecutor("clean", _nothing))

    assert [] == caplog.records


def test_another_function_warns(caplog: pytest.LogCaptureFixture) -> None:
    """
    Closures of one type replace each other with a warning.
    """
    registry = Registry()
    registry.register(FunctionExecutor("clean", lambda: None))
    registry.register(FunctionExecutor("clean", lambda: None))

    assert ["executor_replaced"] == actions(caplog)


def test_unregister_forgets_the_executor() -> None:
    """
    After it the type is unknown; a second time is harmless.
    """
    registry, executor = Registry(), make_sync()
    registry.register(executor)
    registry.unregister(executor)
    registry.unregister(executor)

    assert "sync" not in registry.executors()
    assert registry.info("sync") is None


def test_unregister_leaves_a_successor_of_the_same_type() -> None:
    """
    Identity decides, not the type.
    """
    registry, first, second = Registry(), make_sync(), make_sync()
    registry.register(first)
    registry.register(second)
    registry.unregister(first)

    assert second is registry.executors()["sync"]


def test_unregister_none_is_ignored() -> None:
    """
    Nothing happens.
    """
    registry = Registry()
    registry.register(make_sync())
    registry.unregister(None)

    assert frozenset({"sync"}) == registry.types()


def test_the_views_cannot_be_changed() -> None:
    """
    Types and executors are seen as they are, and only the registry changes them.
    """
    registry, executor = Registry(), make_sync()
    registry.register(executor)
    view: Any = registry.executors()

    assert {"sync": executor} == dict(view)
    with pytest.raises(TypeError):
        view["other"] = executor
    assert isinstance(registry.types(), frozenset)


def test_clear_forgets_everything() -> None:
    """
    No type is left.
    """
    registry = Registry()
    registry.register(make_sync("a"))
    registry.register(make_sync("b"))
    registry.clear()

    assert frozenset() == registry.types()


def test_each_change_is_told_after_it_happened() -> None:
    """
    The hook sees the new types and may use the registry; what changes nothing tells nothing.
    """
    seen: list[frozenset[str]] = []
    registry = Registry(changed=lambda: seen.append(registry.types()))
    executor = make_sync()
    registry.clear()
    registry.unregister(executor)
    registry.register(executor)
    registry.unregister(make_sync())
    registry.unregister(executor)
    registry.register(executor)
    registry.clear()

    assert [{"sync"}, set(), {"sync"}, set()] == seen


def test_the_hook_may_come_later() -> None:
    """
    From then on it is told, instead of the one before.
    """
    first: list[str] = []
    second: list[str] = []
    registry = Registry(changed=lambda: first.append("told"))
    registry.on_change(lambda: second.append("told"))
    registry.register(make_sync())

    assert ([], ["told"]) == (first, second)


@pytest.mark.parametrize(
    ("executor", "pool", "resumable"),
    [
        (Sync("t"), Pool.TASKS, False),
        (Resuming("t"), Pool.TASKS, True),
        (FunctionExecutor("t", _nothing), Pool.TASKS, False),
        (FunctionExecutor("t", _nothing, can_resume=True), Pool.TASKS, True),
        (FunctionExecutor("t", _nothing_async), Pool.LOOP, False),
    ],
)
def test_info_tells_the_core_what_it_must_know(executor: Any, pool: Pool, resumable: bool) -> None:  # noqa: FBT001 - a column
    """
    Where the bodies run and whether they may resume.
    """
    registry = Registry()
    registry.register(executor)

    assert ExecutorInfo(task_type="t", pool=pool, resumable=resumable) == registry.info("t")


def test_registering_from_many_threads_loses_nothing() -> None:
    """
    Every type is there in the end.
    """
    registry = Registry()

    def register(first: int) -> None:
        for second in range(50):
            registry.register(make_sync(f"{first}-{second}"))

    threads = [Thread(target=register, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert 400 == len(registry.types())
