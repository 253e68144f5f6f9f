"""
The contexts and the callback: what a body sees of its run, and what it reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from queue import SimpleQueue
from threading import Event, Thread
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from tests.fake_core import LIMIT, FakeCore, working
from unomi_scheduler.errors import InvalidTask, LeaseLost, StoreRefused
from unomi_scheduler.node.runs import (
    Failed,
    Interrupted,
    Pool,
    ReportRefused,
    ReportStored,
    RunEnded,
    RunReported,
    Signal,
    Succeeded,
)
from unomi_scheduler.rules.progress import Progress


@pytest.fixture
def core() -> Iterator[FakeCore]:
    """
    Started workers with a core that stores every checkpoint at once.
    """
    with working() as started:
        yield started


def _seen(core: FakeCore, look: Callable[[Any], Any], **how: Any) -> Any:
    seen: SimpleQueue[Any] = SimpleQueue()
    assert Succeeded() == core.run(lambda context: seen.put(look(context)), **how)
    return seen.get(timeout=LIMIT)


def test_the_context_shows_the_run(core: FakeCore) -> None:
    """
    Task, parameters, fence and node are those of the claim.
    """
    shown = _seen(
        core,
        lambda it: (it.task.id, it.parameters, it.fence, it.node_id, it.cancelled, it.reason, it.resumed),
        id="one",
        parameters={"path": "/"},
        fence=7,
    )

    assert ("one", {"path": "/"}, 7, "node-a", False, None, False) == shown


@pytest.mark.parametrize(("checkpoint", "expected"), [(None, {}), ({"last": [1]}, {"last": [1]})])
def test_checkpoint_data_is_the_claimed_tasks_or_empty(core: FakeCore, checkpoint: Any, expected: Any) -> None:
    """
    A fresh run sees an empty dict.
    """
    assert expected == _seen(core, lambda context: context.checkpoint_data, checkpoint_data=checkpoint)


def test_what_a_body_does_to_its_copies_does_not_reach_the_task(core: FakeCore) -> None:
    """
    Parameters and checkpoint are copies in depth, and the same copy at each look.
    """

    def body(context: Any) -> Any:
        context.parameters["list"].append(1)
        context.checkpoint_data["list"].append(1)
        return context.parameters, context.checkpoint_data, context.task

    parameters, checkpoint, task = _seen(core, body, parameters={"list": []}, checkpoint_data={"list": []})

    assert ({"list": [1]}, {"list": [1]}) == (parameters, checkpoint)
    assert ({"list": []}, {"list": []}) == (task.parameters, task.checkpoint_data)


def test_a_checkpoint_returns_when_it_is_stored(core: FakeCore) -> None:
    """
    The body waits for the store's acknowledgement of this very receipt.
    """
    core.stores = False
    order: SimpleQueue[str] = SimpleQueue()

    def body(context: Any) -> None:
        context.save_checkpoint({"last": 1})
        order.put("returned")

    claim_id = core.start(body)
    report = core.report()
    core.workers.answer(ReportStored(claim_id=claim_id, receipt=report.receipt + 1))
    core.workers.answer(ReportStored(claim_id="another", receipt=report.receipt))
    order.put("stored")
    core.workers.answer(ReportStored(claim_id=claim_id, receipt=report.receipt))

    assert Succeeded() == core.verdict()
    assert Progress(checkpoint={"last": 1}) == report.progress
    assert ["stored", "returned"] == [order.get(timeout=LIMIT), order.get(timeout=LIMIT)]


def test_a_checkpoint_is_a_copy(core: FakeCore) -> None:
    """
    What the body does to its dict afterwards does not change the report.
    """

    def body(context: Any) -> None:
        data = {"done": [1]}
        context.save_checkpoint(data)
        data["done"].append(2)

    core.start(body)
    report = core.report()

    assert Succeeded() == core.verdict()
    assert {"done": [1]} == report.progress.checkpoint


LOSSES = [Signal.CANCELLED, Signal.LEASE_LOST, Signal.TAKEN]


def test_a_last_checkpoint_is_stored_while_the_node_stops(core: FakeCore) -> None:
    """
    A body that is told so may still save how far it came.
    """
    begun, told = Event(), Event()
    saved: SimpleQueue[bool] = SimpleQueue()

    def body(context: Any) -> None:
        begun.set()
        assert told.wait(LIMIT)
        context.save_checkpoint({"done": 1})
        saved.put(context.cancelled)

    claim_id = core.start(body)
    assert begun.wait(LIMIT)
    core.workers.tell(claim_id, Signal.STOPPING)
    told.set()

    assert Interrupted("the node is stopping") == core.verdict()
    assert saved.get(timeout=LIMIT) is True


@pytest.mark.parametrize("signal", LOSSES)
def test_a_checkpoint_raises_when_the_run_is_told_that_it_lost(core: FakeCore, signal: Signal) -> None:
    """
    The wait ends with `LeaseLost` and the reason; so does each later write.
    """
    core.stores = False
    raised: SimpleQueue[str] = SimpleQueue()

    def body(context: Any) -> None:
        writes: list[Callable[[], None]] = [
            lambda: context.save_checkpoint({}),
            lambda: context.save_checkpoint({}),
            lambda: context.update_step("late"),
            lambda: context.update_status_details(late=1),
        ]
        for write in writes:
            with pytest.raises(LeaseLost) as caught:
                write()
            raised.put(str(caught.value))

    claim_id = core.start(body)
    core.report()
    core.workers.tell(claim_id, signal)

    assert Interrupted(signal.value) == core.verdict()
    assert [signal.value] * 4 == [raised.get(timeout=LIMIT) for _ in range(4)]


def test_a_checkpoint_refused_for_the_lease_tells_the_whole_run(core: FakeCore) -> None:
    """
    The context is cancelled from then on, and the run is interrupted.
    """
    core.stores = False
    seen: SimpleQueue[tuple[bool, str | None]] = SimpleQueue()

    def body(context: Any) -> None:
        try:
            context.save_checkpoint({})
        finally:
            seen.put((context.cancelled, context.reason))

    claim_id = core.start(body)
    receipt = core.report().receipt
    core.workers.answer(ReportRefused(claim_id=claim_id, receipt=receipt, error=LeaseLost("taken by node-b")))

    assert Interrupted("taken by node-b") == core.verdict()
    assert (True, "taken by node-b") == seen.get(timeout=LIMIT)


def test_a_checkpoint_the_store_does_not_take_raises_its_error_and_the_run_goes_on(core: FakeCore) -> None:
    """
    The run still owns its task: the next checkpoint may pass.
    """
    core.stores = False

    def body(context: Any) -> None:
        with pytest.raises(StoreRefused, match="too large"):
            context.save_checkpoint({"large": "x"})
        assert not context.cancelled
        context.save_checkpoint({})

    claim_id = core.start(body)
    refused = core.report()
    core.stores = True
    core.workers.answer(
        ReportRefused(claim_id=claim_id, receipt=refused.receipt, error=StoreRefused("document too large"))
    )

    assert Succeeded() == core.verdict()


_RING: list[Any] = []
_RING.append(_RING)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "expected a dict, got NoneType"),
        ([1], "expected a dict, got list"),
        ({"a": {"b": [0, {1}]}}, r"got set \{1\} at checkpoint.a.b\[1\]"),
        ({"a": "good", "b": None, "c": object()}, "got object .* at checkpoint.c"),
        ({1: "a"}, "expected texts as keys, got 1 at checkpoint"),
        # What orjson would silently turn into something else.
        ({"a": float("nan")}, "got float nan at checkpoint.a"),
        ({"a": float("inf")}, "got float inf at checkpoint.a"),
        ({"a": datetime(2024, 1, 1, tzinfo=UTC)}, "got datetime .* at checkpoint.a"),
        ({"a": UUID(int=1)}, "got UUID .* at checkpoint.a"),
        ({"a": 2**64}, "got int 18446744073709551616 at checkpoint.a"),
        ({"a": "\ud800"}, "got str .* at checkpoint.a"),
        ({"a": b"bytes"}, "got bytes .* at checkpoint.a"),
        ({"a": _RING}, "nested more than 200 deep or in itself"),
    ],
)
def test_a_checkpoint_that_is_no_json_is_refused_and_the_run_goes_on(core: FakeCore, data: Any, text: str) -> None:
    """
    The message names where and which type; nothing is reported.
    """

    def body(context: Any) -> None:
        with pytest.raises(InvalidTask, match=text):
            context.save_checkpoint(data)
        context.save_checkpoint({"good": True})

    core.start(body)

    assert {"good": True} == core.report().progress.checkpoint
    assert Succeeded() == core.verdict()


def test_immutable_containers_are_copied(core: FakeCore) -> None:
    """
    Read-only mappings and tuples become dicts and lists.
    """
    core.start(lambda context: context.save_checkpoint(MappingProxyType({"a": (1, MappingProxyType({"b": 2}))})))

    assert {"a": [1, {"b": 2}]} == core.report().progress.checkpoint


def test_the_first_report_goes_at_once_and_the_others_are_gathered() -> None:
    """
    Within the interval nothing more is sent; the last values win and come with the end.
    """
    with working(report_interval=LIMIT * 10) as core:

        def body(context: Any) -> None:
            for number in range(100):
                context.update_step(f"step {number}", processedCount=number, totalCount=100)
            context.update_status_details(note="last")

        claim_id = core.start(body)
        first, last, end = core.report(), core.report(), core.event()

    assert Progress(step="step 0", details={"processedCount": 0, "totalCount": 100}) == first.progress
    assert Progress(step="step 99", details={"processedCount": 99, "totalCount": 100, "note": "last"}) == last.progress
    assert (None, None) == (first.receipt, last.receipt)
    assert (claim_id, Succeeded()) == (end.claim_id, end.verdict)


def test_nothing_is_flushed_when_nothing_is_pending(core: FakeCore) -> None:
    """
    A run with one report has one, and a run without has none.
    """
    core.start(lambda context: context.update_step("only"))
    first, end = core.report(), core.event()
    core.run(lambda context: None)

    assert "only" == first.progress.step
    assert isinstance(end, RunEnded)
    assert core.events.empty()


def test_what_is_pending_goes_when_the_interval_is_over_though_the_body_is_silent() -> None:
    """
    The second report comes without another call, and before the run ends.
    """
    with working(report_interval=0.05) as core:
        go_on = Event()

        def body(context: Any) -> None:
            context.update_step("first")
            context.update_step("second")
            go_on.wait(LIMIT)

        core.start(body)
        steps = [core.report().progress.step, core.report().progress.step]
        go_on.set()

        assert ["first", "second"] == steps
        assert isinstance(core.event(), RunEnded)


def test_reports_keep_the_interval() -> None:
    """
    However often a body reports, its reports are an interval apart.
    """
    with working(report_interval=0.05) as core:
        clock = core.workers._clock
        times: list[int] = []

        def body(context: Any) -> None:
            number = 0
            while len(times) < 4:
                number += 1
                context.update_status_details(number=number)

        post = core.workers._host.post

        def timed(event: Any) -> None:
            if isinstance(event, RunReported):
                times.append(clock.now().boot)
            post(event)

        core.workers._host.post = timed
        core.run(body)

    gaps = [after - before for before, after in pairwise(times[:4])]
    # Two readings in whole milliseconds may each be cut.
    assert all(gap >= 49 for gap in gaps), gaps


def test_a_checkpoint_takes_along_what_is_pending() -> None:
    """
    One write carries both, and nothing is sent twice.
    """
    with working(report_interval=LIMIT * 10) as core:

        def body(context: Any) -> None:
            context.update_step("one")
            context.update_step("two", count=2)
            context.save_checkpoint({"last": 2})

        core.start(body)
        core.report()
        carried, end = core.report(), core.event()

    assert Progress(step="two", details={"count": 2}, checkpoint={"last": 2}) == carried.progress
    assert isinstance(end, RunEnded)


def test_a_failed_run_reports_what_is_pending_too() -> None:
    """
    The last step before a failure is seen.
    """
    with working(report_interval=LIMIT * 10) as core:

        def body(context: Any) -> None:
            context.update_step("one")
            context.update_step("two")
            raise ValueError

        core.start(body)
        core.report()

        assert "two" == core.report().progress.step
        assert Failed("ValueError") == core.verdict()


@pytest.mark.parametrize(
    "report",
    [
        lambda context: context.update_step("step", executionHistory=[]),
        lambda context: context.update_status_details(executionHistory=[]),
    ],
)
def test_the_history_cannot_be_replaced(core: FakeCore, report: Callable[[Any], None]) -> None:
    """
    Its key is refused, and nothing is reported.
    """
    verdict = core.run(report)

    assert isinstance(verdict, Failed)
    assert verdict.error.startswith("InvalidTask: Invalid status details: executionHistory")
    assert core.events.empty()


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (lambda context: context.update_step(None), "Invalid step: expected a text, got None"),
        (lambda context: context.update_step("step", a={1}), "got set {1} at status details.a"),
    ],
)
def test_details_and_steps_are_checked(core: FakeCore, report: Callable[[Any], None], text: str) -> None:
    """
    Not at the write, where nobody could tell who did it, but in the call.
    """
    verdict = core.run(report)

    assert isinstance(verdict, Failed)
    assert text in verdict.error


def test_waiting_for_a_cancel_ends_when_it_comes(core: FakeCore) -> None:
    """
    A cooperative sleep is woken by the signal, and later ones return at once.
    """
    waits = Event()
    woken: SimpleQueue[Any] = SimpleQueue()

    def body(context: Any) -> None:
        waits.set()
        woken.put((context.wait_cancelled(LIMIT), context.wait_cancelled(), context.reason))

    claim_id = core.start(body)
    assert waits.wait(LIMIT)
    core.workers.tell(claim_id, Signal.CANCELLED)
    core.workers.tell(claim_id, Signal.STOPPING)

    assert Interrupted("the task was cancelled") == core.verdict()
    assert (True, True, "the task was cancelled") == woken.get(timeout=LIMIT)


def test_a_body_that_was_told_before_it_waited_has_given_up_too(core: FakeCore) -> None:
    """
    The answer was True, so what it returns then is no success.
    """
    begun, told = Event(), Event()

    def body(context: Any) -> None:
        begun.set()
        assert told.wait(LIMIT)
        assert context.wait_cancelled(LIMIT)

    claim_id = core.start(body)
    assert begun.wait(LIMIT)
    core.workers.tell(claim_id, Signal.STOPPING)
    told.set()

    assert Interrupted("the node is stopping") == core.verdict()


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_waiting_for_a_cancel_ends_with_its_time(core: FakeCore, timeout: float) -> None:
    """
    Without a signal it is False, and nothing is left behind in the run.
    """
    waits = _seen(core, lambda context: (context.wait_cancelled(timeout), context._run._watches))

    assert (False, {}) == waits


def test_a_thread_of_the_body_that_outlives_the_run_is_refused(core: FakeCore) -> None:
    """
    After the end the context is cancelled, whoever waits is woken, and no report follows the end.
    """
    core.stores = False
    caught: SimpleQueue[str | bool] = SimpleQueue()
    kept: SimpleQueue[Any] = SimpleQueue()
    go_on = Event()

    def outliving(context: Any) -> None:
        with pytest.raises(LeaseLost) as waiting:
            context.save_checkpoint({})
        with pytest.raises(LeaseLost):
            context.update_step("late")
        caught.put(str(waiting.value))
        caught.put(context.cancelled)

    def body(context: Any) -> None:
        thread = Thread(target=outliving, args=(context,))
        thread.start()
        kept.put(thread)
        go_on.wait(LIMIT)

    core.start(body)
    core.report()
    go_on.set()

    assert Succeeded() == core.verdict()
    assert ["the run has ended", True] == [caught.get(timeout=LIMIT), caught.get(timeout=LIMIT)]
    kept.get(timeout=LIMIT).join(LIMIT)
    assert core.events.empty()


# --- async def


def test_an_async_body_awaits_its_checkpoint(core: FakeCore) -> None:
    """
    It goes on when the store has acknowledged it, and the loop is free meanwhile.
    """
    core.stores = False

    async def body(context: Any) -> None:
        assert {"last": 1} == context.checkpoint_data
        await context.save_checkpoint({"last": 2})
        context.update_step("stored")

    claim_id = core.start(body, pool=Pool.LOOP, checkpoint_data={"last": 1})
    report = core.report()
    core.workers.answer(ReportStored(claim_id=claim_id, receipt=report.receipt))

    assert {"last": 2} == report.progress.checkpoint
    assert "stored" == core.report().progress.step
    assert Succeeded() == core.verdict()


@pytest.mark.parametrize("signal", LOSSES)
def test_an_async_checkpoint_raises_when_the_run_is_told_that_it_lost(core: FakeCore, signal: Signal) -> None:
    """
    As in a sync body.
    """
    core.stores = False

    async def body(context: Any) -> None:
        await context.save_checkpoint({})

    claim_id = core.start(body, pool=Pool.LOOP)
    core.report()
    core.workers.tell(claim_id, signal)

    assert Interrupted(signal.value) == core.verdict()


@pytest.mark.parametrize("call", ["save_checkpoint({})", "wait_cancelled(1)"])
def test_a_call_that_is_not_awaited_fails_the_run(core: FakeCore, call: str) -> None:
    """
    It cannot be missed: the run says what was forgotten, and nothing was reported.
    """

    async def body(context: Any) -> None:
        eval(f"context.{call}", {"context": context})

    verdict = core.run(body, pool=Pool.LOOP)

    assert isinstance(verdict, Failed)
    assert f"context.{call.split('(', maxsplit=1)[0]}(...) was not awaited" in verdict.error
    assert core.events.empty()


def test_the_next_checkpoint_finds_that_the_last_was_not_awaited(core: FakeCore) -> None:
    """
    A body that runs for hours hears of it at its second checkpoint.
    """

    async def body(context: Any) -> None:
        for number in range(2):
            context.save_checkpoint({"number": number})
        await asyncio.sleep(LIMIT)

    verdict = core.run(body, pool=Pool.LOOP)

    assert isinstance(verdict, Failed)
    assert verdict.error.startswith("RuntimeError: context.save_checkpoint(...) was not awaited")


def test_calls_made_tasks_are_awaited(core: FakeCore) -> None:
    """
    A wait in the background is no forgotten call, even if the body returns at once.
    """
    kept = []

    async def body(context: Any) -> None:
        kept.append(asyncio.create_task(context.wait_cancelled()))
        await context.save_checkpoint({})
        kept.append(asyncio.create_task(context.wait_cancelled(0)))

    assert Succeeded() == core.run(body, pool=Pool.LOOP)


def test_an_async_checkpoint_is_checked_in_the_call(core: FakeCore) -> None:
    """
    InvalidTask, and the run goes on.
    """

    async def body(context: Any) -> None:
        with pytest.raises(InvalidTask):
            await context.save_checkpoint({"a": {1}})

    assert Succeeded() == core.run(body, pool=Pool.LOOP)


def test_an_async_body_sleeps_until_it_is_cancelled(core: FakeCore) -> None:
    """
    The wait ends with the signal, or with its time; nothing is stopped by force.
    """

    async def body(context: Any) -> None:
        assert await context.wait_cancelled(0) is False
        context.update_step("waits")
        assert await context.wait_cancelled(LIMIT) is True
        assert await context.wait_cancelled() is True
        assert context.cancelled

    claim_id = core.start(body, pool=Pool.LOOP)
    core.report()
    core.workers.tell(claim_id, Signal.CANCELLED)

    assert Interrupted("the task was cancelled") == core.verdict()


def test_an_answer_after_the_waiter_was_cancelled_is_harmless(core: FakeCore) -> None:
    """
    A body may give up waiting for a checkpoint; the answer then finds nobody.
    """
    core.stores = False

    async def body(context: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(context.save_checkpoint({}), timeout=0.01)
        context.update_step("gave up")
        await context.wait_cancelled(LIMIT)

    claim_id = core.start(body, pool=Pool.LOOP)
    receipt = core.report().receipt
    core.report()
    core.workers.answer(ReportStored(claim_id=claim_id, receipt=receipt))
    core.workers.tell(claim_id, Signal.CANCELLED)

    assert Interrupted("the task was cancelled") == core.verdict()


# --- the callback of object executors


class _Object:
    task_type = "sample"

    def __init__(self, body: Callable[[Any], None]) -> None:
        self.body = body

    def execute(self, task: object, callback: Any) -> None:
        self.body(callback)


def test_the_callback_reports_like_a_context() -> None:
    """
    Steps and details are gathered and merged, and a checkpoint takes them along.
    """
    with working(report_interval=LIMIT * 10) as core:

        def body(callback: Any) -> None:
            callback.update_step("one")
            callback.update_step("two", {"a": 1})
            callback.update_status_details({"b": 2})
            callback.checkpoint({"last": 1})
            callback.update_step("three", None)
            callback.complete()

        core.start(_Object(body))
        reports = [core.report().progress for _ in range(3)]

        assert Succeeded() == core.verdict()

    assert [
        Progress(step="one"),
        Progress(step="two", details={"a": 1, "b": 2}, checkpoint={"last": 1}),
        Progress(step="three"),
    ] == reports


@pytest.mark.parametrize(
    "report",
    [
        lambda callback: callback.update_step("one", {"executionHistory": []}),
        lambda callback: callback.update_status_details({"executionHistory": []}),
        lambda callback: callback.checkpoint({"a": {1}}),
    ],
)
def test_the_callback_refuses_what_a_context_refuses(core: FakeCore, report: Callable[[Any], None]) -> None:
    """
    The history's key and what is no JSON.
    """
    verdict = core.run(_Object(report))

    assert isinstance(verdict, Failed)
    assert verdict.error.startswith("InvalidTask: ")


def test_a_callbacks_checkpoint_raises_when_the_run_is_told_anything(core: FakeCore) -> None:
    """
    And the executor can see that it should give up.
    """
    core.stores = False
    seen: SimpleQueue[bool] = SimpleQueue()

    def body(callback: Any) -> None:
        try:
            callback.checkpoint({})
        finally:
            seen.put(callback.cancelled)

    claim_id = core.start(_Object(body))
    core.report()
    core.workers.tell(claim_id, Signal.TAKEN)

    assert Interrupted(Signal.TAKEN.value) == core.verdict()
    assert seen.get(timeout=LIMIT) is True
