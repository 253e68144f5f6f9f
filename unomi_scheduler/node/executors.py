"""
Executors: the code for one task type, a function or an object of the original's shape, checked once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import InvalidTask
from ..model import Task
from ..ports import Callback, Executor

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class FunctionExecutor:
    """
    A function, method, partial or callable object that runs one task type; `def` or `async def`.

    It gets a context if its first parameter has no default, is called `context`, or is `*args`; otherwise it is called
    with nothing, so that `lambda path=path: clean(path)` keeps its own value.
    """

    def __init__(self, task_type: str, function: Callable[..., Any], can_resume: bool = False) -> None:  # noqa: FBT001, FBT002 - the decorator's own words
        self.task_type = checked_type(task_type)
        self.function = function
        self.resumable = can_resume
        self.takes_context = _takes_context(function)
        self.is_async = _is_async(function)
        if _yields(function):
            raise InvalidTask(
                f"Invalid executor of {task_type}: {_name(function)} is a generator, its body would never run"
            )

    def __repr__(self) -> str:
        return f"FunctionExecutor({self.task_type!r}, {_name(self.function)})"

    def can_resume(self, task: Task) -> bool:
        """
        Tell whether the function goes on from a checkpoint: the same answer for every task.
        """
        return self.resumable


class ObjectExecutor:
    """
    An executor of the original's shape (`ports.Executor`), with the contract's defaults for what it does not have.
    """

    is_async = False

    def __init__(self, executor: Executor) -> None:
        _check_object(executor)
        self.task_type = checked_type(executor.task_type)
        self.execute: Callable[[Task, Callback], object] = executor.execute
        self.resume: Callable[[Task, Callback], object] = getattr(executor, "resume", executor.execute)
        self.can_resume: Callable[[Task], bool] = getattr(executor, "can_resume", _never)
        self.resumable = self.can_resume is not _never


def prepared(executor: Executor | FunctionExecutor) -> FunctionExecutor | ObjectExecutor:
    """
    Return what the workers call for this executor.

    Raises:
        InvalidTask: it is no executor; the message names what is missing.
    """
    return executor if isinstance(executor, FunctionExecutor) else ObjectExecutor(executor)


def checked_type(task_type: object) -> str:
    """
    Return the task type if it is a text that is not blank.
    """
    if isinstance(task_type, str) and task_type.strip():
        return task_type
    raise InvalidTask(f"Invalid task type: expected a text that is not blank, got {task_type!r}")


def _never(_task: Task) -> bool:
    return False


def _check_object(executor: Any) -> None:
    name = _name(executor)
    if executor is None or isinstance(executor, type):
        raise InvalidTask(
            f"Invalid executor: expected an object with task_type and execute(task, callback), got {name}"
        )
    missing = [one for one in ("task_type", "execute") if not hasattr(executor, one)]
    if missing:
        raise InvalidTask(f"Invalid executor: {name} has no {' and no '.join(missing)}")
    for method, arguments in (("execute", 2), ("resume", 2), ("can_resume", 1)):
        _check_method(
            name, method, getattr(executor, method, _never if arguments == 1 else executor.execute), arguments
        )


def _check_method(name: str, method: str, function: Any, arguments: int) -> None:
    if not callable(function):
        raise InvalidTask(f"Invalid executor: {name}.{method} is not callable")
    if _is_async(function):
        raise InvalidTask(f"Invalid executor: {name}.{method} is async def; register an async function instead")
    signature = _signature(function)
    try:
        signature.bind(*(None,) * arguments)
    except TypeError as error:
        wanted = "(task, callback)" if arguments == 2 else "(task)"  # noqa: PLR2004 - the contract's two shapes
        raise InvalidTask(f"Invalid executor: {name}.{method} must take {wanted}: {error}") from None


def _takes_context(function: Callable[..., Any]) -> bool:
    if not callable(function):
        raise InvalidTask(f"Invalid executor: expected a function, got {_name(function)}")
    parameters = list(_signature(function).parameters.values())
    required = [one for one in parameters if one.default is one.empty and one.kind not in _VARIABLE]
    if len(required) > 1 or any(one.kind is one.KEYWORD_ONLY for one in required):
        names = ", ".join(one.name for one in required)
        raise InvalidTask(f"Invalid executor: {_name(function)} must take a context or nothing, but it needs {names}")
    first = parameters[0] if parameters else None
    return first is not None and (
        first.kind is first.VAR_POSITIONAL
        or (first.kind in _POSITIONAL and (bool(required) or first.name == "context"))
    )


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise InvalidTask(
            f"Invalid executor: {_name(function)} does not tell its parameters; wrap it in a def"
        ) from None


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_call_of(function))


def _yields(function: Any) -> bool:
    return any(
        check(one)
        for check in (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
        for one in (function, _call_of(function))
    )


def _call_of(function: Any) -> Any:
    # A callable object's own parameters and colour are those of its class's __call__, also below a partial.
    while isinstance(function, partial):
        function = function.func
    return getattr(type(function), "__call__", None)  # noqa: B004 - not whether it is callable, but what is called


def _name(function: object) -> str:
    return getattr(function, "__qualname__", None) or (
        "None" if function is None else f"an object of {type(function).__name__}"
    )
