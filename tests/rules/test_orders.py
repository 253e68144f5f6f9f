"""
Orders in an inbox.
"""

from __future__ import annotations

from unomi_scheduler.model import Note
from unomi_scheduler.rules import orders as rules
from unomi_scheduler.rules.orders import KEPT, MOST_ORDERS, Order

NOW = 1_000_000


def make_order(number: int, **over: object) -> Order:
    """
    Return an order.
    """
    values = {"action": "cancel", "arguments": {"taskId": "a"}, "by": "other", "at": NOW}
    return Order(id=f"order-{number}", **{**values, **over})  # type: ignore[arg-type]


def test_an_inbox_holds_what_was_put_in() -> None:
    """
    Every field; and nothing where there is no inbox, or another thing.
    """
    orders = (make_order(1), make_order(2, taken=True), make_order(3, taken=True, outcome={"changed": True}))

    assert orders == rules.orders_of(rules.inbox("node-a:first", orders))
    odd = [{"id": 7}, {"id": "a", "action": "b", "arguments": None, "by": "c", "at": 1}, "text"]
    assert rules.orders_of(Note(kind="inbox", name="a", body={"orders": odd})) == ()
    assert rules.orders_of(None) == rules.orders_of(Note(kind="inbox", name="a", body={"orders": 7})) == ()


def test_a_full_inbox_takes_no_more_but_lets_answers_go_that_nobody_fetched() -> None:
    """
    The oldest first.
    """
    full = tuple(make_order(number) for number in range(MOST_ORDERS))
    more = make_order(MOST_ORDERS)
    answered = (make_order(0, outcome={}), make_order(1, outcome={}), *full[2:])

    assert rules.added(full, more) is None
    assert (*answered[1:], more) == rules.added(answered, more)
    assert (full[0], more) == rules.added(full[:1], more)


def test_open_orders_are_taken_and_old_answers_go() -> None:
    """
    Not a moment before their time.
    """
    old = make_order(1, taken=True, outcome={}, at=NOW - KEPT)
    kept = make_order(2, taken=True, outcome={}, at=NOW - KEPT + 1)
    slow = make_order(3, taken=True, at=NOW - KEPT)

    assert (kept, slow, make_order(4, taken=True)) == rules.take((old, kept, slow, make_order(4)), now=NOW)


def test_an_answer_is_given_once() -> None:
    """
    To the order it belongs to.
    """
    orders = (make_order(1, taken=True), make_order(2, taken=True, outcome={"changed": False}))

    changed = rules.answer(orders, {"order-1": {"a": 1}, "order-2": {"a": 2}, "order-3": {"a": 3}})
    assert [{"a": 1}, {"changed": False}] == [order.outcome for order in changed]
    assert rules.without(orders, "order-1") == orders[1:]
