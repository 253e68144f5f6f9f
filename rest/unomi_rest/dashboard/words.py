"""
Figures as people read them: ages, durations, moments and counts.
"""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))
_SHORT_MILLIS = 1_000
_NOW_MILLIS = 1_500


def duration(millis: float | None) -> str:
    """
    Return a duration in its two largest units, such as `2 h 5 min`; a dash for None.
    """
    if millis is None:
        return "–"
    if millis < _SHORT_MILLIS:
        return f"{millis:.0f} ms"
    for place, (size, unit) in enumerate(_UNITS):
        if millis >= size:
            whole, rest = divmod(int(millis), size)
            if place + 1 == len(_UNITS):
                return f"{millis / size:.1f} {unit}"
            next_size, next_unit = _UNITS[place + 1]
            part = rest // next_size
            return f"{whole} {unit} {part} {next_unit}" if part else f"{whole} {unit}"
    raise AssertionError(millis)


def relative(millis: int | None, now: int) -> str:
    """
    Return how far a moment (epoch ms) lies from `now`: `in 5 min`, `3 s ago`; a dash for None.
    """
    if millis is None:
        return "–"
    away = millis - now
    if abs(away) < _NOW_MILLIS:
        return "now"
    return f"in {duration(away)}" if away > 0 else f"{duration(-away)} ago"


def moment(millis: int | None) -> str:
    """
    Return a moment (epoch ms) in UTC to the second; a dash for None.
    """
    if millis is None:
        return "–"
    return f"{datetime.fromtimestamp(millis / 1_000, UTC):%Y-%m-%d %H:%M:%S}"


def machine_moment(millis: int | None) -> str:
    """
    Return a moment as the attribute `datetime` takes it; nothing for None.
    """
    return "" if millis is None else f"{datetime.fromtimestamp(millis / 1_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def count(number: int) -> str:
    """
    Return a count with its thousands apart.
    """
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
