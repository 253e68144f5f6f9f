"""
Orders: what another process asks of a node, in the node's inbox, a note of its own (`Note`).

The inbox is named after one incarnation, so that no order outlives the start of the node it was meant for. An order
goes one way: open, taken (by the node, before it acts), answered (by the node), and out again by whoever wrote it. Only
an open one can be withdrawn, and only a taken one is obeyed; each of these steps is one conditional write of the inbox,
so an order is either withdrawn or obeyed, and obeyed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..model import Json, JsonObject, Note

INBOX = "inbox"
"""The kind of the notes."""
MOST_ORDERS = 100
"""Orders that an inbox holds at most, answered ones included."""
KEPT = 300_000
"""Milliseconds after which an answer that nobody has fetched is let go."""
EXECUTOR = "executor"
"""The action that makes a node run tasks or not; its argument is `enabled`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """
    One order: `action` with `arguments`, from the node `by`, written at `at` (epoch ms, the clock of who wrote it).

    `outcome` is what became of it, None before.
    """

    id: str
    action: str
    arguments: JsonObject
    by: str
    at: int
    taken: bool = False
    outcome: JsonObject | None = None

    @property
    def open(self) -> bool:
        """
        Whether nobody has taken it yet.
        """
        return not self.taken and self.outcome is None


def orders_of(note: Note | None) -> tuple[Order, ...]:
    """
    Return the orders in an inbox, the oldest first; what is none, such as one of a later version, is left out.
    """
    found = note.body.get("orders") if note is not None else None
    return tuple(filter(None, map(_order_of, found))) if isinstance(found, list) else ()


def _order_of(document: Any) -> Order | None:
    try:
        order = Order(**document)
    except TypeError:
        return None
    texts = order.id, order.action, order.by
    whole = all(type(one) is str for one in texts) and type(order.at) is int and type(order.arguments) is dict
    return order if whole else None


def inbox_id(name: str) -> str:
    """
    Return the id of the inbox of this name.
    """
    return f"{INBOX}:{name}"


def inbox(name: str, orders: Iterable[Order]) -> Note:
    """
    Return the inbox with these orders.
    """
    return Note(kind=INBOX, name=name, body={"orders": [dict(_fields(order)) for order in orders]})


def _fields(order: Order) -> Iterator[tuple[str, Json]]:
    for one in fields(Order):
        yield one.name, getattr(order, one.name)


def added(orders: tuple[Order, ...], order: Order) -> tuple[Order, ...] | None:
    """
    Return the orders with one more, or None when there is no room. Answers that nobody fetched make room.
    """
    answered = [one for one in orders if one.outcome is not None]
    surplus = len(orders) + 1 - MOST_ORDERS
    if surplus > len(answered):
        return None
    gone = {one.id for one in answered[: max(0, surplus)]}
    return (*(one for one in orders if one.id not in gone), order)


def without(orders: tuple[Order, ...], order_id: str) -> tuple[Order, ...]:
    """
    Return the orders but one.
    """
    return tuple(one for one in orders if one.id != order_id)


def take(orders: tuple[Order, ...], *, now: int) -> tuple[Order, ...]:
    """
    Return the orders with all open ones taken, and without old answers.
    """
    kept = (one for one in orders if one.outcome is None or now - one.at < KEPT)
    return tuple(replace(one, taken=True) if one.open else one for one in kept)


def answer(orders: tuple[Order, ...], outcomes: Mapping[str, JsonObject]) -> tuple[Order, ...]:
    """
    Return the orders with these outcomes, by id.
    """
    return tuple(
        replace(one, outcome=outcomes[one.id]) if one.outcome is None and one.id in outcomes else one for one in orders
    )
