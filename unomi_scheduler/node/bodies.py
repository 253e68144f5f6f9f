"""
Bodies: they call the code of one run and turn whatever it does into one verdict; nothing a body raises gets out.
"""

from __future__ import annotations

import inspect
import logging
from contextvars import Context
from typing import Any

from .callback import RunCallback
from .context import AsyncTaskContext, TaskContext
from .executors import FunctionExecutor, ObjectExecutor
from .live import LiveRun, describe
from .runs import Interrupted, Succeeded, Verdict

_log = logging.getLogger(__name__)
_SUCCEEDED = Succeeded()


def call_function(run: LiveRun, executor: FunctionExecutor) -> None:
    """
    Run a `def` function and end the run.
    """
    run.resumed = run.ticket.resumed and executor.resumable
    try:
        # A context of its own keeps what one body sets in context variables out of the next run of the thread.
        if executor.takes_context:
            value = Context().run(executor.function, TaskContext(run))
        else:
            value = Context().run(executor.function)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like fail the run and never end the thread
        run.end(_failed(run, error))
        return
    run.end(_SUCCEEDED if value is None and not run.noticed else _returned(run, value))


async def call_async(run: LiveRun, executor: FunctionExecutor) -> None:
    """
    Run an `async def` function and end the run.
    """
    run.resumed = run.ticket.resumed and executor.resumable
    context = AsyncTaskContext(run)
    try:
        value = await (executor.function(context) if executor.takes_context else executor.function())
    # SystemExit, CancelledError and the like fail the run and never end the loop.
    except BaseException as error:  # noqa: BLE001 - see above
        context.discard()
        run.end(_failed(run, error))
        return
    forgotten = await context.forgotten()
    if forgotten:
        run.end(_refused(run, forgotten))
    else:
        run.end(_returned(run, value))


def call_object(run: LiveRun, executor: ObjectExecutor) -> None:
    """
    Run an object executor; the run ends by its callback, perhaps later.
    """
    run.resumed = run.ticket.resumed and _can_resume(run, executor)
    callback = RunCallback(run)
    try:
        value = Context().run(executor.resume if run.resumed else executor.execute, run.task, callback)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like fail the run and never end the thread
        callback.fail_by(describe(error), error)
    else:
        rubbish = _rubbish(value)
        if rubbish:
            callback.fail_by(rubbish)
    callback.returned()


def _can_resume(run: LiveRun, executor: ObjectExecutor) -> bool:
    try:
        return bool(executor.can_resume(run.task))
    except BaseException:  # noqa: BLE001 - a user's code may raise anything, and a fresh start is always allowed
        _log.exception(
            "can_resume of %s failed; the run starts afresh",
            run.task.task_type,
            extra=run.log_extra("can_resume_failed"),
        )
        return False


def _returned(run: LiveRun, value: Any) -> Verdict:
    rubbish = _rubbish(value)
    if rubbish:
        return _refused(run, rubbish)
    if not run.noticed:
        return _SUCCEEDED
    verdict = Interrupted(run.reason or "")
    run.log_failure(verdict)
    return verdict


def _rubbish(value: Any) -> str | None:
    if not inspect.iscoroutine(value):
        return None
    value.close()
    return f"the body returned the coroutine {value.__qualname__}, which nobody awaits: make the body `async def`"


def _failed(run: LiveRun, error: BaseException) -> Verdict:
    verdict = run.failure(describe(error))
    run.log_failure(verdict, error)
    return verdict


def _refused(run: LiveRun, text: str) -> Verdict:
    verdict = run.failure(text)
    run.log_failure(verdict)
    return verdict
