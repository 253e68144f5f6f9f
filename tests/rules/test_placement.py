"""
Where tasks run.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import make_task
from unomi_scheduler.model import PARTITIONS
from unomi_scheduler.rules.placement import partition_of, share_of, targets

_nodes = st.frozensets(st.text(st.characters(codec="ascii"), min_size=1, max_size=8), min_size=1, max_size=6)


@given(_nodes)
def test_each_partition_has_one_owner(nodes: frozenset[str]) -> None:
    """
    Together the shares are everything, and none is in two.
    """
    owners = Counter(partition for node in nodes for partition in share_of(node, nodes))

    assert dict.fromkeys(range(PARTITIONS), 1) == owners


@given(_nodes)
def test_only_what_a_node_gains_moves(nodes: frozenset[str]) -> None:
    """
    When one joins, every other keeps what the new one does not get.
    """
    grown = nodes | {"new-node-9"}
    gained = share_of("new-node-9", grown)

    for node in nodes:
        assert share_of(node, nodes) - gained == share_of(node, grown)


def test_a_stranger_has_no_share() -> None:
    """
    Nor has anybody among none.
    """
    assert share_of("a", frozenset({"b"})) == frozenset()
    assert share_of("a", frozenset()) == frozenset()


def test_exclusive_tasks_of_a_type_share_a_partition() -> None:
    """
    So one node queues them by due time; parallel ones spread by id.
    """
    exclusive = {partition_of(make_task(allow_parallel_execution=False)) for _ in range(50)}
    parallel = {partition_of(make_task()) for _ in range(50)}

    assert len(exclusive) == 1
    assert len(parallel) > 10
    assert all(0 <= one < PARTITIONS for one in parallel)


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({}, True),
        ({"on_nodes": ("a",)}, True),
        ({"on_nodes": ("b",)}, False),
        ({"on_tags": ("gpu",)}, True),
        ({"on_tags": ("ssd",)}, False),
        ({"on_nodes": ("b",), "on_tags": ("gpu",)}, True),  # either is enough
    ],
)
def test_targets(over: dict[str, Any], expected: bool) -> None:  # noqa: FBT001 - a table's column
    """
    Node `a` with the tag `gpu` is one of those that the task names.
    """
    assert targets(make_task(**over), node_id="a", tags=("gpu",)) is expected
