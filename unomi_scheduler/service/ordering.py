"""
Ordering: one order to a node of another process, from writing it into the node's inbox to its outcome (`rules.orders`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event

from ..clock import Clock
from ..errors import (
    Conflict,
    InvalidTask,
    InvalidTransition,
    NodeUnavailable,
    SchedulerError,
    StoreUnavailable,
    TaskNotFound,
)
from ..model import Heartbeat, Json, JsonObject, Note, Stored
from ..ports import Action, Result, TaskStore, Write
from ..rules import orders as rules
from ..rules.orders import Order
from ..stores.memory_notes import forget
from .edits import RACES, raise_failure, send

LOOK = 100
"""Milliseconds between two looks for the outcome."""
SPARE = 3_000
"""Milliseconds beyond a heartbeat interval that a node has to answer; and from taking an order to its answer."""
Pause = Callable[[float], object]
Step = Callable[[tuple[Order, ...]], tuple[Order, ...]]


def give(store: TaskStore, beat: Heartbeat, order: Order, *, clock: Clock, pause: Pause | None = None) -> JsonObject:
    """
    Write an order into a node's inbox and return its outcome.

    A node that has not taken it within a heartbeat interval and 3 seconds never will: the order is withdrawn.

    Raises:
        NodeUnavailable: the node did not answer; the message says whether the order may be obeyed.
        StoreUnavailable: the store did not answer, and nobody knows whether the order stands.
    """
    return _Errand(store, beat, order, clock, pause or Event().wait).run()


class _Errand:
    def __init__(self, store: TaskStore, beat: Heartbeat, order: Order, clock: Clock, pause: Pause) -> None:
        self.store = store
        self.beat = beat
        self.order = order
        self.clock = clock
        self.pause = pause
        self._taken = False
        self.patience = beat.lease_millis // 3 + SPARE

    def run(self) -> JsonObject:
        self._change(self._add)
        outcome = self._wait(self.patience)
        if outcome is None:
            if self._own(self._change(self._withdraw)) is None:
                raise NodeUnavailable(
                    f"Node {self.beat.node_id} did not answer within {self.patience / 1000:.0f} s; the order to "
                    f"{self._what()} was withdrawn"
                )
            # Taken just now.
            outcome = self._wait(SPARE)
        if outcome is None:
            raise NodeUnavailable(
                f"Node {self.beat.node_id} has taken the order to {self._what()} and did not say within "
                f"{SPARE // 1000} s what became of it: look whether it is done before asking again"
            )
        self._clear()
        return outcome

    def _wait(self, millis: int) -> JsonObject | None:
        deadline = self.clock.now().boot + millis
        for _ in range(millis // LOOK):
            self.pause(LOOK / 1000)
            found = self._look()
            if found is not None and found.outcome is not None:
                return found.outcome
            if self.clock.now().boot > deadline:
                break
        return None

    def _look(self) -> Order | None:
        try:
            found = self.store.watched([self.beat.id], [(rules.INBOX, self.beat.id)])
        except StoreUnavailable:
            # The next look may tell.
            return None
        own = next((self._own(rules.orders_of(one.record)) for one in found if isinstance(one.record, Note)), None)
        self._taken = self._taken or (own is not None and not own.open)
        alive = any(isinstance(one.record, Heartbeat) and one.record.dead_by is None for one in found)
        if not alive and (own is None or own.outcome is None):
            raise self._gone()
        return own

    def _gone(self) -> NodeUnavailable:
        # Nobody reads this inbox any more; what its node left is nobody else's.
        with suppress(SchedulerError):
            forget(self.store, self.beat.id)
        done = "whether it was done first is not known" if self._taken else "it is void"
        return NodeUnavailable(
            f"Node {self.beat.node_id} has left or was lost before it answered the order to {self._what()}: {done}"
        )

    def _what(self) -> str:
        task = self.order.arguments.get("taskId")
        return self.order.action if task is None else f"{self.order.action} {task}"

    # --- the inbox

    def _read(self) -> Stored[Note] | None:
        return next(iter(self.store.notes(rules.INBOX, [self.beat.id])), None)

    def _change(self, step: Step) -> tuple[Order, ...]:
        # As often as other writers are faster; a step that changes nothing writes nothing.
        for _ in range(RACES):
            stored = self._read()
            before = rules.orders_of(stored.record if stored else None)
            after = step(before)
            if after == before:
                return before
            note = rules.inbox(self.beat.id, after)
            write = Write(Action.CREATE, note) if stored is None else Write(Action.REPLACE, note, stored.version)
            outcome, _ = send(self.store, write)
            if outcome.result is Result.WRITTEN:
                return after
            if outcome.result is Result.UNKNOWN:
                raise StoreUnavailable(
                    f"No answer from the store: whether node {self.beat.node_id} is told to {self._what()} is not "
                    f"known ({outcome.error})"
                )
            raise_failure(outcome, self.order.id)
        raise Conflict(f"The inbox of node {self.beat.node_id}: other writers were faster {RACES} times; try again")

    def _own(self, orders: tuple[Order, ...]) -> Order | None:
        return next((one for one in orders if one.id == self.order.id), None)

    def _add(self, orders: tuple[Order, ...]) -> tuple[Order, ...]:
        if self._own(orders) is not None:
            return orders
        after = rules.added(orders, self.order)
        if after is None:
            raise NodeUnavailable(
                f"Node {self.beat.node_id} has {len(orders)} orders that it has not answered: try again later"
            )
        return after

    def _withdraw(self, orders: tuple[Order, ...]) -> tuple[Order, ...]:
        own = self._own(orders)
        return rules.without(orders, self.order.id) if own is not None and own.open else orders

    def _clear(self) -> None:
        # The outcome is known; what stays there makes room when it is needed.
        with suppress(SchedulerError):
            self._change(lambda orders: rules.without(orders, self.order.id))


_FAILURES: tuple[type[SchedulerError], ...] = (
    TaskNotFound, InvalidTransition, InvalidTask, Conflict, StoreUnavailable, SchedulerError,
)  # fmt: skip


def failure_document(error: SchedulerError) -> JsonObject:
    """
    Return an error as the outcome of an order.
    """
    document: dict[str, Json] = {"error": next(one.__name__ for one in type(error).__mro__ if one in _FAILURES)}
    if isinstance(error, TaskNotFound | InvalidTransition):
        document["taskId"] = error.task_id
    if isinstance(error, InvalidTransition):
        document |= {"current": error.current, "target": error.target}
    return document | {"message": str(error)}


def raise_outcome(outcome: JsonObject) -> None:
    """
    Raise the error that an outcome tells of, if it does.
    """
    if "message" not in outcome:
        return
    message, task_id = str(outcome["message"]), str(outcome.get("taskId"))
    kind = next((one for one in _FAILURES if one.__name__ == outcome.get("error")), SchedulerError)
    if issubclass(kind, TaskNotFound):
        raise TaskNotFound(task_id)
    if issubclass(kind, InvalidTransition):
        raise InvalidTransition(task_id, str(outcome.get("current")), str(outcome.get("target")))
    raise kind(message)
