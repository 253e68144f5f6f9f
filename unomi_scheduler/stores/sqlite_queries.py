"""
The searches of the SQLite store as SQL. Each names its index, so that a plan never depends on statistics.
"""

# What is put into a statement's text are names and numbers of this package; values are parameters.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ..model import TaskStatus
from ..ports import LIST_CAP, DueQuery, EndedQuery, OwnedQuery, Records, TaskQuery
from ..rules.readiness import ALWAYS_DUE
from .batches import Kind
from .fields import name_in, node_target, tag_target

# The identity comes with each row, from the same snapshot. Bodies come as bytes: they may be no UTF-8.
_ROW = "id, seq_no, CAST(body AS BLOB), (SELECT value FROM meta WHERE key = 'identity')"
_FIRST_ID = ""
_LARGEST_CHUNK = 512
_RANKS = " ".join(f"WHEN '{status}' THEN {rank}" for rank, status in enumerate(TaskStatus))
_SORTS = {
    "creation_date": "created",
    "last_execution_date": "last_execution",
    "next_scheduled_execution": "next_execution",
    "task_type": "task_type",
    "status": f"CASE status {_RANKS} END",
    "id": "id",
    "failure_count": "failures",
    "success_count": "successes",
    "total_execution_count": "failures + successes",
}


_LISTED = {
    Records.HIDDEN: "INDEXED BY tasks_listed WHERE quarantine IS NULL AND record_of IS NULL",
    Records.SHOWN: "WHERE quarantine IS NULL",
    Records.ONLY: "INDEXED BY tasks_records WHERE record_of IS NOT NULL AND quarantine IS NULL",
}


class Query(NamedTuple):
    """
    A statement and its parameters.
    """

    sql: str
    parameters: Sequence[Any] = ()


def rows_by_id(kind: Kind, ids: Sequence[str], columns: str = _ROW) -> list[Query]:
    """
    Return the queries for the rows of these ids, in chunks, padded so that few different statements exist.
    """
    chunks = [_padded(ids[start : start + _LARGEST_CHUNK]) for start in range(0, len(ids), _LARGEST_CHUNK)]
    return [Query(f"SELECT {columns} FROM {kind} WHERE id IN ({_marks(chunk)})", chunk) for chunk in chunks]


def _padded(ids: Sequence[str]) -> list[str]:
    size = 1 << (len(ids) - 1).bit_length()
    return [*ids, *[ids[-1]] * (size - len(ids))]


def all_rows(kind: Kind) -> Query:
    """
    Return the query for all documents of a kind, by id.
    """
    return Query(f"SELECT {_ROW} FROM {kind} ORDER BY id")


def due(query: DueQuery) -> Query:
    """
    Return the query of `find_due`; its rows end with the due date.
    """
    shared, shared_parameters = _shared(query)
    mine = [name_in(node_target(query.node_id)), *(name_in(tag_target(tag)) for tag in query.tags)]
    named = " OR ".join(["instr(targets, ?)"] * len(mine))
    after = query.after or (-(2**63), _FIRST_ID)
    sql = (
        f"SELECT {_ROW}, due FROM tasks INDEXED BY tasks_due"
        f" WHERE (due, id) > (?, ?) AND due <= ? AND task_type IN ({_marks(query.task_types)})"
        f" AND ((due <= ? AND targets IS NULL) OR (due <= ? AND ((targets IS NULL AND ({shared})) OR {named})))"
        " ORDER BY due, id LIMIT ?"
    )
    latest = max(query.due_before, query.overdue_before)
    limits = (query.overdue_before, query.due_before)
    return Query(sql, (*after, latest, *query.task_types, *limits, *shared_parameters, *mine, query.limit + 1))


def _shared(query: DueQuery) -> tuple[str, list[str]]:
    clauses = ["0"]
    parameters: list[str] = []
    for types, partitions in query.shares:
        # Numbers stand in the text: a share changes only when a node comes or goes.
        numbers = ",".join(str(number) for number in sorted(partitions))
        clauses.append(f"(partition IN ({numbers}) AND task_type IN ({_marks(types)}))")
        parameters.extend(types)
    return " OR ".join(clauses), parameters


def owned(query: OwnedQuery) -> Query:
    """
    Return the query of `find_owned`.
    """
    sql = (
        f"SELECT {_ROW} FROM tasks INDEXED BY tasks_owned WHERE owner IS NOT NULL AND id > ?"
        f" AND (incarnation IS NULL OR incarnation NOT IN ({_marks(query.except_incarnations)})) ORDER BY id LIMIT ?"
    )
    return Query(sql, (query.after or _FIRST_ID, *query.except_incarnations, query.limit + 1))


