"""
The core as the workers see it: it takes their events and answers reports, or does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from queue import SimpleQueue
from typing import Any

import pytest

from tests.factories import make_running_task
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.node.executors import FunctionExecutor
from unomi_scheduler.node.registry import Registry
from unomi_scheduler.node.runs import Pool, ReportStored, RunEnded, RunReported, Ticket, Verdict
from unomi_scheduler.node.workers import Workers

LIMIT = 10
"""Seconds after which a test gives up waiting."""


class FakeCore:
    """
    Workers with a core that stores every checkpoint at once, unless `stores` is taken away.
    """

    def __init__(self, **over: Any) -> None:
        self.events: SimpleQueue[RunEnded | RunReported] = SimpleQueue()
        self.stores = True
        self.lease_held = True
        self.registry = Registry()
        settings: dict[str, Any] = {
            "node_id": "node-a",
            "threads": 4,
            "system_threads": 2,
            "loop_slots": 8,
            "callback_timeout": 60,
        }
        self.workers = Workers(
            self.registry,
            self.post,
            SystemClock(),
            lease_held=lambda _: self.lease_held,
            **{**settings, **over},
        )
        self._numbers = count(1)

    def post(self, event: RunEnded | RunReported) -> None:
        """
        Keep the event, and acknowledge it if it waits for that.
        """
        self.events.put(event)
        if self.stores and isinstance(event, RunReported) and event.receipt is not None:
            self.workers.answer(ReportStored(claim_id=event.claim_id, receipt=event.receipt))

    def register(self, body: Any, *, can_resume: bool = False) -> None:
        """
        Make this function or object the executor of the type `sample`.
        """
        is_object = hasattr(body, "execute")
        self.registry.register(body if is_object else FunctionExecutor("sample", body, can_resume))

    def ticket(self, *, pool: Pool = Pool.TASKS, resumed: bool = False, **task: Any) -> Ticket:
        """
        Return a ticket with a claim id of its own.
        """
        claim_id = f"claim-{next(self._numbers)}"
        return Ticket(
            task=make_running_task(**{**task, "claim_id": claim_id}), claim_id=claim_id, pool=pool, resumed=resumed
        )

    def start(self, body: Any, *, can_resume: bool = False, **ticket: Any) -> str:
        """
        Start one run of this body and return its claim id.
        """
        self.register(body, can_resume=can_resume)
        started = self.ticket(**ticket)
        self.workers.run(started)
        return started.claim_id

    def event(self) -> Any:
        """
        Return the next event.
        """
        return self.events.get(timeout=LIMIT)

    def report(self) -> Any:
        """
        Return the next event, which is a report.
        """
        event = self.event()
        assert isinstance(event, RunReported), event
        return event

    def verdict(self) -> Verdict:
        """
        Return the verdict of the next run that ends; reports before it are passed over.
        """
        while not isinstance(event := self.event(), RunEnded):
            pass
        verdict: Verdict = event.verdict
        return verdict

    def run(self, body: Any, **how: Any) -> Verdict:
        """
        Run this body once and return its verdict.
        """
        self.start(body, **how)
        return self.verdict()


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    """
    Return the `action` of each line that was logged.
    """
    return [getattr(record, "action", "") for record in caplog.records]


@contextmanager
def working(**over: Any) -> Iterator[FakeCore]:
    """
    Give a core whose workers are started, and stop them behind.
    """
    core = FakeCore(**over)
    core.workers.start()
    try:
        yield core
    finally:
        core.workers.stop(LIMIT)
