"""
Where a task runs: its partition, the owner of a partition, and which nodes a task names.

Ownership only avoids contention (P13); correctness is the conditional write's alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

from ..model import PARTITIONS, Task


def partition_of(task: Task) -> int:
    """
    Return the partition of a task, 0 to 255: by its id, or by its type when the type is exclusive (P15).
    """
    return crc32((task.task_type if task.exclusive else task.id).encode()) % PARTITIONS


def targets(task: Task, *, node_id: str, tags: Collection[str]) -> bool:
    """
    Tell whether a node is one the task names: its id is in `on_nodes` or it has one of `on_tags`; true when none is
    named.
    """
    if not task.on_nodes and not task.on_tags:
        return True
    return node_id in task.on_nodes or any(tag in tags for tag in task.on_tags)


@lru_cache(maxsize=65_536)
def _weight(partition: int, node_id: str) -> int:
    return int.from_bytes(blake2b(f"{partition}/{node_id}".encode(), digest_size=8).digest(), "big")


def owner_of(partition: int, candidates: Iterable[str]) -> str:
    """
    Return the one of the candidates, of which there must be some, that rendezvous hashing gives a partition to.
    """
    return max(candidates, key=lambda candidate: (_weight(partition, candidate), candidate))


@lru_cache(maxsize=64)
def share_of(node_id: str, candidates: frozenset[str]) -> frozenset[int]:
    """
    Return the partitions that rendezvous hashing gives `node_id` among `candidates`; none when it is not one of them.

    When a node joins or leaves, only the partitions it gains or had move.
    """
    if node_id not in candidates:
        return frozenset()
    return frozenset(partition for partition in range(PARTITIONS) if owner_of(partition, candidates) == node_id)
