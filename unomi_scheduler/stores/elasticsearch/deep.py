"""
Pages behind the server's window of 10,000: the place is counted first, then read from there.

A list is sorted by one field, and its ties by id. Counting by ranges of the field's values finds the value at an offset
in a few requests, however deep it is, and how many documents stand before it. Within one value, or in a list sorted by
id, the place is found among the ids (`narrowing`). Between the requests others may write: a page is as exact as a list
that moves can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...errors import InvalidTask
from ...ports import TaskQuery
from . import queries
from .narrowing import Part, narrowed

Json = dict[str, Any]
Search = Callable[[Json], Json]
RANGES = 512
"""Into how many ranges the values are cut at each step."""
_MOST_TYPES = 10_000
_DATES = frozenset({"creationDate", "lastExecutionDate", "nextScheduledExecution"})


@dataclass(frozen=True, kw_only=True)
class Place:
    """
    The documents with one value, or without any: which they are (`same`), which come with them and behind (`onward`)
    and behind (`beyond`, None when there are none), and how many of them stand before the page.
    """

    same: Json
    onward: Json
    beyond: Json | None
    skipped: int


def page(query: TaskQuery, search: Search) -> tuple[list[Any], int]:
    """
    Return the hits of one page of a list, and how many documents the list has.

    Raises:
        InvalidTask: there is no such order, or the page is too long.
    """
    field, limit = queries.sorted_by(query), queries.limit_of(query)
    base = queries.listed(query)
    body: Json = {"query": base, "size": 0, "track_total_hits": True}
    find = _FINDERS.get(field, _among_numbers)
    total, place = find(query, field, search, body)
    return (_read(query, place, limit, search) if query.offset < total and limit else []), total


def _read(query: TaskQuery, place: Place, limit: int, search: Search) -> list[Any]:
    if place.skipped + limit <= queries.WINDOW:
        return _hits(search(queries.page_of(query, place.onward, limit=limit) | {"from": place.skipped}))
    whole = Part(wanted=place.same, descending=query.descending and query.sort_by == "id", skipped=place.skipped)
    part = narrowed(whole, size=queries.WINDOW, search=search)
    start = min(part.skipped, queries.WINDOW)
    near = queries.page_of(query, part.within, limit=min(limit, queries.WINDOW - start))
    hits = _hits(search(near | {"from": start}))
    rest = [one for one in (part.behind, place.beyond) if one is not None]
    if len(hits) < limit and rest:
        hits += _hits(search(queries.page_of(query, queries.any_of(rest), limit=limit - len(hits))))
    return hits


def _hits(answer: Json) -> list[Any]:
    return list(answer["hits"]["hits"])


def _among_ids(query: TaskQuery, field: str, search: Search, body: Json) -> tuple[int, Place]:
    answer = search(body | {"aggs": {"known": {"filter": queries.exists(field)}}})
    total, counted = int(answer["hits"]["total"]["value"]), int(answer["aggregations"]["known"]["doc_count"])
    rank = _rank(query, total=total, counted=counted)
    if not 0 <= rank < counted:
        return total, _without(query, field, counted=counted)
    base = body["query"]
    known = base if counted == total else queries.all_of([base, queries.exists(field)])
    absent = queries.all_of([base, queries.none_of([queries.exists(field)])])
    return total, Place(same=known, onward=known, beyond=absent if query.descending else None, skipped=rank)


def _among_types(query: TaskQuery, field: str, search: Search, body: Json) -> tuple[int, Place]:
    order = {"_key": "desc" if query.descending else "asc"}
    answer = search(body | {"aggs": {"types": {"terms": {"field": field, "size": _MOST_TYPES, "order": order}}}})
    types = answer["aggregations"]["types"]
    if types["sum_other_doc_count"]:
        raise InvalidTask(
            f"there are more than {_MOST_TYPES:,} types, by which no page this deep is sorted; filter by type"
        )
    total = int(answer["hits"]["total"]["value"])
    counted = sum(one["doc_count"] for one in types["buckets"])
    rank = _rank(query, total=total, counted=counted)
    if not 0 <= rank < counted:
        return total, _without(query, field, counted=counted)
    for bucket in types["buckets"]:
        if rank < bucket["doc_count"]:
            return total, _at(query, field, bucket["key"], skipped=rank)
        rank -= bucket["doc_count"]
    raise AssertionError("the counts have a sum")


def _among_numbers(query: TaskQuery, field: str, search: Search, body: Json) -> tuple[int, Place]:
    answer = search(body | {"aggs": {"known": {"stats": {"field": field}}}})
    known, total = answer["aggregations"]["known"], int(answer["hits"]["total"]["value"])
    rank = _rank(query, total=total, counted=known["count"])
    if not 0 <= rank < known["count"]:
        return total, _without(query, field, counted=known["count"])
    least, most = int(known["min"]), int(known["max"])
    while least < most:
        edges = _edges(least, most)
        counts = _counts(edges, field, body | {"track_total_hits": False}, search)
        ranges = list(zip(pairwise(edges), counts, strict=True))
        for (start, end), count in reversed(ranges) if query.descending else ranges:
            least, most = start, end - 1
            if rank < count:
                break
            rank -= count
        else:
            # Others have written in the meantime: what is left of the list ends here.
            rank = max(0, rank)
            break
    return total, _at(query, field, least, skipped=rank)


_FINDERS = {"itemId": _among_ids, "taskType": _among_types}


def _edges(least: int, most: int) -> list[int]:
    width = -(-(most - least + 1) // RANGES)
    return [*range(least, most + 1, width), most + 1]


def _counts(edges: Sequence[int], field: str, body: Json, search: Search) -> list[int]:
    within = queries.all_of([body["query"], _range(field, gte=edges[0], lt=edges[-1])])
    ranges = [{"from": start, "to": end} for start, end in pairwise(edges)]
    answer = search(body | {"query": within, "aggs": {"ranges": {"range": {"field": field, "ranges": ranges}}}})
    return [int(one["doc_count"]) for one in answer["aggregations"]["ranges"]["buckets"]]


def _rank(query: TaskQuery, *, total: int, counted: int) -> int:
    # Without a value comes first ascending and last descending.
    return query.offset if query.descending else query.offset - (total - counted)


def _without(query: TaskQuery, field: str, *, counted: int) -> Place:
    base = queries.listed(query)
    absent = queries.all_of([base, queries.none_of([queries.exists(field)])])
    if query.descending:
        return Place(same=absent, onward=absent, beyond=None, skipped=query.offset - counted)
    return Place(same=absent, onward=base, beyond=queries.all_of([base, queries.exists(field)]), skipped=query.offset)


def _at(query: TaskQuery, field: str, value: int | str, *, skipped: int) -> Place:
    base = queries.listed(query)
    if not query.descending:
        onward, beyond = _range(field, gte=value), _range(field, gt=value)
    else:
        absent = queries.none_of([queries.exists(field)])
        onward = queries.any_of([_range(field, lte=value), absent])
        beyond = queries.any_of([_range(field, lt=value), absent])
    same = _range(field, gte=value, lte=value)
    return Place(
        same=queries.all_of([base, same]),
        onward=queries.all_of([base, onward]),
        beyond=queries.all_of([base, beyond]),
        skipped=skipped,
    )


def _range(field: str, **bounds: int | str) -> Json:
    # A small number would be read as a year.
    return {"range": {field: {**bounds, **({"format": "epoch_millis"} if field in _DATES else {})}}}
