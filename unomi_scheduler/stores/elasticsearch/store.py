"""
The port's verbs on Elasticsearch.
"""
# ruff: noqa: D102 - the port's docstrings are the contract, an adapter does not repeat it

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from ...errors import ConfigurationError, SchedulerError, StoreRefused, StoreUnavailable
from ...model import Activity, AuditRow, Heartbeat, HistoryRow, Malformed, Note, Page, Slot, Stored, Task, TypeSummary
from ...ports import (
    Action,
    AuditQuery,
    Changes,
    DueQuery,
    EndedQuery,
    Found,
    HistoryQuery,
    Mark,
    Outcome,
    OwnedQuery,
    Position,
    Result,
    StoreReport,
    TaskQuery,
    Write,
)
from ..options import ElasticsearchOptions
from ..reading import listed
from ..summing import active, summed
from . import answers, bulk, changes, deep, doctor, queries
from .audit import Audit
from .bulk import Operation
from .connection import Connection, out_of_reach
from .history import History
from .indices import Indices
from .mapping import Kind

R = TypeVar("R")
_PREFIX = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_READ_AT_ONCE = 2_000
_LANE_CONNECTIONS = 2
_NOT_WRITABLE = Outcome(
    Result.REFUSED,
    error=ConfigurationError("the index has lost its alias for writes: start the scheduler again, which makes it"),
)


