"""
A clock that stands still until it is told to move.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..clock import Instant

NOW = 1_750_000_000_000
"""Where a settable clock stands unless it is told otherwise: 2025-06-15T15:06:40Z, in epoch milliseconds."""
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SettableClock:
    """
    A `Clock` of both kinds: `wall` in epoch milliseconds, `boot` in milliseconds that only grow.

    Args:
        start: the date it stands at, aware or in epoch milliseconds.
    """

    def __init__(self, start: datetime | int = NOW) -> None:
        self.wall = _wall(start)
        self.boot = 1_000

    def now(self) -> Instant:
        """
        Return the moment it stands at.
        """
        return Instant(self.wall, self.boot)

    @property
    def date(self) -> datetime:
        """
        The date it stands at, in UTC.
        """
        return _EPOCH + self.wall * _MILLISECOND

    def advance(self, by: timedelta | int) -> None:
        """
        Move on by a time, or by milliseconds.

        Raises:
            ValueError: the time is negative. What moves the wall clock back is `set`, as who corrects a clock does.
        """
        millis = _millis(by)
        if millis < 0:
            raise ValueError(f"expected a time that is not negative, got {by!r}; set(date) moves the wall clock back")
        self.wall += millis
        self.boot += millis

    def set(self, date: datetime | int) -> None:
        """
        Move the wall clock alone to a date, forwards or back: no time has passed.
        """
        self.wall = _wall(date)


def _millis(by: timedelta | int) -> int:
    return by // _MILLISECOND if isinstance(by, timedelta) else by


def _wall(date: datetime | int) -> int:
    if not isinstance(date, datetime):
        return date
    if date.tzinfo is None:
        raise ValueError(f"expected a date with a time zone, got {date!r}; for UTC write datetime(..., tzinfo=UTC)")
    return (date - _EPOCH) // _MILLISECOND
