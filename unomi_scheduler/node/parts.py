"""
The parts of a node that have threads or wait, by what stands for them: a test kit puts others in their place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from .errands import Errands
from .heartbeat import Pulse
from .memory import MemoryTimers
from .workers import Workers


@dataclass(frozen=True, kw_only=True)
class Parts:
    """
    What makes each part, with the arguments of the class that is the default; `pause` waits that many seconds.
    """

    workers: Callable[..., Workers] = Workers
    timers: Callable[[Callable[[str], object]], MemoryTimers] = MemoryTimers
    errands: Callable[..., Errands] = Errands
    pulse: Callable[..., Pulse] = Pulse
    pause: Callable[[float], object] = Event().wait


PARTS = Parts()
