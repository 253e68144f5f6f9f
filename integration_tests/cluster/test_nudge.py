"""
Nudges between real processes.
"""

from __future__ import annotations

import statistics
from typing import Any
from uuid import uuid4

import pytest

from tests.cluster.checker import faults
from tests.cluster.nodes import Cluster
from unomi_scheduler.node.secret import KIND

NUMBER = 7
LATE = 500.0
"""Milliseconds in the middle, where a poll alone takes about five seconds."""


def latencies(cluster: Cluster) -> list[float]:
    """
    Schedule tasks for now, one after the other, and return the milliseconds from due to start of each.
    """
    late = []
    for _ in range(NUMBER):
        task = cluster.schedule_one("plain", uuid4().hex)
        (start,) = cluster.heard("start", task=task.id)
        assert task.next_scheduled_execution is not None
        late.append(start.wall - task.next_scheduled_execution)
    print("start - due, ms:", [round(one) for one in late])
    return late


def joined(cluster: Cluster, *names: str, **settings: Any) -> None:
    """
    Start nodes as the command does, and wait until they show what they run.
    """
    cluster.start(*names, by_command=True, poll_interval="10s", lease="10s", purge_enabled=False, **settings)
    cluster.eventually(
        lambda: sum("plain" in beat.task_types for beat in cluster.manager.nodes()) == len(names), what="the types"
    )


@pytest.mark.parametrize("names", [("anna",), ("anna", "berta")], ids=["one node", "two nodes"])
def test_work_scheduled_elsewhere_starts_at_once(cluster: Cluster, names: tuple[str, ...]) -> None:
    """
    By the nodes whose share it is in, once each, under one secret.
    """
    joined(cluster, *names)
    late = latencies(cluster)
    said = cluster.said()

    assert statistics.median(late) < LATE
    assert faults({one.task for one in said}, tasks=cluster.tasks({one.task for one in said}), said=said) == []
    assert len(cluster.store.notes(KIND)) == 1


def test_a_new_secret_needs_no_restart(cluster: Cluster) -> None:
    """
    Sender and receiver read it when they meet it.
    """
    joined(cluster, "anna")
    latencies(cluster)
    cluster.manager.renew_cluster_secret()

    assert statistics.median(latencies(cluster)) < LATE
