"""
The fixtures for pytest, found by it wherever this package is installed.

Nothing else is loaded here: a test run that does not use them pays for this module alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..service import Scheduler
    from .clock import SettableClock
    from .faults import FaultyStore
    from .node import ManualNode


@pytest.fixture
def unomi_clock() -> SettableClock:
    """
    A clock that stands still until it is told to move.
    """
    from .clock import SettableClock  # noqa: PLC0415 - only for those who use it

    return SettableClock()


@pytest.fixture
def unomi_store(unomi_clock: SettableClock) -> FaultyStore:
    """
    A store in memory that fails on demand.
    """
    from ..stores.memory import MemoryStore  # noqa: PLC0415 - only for those who use it
    from .faults import FaultyStore  # noqa: PLC0415 - only for those who use it

    return FaultyStore(MemoryStore(unomi_clock), clock=unomi_clock)


@pytest.fixture
def unomi_scheduler() -> Scheduler:
    """
    The scheduler that `unomi_node` works for: a new one. Define a fixture of this name that returns your own.
    """
    from ..service import Scheduler  # noqa: PLC0415 - only for those who use it

    return Scheduler(store=None)


@pytest.fixture
def unomi_node(
    unomi_scheduler: Scheduler, unomi_clock: SettableClock, unomi_store: FaultyStore
) -> Iterator[ManualNode]:
    """
    A node that runs the tasks of `unomi_scheduler` when the test tells it to.
    """
    from .node import ManualNode  # noqa: PLC0415 - only for those who use it

    with ManualNode(unomi_scheduler, clock=unomi_clock, store=unomi_store) as node:
        yield node
