"""
Import from an index of Apache Unomi: one snapshot of it is read twice, first to decide, then to copy.

Every task is created create-only and says where it came from, so an import can be repeated at any time. What waits for
other tasks is created last: a node that is up already must not find its dependencies missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import ConfigurationError, InvalidTask, SchedulerError, StoreUnavailable
from ...model import Task, TaskStatus
from ...ports import Action, Outcome, Result, Write
from ...rules.adoption import ORIGIN
from ...rules.takeover import Entry, Plan, entry_of, plan, shows_life, taken_over
from ...rules.validation import validate
from ..options import ElasticsearchOptions
from ..reading import decode_task
from ..takeover import ImportReport, OriginAlive, Refused, Renamed, SourceMissing
from . import mapping
from .connection import Connection
from .indices import Indices
from .mapping import Kind
from .snapshot import Snapshot
from .store import ElasticsearchStore

PAGE = 500
_SENDS = 3
_SHOWN = 5
_INDEX_NAME = re.compile(r"[a-z0-9][^*?,/\\\"<>| #:A-Z]*")


class _Found(NamedTuple):
    """
    One document of the source: its `_id`, where it stands, and its task or why it is none.
    """

    document_id: str
    origin: str
    task: Task | None
    reason: str = ""


class Import:
    """
    One import into the indices of a prefix.
    """

    def __init__(self, url: str, prefix: str, options: ElasticsearchOptions, *, source: str) -> None:
        self._connection = Connection(url, options, timeout=options.request_timeout)
        self._indices = Indices(prefix, options)
        self._store = ElasticsearchStore(self._connection, self._indices, url=url, options=options)
        self._source = source
        self._dry_run = False
        self._plan = Plan()
        self._now = 0
        self._there = False
        self._documents = self._copied = self._crashed = self._kept = 0
        self._occupied: list[Renamed] = []
        self._renamed: list[Renamed] = []
        self._refused: list[Refused] = []

    def close(self) -> None:
        """
        Close the connections.
        """
        self._store.close()

    def run(self, *, dry_run: bool, force: bool) -> ImportReport:
        """
        Read, decide, copy, and return what was done; once. It raises as `import_tasks` does.
        """
        self._dry_run = dry_run
        self._check_source()
        self._check_target()
        self._now = self._store.clock()
        with Snapshot(self._connection, self._source, page=PAGE) as snapshot:
            self._survey(snapshot, force=force)
            if not dry_run:
                self._store.open()
            self._copy(snapshot)
        return self._report()

    def _report(self) -> ImportReport:
        return ImportReport(
            source=self._source,
            target=self._indices.alias(Kind.TASK),
            dry_run=self._dry_run,
            documents=self._documents,
            copied=self._copied,
            crashed=self._crashed,
            kept=self._kept,
            occupied=tuple(self._occupied),
            renamed=tuple(self._renamed),
            folded=tuple(Renamed(*one) for one in sorted(self._plan.folded.items())),
            refused=tuple(self._refused),
        )

    # --- before anything is written

    def _check_source(self) -> None:
        if not _INDEX_NAME.fullmatch(self._source):
            raise ConfigurationError(f"not the name of an index: {self._source!r}; expected one name, no pattern")
        answer = self._connection.read("GET", f"/{self._source}", ignore_unavailable="true")
        if not answer:
            raise SourceMissing(f"there is no index {self._source} to import from")
        for name, shown in answer.items():
            if mapping.version_of(shown.get("mappings") or {}) is not None:
                raise ConfigurationError(f"{name} is an index of this scheduler already; nothing is to be imported")

    def _check_target(self) -> None:
        try:
            found = self._indices.describe(Kind.TASK, self._connection)
        except ConfigurationError as error:
            raise ConfigurationError(f"nothing can be imported into this prefix: {error}") from error
        self._there = found is not None

    def _survey(self, snapshot: Snapshot, *, force: bool) -> None:
        entries: list[Entry] = []
        alive: list[tuple[str, Task]] = []
        for page in snapshot.pages():
            for one in map(_found, page):
                if one.task is not None:
                    entries.append(entry_of(one.document_id, one.task))
                    alive += [(one.document_id, one.task)] if shows_life(one.task, now=self._now) else []
        if alive and not force:
            raise OriginAlive(_still_alive(self._source, alive))
        self._plan = plan(entries)

    # --- copying

    def _copy(self, snapshot: Snapshot) -> None:
        waiting: list[_Found] = []
        for hits in snapshot.pages():
            page = [_found(hit) for hit in hits]
            self._documents += len(page)
            self._refused += [Refused(one.document_id, one.reason) for one in page if one.task is None]
            mine = [one for one in page if one.task is not None and one.document_id not in self._plan.folded]
            waiting += [one for one in mine if _waits(one)]
            self._create([one for one in mine if not _waits(one)])
        for start in range(0, len(waiting), PAGE):
            self._create(waiting[start : start + PAGE])

    def _create(self, page: Sequence[_Found]) -> None:
        made: dict[str, tuple[_Found, Task]] = {}
        for one in page:
            task = self._made(one)
            if task is None:
                continue
            if task.id in made:
                self._refused.append(Refused(one.document_id, f"another document becomes the task {task.id} too"))
                continue
            made[task.id] = (one, task)
        present = self._absent_or_kept([task for _, task in made.values()])
        for task_id, (one, task) in made.items():
            self._count(one, task, present[task_id])

    def _made(self, one: _Found) -> Task | None:
        if one.task is None:
            return None
        try:
            task = taken_over(one.document_id, one.task, self._plan, origin=one.origin, now=self._now)
            validate(task)
        except SchedulerError as error:
            self._refused.append(Refused(one.document_id, str(error)))
            return None
        return task

    def _count(self, one: _Found, task: Task, outcome: Task | InvalidTask | None) -> None:
        """
        Count one document: created (None), there already (the task there), or refused by the store.
        """
        if isinstance(outcome, InvalidTask):
            self._refused.append(Refused(one.document_id, str(outcome)))
            return
        if outcome is not None:
            self._kept += 1
            if _document_of(outcome) != one.document_id:
                self._occupied.append(Renamed(one.document_id, task.id))
            return
        self._copied += 1
        self._crashed += bool(one.task and one.task.status is TaskStatus.RUNNING)
        if one.task and one.task.id != task.id:
            self._renamed.append(Renamed(one.document_id, task.id))

    def _absent_or_kept(self, tasks: Sequence[Task]) -> dict[str, Task | InvalidTask | None]:
        """
        Create what is not there; return by id None for what was created, else what is there, or why it cannot be.
        """
        if self._dry_run:
            return self._present(tasks) if self._there else dict.fromkeys((task.id for task in tasks), None)
        done: dict[str, Task | InvalidTask | None] = {}
        left, doubtful = list(tasks), set[str]()
        outcome = Outcome(Result.WRITTEN)
        for _ in range(_SENDS):
            conflicts, again = [], []
            for task, outcome in zip(left, self._store.write([Write(Action.CREATE, one) for one in left]), strict=True):
                if outcome.result is Result.WRITTEN:
                    done[task.id] = None
                elif outcome.result is Result.CONFLICT:
                    conflicts.append(task)
                elif isinstance(outcome.error, InvalidTask):
                    done[task.id] = outcome.error
                else:
                    again.append((task, outcome))
            done |= self._kept_or_ours(conflicts, doubtful)
            if not again:
                return done
            left, outcome = [task for task, _ in again], again[0][1]
            doubtful |= {task.id for task, one in again if one.result is Result.UNKNOWN}
        raise _broken_off(outcome, copied=self._copied + sum(one is None for one in done.values()))

    def _kept_or_ours(self, tasks: Sequence[Task], doubtful: set[str]) -> dict[str, Task | InvalidTask | None]:
        present = self._present(tasks)
        for task in tasks:
            there = present[task.id]
            # The answer to our own creation was lost, and it was done.
            if task.id in doubtful and isinstance(there, Task) and there.extra.get(ORIGIN) == task.extra.get(ORIGIN):
                present[task.id] = None
        return present

    def _present(self, tasks: Sequence[Task]) -> dict[str, Task | InvalidTask | None]:
        found = self._store.tasks([task.id for task in tasks])
        present: dict[str, Task | InvalidTask | None] = {}
        for task, one in zip(tasks, found, strict=True):
            if one is None or isinstance(one.record, Task):
                present[task.id] = one and one.record
            else:
                present[task.id] = InvalidTask(f"a document that is no task has the id {task.id}: {one.record.reason}")
        return present


def _found(hit: Any) -> _Found:
    origin = f"{hit['_index']}/{hit['_id']}"
    try:
        return _Found(hit["_id"], origin, decode_task(hit.get("_source") or {}))
    except InvalidTask as error:
        return _Found(hit["_id"], origin, None, str(error))


def _waits(one: _Found) -> bool:
    return one.task is not None and one.task.status is TaskStatus.WAITING


def _document_of(task: Task) -> str:
    # The same document counts as the same in a copy of its index.
    return str(task.extra.get(ORIGIN)).partition("/")[2]


def _still_alive(source: str, alive: Sequence[tuple[str, Task]]) -> str:
    shown = ", ".join(f"{document_id} of node {task.lock_owner}" for document_id, task in alive[:_SHOWN])
    more = f" and {len(alive) - _SHOWN} more" if len(alive) > _SHOWN else ""
    return (
        f"the Apache Unomi of {source} seems to be alive: it holds fresh locks ({shown}{more}). Stop it, wait until "
        "its lock time-out is over (10 s unless it was changed) and repeat; or, if it surely has stopped, use --force"
    )


def _broken_off(outcome: Outcome, *, copied: int) -> SchedulerError:
    if isinstance(outcome.error, ConfigurationError):
        return outcome.error
    return StoreUnavailable(
        f"the import was broken off after {copied} tasks: {outcome.error}; repeat it, it goes on where it stopped"
    )
