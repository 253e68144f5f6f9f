"""
A place in a long list sorted by id, narrowed down against a server of a few lines.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from unomi_scheduler.stores.elasticsearch import narrowing
from unomi_scheduler.stores.elasticsearch.narrowing import Part, narrowed

Json = dict[str, Any]
ALL: Json = {"match_all": {}}


class Server:
    """
    Ids, None for a document without one, and the searches that narrowing makes.
    """

    def __init__(self, ids: list[str | None]) -> None:
        self.ids = ids
        self.searches = 0

    def matching(self, query: Json) -> list[str | None]:
        """
        Return the ids that a query finds.
        """
        return [one for one in self.ids if _matches(query, one)]

    def search(self, body: Json) -> Json:
        """
        Answer a sample or a count.
        """
        self.searches += 1
        if "aggs" not in body:
            found = self.matching(body["query"]["function_score"]["query"])
            shown = Random(1).sample(found, min(len(found), body["size"]))
            return {"hits": {"hits": [{"sort": [0.5, one]} for one in shown], "total": {"value": len(found)}}}
        found = self.matching(body["query"])
        sides = body["aggs"]["sides"]["filters"]["filters"]
        counts = [{"doc_count": sum(_matches(side, one) for one in found)} for side in sides]
        return {"aggregations": {"sides": {"buckets": counts}}}


def _matches(query: Json, one: str | None) -> bool:
    ((kind, value),) = query.items()
    if kind == "match_all":
        return True
    if kind == "bool":
        kept_out = any(_matches(clause, one) for clause in value.get("must_not", ()))
        return not kept_out and all(_matches(clause, one) for clause in value.get("filter", ()))
    bounds = value["itemId"]
    tests = {"lt": str.__lt__, "lte": str.__le__, "gt": str.__gt__, "gte": str.__ge__}
    return one is not None and all(tests[name](one, bound) for name, bound in bounds.items())


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """
    A sample so small that the cuts often miss the place.
    """
    monkeypatch.setattr(narrowing, "SAMPLE", 40)
    return 40


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("prefix", ["", "nightly-import-of-customers-"])
def test_the_part_that_is_left_has_the_place(few: int, prefix: str, *, descending: bool) -> None:
    """
    Wherever it lies, and whatever the ids have in common; those without an id come last.
    """
    ids: list[str | None] = [f"{prefix}{Random(seed).getrandbits(64):016x}" for seed in range(3_000)]
    server = Server([*ids, None, None])
    ordered = [*sorted(filter(None, ids), reverse=descending), None, None]

    for place in (0, 1, 99, 1_500, 2_500, 2_999, 3_001):
        part = narrowed(Part(wanted=ALL, descending=descending, skipped=place), size=few, search=server.search)
        within = server.matching(part.within)
        assert len(within) <= few
        left = sorted(filter(None, within), reverse=descending) + [one for one in within if one is None]
        assert left[part.skipped] == ordered[place]
        behind = server.matching(part.behind) if part.behind is not None else []
        assert len(behind) == len(ordered) - (place - part.skipped) - len(within)


def test_a_short_list_is_looked_at_once() -> None:
    """
    Nothing is counted where nothing is to be cut.
    """
    server = Server(["b", "a"])
    whole = Part(wanted=ALL, descending=False, skipped=1)

    assert narrowed(whole, size=2, search=server.search) == whole
    assert server.searches == 1


@pytest.mark.parametrize("ids", [["same"] * 5_000, [None] * 5_000, []])
def test_what_cannot_be_cut_ends_the_search(ids: list[str | None], few: int) -> None:
    """
    Also where the list became shorter than the place while it was looked for.
    """
    server = Server(ids)
    narrowed(Part(wanted=ALL, descending=False, skipped=4_999), size=few, search=server.search)

    assert server.searches < 10
