"""
How far this node's clock is from the store's: nothing is claimed before that is known, nor while it is too far (P16).
"""

from __future__ import annotations

import logging

from ..clock import Instant
from ..errors import ConfigurationError, SchedulerError
from .board import Board
from .messages import AskClock

LOG = logging.getLogger("unomi_scheduler.node")
CHECK = 60_000
"""Milliseconds between two measurements."""
SOON, LATE = 200, 10_000
"""Milliseconds before a question that got no answer is put again: at first, doubling; and at most."""


class ClockWatch:
    """
    The offset in ms (positive: this node is ahead), whether it was ever measured, and when to ask again.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.offset = 0
        self.measured = False
        self._next = 0
        self._pause = SOON
        self._warned = False

    @property
    def off(self) -> bool:
        """
        Whether the clock was measured, and is too far off.
        """
        return self.measured and not self.board.clock_trusted

    def next_at(self) -> int:
        """
        Return when the next question is due (boot clock).
        """
        return self._next

    def ask(self, now: Instant) -> AskClock | None:
        """
        Return the question, when it is due.
        """
        if now.boot < self._next:
            return None
        self._next = now.boot + CHECK
        return AskClock()

    def told(self, store_clock: int, *, sent: Instant, now: Instant) -> None:
        """
        Take the store's clock (epoch ms); what the journey may have cost is in the node's favour.
        """
        half = (now.boot - sent.boot) // 2
        self.offset = sent.wall + half - store_clock
        self._next = now.boot + CHECK
        self._pause, self._warned = SOON, False
        limit = self.board.options.max_clock_offset_millis
        trusted = abs(self.offset) - half <= limit
        # A right clock at the first look is no news.
        if trusted == self.off:
            LOG.error(
                "This node's clock is %d ms off the store's (limit %d ms): it claims %s",
                self.offset, limit, "again" if trusted else "nothing until the clock is right",
                extra={"action": "clock_offset"},
            )  # fmt: skip
        self.measured = True
        self.board.clock_trusted = trusted

    def failed(self, error: SchedulerError, now: Instant) -> bool:
        """
        Take an error for an answer, and ask again soon; tell whether it needs no other complaint.

        A store that cannot tell its clock (no such function, no permission) must not hold the node up for ever: then
        this machine's clock is trusted, unless it was measured before.
        """
        if not isinstance(error, ConfigurationError):
            self._next = now.boot + self._pause
            self._pause = min(2 * self._pause, LATE)
            return False
        if not self.measured:
            self.board.clock_trusted = True
        if not self._warned:
            self._warned = True
            LOG.warning(
                "The store does not tell its clock, so this machine's cannot be compared with it: keep it right (NTP). "
                "%s", error, extra={"action": "clock_unknown"},
            )  # fmt: skip
        return True
