"""
Searches as bodies: every predicate has a name, so that it is tested without a server. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...errors import InvalidTask
from ...model import PARTITIONS, TaskStatus
from ...ports import LIST_CAP, MOST_TYPES, DueQuery, EndedQuery, OwnedQuery, Records, TaskQuery
from ...rules.readiness import ALWAYS_DUE

Json = dict[str, Any]

WINDOW = 10_000
"""The server's `index.max_result_window`: no search reaches behind it; `deep` finds what is there."""
NO_ID = "\U0010ffff"
"""Stands in a cursor for a document without an id, which sorts behind all others."""

_SORTED_BY = {
    "creation_date": "creationDate",
    "last_execution_date": "lastExecutionDate",
    "next_scheduled_execution": "nextScheduledExecution",
    "task_type": "taskType",
    "status": "statusOrder",
    "id": "itemId",
    "failure_count": "failureCount",
    "success_count": "successCount",
    "total_execution_count": "totalExecutionCount",
}
_BY_ID: Json = {"itemId": "asc"}


def any_of(clauses: list[Json]) -> Json:
    """
    Return the query for what one of the clauses finds.
    """
    return {"bool": {"should": clauses, "minimum_should_match": 1}}


def all_of(clauses: list[Json]) -> Json:
    """
    Return the query for what each of the clauses finds.
    """
    return {"bool": {"filter": clauses}}


def none_of(clauses: list[Json]) -> Json:
    """
    Return the query for what none of the clauses finds.
    """
    return {"bool": {"must_not": clauses}}


def _term(field: str, value: str | bool) -> Json:  # noqa: FBT001 - a value, not a flag
    return {"term": {field: value}}


def _terms(field: str, values: Iterable[str] | Iterable[int]) -> Json:
    return {"terms": {field: sorted(values)}}


def exists(field: str) -> Json:
    """
    Return the query for what has a value in a field.
    """
    return {"exists": {"field": field}}


def _until(field: str, moment: int) -> Json:
    return {"range": {field: {"lte": moment}}}


def _in_quarantine() -> Json:
    return exists("quarantineReason")


def _hits(query: Json, sort: list[Json], limit: int, after: list[Any] | None = None) -> Json:
    body: Json = {
        "query": query,
        "sort": sort,
        "size": min(limit, WINDOW),
        "seq_no_primary_term": True,
        "track_total_hits": False,
    }
    if after is not None:
        body["search_after"] = [None if value == NO_ID else value for value in after]
    return body


def due(query: DueQuery) -> Json:
    """
    Return the search for what may become due: by due date, then id.

    A disabled task has no due date, nor has one in quarantine.
    """
    untargeted = none_of([exists("onNodes"), exists("onTags")])
    everyone = all_of([_until("dueDate", query.overdue_before), untargeted])
    named = [_term("onNodes", query.node_id), *([_terms("onTags", query.tags)] if query.tags else [])]
    mine = [_share(types, partitions, query) for types, partitions in query.shares if types and partitions]
    shared = [all_of([untargeted, any_of(mine)])] if mine else []
    soon = all_of([_until("dueDate", query.due_before), any_of([*shared, *named])])
    latest = max(query.due_before, query.overdue_before)
    clauses = [_until("dueDate", latest), _terms("taskType", query.task_types), any_of([soon, everyone])]
    after = None if query.after is None else list(query.after)
    return _hits(all_of(clauses), [{"dueDate": "asc"}, _BY_ID], query.limit, after)


def _share(types: frozenset[str], partitions: frozenset[int], query: DueQuery) -> Json:
    whole = len(partitions) == PARTITIONS
    within = exists("partition") if whole else _terms("partition", partitions)
    return within if types >= query.task_types else all_of([within, _terms("taskType", types)])


def owned(query: OwnedQuery) -> Json:
    """
    Return the search for tasks that name an owner, by id.
    """
    others = [_in_quarantine()]
    if query.except_incarnations:
        others.append(_terms("ownerIncarnation", query.except_incarnations))
    wanted = {"bool": {"filter": [exists("lockOwner")], "must_not": others}}
    return _hits(wanted, [_BY_ID], query.limit, None if query.after is None else [query.after])


def waiting(*, on: str | None, limit: int, after: str | None) -> Json:
    """
    Return the search for enabled tasks that wait, by id.
    """
    clauses = [_term("status", TaskStatus.WAITING), _term("enabled", True)]
    if on is not None:
        clauses.append(_term("waitingOnTasks", on))
    wanted = {"bool": {"filter": clauses, "must_not": [_in_quarantine()]}}
    return _hits(wanted, [_BY_ID], limit, None if after is None else [after])


def unplaced(*, limit: int) -> Json:
    """
    Return the search for documents that others wrote, by id; without a type, no search for due work meets them.
    """
    missing = [none_of([exists("partition")]), none_of([exists("taskType")]), _term("taskType", "")]
    wanted = {"bool": {"filter": [any_of(missing)], "must_not": [_in_quarantine()]}}
    return _hits(wanted, [_BY_ID], limit)


