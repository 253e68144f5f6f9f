"""
Tasks and other records for tests: the factories and the clock of the public kit, by the names that our tests use.
"""

from __future__ import annotations

from unomi_scheduler.testing.clock import NOW, SettableClock
from unomi_scheduler.testing.factories import (
    a_due_task,
    a_heartbeat,
    a_history_row,
    a_running_task,
    a_slot,
    a_task,
)

__all__ = [
    "NOW",
    "SetClock",
    "make_due_task",
    "make_heartbeat",
    "make_row",
    "make_running_task",
    "make_slot",
    "make_task",
]

make_task = a_task
make_due_task = a_due_task
make_running_task = a_running_task
make_heartbeat = a_heartbeat
make_slot = a_slot
make_row = a_history_row
SetClock = SettableClock
