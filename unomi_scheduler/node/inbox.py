"""
The inbox of a node: orders from other processes, taken by a conditional write before they are obeyed (see
`rules.orders`).

It is read together with the heartbeats of the peers, in one request, so that waiting for orders costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from ..clock import Instant
from ..model import JsonObject, Note, Stored
from ..ports import Write
from ..rules import orders as rules
from ..rules.orders import Order
from .board import Board
from .commits import Change, replace_write
from .messages import AskInbox, ExecutorSet, Obey

NEXT_LOOKS, AFTER = 8, 250
"""How often an inbox that had an order is looked into again soon, and the milliseconds between: orders come in rows."""


class Inbox:
    """
    The orders of the present incarnation, and what became of those that were obeyed.
    """

    def __init__(self, board: Board, set_executor: Callable[[ExecutorSet, Instant], None]) -> None:
        self.board = board
        self._set_executor = set_executor
        self._box = Box(self._name())
        self._under_way: dict[str, Box] = {}
        self._looks = 0
        self._look_at = 0

    def _name(self) -> str:
        return f"{self.board.options.node_id}:{self.board.incarnation}"

    @property
    def calling(self) -> bool:
        """
        Whether an order is being obeyed.
        """
        return bool(self._under_way)

    def ask(self, now: Instant) -> AskInbox | None:
        """
        Return the read to make now, if any: beside those with the heartbeats, a few after an order has come.
        """
        if not self._looks or now.boot < self._look_at:
            return None
        self._looks -= 1
        self._look_at = now.boot + AFTER
        return AskInbox((self._name(),))

    def next_at(self) -> int | None:
        """
        Return when `ask` has a question (boot clock).
        """
        return self._look_at if self._looks else None

    def read(self, stored: Stored[Note] | None, now: Instant) -> None:
        """
        Take the inbox as it was read: orders that are open are taken.
        """
        if stored is None or stored.record.name != self._name():
            return
        if self._box.name != stored.record.name:
            self._box = Box(stored.record.name)
        box = self._box
        if self.board.commits.busy(Note, stored.record.id) or (
            box.stored is not None and box.stored.version.newer_than(stored.version)
        ):
            return
        box.stored = stored
        if any(order.open for order in rules.orders_of(stored.record)):
            self.board.commits.submit(Take(self, box))

    def taken(self, box: Box, stored: Stored[Note], now: Instant) -> None:
        """
        Obey what was taken and acknowledged, each order once.
        """
        self._looks, self._look_at = NEXT_LOOKS, now.boot + AFTER
        for order in rules.orders_of(stored.record):
            if order.taken and order.outcome is None and order.id not in box.begun:
                box.begun.add(order.id)
                self._obey(box, order, now)

    def _obey(self, box: Box, order: Order, now: Instant) -> None:
        self._under_way[order.id] = box
        if order.action != rules.EXECUTOR:
            self.board.commands.append(Obey(order))
            return
        enabled = order.arguments.get("enabled") is True
        self._set_executor(ExecutorSet(enabled), now)
        self.obeyed(order.id, {"executorNode": enabled})

    def obeyed(self, order_id: str, outcome: JsonObject) -> None:
        """
        Take what became of an order: whoever gave it reads that in the inbox.
        """
        box = self._under_way.pop(order_id, None)
        if box is not None:
            box.outcomes[order_id] = outcome
            self.board.commits.submit(Answer(box))


class Box:
    """
    One inbox document: as it was read or written last, the orders begun, and the outcomes that are not in it yet.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.stored: Stored[Note] | None = None
        self.begun: set[str] = set()
        self.outcomes: dict[str, JsonObject] = {}

    @property
    def id(self) -> str:
        """
        The id of the document.
        """
        return rules.inbox_id(self.name)

    def write(self, stored: Stored[Note], orders: tuple[Order, ...]) -> Write | None:
        """
        Return the write that puts these orders in the place of those read, or None where they are the same.
        """
        if orders == rules.orders_of(stored.record):
            return None
        return replace_write(rules.inbox(self.name, orders), stored)

    def saw(self, stored: Stored[Note]) -> None:
        """
        Take the document as it stands now; what is not in it any more need not be remembered.
        """
        self.stored = stored
        orders = rules.orders_of(stored.record)
        waiting = {order.id for order in orders if order.outcome is None}
        self.begun &= {order.id for order in orders}
        self.outcomes = {name: outcome for name, outcome in self.outcomes.items() if name in waiting}


class Take(Change):
    """
    Open orders to taken ones: from then on they cannot be withdrawn.
    """

    __slots__ = ("_box", "_inbox", "_wanted")

    def __init__(self, inbox: Inbox, box: Box) -> None:
        super().__init__(Note, box.id)
        self._inbox = inbox
        self._box = box
        self._wanted: frozenset[str] = frozenset()

    def prepare(self, now: Instant) -> Write | None:
        """
        Take those that were read.
        """
        return self._take(self._box.stored, now)

    def _take(self, stored: Stored[Note] | None, now: Instant) -> Write | None:
        if stored is None:
            return None
        orders = rules.orders_of(stored.record)
        self._wanted = frozenset(order.id for order in orders if order.open)
        return self._box.write(stored, rules.take(orders, now=now.wall)) if self._wanted else None

    def applied(self, current: Stored[Note]) -> bool:
        """
        One that was to be taken is: nobody else does that.
        """
        return any(order.taken and order.id in self._wanted for order in rules.orders_of(current.record))

    def reconsider(self, current: Stored[Note] | None, now: Instant) -> Write | None:
        """
        Take those that are open now.
        """
        return self._take(current, now)

    def done(self, stored: Stored[Note], now: Instant) -> None:
        """
        They are this node's to obey.
        """
        self._box.saw(stored)
        self._inbox.taken(self._box, stored, now)

    def lost(self, current: Stored[Note] | None, now: Instant) -> None:
        """
        They were withdrawn.
        """
        if current is not None:
            self._box.saw(current)


class Answer(Change):
    """
    The outcomes of orders, into the inbox.
    """

    __slots__ = ("_box",)

    def __init__(self, box: Box) -> None:
        super().__init__(Note, box.id)
        self._box = box

    def prepare(self, now: Instant) -> Write | None:
        """
        Answer in the inbox as it was seen last.
        """
        return self.reconsider(self._box.stored, now)

    def applied(self, current: Stored[Note]) -> bool:
        """
        Every outcome is there.
        """
        return self.reconsider(current, Instant(0, 0)) is None

    def reconsider(self, current: Stored[Note] | None, now: Instant) -> Write | None:
        """
        Answer what stands there without an answer; who gave an order may have given it up.
        """
        if current is None:
            return None
        return self._box.write(current, rules.answer(rules.orders_of(current.record), self._box.outcomes))

    def done(self, stored: Stored[Note], now: Instant) -> None:
        """
        Whoever waits can read it.
        """
        self._box.saw(stored)

    def lost(self, current: Stored[Note] | None, now: Instant) -> None:
        """
        Nobody waits for it.
        """
        if current is not None:
            self._box.saw(current)