def waiting(*, on: str | None, limit: int, after: str | None) -> Query:
    """
    Return the query of `find_waiting`.
    """
    sql = f"SELECT {_ROW} FROM tasks INDEXED BY tasks_waiting WHERE waiting_on IS NOT NULL AND id > ?"
    sql += " AND instr(waiting_on, ?) ORDER BY id LIMIT ?"
    # Every list of names begins with a bracket.
    return Query(sql, (after or _FIRST_ID, "[" if on is None else name_in(on), limit + 1))


def unplaced(*, limit: int) -> Query:
    """
    Return the query of `find_unplaced`.
    """
    sql = (
        f"SELECT {_ROW} FROM tasks INDEXED BY tasks_unplaced"
        " WHERE partition IS NULL AND quarantine IS NULL ORDER BY id LIMIT ?"
    )
    return Query(sql, (limit + 1,))


def changed_since(number: int, *, limit: int) -> Query:
    """
    Return the query for what was written behind a number, in that order.
    """
    sql = (
        f"SELECT {_ROW} FROM tasks INDEXED BY tasks_changed"
        " WHERE quarantine IS NULL AND seq_no > ? ORDER BY seq_no LIMIT ?"
    )
    return Query(sql, (number, limit + 1))


def marked(*, limit: int) -> Query:
    """
    Return the query for what waits for its deletion.
    """
    sql = f"SELECT {_ROW} FROM tasks INDEXED BY tasks_deleting WHERE deleting = 1 AND owner IS NULL ORDER BY id LIMIT ?"
    return Query(sql, (limit + 1,))


def completed(*, before: int, limit: int) -> Query:
    """
    Return the query for old completed tasks that are not marked for deletion.
    """
    sql = (
        f"SELECT {_ROW} FROM tasks INDEXED BY tasks_completed WHERE status = 'COMPLETED' AND owner IS NULL"
        " AND last_execution <= ? AND deleting = 0 ORDER BY last_execution, id LIMIT ?"
    )
    return Query(sql, (before, limit + 1))


def ended(query: EndedQuery) -> Query:
    """
    Return the query of `find_ended`; its rows end with the last execution.

    It walks the indices of the lists and of the run records: it is asked only after a node's death, and an index of its
    own would cost each run.
    """
    late = "quarantine IS NULL AND last_execution >= ? AND (last_execution, id) > (?, ?)"
    sql = (
        f"SELECT {_ROW}, last_execution FROM tasks INDEXED BY tasks_listed WHERE record_of IS NULL AND {late} UNION ALL"
        f" SELECT {_ROW}, last_execution FROM tasks INDEXED BY tasks_records WHERE record_of IS NOT NULL AND {late}"
        " ORDER BY last_execution, id LIMIT ?"
    )
    bounds = (query.since, *(query.after or (query.since, _FIRST_ID)))
    return Query(sql, (*bounds, *bounds, query.limit + 1))


def quarantined(*, limit: int) -> Query:
    """
    Return the query for the first documents in quarantine: id and reason.
    """
    return Query("SELECT id, quarantine FROM tasks WHERE quarantine IS NOT NULL ORDER BY id LIMIT ?", (limit,))


def overdue(*, before: int) -> Query:
    """
    Return the query that counts by type the tasks that were due at a moment and that nobody claimed.
    """
    sql = "SELECT task_type, count(*) FROM tasks INDEXED BY tasks_due WHERE due BETWEEN ? AND ?"
    return Query(f"{sql} AND task_type IS NOT NULL GROUP BY task_type", (ALWAYS_DUE, before))


def counted() -> Query:
    """
    Return the query that counts the listed tasks by type and status.
    """
    return Query(f"SELECT task_type, status, count(*) FROM tasks {_LISTED[Records.HIDDEN]} GROUP BY 1, 2")


def listed_ids(query: TaskQuery) -> Query:
    """
    Return the query for the ids of one page of a list.
    """
    where, parameters = _filters(query)
    direction = "DESC" if query.descending else "ASC"
    limit = LIST_CAP if query.limit < 0 else min(query.limit, LIST_CAP)
    sql = f"SELECT id {where} ORDER BY {_SORTS[query.sort_by]} {direction}, id LIMIT ? OFFSET ?"
    return Query(sql, (*parameters, limit, query.offset))


def listed_count(query: TaskQuery) -> Query:
    """
    Return the query for the number of tasks of a list.
    """
    where, parameters = _filters(query)
    return Query(f"SELECT count(*) {where}", parameters)


def _filters(query: TaskQuery) -> tuple[str, list[str]]:
    where, parameters = f"FROM tasks {_LISTED[_records(query)]}", []
    for column, value in (("status", query.status), ("task_type", query.task_type), ("record_of", query.record_of)):
        if value is not None:
            where += f" AND {column} = ?"
            parameters.append(str(value))
    return where, parameters


def _records(query: TaskQuery) -> Records:
    return query.records if query.record_of is None else Records.ONLY


def _marks(values: Collection[object]) -> str:
    return ",".join("?" * len(values))
