"""
The variables by which a test tells a node's application what to do.
"""

from __future__ import annotations

LOG_VARIABLE = "CLUSTER_LOG"
"""The file that takes the run log."""
LEDGER_VARIABLE = "CLUSTER_LEDGER"
"""The database that the steps are entered into."""
MEMORY_VARIABLE = "CLUSTER_MEMORY"
"""A JSON object: the memory tasks that the node schedules for itself, their ids with the seconds each takes."""