class ElasticsearchStore:
    """
    Tasks, heartbeats, slots and notes in one Elasticsearch cluster.
    """

    def __init__(self, connection: Connection, indices: Indices, *, url: str, options: ElasticsearchOptions) -> None:
        self._connection = connection
        self._indices = indices
        self._history = History(indices.prefix, options)
        self._audit = Audit(indices.prefix, options)
        self._url = url
        self._options = options

    @classmethod
    def from_url(cls, url: str, *, index_prefix: str, options: ElasticsearchOptions) -> ElasticsearchStore:
        """
        Return the store at `http(s)://[user:password@]host:port[,host:port…]`; nothing is asked before `open`.

        Raises:
            ConfigurationError: the address or the prefix cannot be one.
        """
        if not _PREFIX.fullmatch(index_prefix):
            raise ConfigurationError(f"not an index prefix: {index_prefix!r}; expected a-z, 0-9, '.', '_' or '-'")
        connection = Connection(url, options, timeout=options.request_timeout)
        return cls(connection, Indices(index_prefix, options), url=url, options=options)

    def open(self) -> None:
        try:
            for kind in Kind:
                self._indices.ensure(kind, self._connection)
        except StoreUnavailable as error:
            raise StoreUnavailable(out_of_reach(self._connection.hosts, error)) from error
        except ConfigurationError as error:
            raise type(error)(f"Elasticsearch at {', '.join(self._connection.hosts)}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def lane(self, timeout: float) -> ElasticsearchStore:
        connection = Connection(self._url, self._options, timeout=timeout, size=_LANE_CONNECTIONS)
        return ElasticsearchStore(connection, self._indices, url=self._url, options=self._options)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        bulk.check(writes)
        outcomes: dict[int, Outcome] = {}
        self._send(self._operations(enumerate(writes), outcomes), outcomes)
        homeless = [
            (place, write)
            for place, write in enumerate(writes)
            if write.action is Action.CREATE and outcomes[place].result is Result.MISSING
        ]
        if homeless:
            self._create_again(homeless, outcomes)
        return [outcomes[place] for place in range(len(writes))]

    def _operations(self, writes: Any, outcomes: dict[int, Outcome]) -> list[Operation]:
        operations = []
        for place, write in writes:
            try:
                refused = bulk.refusal_of(write)
                if refused is None:
                    operations.append(bulk.operation(place, write, self._index_for(write)))
                else:
                    outcomes[place] = refused
            except StoreUnavailable as error:
                # Only the name of the index was asked for: nothing of the write was sent.
                outcomes[place] = Outcome(Result.REFUSED, error=StoreRefused(str(error)))
            except SchedulerError as error:
                outcomes[place] = Outcome(Result.REFUSED, error=error)
        return operations

    def _index_for(self, write: Write) -> str:
        if write.condition is not None:
            return write.condition.index
        return self._indices.current(bulk.kind_of(write.record), self._connection)

    def _send(self, operations: Sequence[Operation], outcomes: dict[int, Outcome]) -> None:
        lost: Outcome | None = None
        for part in bulk.parts(operations):
            answer = lost or self._connection.bulk(bulk.body(part))
            if not isinstance(answer, Outcome):
                outcomes.update(zip((one.place for one in part), answers.outcomes(answer, part), strict=True))
                continue
            outcomes.update((one.place, answer) for one in part)
            if isinstance(answer.error, StoreUnavailable):
                lost = Outcome(
                    Result.REFUSED, error=StoreRefused(f"not sent, as the request before it failed: {answer.error}")
                )

    def _create_again(self, homeless: Sequence[tuple[int, Write]], outcomes: dict[int, Outcome]) -> None:
        """
        Repeat creations that met no index, when another one stands behind the alias by now.
        """
        for kind in {bulk.kind_of(write.record) for _, write in homeless}:
            mine = [(place, write) for place, write in homeless if bulk.kind_of(write.record) is kind]
            try:
                self._indices.look_up(kind, self._connection)
            except SchedulerError as error:
                outcomes.update((place, Outcome(Result.REFUSED, error=error)) for place, _ in mine)
            else:
                self._send(self._operations(mine, outcomes), outcomes)
                outcomes.update((place, _NOT_WRITABLE) for place, _ in mine if outcomes[place].result is Result.MISSING)

    def tasks(self, ids: Sequence[str]) -> list[Stored[Task] | Stored[Malformed] | None]:
        found = self._read_by_id(Kind.TASK, ids)
        return [answers.stored_task(found[one]) if one in found else None for one in ids]

    def heartbeats(self, ids: Sequence[str] | None = None) -> list[Stored[Heartbeat]]:
        return self._few(Kind.NODE, ids, queries.everything(), answers.stored_heartbeat)

    def slots(self, ids: Sequence[str] | None = None) -> list[Stored[Slot]]:
        return self._few(Kind.SLOT, ids, queries.taken(), answers.stored_slot)

    def notes(self, kind: str, names: Sequence[str] | None = None) -> list[Stored[Note]]:
        ids = None if names is None else [f"{kind}:{name}" for name in names]
        found = self._few(Kind.NOTE, ids, queries.notes(kind), answers.stored_note)
        return sorted(found, key=lambda one: one.record.name) if ids is None else found

    def watched(
        self, heartbeats: Sequence[str], notes: Sequence[tuple[str, str]]
    ) -> list[Stored[Heartbeat] | Stored[Note]]:
        wanted = [(Kind.NODE, one) for one in heartbeats] + [(Kind.NOTE, f"{kind}:{name}") for kind, name in notes]
        if not wanted:
            return []
        body = {"docs": [{"_index": self._indices.alias(kind), "_id": one} for kind, one in wanted]}
        found: list[Stored[Heartbeat] | Stored[Note]] = []
        documents = self._connection.read("POST", "/_mget", body)["docs"]
        for (kind, _), document in zip(wanted, documents, strict=True):
            if "error" in document and kind is Kind.NODE:
                raise answers.read_error(document)
            read = answers.stored_heartbeat if kind is Kind.NODE else answers.stored_note
            one = read(document) if document.get("found") else None
            if one is not None:
                found.append(one)
        return found

    def _few(
        self, kind: Kind, ids: Sequence[str] | None, search: Any, read: Callable[[Any], Stored[R] | None]
    ) -> list[Stored[R]]:
        hits = self._hits(kind, search) if ids is None else list(self._read_by_id(kind, ids).values())
        return [one for one in map(read, hits) if one is not None]

    def _read_by_id(self, kind: Kind, ids: Sequence[str]) -> Mapping[str, Any]:
        wanted = [one for one in dict.fromkeys(ids) if one]
        found: dict[str, Any] = {}
        for start in range(0, len(wanted), _READ_AT_ONCE):
            body = {"ids": wanted[start : start + _READ_AT_ONCE]}
            answer = self._connection.read("POST", f"/{self._indices.alias(kind)}/_mget", body)
            for document in answer["docs"]:
                if "error" in document:
                    raise answers.read_error(document)
                if document["found"]:
                    found[document["_id"]] = document
        return found

    def find_due(self, query: DueQuery) -> Found:
        if not query.task_types or query.limit < 1:
            return Found()
        return self._find(queries.due(query), query.limit)

    def find_owned(self, query: OwnedQuery) -> Found:
        return self._find(queries.owned(query), query.limit)

    def find_waiting(self, *, on: str | None, limit: int, after: str | None = None) -> Found:
        return self._find(queries.waiting(on=on, limit=limit, after=after), limit)

    def find_unplaced(self, *, limit: int) -> Found:
        return self._find(queries.unplaced(limit=limit), limit)

    def find_purgeable(self, *, before: int, limit: int) -> Found:
        return self._find(queries.purgeable(before=before, limit=limit), limit)

    def find_ended(self, query: EndedQuery) -> Found:
        return self._find(queries.ended(query), query.limit)

    def position(self) -> Position:
        return changes.position(self._indices, self._connection)

    def knows(self, position: Position) -> bool:
        return changes.knows(position, self._indices, self._connection)

    def changes(self, since: Position, *, skip: Collection[Mark] = (), limit: int) -> Changes | None:
        return changes.since(since, self._connection, skip=skip, limit=limit)

    def add_history(self, rows: Sequence[HistoryRow]) -> list[Outcome]:
        return self._history.add(rows, self._connection)

    def history(self, query: HistoryQuery) -> Page[HistoryRow]:
        return self._history.page(query, self._connection)

    def drop_history(self, *, before: int) -> int:
        return self._history.drop(before=before, connection=self._connection)

    def add_audit(self, rows: Sequence[AuditRow]) -> list[Outcome]:
        return self._audit.add(rows, self._connection)

    def audit(self, query: AuditQuery) -> Page[AuditRow]:
        return self._audit.page(query, self._connection)

    def drop_audit(self, *, before: int) -> int:
        return self._audit.drop(before=before, connection=self._connection)

    def _find(self, body: Any, limit: int) -> Found:
        hits = self._hits(Kind.TASK, body)
        read = [answers.stored_task(hit) for hit in hits]
        return Found(
            tasks=tuple(one for one in read if answers.is_task(one)),
            malformed=tuple(one for one in read if answers.is_malformed(one)),
            after=answers.cursor(hits[-1]) if hits and len(hits) >= min(limit, queries.WINDOW) else None,
        )

    def _hits(self, kind: Kind, body: Any) -> list[Any]:
        return list(self._search(kind, body)["hits"])

    def _search(self, kind: Kind, body: Any) -> Any:
        return self._read_search(kind, body)["hits"]

    def _read_search(self, kind: Kind, body: Any) -> Any:
        # Half an answer would look like a whole one: a shard that fails fails the search.
        path = f"/{self._indices.alias(kind)}/_search"
        return self._connection.read("POST", path, body, allow_partial_search_results="false")

    def summaries(self, *, since: int) -> list[TypeSummary]:
        counted = self._read_search(Kind.TASK, queries.counted()).get("aggregations") or {}
        return summed(answers.counts(counted), self._history.runs(since=since, connection=self._connection))

    def activity(self, *, since: int, step: int) -> list[Activity]:
        stretches = self._history.stretches(since=since, step=step, connection=self._connection)
        return active(stretches, since=since, step=step)

    def find(self, query: TaskQuery) -> Page:
        hits, found = self._page(query)
        read = [listed(answers.stored_task(hit).record) for hit in hits]
        tasks = tuple(one for one in read if one is not None)
        total = found - (len(read) - len(tasks))
        return Page(list=tasks, offset=query.offset, page_size=query.limit, total_size=total)

    def _page(self, query: TaskQuery) -> tuple[list[Any], int]:
        if not queries.within_window(query):
            return deep.page(query, lambda body: self._read_search(Kind.TASK, body))
        found = self._search(Kind.TASK, queries.page(query))
        return found["hits"], found["total"]["value"]

    def refresh(self) -> None:
        names = ",".join([*(self._indices.alias(kind) for kind in Kind), self._history.pattern, self._audit.pattern])
        self._connection.read("POST", f"/{names}/_refresh")

    def clock(self) -> int:
        answer = self._connection.read("GET", "/_nodes/_local/stats/os", filter_path="nodes.*.timestamp")
        told = next(iter((answer.get("nodes") or {}).values()), None)
        if told is None:
            raise ConfigurationError("the server does not tell its clock")
        return int(told["timestamp"])

    def defects(self) -> tuple[str, ...]:
        return doctor.defects(self._connection, self._indices)

    def check(self) -> StoreReport:
        return doctor.examine(self._connection, self._indices)
