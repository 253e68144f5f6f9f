"""
Giving an order: into an inbox, until its outcome, whatever the store and the node make of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.factories import NOW, SetClock, make_heartbeat
from tests.lossy_store import Fault, LossyStore
from unomi_scheduler.errors import (
    Conflict,
    InvalidTask,
    InvalidTransition,
    NodeUnavailable,
    SchedulerError,
    StoreRefused,
    StoreUnavailable,
    TaskNotFound,
)
from unomi_scheduler.model import Json, Note, Stored
from unomi_scheduler.ports import Action, Result, Write
from unomi_scheduler.rules import orders as rules
from unomi_scheduler.rules.orders import MOST_ORDERS, Order
from unomi_scheduler.service.ordering import failure_document, give, raise_outcome
from unomi_scheduler.stores.memory import MemoryStore

BEAT = make_heartbeat(lease_millis=3_000)
ORDER = Order(id="mine", action="cancel", arguments={"taskId": "near"}, by="boss", at=NOW)


class Node:
    """
    What a node does with its inbox, at the looks of the one who waits: each look takes the next step.
    """

    def __init__(self, *steps: Callable[[Node], None], faults: tuple[Fault, ...] = ()) -> None:
        self.clock = SetClock()
        self.store = MemoryStore(self.clock)
        self.lossy = LossyStore(self.store, *faults)
        self._steps = list(steps)
        self.store.write([Write(Action.CREATE, BEAT)])

    def give(self) -> dict[str, Json]:
        """
        Give the order.
        """
        return dict(give(self.lossy, BEAT, ORDER, clock=self.clock, pause=self._pause))

    def _pause(self, seconds: float) -> None:
        self.clock.advance(int(seconds * 1_000))
        if self._steps:
            self._steps.pop(0)(self)

    def stored(self) -> Stored[Note] | None:
        """
        Return the inbox.
        """
        return next(iter(self.store.notes("inbox", [BEAT.id])), None)

    def orders(self) -> tuple[Order, ...]:
        """
        Return the orders in it.
        """
        stored = self.stored()
        return rules.orders_of(stored.record if stored else None)

    def rewrite(self, *orders: Order) -> None:
        """
        Put these orders in their place.
        """
        stored, note = self.stored(), rules.inbox(BEAT.id, orders)
        write = Write(Action.CREATE, note) if stored is None else Write(Action.REPLACE, note, stored.version)
        assert [Result.WRITTEN] == [one.result for one in self.store.write([write])]


def nothing(_node: Node) -> None:
    """
    Let it be.
    """


def take(node: Node) -> None:
    """
    Take what is there.
    """
    node.rewrite(*rules.take(node.orders(), now=NOW))


def answer(node: Node) -> None:
    """
    Answer.
    """
    node.rewrite(*rules.answer(node.orders(), {"mine": {"changed": True}}))


def leave(node: Node) -> None:
    """
    Stop in good order.
    """
    (beat,) = node.store.heartbeats([BEAT.id])
    node.store.write([Write(Action.DELETE, beat.record, beat.version)])
    stored = node.stored()
    if stored is not None:
        node.store.write([Write(Action.DELETE, stored.record, stored.version)])


def die(node: Node) -> None:
    """
    Be declared dead.
    """
    (beat,) = node.store.heartbeats([BEAT.id])
    node.store.write([Write(Action.REPLACE, replace(beat.record, dead_by="peer"), beat.version)])


def test_an_order_is_answered_and_cleared_away() -> None:
    """
    The inbox stays: a late write of it must never be the first again.
    """
    node = Node(nothing, take, nothing, answer)
    assert node.give() == {"changed": True}
    assert node.orders() == ()
    assert node.stored() is not None


def test_an_order_that_nobody_takes_is_withdrawn() -> None:
    """
    After a heartbeat interval and some.
    """
    node = Node()
    with pytest.raises(NodeUnavailable, match="Node node-a did not answer within 4 s; the order to cancel near was w"):
        node.give()
    assert node.orders() == ()
    assert 4_000 <= node.clock.now().wall - NOW <= 5_000


def test_an_order_that_was_taken_is_not_withdrawn() -> None:
    """
    Its outcome is waited for a while longer; then nobody knows.
    """
    late = Node(*[nothing] * 38, take, *[nothing] * 5, answer)
    assert late.give() == {"changed": True}
    node = Node(take)
    with pytest.raises(NodeUnavailable, match="has taken the order to cancel near and did not say within 3 s"):
        node.give()
    assert [True] == [order.taken for order in node.orders()]


def test_an_order_that_is_taken_at_the_last_moment_is_waited_for() -> None:
    """
    Between the last look and the withdrawal.
    """
    node = Node(*[nothing] * 41, answer)
    # The order itself is the first write, its withdrawal the second.
    node.lossy.before.extend([lambda: None, lambda: take(node)])
    assert node.give() == {"changed": True}


@pytest.mark.parametrize("end", [leave, die])
def test_a_node_that_is_gone_is_not_waited_for(end: Callable[[Node], None]) -> None:
    """
    What it had taken may be done; nothing is left of the rest.
    """
    node = Node(nothing, end)
    with pytest.raises(NodeUnavailable, match=r"left or was lost before it answered .*: it is void"):
        node.give()
    assert node.stored() is None
    with pytest.raises(NodeUnavailable, match="whether it was done first is not known"):
        Node(take, nothing, end).give()


def test_the_answer_of_a_node_that_left_right_after_counts() -> None:
    """
    It is read in the same look that shows the node gone.
    """

    def answer_and_die(node: Node) -> None:
        answer(node)
        die(node)

    assert Node(take, answer_and_die).give() == {"changed": True}


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST])
def test_a_lost_answer_does_not_give_the_order_twice(fault: Fault) -> None:
    """
    It is sent again on the same condition, and looked for.
    """
    node = Node(take, answer, faults=(fault, Fault.NONE))
    assert node.give() == {"changed": True}
    assert node.orders() == ()


def test_a_store_that_never_answers_says_that_nobody_knows() -> None:
    """
    And one that refuses says so.
    """
    with pytest.raises(StoreUnavailable, match="whether node node-a is told to cancel near is not known"):
        Node(faults=(Fault.LOST_REQUEST,) * 3).give()
    with pytest.raises(StoreRefused):
        Node(faults=(Fault.REFUSED,)).give()


def test_other_orders_are_left_as_they_are() -> None:
    """
    Also where their writers are faster.
    """
    other = replace(ORDER, id="other")
    node = Node(take, answer)
    node.lossy.before.append(lambda: node.rewrite(other))
    assert node.give() == {"changed": True}
    assert ["other"] == [order.id for order in node.orders()]


def test_a_full_inbox_takes_no_more() -> None:
    """
    Its node does not answer.
    """
    node = Node()
    node.rewrite(*(replace(ORDER, id=str(number)) for number in range(MOST_ORDERS)))
    with pytest.raises(NodeUnavailable, match="has 100 orders that it has not answered"):
        node.give()


@pytest.mark.parametrize(
    "error",
    [
        TaskNotFound("near"),
        InvalidTransition("near", "FAILED", "resumed"),
        InvalidTask("Invalid period"),
        Conflict("taken"),
        StoreRefused("full"),
        SchedulerError("odd"),
    ],
)
def test_an_error_is_told_as_it_was(error: SchedulerError) -> None:
    """
    The same kind, or the nearest that is told; the same words.
    """
    with pytest.raises(SchedulerError) as caught:
        raise_outcome(failure_document(error))
    assert str(error) == str(caught.value)
    assert isinstance(error, type(caught.value))
    assert type(caught.value) is not SchedulerError or type(error) is SchedulerError
    raise_outcome({"changed": True})
