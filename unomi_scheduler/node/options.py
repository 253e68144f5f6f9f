"""
What a node is told when it is made; the settings of `config` in the node's own units (milliseconds).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """
    The identity, the limits and the patience of one node.

    `state_dir` holds the lock file that proves death at once on one host (P9); None means no such file.
    `memory_ttl_millis`: how long ended memory tasks are kept; None means until somebody removes them.
    """

    node_id: str
    lease_millis: int = 10_000
    tags: tuple[str, ...] = ()
    executor_node: bool = True
    threads: int = 8
    system_threads: int = 2
    async_slots: int = 64
    callback_timeout_millis: int = 3_600_000
    max_clock_offset_millis: int = 1_000
    poll_interval_millis: int = 1_000
    drain_timeout_millis: int = 30_000
    memory_ttl_millis: int | None = None
    history_enabled: bool = True
    history_ttl_millis: int = 30 * 86_400_000
    address: str | None = None
    nudge: bool = True
    state_dir: Path | None = None
