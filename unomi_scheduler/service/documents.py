"""
What is told of nodes, types and bulk changes as JSON documents: camelCase, dates as ISO 8601, null fields left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..model import Heartbeat, Json, TypeSummary
from ..timestamps import to_iso
from .bulk import BulkResult

_RATE_MINUTES = 60


def bulk_document(result: BulkResult) -> dict[str, Json]:
    """
    Return what became of many tasks as JSON.
    """
    return {
        "action": result.action,
        "dryRun": result.dry_run,
        "matched": result.matched,
        "changed": result.changed,
        "unchanged": result.unchanged,
        "failed": result.failed,
        "remaining": result.remaining,
        "ids": result.ids,
        "errors": [{"itemId": task_id, "message": message} for task_id, message in result.errors.items()],
    }


def node_document(node: Heartbeat) -> dict[str, Json]:
    """
    Return a node as JSON; dates are ISO 8601, what it does not say is left out.
    """
    document = {
        "nodeId": node.node_id,
        "incarnation": node.incarnation,
        "executorNode": node.executor_node,
        "tags": node.tags,
        "taskTypes": node.task_types,
        "running": node.running,
        "busy": node.busy,
        "leaseMillis": node.lease_millis,
        "clockOffset": node.clock_offset,
        "startedAt": to_iso(node.started_at),
        "beatAt": to_iso(node.beat_at),
        "address": node.address,
        "host": node.host or None,
        "pid": node.pid or None,
        "version": node.version or None,
    }
    return {name: value for name, value in document.items() if value is not None}


def type_document(one: TypeSummary, nodes: Iterable[Heartbeat]) -> dict[str, Json]:
    """
    Return a type as JSON; `runs` and what follows are of the last hour, durations in milliseconds.
    """
    return {
        "taskType": one.task_type,
        "total": sum(one.counts.values()),
        "counts": one.counts,
        "nodes": sorted({node.node_id for node in nodes if one.task_type in node.task_types}),
        "runs": one.runs,
        "failures": one.failures,
        "runsPerMinute": round(one.runs / _RATE_MINUTES, 3),
        "meanDuration": round(one.run_millis / one.runs, 3) if one.runs else 0,
        "longestDuration": one.longest_millis,
    }
