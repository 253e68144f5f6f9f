"""
Narrowing: the few thousand documents, of any number, among which a place of a list sorted by id lies.

Ids are no numbers that ranges could cut evenly, and to walk through a million of them takes half a minute. So a sample
of the ids, drawn at random, tells about where a place lies; two ids a little before and behind it cut it in three;
and how many documents are in each part is counted, never guessed. Each round leaves a tenth or less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from . import queries

Json = dict[str, Any]
Search = Callable[[Json], Json]
SAMPLE = 2_000
"""How many ids a round looks at."""
_DEVIATIONS = 3
"""How far beside the place the cuts are made; farther they miss it less often, and leave more."""
_ROUNDS = 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    The documents of a query from one id on and before another, in the order of the list, without bounds at first.

    Of them, `skipped` stand before the place. Those without an id come last.
    """

    wanted: Json
    descending: bool
    first: str | None = None
    end: str | None = None
    skipped: int

    @property
    def within(self) -> Json:
        """
        The query for these documents.
        """
        clauses = [self.wanted]
        if self.end is not None:
            clauses.append(self.before(self.end, since=self.first))
        elif self.first is not None:
            clauses.append(queries.none_of([self.before(self.first)]))
        return queries.all_of(clauses)

    @property
    def behind(self) -> Json | None:
        """
        The query for the documents that come after them; None where there are none.
        """
        return None if self.end is None else queries.all_of([self.wanted, queries.none_of([self.before(self.end)])])

    def before(self, end: str, *, since: str | None = None) -> Json:
        """
        Return the query for the ids before one, and from another on.
        """
        first, last = ("lte", "gt") if self.descending else ("gte", "lt")
        return {"range": {"itemId": {last: end} | ({} if since is None else {first: since})}}


def narrowed(part: Part, *, size: int, search: Search) -> Part:
    """
    Return a part of at most `size` documents in which the same place lies.

    While others write, the place may move; a part that cannot be cut any more is returned as it is.
    """
    for _ in range(_ROUNDS):
        ids, inside = _sample(part, search)
        if inside <= size:
            break
        cuts = _cuts(ids, min(1.0, (part.skipped + 0.5) / inside))
        if not any(part.first != cut for cut in cuts if cut is not None):
            break
        part = _cut(part, *cuts, search)
    return part


def _sample(part: Part, search: Search) -> tuple[list[str], int]:
    # The score alone sorts, and the id comes with it: no document is read.
    by_chance = {"random_score": {"seed": 1, "field": "_seq_no"}, "boost_mode": "replace"}
    body = {
        "query": {"function_score": {"query": part.within, **by_chance}},
        "sort": ["_score", {"itemId": "asc"}],
        "size": SAMPLE,
        "stored_fields": "_none_",
        "track_total_hits": True,
    }
    found = search(body)["hits"]
    ids = sorted((hit["sort"][1] for hit in found["hits"] if hit["sort"][1] is not None), reverse=part.descending)
    return ids, int(found["total"]["value"])


def _cuts(ids: Sequence[str], share: float) -> tuple[str | None, str | None]:
    place, aside = share * len(ids), _DEVIATIONS * sqrt(len(ids) * share * (1 - share)) + 2
    least, most = int(place - aside), ceil(place + aside)
    return (ids[least] if least > 0 else None), (ids[most] if most < len(ids) else None)


def _cut(part: Part, first: str | None, end: str | None, search: Search) -> Part:
    """
    Return the one of three parts, before `first`, before `end` and behind, in which the place lies.
    """
    known = [one for one in (first, end) if one is not None]
    counts = _counts(part, known, search)
    skipped, start = part.skipped, part.first
    for cut, count in zip(known, counts, strict=True):
        if skipped < count:
            return Part(wanted=part.wanted, descending=part.descending, first=start, end=cut, skipped=skipped)
        skipped, start = skipped - count, cut
    return Part(wanted=part.wanted, descending=part.descending, first=start, end=part.end, skipped=skipped)


def _counts(part: Part, cuts: Sequence[str], search: Search) -> list[int]:
    sides = [part.before(cut, since=since) for since, cut in zip([part.first, *cuts], cuts, strict=False)]
    body = {
        "query": part.within,
        "size": 0,
        "track_total_hits": False,
        "aggs": {"sides": {"filters": {"filters": sides}}},
    }
    return [int(one["doc_count"]) for one in search(body)["aggregations"]["sides"]["buckets"]]
