"""
One real core on a store in memory, turned by hand; answers come at once unless a test holds them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeVar

from tests.factories import SetClock
from unomi_scheduler.clock import Instant
from unomi_scheduler.errors import SchedulerError
from unomi_scheduler.metrics import Metrics
from unomi_scheduler.model import Record, Task, Version
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.core import Core
from unomi_scheduler.node.cores import Cores
from unomi_scheduler.node.errands import QUESTIONS
from unomi_scheduler.node.options import NodeOptions
from unomi_scheduler.node.runs import ExecutorInfo, Pool, RunEnded, StartRun, Succeeded, Ticket, Verdict
from unomi_scheduler.node.table import MemoryTable
from unomi_scheduler.ports import Action, Outcome, TaskStore, Write
from unomi_scheduler.stores.memory import MemoryStore

LEASE = 3_000
Q = TypeVar("Q")
SAMPLE = {"sample": Pool.TASKS}


class Bench:
    """
    The core of one node, its lease, and what it gave out.
    """

    def __init__(
        self,
        node_id: str = "node-b",
        incarnation: str = "first-b",
        store: MemoryStore | None = None,
        *,
        clock: SetClock | None = None,
        types: Mapping[str, Pool] = SAMPLE,
        **options: Any,
    ) -> None:
        self.clock = clock or SetClock()
        self.store = store or MemoryStore(self.clock)
        self.lease = True
        self.inbox: list[m.Event] = []
        self.held: list[tuple[m.Command, Instant]] = []
        self.given: list[m.Command] = []
        self.queries: list[m.Query] = []
        self.writes: list[Write] = []
        self.hold: Callable[[m.Command], bool] = lambda _: False
        self.fault: Callable[[m.Batch], list[Outcome] | None] = lambda _: None
        self.flush_fault: Callable[[m.Flush], list[Outcome] | None] = lambda _: None
        self.core = Core(
            NodeOptions(node_id=node_id, lease_millis=LEASE, threads=2, system_threads=1, async_slots=2, **options),
            incarnation=incarnation,
            rng=Random(1),
            metrics=Metrics(),
            memory=MemoryTable(),
            lease_held=lambda _: self.lease,
        )
        self.machine: Core | Cores = self.core
        infos = {name: ExecutorInfo(task_type=name, pool=pool) for name, pool in types.items()}
        self.post(m.ExecutorsChanged(infos))

    def post(self, event: m.Event) -> None:
        """
        Give the core an event at its next turn.
        """
        self.inbox.append(event)

    def put(self, *records: Record) -> list[Version | None]:
        """
        Create records in the store.
        """
        return [outcome.version for outcome in self.store.write([Write(Action.CREATE, one) for one in records])]

    def task(self, task_id: str) -> Task:
        """
        Return a task as it stands in the store.
        """
        found = self.store.tasks([task_id])[0]
        assert found is not None
        assert isinstance(found.record, Task)
        return found.record

    def settle(self) -> None:
        """
        Turn until nothing is left to do at this moment.
        """
        for _ in range(50):
            now = self.clock.now()
            events, self.inbox = self.inbox, []
            for event in events:
                self.machine.handle(event, now)
            for command in self.machine.advance(now):
                self._take(command, now)
            if not self.inbox:
                return

    def pass_time(self, millis: int, step: int = 20) -> None:
        """
        Let time go by in steps.
        """
        for _ in range(millis // step):
            self.clock.advance(step)
            self.settle()

    def release(self) -> None:
        """
        Carry what was held back to the store; the answers wait in the inbox.
        """
        held, self.held = self.held, []
        for command, sent in held:
            self._carry(command, sent)

    def asked(self, kind: type[Q]) -> list[Q]:
        """
        Return the questions of a kind that were put so far.
        """
        return [query for query in self.queries if isinstance(query, kind)]

    def end(self, ticket: Ticket, verdict: Verdict | None = None) -> None:
        """
        Let a body return.
        """
        self.post(RunEnded(claim_id=ticket.claim_id, verdict=verdict or Succeeded(), duration=1))

    def starts(self) -> list[Ticket]:
        """
        Return the tickets given out so far.
        """
        return [command.ticket for command in self.given if isinstance(command, StartRun)]

    def _take(self, command: m.Command, now: Instant) -> None:
        if self.hold(command):
            self.held.append((command, now))
        elif isinstance(command, m.Batch | m.Flush | m.Ask):
            self._carry(command, now)
        else:
            self.given.append(command)

    def _store_of(self, binding: int) -> TaskStore:
        return self.store

    def _carry(self, command: m.Command, sent: Instant) -> None:
        if isinstance(command, m.Batch):
            self.writes += command.writes
            outcomes = self.fault(command)
            if outcomes is None:
                outcomes = self._store_of(command.binding).write(command.writes)
            self.post(m.Committed(command.number, outcomes, command.binding))
        elif isinstance(command, m.Flush):
            flushed = self.flush_fault(command)
            if flushed is None:
                flushed = self._store_of(command.binding).add_history(command.rows)
            self.post(m.Flushed(command.number, flushed, command.binding))
        elif isinstance(command, m.Ask):
            self.queries.append(command.query)
            self.post(self._answer(command, sent))

    def _answer(self, command: m.Ask, sent: Instant) -> m.Answered:
        try:
            answer = QUESTIONS[type(command.query)](self._store_of(command.binding), command.query)
        except SchedulerError as error:
            return m.Answered(command.query, sent, error=error, binding=command.binding)
        return m.Answered(command.query, sent, answer=answer, binding=command.binding)
