"""
Changes by `_seq_no`. Each shard gives numbers of its own, so each is asked by itself and has its place in a position.

A number is given before its operation is in the index, and the copies of a shard refresh when they like: so a change
may become visible after one with a higher number. The numbers of deletions are in no search.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...errors import StoreUnavailable
from ...model import Stored
from ...ports import Changes, Mark, Position
from ..reading import listed
from . import answers, queries
from .connection import Connection
from .indices import Indices
from .mapping import Kind

Json = dict[str, Any]

_SHARDS = "indices.*.shards.*.seq_no,indices.*.shards.*.routing.primary"


def position(indices: Indices, connection: Connection) -> Position:
    """
    Return what every copy of each shard has of the index that stands behind the alias now.

    Raises:
        StoreUnavailable: a shard has no primary, or there is no answer.
        ConfigurationError: the index is missing.
    """
    name, shards = _shards(indices, connection)
    return Position(name, tuple(int(one["global_checkpoint"]) for one in shards))


def knows(place: Position, indices: Indices, connection: Connection) -> bool:
    """
    Tell whether a position is one of the index behind the alias, and not ahead of any shard.
    """
    name, shards = _shards(indices, connection)
    same = place.identity == name and len(place.numbers) == len(shards)
    return same and all(number <= one["max_seq_no"] for number, one in zip(place.numbers, shards, strict=True))


def _shards(indices: Indices, connection: Connection) -> tuple[str, list[Json]]:
    name = indices.look_up(Kind.TASK, connection)
    answer = connection.read("GET", f"/{name}/_stats/docs", level="shards", filter_path=_SHARDS)
    told = ((answer or {}).get("indices") or {}).get(name, {}).get("shards") or {}
    shards: list[Json] = []
    for number in range(len(told)):
        primary = [one["seq_no"] for one in told.get(str(number), ()) if one["routing"]["primary"]]
        if len(primary) != 1 or "global_checkpoint" not in primary[0]:
            raise StoreUnavailable(f"shard {number} of the index {name} has no primary now")
        shards += primary
    if not shards:
        raise StoreUnavailable(f"the index {name} has no shard now")
    return name, shards


def since(place: Position, connection: Connection, *, skip: Collection[Mark], limit: int) -> Changes | None:
    """
    Return what changed behind a position, or None when its index is gone or has fewer shards.
    """
    tasks: list[Stored[Any]] = []
    marks: set[Mark] = set()
    numbers, more = list(place.numbers), False
    for shard, number in enumerate(place.numbers):
        had = sorted(one for where, one in skip if where == shard and one > number)
        hits = _hits(place.identity, shard, queries.changed(number, had, limit=limit), connection)
        if hits is None:
            return None
        tasks += (answers.stored_task(hit) for hit in hits)
        marks |= {(shard, int(hit["_seq_no"])) for hit in hits}
        cut = len(hits) >= limit
        more = more or cut
        seen = [int(hit["_seq_no"]) for hit in hits]
        numbers[shard] = seen[-1] if cut else max([number, *had, *seen])
    shown = ((listed(one.record), one.version) for one in tasks)
    return Changes(
        tasks=tuple(Stored(task, version) for task, version in shown if task is not None),
        position=Position(place.identity, tuple(numbers)),
        marks=frozenset(marks),
        more=more,
        in_order=False,
    )


def _hits(index: str, shard: int, body: Json, connection: Connection) -> list[Json] | None:
    answer = connection.read(
        "POST",
        f"/{index}/_search",
        body,
        # One copy of the shard for all: what was seen once is seen again.
        preference=f"_shards:{shard}|changes",
        allow_partial_search_results="false",
        # An index that is gone has no shard then, where it would be an error.
        ignore_unavailable="true",
    )
    return list(answer["hits"]["hits"]) if answer["_shards"]["total"] else None
