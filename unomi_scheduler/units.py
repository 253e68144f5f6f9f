"""
Amounts of time as users write them: a number with one of the original's units, or a `timedelta` alone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from .errors import InvalidTask
from .model import TimeUnit

_MICROSECOND = timedelta(microseconds=1)
_MICROS_IN_A_MILLI = 1_000


class Amount(NamedTuple):
    """
    A number of units, as it stands in a task.
    """

    number: int
    unit: TimeUnit

    @property
    def millis(self) -> int:
        """
        The amount in whole milliseconds.
        """
        return self.unit.to_millis(self.number)


def unit_of(name: str | TimeUnit) -> TimeUnit:
    """
    Return the unit of this name, in any case.

    Raises:
        InvalidTask: there is no such unit.
    """
    try:
        return TimeUnit(name.upper())
    except (AttributeError, ValueError):
        raise InvalidTask(f"Invalid unit: expected one of {', '.join(TimeUnit)}, got {name!r}") from None


def amount_of(what: str, number: int | timedelta, unit: str | TimeUnit | None) -> Amount:
    """
    Return what a user wrote as an amount; a number without a unit is milliseconds.

    Args:
        what: the name of the value, for the message.

    Raises:
        InvalidTask: the number is negative or not whole, the unit is unknown, or a `timedelta` came with a unit.
    """
    if isinstance(number, timedelta):
        return _from_timedelta(what, number, unit)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidTask(f"Invalid {what}: expected a whole number of a unit or a timedelta, got {number!r}")
    if number < 0:
        raise InvalidTask(f"Invalid {what}: expected 0 or more, got {number!r}")
    return Amount(number, TimeUnit.MILLISECONDS if unit is None else unit_of(unit))


def _from_timedelta(what: str, span: timedelta, unit: str | TimeUnit | None) -> Amount:
    if unit is not None:
        raise InvalidTask(f"Invalid {what}: a timedelta stands alone, got the unit {unit!r} too")
    micros = span // _MICROSECOND
    if micros < 0:
        raise InvalidTask(f"Invalid {what}: expected 0 or more, got {span!r}")
    if micros % _MICROS_IN_A_MILLI:
        return Amount(micros, TimeUnit.MICROSECONDS)
    return Amount(micros // _MICROS_IN_A_MILLI, TimeUnit.MILLISECONDS)
