"""
Dates on the wire: ISO 8601 UTC with milliseconds outside, epoch milliseconds inside.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


# A batch of tasks shares its dates.
@lru_cache(maxsize=16_384)
def to_iso(millis: int) -> str:
    """
    Return epoch milliseconds as a date, e.g. `2024-03-20T15:00:00.000Z`.
    """
    seconds, rest = divmod(millis, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=16_384)
def from_iso(text: str) -> int:
    """
    Return a date as epoch milliseconds; one without a zone is UTC, finer parts than milliseconds are cut.

    Raises:
        ValueError: the text is not an ISO 8601 date.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND
