"""
The clock: the one module that reads time.

`wall` is for due times and dates people read; `boot` is for durations and leases. `boot` goes on while the machine is
suspended (P7): Linux's CLOCK_BOOTTIME; elsewhere the monotonic clock, which on macOS counts sleep too.
"""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Instant(NamedTuple):
    """
    One moment on both clocks, in milliseconds: `wall` since the epoch, `boot` since the machine started.
    """

    wall: int
    boot: int


class Clock(Protocol):
    """
    Where time comes from.
    """

    def now(self) -> Instant:
        """
        Return the present moment.
        """
        ...


class SystemClock:
    """
    The machine's clocks.
    """

    def now(self) -> Instant:
        """
        Return the present moment of this machine.
        """
        return Instant(time.time_ns() // 1_000_000, time.clock_gettime_ns(_BOOT_CLOCK) // 1_000_000)


def stopwatch() -> float:
    """
    Return seconds since some moment, finer than a millisecond: for how long a request took, never for a decision.
    """
    return time.perf_counter()
