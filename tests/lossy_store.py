"""
A store that loses answers on demand: that of the public kit, by the name that our tests use.
"""

from __future__ import annotations

from unomi_scheduler.testing.faults import Fault, FaultyStore

__all__ = ["Fault", "LossyStore"]

LossyStore = FaultyStore
