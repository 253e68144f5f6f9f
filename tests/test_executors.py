"""
Executors are checked once, when they are made known.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

import pytest

from tests.factories import make_task
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.node.executors import FunctionExecutor, ObjectExecutor, prepared


class _Callables:
    def method(self, context: object) -> None: ...

    def no_context(self) -> None: ...

    def __call__(self, context: object) -> None: ...

    @staticmethod
    def static() -> None: ...


class _AsyncCallable:
    async def __call__(self, context: object) -> None: ...


def _decorated(function: Any) -> Any:
    @wraps(function)
    def outer(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    return outer


def _two(path: str, context: object) -> None: ...


async def _asynchronous(context: object) -> None: ...


def _optional(context: object = None) -> None: ...


def _generator(context: object) -> Any:
    yield context


async def _async_generator() -> Any:
    yield


@pytest.mark.parametrize(
    ("function", "takes_context"),
    [
        (lambda: None, False),
        (lambda context: None, True),
        (lambda anything, /: None, True),
        (lambda *args: None, True),
        (lambda **details: None, False),
        (lambda context, *rest, depth=1: None, True),
        # A default is the closure's own value, unless the parameter asks for the context by name.
        (lambda path="/tmp": None, False),
        (_optional, True),
        (_Callables().method, True),
        (_Callables().no_context, False),
        (_Callables.static, False),
        (_Callables(), True),
        (partial(_two, "/tmp"), True),
        (partial(_two, "/tmp", None), False),
        (_decorated(lambda: None), False),
        (_decorated(lambda context: None), True),
        (_asynchronous, True),
    ],
)
def test_a_function_takes_a_context_or_nothing(function: Any, takes_context: bool) -> None:  # noqa: FBT001 - a column
    """
    Its parameters decide, once.
    """
    assert takes_context is FunctionExecutor("sample", function).takes_context


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (lambda: None, False),
        (_asynchronous, True),
        (partial(_asynchronous, None), True),
        (_AsyncCallable(), True),
        (partial(_AsyncCallable(), None), True),
        (_AsyncCallable().__call__, True),
        (_Callables(), False),
    ],
)
def test_async_functions_of_every_shape_are_known(function: Any, is_async: bool) -> None:  # noqa: FBT001 - a column
    """
    A function, a partial, a method and a callable object may be `async def`.
    """
    assert is_async is FunctionExecutor("sample", function).is_async


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (_two, "must take a context or nothing, but it needs path, context"),
        (lambda *, key: None, "needs key"),
        (None, "expected a function, got None"),
        ("clean", "expected a function, got an object of str"),
        (_generator, "is a generator"),
        (_async_generator, "is a generator"),
        (max, "does not tell its parameters"),
    ],
)
def test_what_is_no_such_function_is_refused(function: Any, text: str) -> None:
    """
    The message names the function and what is wrong with it.
    """
    with pytest.raises(InvalidTask, match=text):
        FunctionExecutor("sample", function)


@pytest.mark.parametrize("task_type", [None, "", " ", 7])
def test_a_blank_type_is_refused(task_type: Any) -> None:
    """
    A type is a text that is not blank.
    """
    with pytest.raises(InvalidTask, match="task type"):
        FunctionExecutor(task_type, lambda: None)


def test_a_function_resumes_if_it_says_so() -> None:
    """
    The answer is the same for every task.
    """
    assert FunctionExecutor("sample", lambda: None).can_resume(make_task()) is False
    assert FunctionExecutor("sample", lambda: None, can_resume=True).can_resume(make_task()) is True


def _any(value: object) -> Any:
    # What the types would refuse, or do not need to know.
    return value


class _Least:
    task_type = "sample"

    def execute(self, task: object, callback: object) -> str:
        return "executed"


class _Whole(_Least):
    def can_resume(self, task: object) -> bool:
        return True

    def resume(self, task: object, callback: object) -> str:
        return "resumed"


def test_an_object_with_the_least_gets_the_defaults() -> None:
    """
    It cannot resume, and resuming it would execute it.
    """
    executor = ObjectExecutor(_any(_Least()))

    assert executor.can_resume(make_task()) is False
    assert executor.resume(make_task(), _any(None)) == "executed"
    assert executor.resumable is False


def test_a_whole_object_is_called_as_it_is() -> None:
    """
    Its own methods are used.
    """
    executor = ObjectExecutor(_any(_Whole()))

    assert executor.can_resume(make_task()) is True
    assert executor.resume(make_task(), _any(None)) == "resumed"
    assert executor.resumable is True


def test_a_function_executor_is_prepared_already() -> None:
    """
    It is used as it is; anything else is an object executor.
    """
    function = FunctionExecutor("sample", lambda: None)

    assert prepared(function) is function
    assert isinstance(prepared(_any(_Least())), ObjectExecutor)


def _with(**attributes: Any) -> object:
    return type("Strange", (), {"task_type": "sample", "execute": lambda self, task, callback: None, **attributes})()


async def _async_method(self: object, task: object, callback: object) -> None: ...


@pytest.mark.parametrize(
    ("executor", "text"),
    [
        (None, "got None"),
        (_Least, "got _Least"),
        (object(), "object of object has no task_type and no execute"),
        (type("Half", (), {"task_type": "sample"})(), "object of Half has no execute"),
        (lambda: None, "has no task_type and no execute"),
        (_with(execute=7), "execute is not callable"),
        (_with(resume=7), "resume is not callable"),
        (_with(can_resume=True), "can_resume is not callable"),
        (_with(execute=lambda self, task: None), r"execute must take \(task, callback\)"),
        (_with(can_resume=lambda self: None), r"can_resume must take \(task\)"),
        (_with(execute=_async_method), "execute is async def"),
        (_with(task_type=" "), "task type"),
    ],
)
def test_what_is_no_executor_is_refused_by_name(executor: Any, text: str) -> None:
    """
    The message names what is missing or wrong.
    """
    with pytest.raises(InvalidTask, match=text):
        prepared(executor)
