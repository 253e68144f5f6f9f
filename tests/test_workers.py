"""
The workers run bodies and end each ticket exactly once, whatever the body does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from queue import SimpleQueue
from threading import Event, Thread, current_thread
from time import perf_counter
from typing import Any

import pytest

from tests.fake_core import LIMIT, FakeCore, actions, working
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.errors import LeaseLost
from unomi_scheduler.node.alarms import Alarms
from unomi_scheduler.node.runs import Failed, Interrupted, NotStarted, Pool, RunEnded, Signal, Succeeded


@pytest.fixture
def core() -> Iterator[FakeCore]:
    """
    Started workers with a core that stores every checkpoint at once.
    """
    with working() as started:
        yield started


class Recorder:
    """
    An object executor that does what a test says.
    """

    task_type = "sample"

    def __init__(self, execute: Callable[[Any, Any], Any], **methods: Any) -> None:
        self.execute = execute
        self.__dict__.update(methods)


class _Blocker:
    """
    A body that says when it is inside and stays there until it is let go.
    """

    def __init__(self) -> None:
        self.inside: SimpleQueue[Any] = SimpleQueue()
        self.go_on = Event()

    def __call__(self, context: Any) -> None:
        self.inside.put(context)
        assert self.go_on.wait(LIMIT)


class _AsyncBlocker(_Blocker):
    async def __call__(self, context: Any) -> None:  # type: ignore[override]
        self.inside.put(context)
        assert await asyncio.to_thread(self.go_on.wait, LIMIT)


# --- where bodies run


def test_a_sync_body_runs_in_a_task_thread(core: FakeCore) -> None:
    """
    Daemon threads with a name of their own.
    """
    seen: SimpleQueue[Thread] = SimpleQueue()
    core.run(lambda: seen.put(current_thread()))
    thread = seen.get(timeout=LIMIT)

    assert thread.name in {f"unomi-task-{number}" for number in range(1, 5)}
    assert thread.daemon


def test_a_system_task_runs_in_a_thread_of_its_own_pool() -> None:
    """
    It never waits for users' tasks: all task threads are busy, and it runs.
    """
    with working(threads=1) as core:
        blocker = _Blocker()
        seen: SimpleQueue[str] = SimpleQueue()
        core.start(blocker)
        blocker.inside.get(timeout=LIMIT)
        core.run(lambda: seen.put(current_thread().name), pool=Pool.SYSTEM)
        blocker.go_on.set()

    assert seen.get(timeout=LIMIT) in {"unomi-system-1", "unomi-system-2"}


def test_async_bodies_share_one_loop(core: FakeCore) -> None:
    """
    Many run at once in one thread.
    """
    barrier = asyncio.Barrier(8)
    seen = set()

    async def body() -> None:
        seen.add(current_thread().name)
        await barrier.wait()

    for _ in range(8):
        core.start(body, pool=Pool.LOOP)

    assert [Succeeded()] * 8 == [core.verdict() for _ in range(8)]
    assert {"unomi-loop"} == seen


def test_more_async_bodies_than_slots_wait_their_turn() -> None:
    """
    Never more than `loop_slots` at once, and all of them run.
    """
    with working(loop_slots=2) as core:
        running, most = 0, 0

        async def body() -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1

        for _ in range(20):
            core.start(body, pool=Pool.LOOP)

        assert [Succeeded()] * 20 == [core.verdict() for _ in range(20)]
        assert 2 == most


@pytest.mark.parametrize("pool", list(Pool))
def test_the_executors_own_colour_decides_where_it_runs(core: FakeCore, pool: Pool) -> None:
    """
    An executor replaced since the claim never blocks the loop and is never left unawaited.
    """
    seen: SimpleQueue[str] = SimpleQueue()

    async def asynchronous() -> None:
        seen.put(current_thread().name)

    assert Succeeded() == core.run(asynchronous, pool=pool)
    assert Succeeded() == core.run(lambda: seen.put(current_thread().name), pool=pool)
    assert ("unomi-loop", True) == (seen.get(timeout=LIMIT), seen.get(timeout=LIMIT) != "unomi-loop")


def test_context_variables_do_not_reach_the_next_run() -> None:
    """
    What one body sets, another in the same thread does not see.
    """
    variable = ContextVar("variable", default="unset")
    seen: SimpleQueue[str] = SimpleQueue()

    def body() -> None:
        seen.put(variable.get())
        variable.set("set")

    with working(threads=1) as core:
        core.run(body)
        core.run(body)

    assert ["unset", "unset"] == [seen.get(timeout=LIMIT), seen.get(timeout=LIMIT)]


# --- starting


def test_what_comes_before_the_start_runs_after_it() -> None:
    """
    A ticket waits for the threads.
    """
    core = FakeCore()
    core.start(lambda: None)
    core.workers.start()

    assert Succeeded() == core.verdict()
    core.workers.stop(LIMIT)


def test_start_twice_is_harmless(core: FakeCore) -> None:
    """
    The threads are started once.
    """
    core.workers.start()

    assert Succeeded() == core.run(lambda: None)


@pytest.mark.parametrize("pool", [Pool.TASKS, Pool.LOOP])
def test_without_the_lease_nothing_is_started(core: FakeCore, pool: Pool) -> None:
    """
    It is asked again right before the body.
    """
    called = []

    async def asynchronous() -> None:
        called.append("async")

    core.lease_held = False
    verdict = core.run(asynchronous if pool is Pool.LOOP else lambda: called.append("sync"), pool=pool)

    assert NotStarted() == verdict
    assert [] == called


def test_a_memory_task_needs_no_lease(core: FakeCore) -> None:
    """
    It lives in its process, and no other node would take it.
    """
    core.lease_held = False

    assert Succeeded() == core.run(lambda: None, persistent=False)


def test_a_lease_lost_while_a_ticket_is_queued_is_seen() -> None:
    """
    The check belongs to the start, not to the ticket's arrival.
    """
    with working(threads=1) as core:
        blocker, called = _Blocker(), []
        core.start(blocker)
        blocker.inside.get(timeout=LIMIT)
        queued = core.start(lambda: called.append("ran"))
        core.lease_held = False
        blocker.go_on.set()
        ends = {core.event(), core.event()}

    assert {(queued, NotStarted())} == {(end.claim_id, end.verdict) for end in ends if end.claim_id == queued}
    assert [] == called


def test_a_queued_run_that_was_told_is_not_started() -> None:
    """
    A cancel in the queue spares the body.
    """
    with working(threads=1) as core:
        blocker, called = _Blocker(), []
        core.start(blocker)
        blocker.inside.get(timeout=LIMIT)
        queued = core.start(lambda: called.append("ran"))
        core.workers.tell(queued, Signal.CANCELLED)
        blocker.go_on.set()
        verdicts = {end.claim_id: end.verdict for end in (core.event(), core.event())}

    assert NotStarted() == verdicts[queued]
    assert [] == called


def test_without_an_executor_the_run_is_not_started(core: FakeCore) -> None:
    """
    Unregistered between the claim and the start: the claim can be given back.
    """
    ticket = core.ticket(task_type="unknown")
    core.workers.run(ticket)

    assert RunEnded(claim_id=ticket.claim_id, verdict=NotStarted(), duration=0) == core.event()


def test_unregistering_does_not_stop_what_runs(core: FakeCore) -> None:
    """
    The body goes on to its end.
    """
    blocker = _Blocker()
    core.start(blocker)
    blocker.inside.get(timeout=LIMIT)
    core.registry.clear()
    blocker.go_on.set()

    assert Succeeded() == core.verdict()


# --- verdicts


@pytest.mark.parametrize("value", [None, 7, "text", False, object()])
def test_what_a_function_returns_is_ignored(core: FakeCore, value: object) -> None:
    """
    Returning is success.
    """
    assert Succeeded() == core.run(lambda: value)


def test_the_end_tells_how_long_it_took(core: FakeCore) -> None:
    """
    In whole milliseconds, from the call of the body.
    """
    stop = Event()
    core.start(lambda: stop.wait(0.02))
    end = core.event()

    assert isinstance(end, RunEnded)
    assert 19 <= end.duration < LIMIT * 1000


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def _raiser(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def _async_raiser(error: BaseException) -> Callable[[], Any]:
    async def body() -> None:
        raise error

    return body


_ERRORS = [
    (ValueError("broken"), "ValueError: broken"),
    (ValueError(), "ValueError"),
    (SystemExit(3), "SystemExit: 3"),
    (KeyboardInterrupt(), "KeyboardInterrupt"),
    (GeneratorExit("closed"), "GeneratorExit: closed"),
    (asyncio.CancelledError("gone"), "CancelledError: gone"),
    (LeaseLost("not told"), "LeaseLost: not told"),
    (_Unprintable(), "_Unprintable: (its text cannot be read)"),
]


@pytest.mark.parametrize(("error", "text"), _ERRORS)
def test_whatever_a_body_raises_fails_the_run_and_not_the_thread(error: BaseException, text: str) -> None:
    """
    `TypeName: message`; the only thread runs the next body.
    """
    with working(threads=1) as core:
        assert Failed(text) == core.run(_raiser(error))
        assert Succeeded() == core.run(lambda: None)


@pytest.mark.parametrize(("error", "text"), _ERRORS)
def test_whatever_an_async_body_raises_fails_the_run_and_not_the_loop(error: BaseException, text: str) -> None:
    """
    As in a thread.
    """

    async def nothing() -> None: ...

    with working() as core:
        assert Failed(text) == core.run(_async_raiser(error), pool=Pool.LOOP)
        assert Succeeded() == core.run(nothing, pool=Pool.LOOP)


def test_a_stop_iteration_in_an_async_body_fails_the_run(core: FakeCore) -> None:
    """
    Python makes it a RuntimeError.
    """
    verdict = core.run(_async_raiser(StopIteration()), pool=Pool.LOOP)

    assert isinstance(verdict, Failed)
    assert verdict.error.startswith("RuntimeError: ")


def test_a_task_that_leaves_the_loop_does_not_take_the_others_along(core: FakeCore) -> None:
    """
    A SystemExit in a task that a body made stops asyncio's loop; it goes on with the other bodies.
    """
    blocker = _AsyncBlocker()
    tasks = []

    async def exits() -> None:
        raise SystemExit(1)

    async def careless() -> None:
        tasks.append(asyncio.create_task(exits()))

    core.start(blocker, pool=Pool.LOOP)
    blocker.inside.get(timeout=LIMIT)
    assert Succeeded() == core.run(careless, pool=Pool.LOOP)
    blocker.go_on.set()

    assert Succeeded() == core.verdict()
    assert Failed("ValueError") == core.run(_async_raiser(ValueError()), pool=Pool.LOOP)
    assert isinstance(tasks[0].exception(), SystemExit)


def test_an_async_body_that_cancels_itself_fails(core: FakeCore) -> None:
    """
    The loop's own cancellation is a failure like another, unless the run was told.
    """

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(LIMIT)

    assert Failed("CancelledError") == core.run(body, pool=Pool.LOOP)


async def _never_awaited() -> None: ...


def _never_awaited_by_me() -> Any:
    return _never_awaited()


async def _returns_a_coroutine() -> Any:
    return _never_awaited()


@pytest.mark.parametrize(
    "body",
    [
        _never_awaited_by_me,
        lambda context: _never_awaited(),
        _returns_a_coroutine,
        Recorder(lambda task, callback: _never_awaited()),
    ],
)
def test_a_coroutine_nobody_awaits_fails_the_run(core: FakeCore, body: Any) -> None:
    """
    The body did nothing, so it did not succeed; the text says what to change.
    """
    assert Failed(
        "the body returned the coroutine _never_awaited, which nobody awaits: make the body `async def`"
    ) == core.run(body)


def test_a_failure_is_logged_once_with_its_traceback(core: FakeCore, caplog: pytest.LogCaptureFixture) -> None:
    """
    And with the names by which it is found.
    """
    claim_id = core.start(_raiser(ValueError("broken")), id="one", fence=7)
    core.verdict()
    (record,) = [vars(one) for one in caplog.records]

    assert ("run_failed", "one", "sample", claim_id, 7) == (
        *(record[name] for name in ("action", "task_id", "task_type", "claim_id", "fence")),
    )
    assert "raise error" in caplog.text


# --- what a run is told


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("error", [LeaseLost("lost"), ValueError("broken"), SystemExit(1)])
def test_an_error_after_a_signal_is_an_interruption(core: FakeCore, signal: Signal, error: BaseException) -> None:
    """
    Whatever a body raises once it was told is neither success nor failure.
    """

    def body(context: Any) -> None:
        context.update_step("inside")
        assert context.wait_cancelled(LIMIT)
        raise error

    claim_id = core.start(body)
    core.report()
    core.workers.tell(claim_id, signal)

    assert Interrupted(signal.value) == core.verdict()


@pytest.mark.parametrize("signal", list(Signal))
def test_returning_without_looking_at_the_signal_is_success(core: FakeCore, signal: Signal) -> None:
    """
    The work is done; whether it counts is the core's to decide.
    """
    blocker = _Blocker()
    claim_id = core.start(blocker)
    blocker.inside.get(timeout=LIMIT)
    core.workers.tell(claim_id, signal)
    blocker.go_on.set()

    assert Succeeded() == core.verdict()


@pytest.mark.parametrize("signal", list(Signal))
def test_returning_after_looking_at_the_signal_is_giving_up(core: FakeCore, signal: Signal) -> None:
    """
    A body that knows that it should stop and returns has not done its work, so its task goes on later.
    """
    blocker = _Blocker()
    claim_id = core.start(blocker)
    context = blocker.inside.get(timeout=LIMIT)
    core.workers.tell(claim_id, signal)
    told = (context.cancelled, context.reason)
    blocker.go_on.set()

    assert (True, signal.value) == told
    assert Interrupted(signal.value) == core.verdict()


def test_an_async_body_is_told_but_never_cancelled_by_force(core: FakeCore) -> None:
    """
    It goes on until it returns.
    """
    blocker = _AsyncBlocker()
    claim_id = core.start(blocker, pool=Pool.LOOP)
    context = blocker.inside.get(timeout=LIMIT)
    core.workers.tell(claim_id, Signal.CANCELLED)
    told = context.cancelled
    blocker.go_on.set()

    assert told is True
    assert Interrupted("the task was cancelled") == core.verdict()


def test_an_interruption_is_not_logged_as_an_error(core: FakeCore, caplog: pytest.LogCaptureFixture) -> None:
    """
    One line of information; what else the body raised is in it.
    """

    def body(context: Any) -> None:
        context.update_step("inside")
        assert context.wait_cancelled(LIMIT)
        raise ValueError("on the way out")

    with caplog.at_level(logging.INFO):
        claim_id = core.start(body)
        core.report()
        core.workers.tell(claim_id, Signal.STOPPING)
        core.verdict()

    assert ["run_told", "run_interrupted"] == actions(caplog)
    assert {logging.INFO} == {one.levelno for one in caplog.records}
    assert "on the way out" in caplog.text


def test_telling_an_unknown_run_is_harmless(core: FakeCore) -> None:
    """
    It may just have ended.
    """
    core.workers.tell("unknown", Signal.CANCELLED)

    assert Succeeded() == core.run(lambda: None)


# --- object executors


def test_an_object_that_completes_succeeds(core: FakeCore) -> None:
    """
    It is called with the claimed task.
    """
    seen: SimpleQueue[str] = SimpleQueue()

    def execute(task: Any, callback: Any) -> None:
        seen.put(task.id)
        callback.complete()

    assert Succeeded() == core.run(Recorder(execute), id="one")
    assert "one" == seen.get(timeout=LIMIT)


def test_an_object_that_fails_gives_its_text(core: FakeCore, caplog: pytest.LogCaptureFixture) -> None:
    """
    As it is, and logged once.
    """
    assert Failed("no such path") == core.run(Recorder(lambda task, callback: callback.fail("no such path")))
    assert ["run_failed"] == actions(caplog)


def test_an_object_that_raises_fails(core: FakeCore) -> None:
    """
    SystemExit included.
    """
    assert Failed("SystemExit: 1") == core.run(Recorder(lambda task, callback: _raiser(SystemExit(1))()))


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (("complete", "fail", "complete"), Succeeded()),
        (("fail", "complete", "fail"), Failed("text")),
        (("complete", "raise"), Succeeded()),
        (("fail", "raise"), Failed("text")),
    ],
)
def test_the_first_call_counts(core: FakeCore, calls: tuple[str, ...], expected: object) -> None:
    """
    Later ones are ignored, and so is an error after it; the run ends once.
    """

    def execute(task: Any, callback: Any) -> None:
        for call in calls:
            {"complete": callback.complete, "fail": lambda: callback.fail("text"), "raise": _raiser(ValueError())}[
                call
            ]()

    assert expected == core.run(Recorder(execute))
    assert Succeeded() == core.run(lambda: None)
    assert core.events.empty()


def test_a_run_does_not_end_before_its_body_returned(core: FakeCore) -> None:
    """
    Completed or not: as long as the body is inside, the slot is taken, so that two bodies never overlap.
    """
    completed, go_on = Event(), Event()

    def execute(task: Any, callback: Any) -> None:
        callback.complete()
        completed.set()
        go_on.wait(LIMIT)

    core.start(Recorder(execute))
    assert completed.wait(LIMIT)
    still = [one.task_type for one in core.workers.active()]
    ended = not core.events.empty()
    go_on.set()

    assert (["sample"], False) == (still, ended)
    assert Succeeded() == core.verdict()


def test_a_run_that_waits_for_its_callback_leaves_its_thread() -> None:
    """
    The only thread is free for another body, and the callback may come from any thread.
    """
    callbacks: SimpleQueue[Any] = SimpleQueue()
    with working(threads=1) as core:
        first = core.start(Recorder(lambda task, callback: callbacks.put(callback)))
        callback = callbacks.get(timeout=LIMIT)
        assert Succeeded() == core.run(lambda: None)
        active = [one.claim_id for one in core.workers.active()]
        callback.update_step("elsewhere")
        Thread(target=callback.complete).start()
        step, end = core.report().progress.step, core.event()

    assert [first] == active
    assert ("elsewhere", first, Succeeded()) == (step, end.claim_id, end.verdict)


def test_a_callback_that_never_comes_fails_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """
    After the time-out, once; a later call is ignored, and its reports are refused.
    """
    callbacks: SimpleQueue[Any] = SimpleQueue()
    with working(callback_timeout=0.05) as core:
        assert Failed("no callback within 0.05 s") == core.run(Recorder(lambda task, callback: callbacks.put(callback)))
        callback = callbacks.get(timeout=LIMIT)
        callback.complete()
        callback.fail("late")
        with pytest.raises(LeaseLost, match="the run has ended"):
            callback.update_step("late")

        assert core.events.empty()
        assert ["run_failed"] == actions(caplog)


def test_the_callback_timeout_counts_from_the_return() -> None:
    """
    A body may take longer than it, as long as it is inside.
    """
    stop = Event()

    def execute(task: Any, callback: Any) -> None:
        stop.wait(0.1)
        callback.complete()

    with working(callback_timeout=0.01) as core:
        assert Succeeded() == core.run(Recorder(execute))


def test_one_thread_watches_all_that_wait() -> None:
    """
    A hundred runs without a callback fail, each once, and need one thread for it.
    """
    before = set(threading.enumerate())
    with working(callback_timeout=0.2) as core:
        claims = {core.start(Recorder(lambda task, callback: None)) for _ in range(100)}
        ends = [core.event() for _ in claims]
        alarms = [one for one in set(threading.enumerate()) - before if one.name == "unomi-alarms"]

        assert claims == {end.claim_id for end in ends}
        assert {Failed("no callback within 0.2 s")} == {end.verdict for end in ends}
        assert 1 == len(alarms)


@pytest.mark.parametrize("call", ["fail", "timeout"])
def test_a_told_object_that_fails_is_interrupted(call: str) -> None:
    """
    By its text or by its silence.
    """
    callbacks: SimpleQueue[Any] = SimpleQueue()
    with working(callback_timeout=0.2 if call == "timeout" else LIMIT) as core:
        claim_id = core.start(Recorder(lambda task, callback: callbacks.put(callback)))
        callback = callbacks.get(timeout=LIMIT)
        core.workers.tell(claim_id, Signal.CANCELLED)
        if call == "fail":
            callback.fail("given up")

        assert Interrupted("the task was cancelled") == core.verdict()


# --- resuming


def _resuming(answer: Callable[[], object]) -> tuple[Recorder, SimpleQueue[str]]:
    called: SimpleQueue[str] = SimpleQueue()

    def note(name: str) -> Callable[[Any, Any], None]:
        def method(task: Any, callback: Any) -> None:
            called.put(name)
            callback.complete()

        return method

    return Recorder(note("execute"), resume=note("resume"), can_resume=lambda task: answer()), called


@pytest.mark.parametrize(
    ("resumed", "can_resume", "expected"),
    [(True, True, "resume"), (True, False, "execute"), (False, True, "execute"), (False, False, "execute")],
)
def test_an_object_is_resumed_if_the_ticket_and_it_say_so(
    core: FakeCore,
    resumed: bool,  # noqa: FBT001 - a column
    can_resume: bool,  # noqa: FBT001 - a column
    expected: str,
) -> None:
    """
    Otherwise it is executed from the start.
    """
    executor, called = _resuming(lambda: can_resume)
    core.run(executor, resumed=resumed)

    assert expected == called.get(timeout=LIMIT)


def test_a_can_resume_that_raises_means_no(core: FakeCore, caplog: pytest.LogCaptureFixture) -> None:
    """
    It is logged, and the run starts afresh.
    """
    executor, called = _resuming(sys.exit)

    assert Succeeded() == core.run(executor, resumed=True)
    assert "execute" == called.get(timeout=LIMIT)
    assert ["can_resume_failed"] == actions(caplog)


@pytest.mark.parametrize("pool", [Pool.TASKS, Pool.LOOP])
@pytest.mark.parametrize(
    ("resumed", "can_resume", "expected"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_a_function_sees_whether_it_is_resumed(
    core: FakeCore,
    pool: Pool,
    resumed: bool,  # noqa: FBT001 - a column
    can_resume: bool,  # noqa: FBT001 - a column
    expected: bool,  # noqa: FBT001 - a column
) -> None:
    """
    The same function is called; the checkpoint is the task's in either case.
    """
    seen: SimpleQueue[Any] = SimpleQueue()

    def body(context: Any) -> None:
        seen.put((context.resumed, context.checkpoint_data))

    async def async_body(context: Any) -> None:
        body(context)

    core.run(
        async_body if pool is Pool.LOOP else body,
        can_resume=can_resume,
        pool=pool,
        resumed=resumed,
        checkpoint_data={"last": 1},
    )

    assert (expected, {"last": 1}) == seen.get(timeout=LIMIT)


# --- looking and stopping


def test_active_shows_what_runs_and_what_is_queued() -> None:
    """
    In the order they came, and nothing once they have ended.
    """
    with working(threads=1) as core:
        blocker = _Blocker()
        first = core.start(blocker, id="one")
        blocker.inside.get(timeout=LIMIT)
        second = core.start(lambda: None, id="two", pool=Pool.TASKS)
        core.workers.tell(first, Signal.CANCELLED)
        shown = core.workers.active()
        blocker.go_on.set()
        core.verdict()
        core.verdict()

    assert [(first, "one", "the task was cancelled"), (second, "two", None)] == [
        (one.claim_id, one.task_id, one.told) for one in shown
    ]
    assert [True, False] == [one.started is not None for one in shown]
    assert () == core.workers.active()


def test_stop_tells_all_runs_and_waits_for_them() -> None:
    """
    Bodies that heed it end in time, in threads and on the loop.
    """
    inside: SimpleQueue[None] = SimpleQueue()

    def body(context: Any) -> None:
        inside.put(None)
        assert context.wait_cancelled(LIMIT)
        raise LeaseLost(context.reason)

    async def async_body(context: Any) -> None:
        inside.put(None)
        assert await context.wait_cancelled(LIMIT)

    with working() as core:
        core.start(body)
        core.start(async_body, pool=Pool.LOOP)
        for _ in range(2):
            inside.get(timeout=LIMIT)

        assert [] == core.workers.stop(LIMIT)
        assert {Interrupted("the node is stopping")} == {core.verdict(), core.verdict()}


@pytest.mark.parametrize("make", [_Blocker, _AsyncBlocker])
def test_stop_names_those_that_did_not_return(make: type[_Blocker]) -> None:
    """
    They are not ended by force: each still ends when its body returns, and a second stop finds nothing left.
    """
    core, blocker = FakeCore(), make()
    core.workers.start()
    stubborn = core.start(blocker)
    blocker.inside.get(timeout=LIMIT)
    left = core.workers.stop(0.01)
    silent = core.events.empty()
    blocker.go_on.set()

    assert ([stubborn], True) == (left, silent)
    assert Succeeded() == core.verdict()
    assert [] == core.workers.stop(LIMIT)


def test_stop_names_those_that_wait_for_a_callback() -> None:
    """
    Their work goes on in threads of their own.
    """
    callbacks: SimpleQueue[Any] = SimpleQueue()
    core = FakeCore()
    core.workers.start()
    waiting = core.start(Recorder(lambda task, callback: callbacks.put(callback)))
    callback = callbacks.get(timeout=LIMIT)

    assert [waiting] == core.workers.stop(0)
    callback.complete()
    assert Succeeded() == core.verdict()
    assert [] == core.workers.stop(LIMIT)


def test_what_is_queued_at_the_stop_is_not_started() -> None:
    """
    Even if every thread is held by a stubborn body, their claims can be given back at once.
    """
    core, blocker, called = FakeCore(threads=1, loop_slots=1), _Blocker(), []
    async_blocker = _AsyncBlocker()
    core.workers.start()
    held = {core.start(blocker), core.start(async_blocker)}
    blocker.inside.get(timeout=LIMIT)
    async_blocker.inside.get(timeout=LIMIT)

    async def asynchronous() -> None:
        called.append("async")

    queued = {core.start(lambda: called.append("sync")), core.start(asynchronous)}
    left = core.workers.stop(0)
    ends = [core.event(), core.event()]
    blocker.go_on.set()
    async_blocker.go_on.set()

    assert held == set(left)
    assert {(claim_id, NotStarted()) for claim_id in queued} == {(end.claim_id, end.verdict) for end in ends}
    assert [Succeeded()] * 2 == [core.verdict(), core.verdict()]
    assert [] == core.workers.stop(LIMIT)
    assert [] == called


def test_a_recall_may_leave_memory_tasks() -> None:
    """
    Those of the store go back at once, the others keep their place.
    """
    blocker, called = _Blocker(), []
    with working(threads=1) as core:
        core.start(blocker)
        blocker.inside.get(timeout=LIMIT)
        first = core.start(lambda: called.append("memory"), persistent=False)
        second = core.start(lambda: called.append("stored"))
        core.register(lambda: called.append("memory"))
        core.workers.recall(memory=False)
        event = core.event()
        blocker.go_on.set()
        ends = [core.event(), core.event()]

    assert (second, NotStarted()) == (event.claim_id, event.verdict)
    assert first == ends[1].claim_id
    assert ["memory"] == called


def test_after_the_stop_nothing_is_started() -> None:
    """
    A ticket that comes late is given back at once, and a stop before the start holds.
    """
    core = FakeCore()

    assert [] == core.workers.stop(LIMIT)
    assert [] == core.workers.stop(LIMIT)
    core.workers.start()
    assert NotStarted() == core.run(lambda: None)
    assert () == core.workers.active()


def test_what_was_queued_before_a_start_that_never_came_is_given_back() -> None:
    """
    Each ticket has its end.
    """
    core = FakeCore()
    core.start(lambda: None)

    assert [] == core.workers.stop(LIMIT)
    assert NotStarted() == core.verdict()


def test_after_the_stop_no_thread_is_left() -> None:
    """
    Threads, loop and alarms end.
    """

    async def asynchronous(context: Any) -> None:
        context.update_step("alarm")

    before = set(threading.enumerate())
    with working() as core:
        core.run(asynchronous)
        grown = set(threading.enumerate()) - before
    left = {one.name for one in threading.enumerate() if one in grown}

    assert {"unomi-loop", "unomi-alarms"} <= {one.name for one in grown}
    assert set() == left


def test_a_body_may_stop_the_workers_it_runs_in() -> None:
    """
    It does not wait for itself longer than it said.
    """
    core = FakeCore()
    left: SimpleQueue[list[str]] = SimpleQueue()
    core.workers.start()
    claim_id = core.start(lambda: left.put(core.workers.stop(0)))

    assert Succeeded() == core.verdict()
    assert [claim_id] == left.get(timeout=LIMIT)
    assert [] == core.workers.stop(LIMIT)


def test_tickets_that_race_with_the_stop_end_too() -> None:
    """
    Whatever the order, each ticket ends exactly once.
    """
    for _ in range(20):
        core = FakeCore()
        claims: list[str] = []
        core.register(lambda: None)
        core.workers.start()
        feeding = Thread(target=_feed, args=(core, claims))
        feeding.start()
        core.workers.stop(LIMIT)
        feeding.join(LIMIT)
        ends = Counter(core.event().claim_id for _ in claims)

        assert Counter(claims) == ends
        assert core.events.empty()


def _feed(core: FakeCore, claims: list[str]) -> None:
    for _ in range(200):
        ticket = core.ticket()
        claims.append(ticket.claim_id)
        core.workers.run(ticket)


def test_a_ticket_behind_the_end_mark_ends_too() -> None:
    """
    The stop came between the check and the queue, and no thread is left to take it.
    """
    core = FakeCore()
    core.workers.start()
    pool, threads = core.workers._tasks, core.workers._tasks.threads

    def stopped_meanwhile(ticket: Any, *, is_async: bool) -> Any:
        core.workers.stop(0)
        for thread in threads:
            thread.join(LIMIT)
        return pool

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(core.workers, "_pool", stopped_meanwhile)
        core.start(lambda: None)

    assert [False] * 4 == [thread.is_alive() for thread in threads]
    assert NotStarted() == core.verdict()


def test_a_recall_gives_back_what_is_queued_and_work_goes_on() -> None:
    """
    What is inside a body stays, and later tickets run.
    """
    with working(threads=1, loop_slots=1) as core:
        blocker, async_blocker = _Blocker(), _AsyncBlocker()
        core.start(blocker)
        core.start(async_blocker)
        blocker.inside.get(timeout=LIMIT)
        async_blocker.inside.get(timeout=LIMIT)

        async def asynchronous() -> None: ...

        queued = {core.start(lambda: None), core.start(asynchronous)}
        core.workers.recall()
        recalled = {(end.claim_id, end.verdict) for end in (core.event(), core.event())}
        blocker.go_on.set()
        async_blocker.go_on.set()

        assert {(claim_id, NotStarted()) for claim_id in queued} == recalled
        assert [Succeeded()] * 2 == [core.verdict(), core.verdict()]
        assert Succeeded() == core.run(lambda: None)


# --- the edges of the loops


@pytest.mark.parametrize("pool", [Pool.TASKS, Pool.LOOP])
def test_a_fault_around_a_body_ends_the_run_and_no_thread(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    """
    Here the lease cannot be told; the run fails and the next one runs.
    """

    async def asynchronous() -> None: ...

    faults = [RuntimeError("no clock")]

    def lease_held(_: str | None) -> bool:
        if faults:
            raise faults.pop()
        return True

    body = asynchronous if pool is Pool.LOOP else lambda: None
    with working(threads=1) as core:
        core.workers._lease_held = lease_held

        assert Failed("RuntimeError: no clock") == core.run(body, pool=pool)
        assert Succeeded() == core.run(body, pool=pool)
        assert ["worker_failed"] == actions(caplog)


def test_an_end_that_cannot_be_posted_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    """
    It is logged, the run is forgotten, and the next one runs.
    """
    with working(threads=1) as core:
        posted, faults = core.workers._host.post, [RuntimeError("no core")]

        def post(event: Any) -> None:
            if faults:
                raise faults.pop()
            posted(event)

        core.workers._host.post = post
        core.start(_no_op)

        assert Succeeded() == core.run(_no_op)

    assert () == core.workers.active()
    assert ["worker_failed"] == actions(caplog)
    assert core.events.empty()


def test_an_alarm_that_fails_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """
    They ring in order, each delay on its own; a cancelled one is silent.
    """
    alarms = Alarms(SystemClock())
    rung: SimpleQueue[str] = SimpleQueue()
    alarms.cancel(alarms.set(100, lambda: rung.put("cancelled")))
    alarms.set(500, lambda: rung.put("later"))
    alarms.set(5, _raiser(ValueError()))
    alarms.set(5, lambda: rung.put("sooner"))

    assert ["sooner", "later"] == [rung.get(timeout=LIMIT), rung.get(timeout=LIMIT)]
    assert ["alarm_failed"] == actions(caplog)
    alarms.stop()
    alarms.threads[0].join(LIMIT)
    assert not alarms.threads[0].is_alive()


# --- many


def _no_op() -> None: ...


async def _async_no_op() -> None: ...


@pytest.mark.parametrize(
    "body", [_no_op, lambda context: None, _async_no_op, Recorder(lambda task, callback: callback.complete())]
)
def test_ten_thousand_runs_end_exactly_once(body: Any) -> None:
    """
    None is lost and none ends twice; the rate is printed, not judged.
    """
    with working(threads=8, loop_slots=64) as core:
        core.register(body)
        tickets = [core.ticket() for _ in range(10_000)]
        began = perf_counter()
        for ticket in tickets:
            core.workers.run(ticket)
        ends = [core.event() for _ in tickets]
        took = perf_counter() - began

    print(f"{len(tickets) / took:,.0f} runs a second, {took / len(tickets) * 1e6:.1f} µs each")
    assert Counter(ticket.claim_id for ticket in tickets) == Counter(end.claim_id for end in ends)
    assert {Succeeded()} == {end.verdict for end in ends}
    assert core.events.empty()