def purgeable(*, before: int, limit: int) -> Json:
    """
    Return the search for tasks that may be removed, by id.
    """
    old = all_of([_term("status", TaskStatus.COMPLETED), _until("lastExecutionDate", before)])
    reasons = any_of([old, _term("deleteRequested", True)])
    wanted = {"bool": {"filter": [reasons], "must_not": [exists("lockOwner"), _in_quarantine()]}}
    return _hits(wanted, [_BY_ID], limit)


def ended(query: EndedQuery) -> Json:
    """
    Return the search for tasks that were executed since a moment, by that moment, then id.
    """
    late = {"range": {"lastExecutionDate": {"gte": query.since}}}
    wanted = {"bool": {"filter": [late], "must_not": [_in_quarantine()]}}
    after = None if query.after is None else list(query.after)
    return _hits(wanted, [{"lastExecutionDate": "asc"}, _BY_ID], query.limit, after)


def changed(number: int, skip: list[int], *, limit: int) -> Json:
    """
    Return the search for what was written behind a number of one shard, but not under one of `skip`, in that order.
    """
    kept_out = [_in_quarantine(), *([{"terms": {"_seq_no": skip}}] if skip else [])]
    wanted = {"bool": {"filter": [{"range": {"_seq_no": {"gt": number}}}], "must_not": kept_out}}
    return _hits(wanted, [{"_seq_no": "asc"}], limit)


def everything() -> Json:
    """
    Return the search for all documents of a small index.
    """
    return {"query": {"match_all": {}}, "size": WINDOW, "seq_no_primary_term": True, "track_total_hits": False}


def taken() -> Json:
    """
    Return the search for the slots that are taken.
    """
    return everything() | {"query": all_of([exists("claimId")])}


def notes(kind: str) -> Json:
    """
    Return the search for the notes of a kind.
    """
    return everything() | {"query": {"term": {"kind": kind}}}


def quarantined(*, limit: int) -> Json:
    """
    Return the search for the first documents in quarantine, and how many there are.
    """
    return {"query": _in_quarantine(), "size": limit, "_source": ["quarantineReason"], "track_total_hits": True}


def overdue(*, before: int, types: int) -> Json:
    """
    Return the search that counts by type the tasks that were due at a moment and that nobody claimed.
    """
    counts = {"types": {"terms": {"field": "taskType", "size": types}}}
    late = {"range": {"dueDate": {"gte": ALWAYS_DUE, "lte": before}}}
    return {"query": late, "size": 0, "track_total_hits": False, "aggs": counts}


def counted() -> Json:
    """
    Return the search that counts the listed tasks by type and status.
    """
    types = {"terms": {"field": "taskType", "size": MOST_TYPES}, "aggs": {"states": {"terms": {"field": "status"}}}}
    wanted = none_of([_in_quarantine(), exists("allNodesOf")])
    return {"query": wanted, "size": 0, "track_total_hits": False, "aggs": {"types": types}}


def sorted_by(query: TaskQuery) -> str:
    """
    Return the field that a list is sorted by.

    Raises:
        InvalidTask: there is no such order.
    """
    if query.sort_by not in _SORTED_BY:
        raise InvalidTask(f"tasks cannot be sorted by {query.sort_by!r}; these can be: {', '.join(_SORTED_BY)}")
    return _SORTED_BY[query.sort_by]


def limit_of(query: TaskQuery) -> int:
    """
    Return how many tasks a page has at most.

    Raises:
        InvalidTask: the page begins before the list, or is too long.
    """
    if query.offset < 0 or query.limit > LIST_CAP:
        raise InvalidTask(
            f"Invalid page: expected an offset of 0 or more and a limit of at most {LIST_CAP:,}, "
            f"got {query.offset} and {query.limit}"
        )
    return LIST_CAP if query.limit < 0 else query.limit


def within_window(query: TaskQuery) -> bool:
    """
    Tell whether one search can answer a page.
    """
    return query.offset + limit_of(query) <= WINDOW


def listed(query: TaskQuery) -> Json:
    """
    Return the query for what a list shows.
    """
    clauses = [_term("status", query.status)] if query.status is not None else []
    clauses += [_term("taskType", query.task_type)] if query.task_type is not None else []
    kept_out = [_in_quarantine()]
    if query.record_of is not None:
        clauses.append(_term("allNodesOf", query.record_of))
    elif query.records is Records.ONLY:
        clauses.append(exists("allNodesOf"))
    elif query.records is Records.HIDDEN:
        kept_out.append(exists("allNodesOf"))
    return {"bool": {"filter": clauses, "must_not": kept_out}}


def page(query: TaskQuery) -> Json:
    """
    Return the search for one page of a list, which lies within the server's window.

    Raises:
        InvalidTask: there is no such order, or the page is too long.
    """
    body = page_of(query, listed(query), limit=limit_of(query))
    return body | {"from": query.offset, "track_total_hits": True}


def page_of(query: TaskQuery, wanted: Json, *, limit: int) -> Json:
    """
    Return the search for the first documents of a query in the order of a list.
    """
    return {
        "query": wanted,
        "sort": _order(query),
        "size": limit,
        "seq_no_primary_term": True,
        "track_total_hits": False,
    }


def _order(query: TaskQuery) -> list[Json]:
    field = sorted_by(query)
    order, missing = ("desc", "_last") if query.descending else ("asc", "_first")
    first = {field: {"order": order, "missing": missing}}
    return [first] if field == "itemId" else [first, _BY_ID]
