"""
What `doctor` tells: facts of this machine and the cluster beside the store's own, and everything that is a problem.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from unomi_scheduler import Heartbeat, Scheduler, SchedulerError

_MILLISECOND = timedelta(milliseconds=1)


def examine(scheduler: Scheduler) -> tuple[dict[str, str], tuple[str, ...]]:
    """
    Return facts by name, and problems, each with what to do.
    """
    report = scheduler.check()
    nodes = [] if report.problems else _nodes(scheduler)
    facts = {
        "address": scheduler.settings.store or "none",
        **report.facts,
        "node id": scheduler.settings.node_id or "chosen at the start",
        "state folder": str(scheduler.settings.state_path),
        **dict(_locks(scheduler.settings.state_path)),
        **{f"node {node.node_id}": _described(node) for node in nodes},
    }
    return facts, (*report.problems, *_clock_problems(nodes, scheduler.settings.max_clock_offset // _MILLISECOND))


def _nodes(scheduler: Scheduler) -> list[Heartbeat]:
    # A store that no node ever opened has none.
    with suppress(SchedulerError):
        return scheduler.nodes()
    return []


def _described(node: Heartbeat) -> str:
    return f"process {node.pid} on {node.host or 'an unknown host'}, clock offset {node.clock_offset} ms"


def _clock_problems(nodes: list[Heartbeat], most: int) -> Iterator[str]:
    for node in nodes:
        if abs(node.clock_offset) > most:
            yield (
                f"the clock of node {node.node_id} is {node.clock_offset} ms from the store's, at most {most} ms are "
                "allowed: set the clock (NTP); until then the node claims nothing"
            )


def _locks(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.lock")):
        holder = path.read_text(encoding="ascii", errors="replace").strip()
        yield f"lock {path.name}", f"of process {holder}, {'which runs' if _runs(holder) else 'which has ended'}"


def _runs(holder: str) -> bool:
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
