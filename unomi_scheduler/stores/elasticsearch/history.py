"""
The history in Elasticsearch: an index a month, `<prefix>-schedulerhistory-YYYY.MM` (by the end of a row; `monthly`).
"""

from __future__ import annotations

from typing import Any

from ...errors import InvalidTask
from ...model import HistoryRow, Page
from ...ports import LIST_CAP, MOST_TYPES, HistoryQuery
from ..history_rows import encode_row, readable_rows
from ..options import ElasticsearchOptions
from ..summing import BAD_ENDS, Runs
from . import mapping
from .connection import Connection
from .monthly import Entry, Monthly

Json = dict[str, Any]


class History(Monthly[HistoryRow]):
    """
    The history of one prefix.
    """

    def __init__(self, prefix: str, options: ElasticsearchOptions) -> None:
        super().__init__(
            mapping.history_of(prefix),
            what="history",
            properties=mapping.HISTORY_PROPERTIES,
            entry=lambda row: Entry(row.id, row.end, encode_row(row)),
            options=options,
        )

    def page(self, query: HistoryQuery, connection: Connection) -> Page[HistoryRow]:
        """
        Do what `TaskStore.history` says.
        """
        found = self._search(search_of(query), connection)["hits"]
        return Page(
            list=readable_rows(hit["_source"] for hit in found["hits"]),
            offset=query.offset,
            page_size=query.limit,
            total_size=found["total"]["value"],
        )

    def runs(self, *, since: int, connection: Connection) -> dict[str, Runs]:
        """
        Return what the runs of each type were that ended at or after a moment.
        """
        answer = self._search(runs_of(since), connection)
        buckets = ((answer.get("aggregations") or {}).get("types") or {}).get("buckets") or ()
        return {bucket["key"]: _runs(bucket) for bucket in buckets}

    def stretches(self, *, since: int, step: int, connection: Connection) -> dict[int, Runs]:
        """
        Return what the runs were that ended in each stretch behind a moment, by its place.
        """
        answer = self._search(stretches_of(since, step), connection)
        buckets = ((answer.get("aggregations") or {}).get("stretches") or {}).get("buckets") or ()
        return {(bucket["key"] - since) // step: _runs(bucket) for bucket in buckets}


def search_of(query: HistoryQuery) -> Json:
    """
    Return the search for one page of a task's rows, those of its run records included.

    Raises:
        InvalidTask: the page lies behind what the server sorts.
    """
    limit = LIST_CAP - query.offset if query.limit < 0 else query.limit
    if query.offset < 0 or limit < 0 or query.offset + limit > LIST_CAP:
        raise InvalidTask(
            f"a history shows its newest {LIST_CAP:,} rows: offset {query.offset} and limit {query.limit} reach behind"
        )
    names = [{"term": {name: query.task_id}} for name in ("taskId", "allNodesOf")]
    return {
        "query": {"bool": {"filter": [{"bool": {"should": names, "minimum_should_match": 1}}]}},
        "sort": [{"end": "desc"}, {"fence": "desc"}],
        "from": query.offset,
        "size": limit,
        "track_total_hits": True,
    }


def runs_of(since: int) -> Json:
    """
    Return the search that adds up the runs of each type that ended at or after a moment.
    """
    return _sums(since, types={"terms": {"field": "taskType", "size": MOST_TYPES}})


def stretches_of(since: int, step: int) -> Json:
    """
    Return the search that adds up the runs of each stretch of `step` milliseconds behind a moment.
    """
    by_time = {"field": "end", "fixed_interval": f"{step}ms", "offset": f"{since % step}ms", "min_doc_count": 1}
    return _sums(since, stretches={"date_histogram": by_time})


def _sums(since: int, **groups: Json) -> Json:
    sums: Json = {"bad": {"filter": {"terms": {"status": list(BAD_ENDS)}}}}
    sums |= {"took": {"stats": {"field": "duration"}}}
    late = [{"range": {"end": {"gte": since}}}, {"exists": {"field": "duration"}}]
    return {
        "query": {"bool": {"filter": late}},
        "size": 0,
        "track_total_hits": False,
        "aggs": {name: group | {"aggs": sums} for name, group in groups.items()},
    }


def _runs(bucket: Json) -> Runs:
    took = bucket["took"]
    return Runs(bucket["doc_count"], bucket["bad"]["doc_count"], int(took["sum"]), int(took["max"] or 0))
