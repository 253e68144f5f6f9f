"""
What `doctor` tells: facts of this machine and the cluster beside the store's own, and everything that is a problem.

It looks and changes nothing: no file, no index and no node id comes of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from unomi_scheduler import Heartbeat, Settings, StoreReport, examine_store

_MILLISECOND = timedelta(milliseconds=1)
_LEASES = 3
"""After so many leases without a heartbeat a node is not counted as alive: no two machines' clocks agree better."""


def examine(settings: Settings) -> tuple[dict[str, str], tuple[str, ...]]:
    """
    Return facts by name, and problems, each with what to do.
    """
    report = examine_store(settings)
    facts = {
        "address": settings.store or "none",
        **report.facts,
        "node id": settings.node_id or "chosen at the start",
        "state folder": str(settings.state_path),
        **dict(_locks(settings.state_path)),
        **{f"node {node.node_id}": _described(node, report.now) for node in report.nodes},
    }
    most = settings.max_clock_offset // _MILLISECOND
    return facts, (*report.problems, *_clock_problems(report.nodes, most), *_overdue_problems(report))


def _described(node: Heartbeat, now: int | None) -> str:
    what = f"process {node.pid} on {node.host or 'an unknown host'}, clock offset {node.clock_offset} ms"
    what += f", health on {node.address}/readyz" if node.address else ""
    return what if _is_alive(node, now) else f"{what}, no heartbeat for {_silence(node, now) // 1000} s"


def _silence(node: Heartbeat, now: int | None) -> int:
    return 0 if now is None else now - (node.beat_at - node.clock_offset)


def _is_alive(node: Heartbeat, now: int | None) -> bool:
    return _silence(node, now) < _LEASES * node.lease_millis


def _clock_problems(nodes: tuple[Heartbeat, ...], most: int) -> Iterator[str]:
    for node in nodes:
        if abs(node.clock_offset) > most:
            yield (
                f"the clock of node {node.node_id} is {node.clock_offset} ms from the store's, at most {most} ms are "
                "allowed: set the clock (NTP); until then the node claims nothing"
            )


def _overdue_problems(report: StoreReport) -> Iterator[str]:
    if not report.overdue:
        return
    able = [node for node in report.nodes if _is_alive(node, report.now) and node.executor_node]
    if not able:
        yield (
            f"no node that runs tasks is alive, and {_number(sum(report.overdue.values()))} due: start one "
            "(unomi-scheduler node, or serve)"
        )
        return
    known = {name for node in able for name in node.task_types}
    for task_type, count in sorted(report.overdue.items()):
        if task_type not in known:
            yield (
                f"{_number(count)} due and of type {task_type}, which no live node knows: register an executor for it "
                "on a node, or cancel what is not wanted"
            )


def _number(count: int) -> str:
    return "1 task is" if count == 1 else f"{count} tasks are"


def _locks(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*.lock")):
        try:
            # Behind the process stand the incarnations that ran under the id.
            holder = path.read_text(encoding="ascii", errors="replace").partition("\n")[0].strip()
        except OSError as error:
            yield f"lock {path.name}", f"unreadable: {error.strerror}"
            continue
        yield f"lock {path.name}", f"of process {holder}, {'which runs' if _runs(holder) else 'which has ended'}"


def _runs(holder: str) -> bool:
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
