"""
The ports: what the node asks of a store and of the code it runs. The docstrings are the contract; adapters do not
repeat it.

Every store verb may raise `StoreUnavailable` (no answer: a write's outcome is unknown) or `StoreRefused` (the store
answered no: nothing was done) or `ConfigurationError` (index missing, permission denied, not a database). `write`
alone gives these per item.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from .errors import SchedulerError
from .model import (
    Activity,
    AuditRow,
    Heartbeat,
    HistoryRow,
    Malformed,
    Note,
    Page,
    Record,
    Slot,
    Stored,
    Task,
    TaskStatus,
    TypeSummary,
    Version,
)


class Action(Enum):
    """
    What one write does to its document.
    """

    CREATE = "create"
    """Create-only: refused as CONFLICT when the id exists."""
    REPLACE = "replace"
    """Replace the whole document on condition of a version."""
    DELETE = "delete"
    """Remove the document on condition of a version."""


class Write(NamedTuple):
    """
    One conditional write of one document (P1). `condition` is None for CREATE and required otherwise.
    """

    action: Action
    record: Record
    condition: Version | None = None


class Result(Enum):
    """
    How one write ended.
    """

    WRITTEN = "written"
    """Acknowledged; `version` is the new one (of a deleted document: its last)."""
    CONFLICT = "conflict"
    """Not done: the document's version is another, or (CREATE) the id exists."""
    MISSING = "missing"
    """Not done: there is no such document (REPLACE, DELETE), or the index identity is another."""
    REFUSED = "refused"
    """Not done: overload, write block, full disk, a document the store does not take; `error` says which."""
    UNKNOWN = "unknown"
    """No answer: done, not done, or done later (P3)."""


class Outcome(NamedTuple):
    """
    The outcome of one write. `version` only with WRITTEN, `error` only with REFUSED and UNKNOWN.
    """

    result: Result
    version: Version | None = None
    error: SchedulerError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DueQuery:
    """
    What may become due for one node: enabled tasks of `task_types` whose due date is at or before a limit.

    A task matches when its type is in `task_types` and any of these holds:
    its due date <= `due_before`, it has no target, and its partition is in the type's share (`shares` maps a group of
    types to partitions);
    its due date <= `due_before` and it names `node_id` or one of `tags` as target;
    its due date <= `overdue_before` and it has no target (any partition, or none).
    The definition of an all-nodes task has the due date `EVERYWHERE_DUE`, so it is in the answer to every node that may
    run it, ahead of all else.
    `after` is the cursor of an earlier answer: only what sorts behind it.
    """

    node_id: str
    tags: tuple[str, ...]
    shares: tuple[tuple[frozenset[str], frozenset[int]], ...]
    task_types: frozenset[str]
    due_before: int
    overdue_before: int
    limit: int
    after: tuple[int, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnedQuery:
    """
    Tasks that name an owner (whatever their status), except those of the incarnations in `except_incarnations`.

    Sorted by id, behind `after`. Documents that are RUNNING and name an owner but no incarnation are included (P9).
    """

    except_incarnations: frozenset[str]
    limit: int
    after: str | None = None


class Records(Enum):
    """
    What a list does with the run records of all-nodes tasks.
    """

    HIDDEN = "hidden"
    SHOWN = "shown"
    """They stand among the other tasks."""
    ONLY = "only"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskQuery:
    """
    What a list shows: filters combine; `limit` -1 means all up to the store's cap (10,000).

    `records` says what becomes of run records; `record_of` leaves only those of one definition.
    `sort_by` is a Python field name of `SORT_FIELDS`; ties go by id; None sorts first ascending and last descending.
    """

    status: TaskStatus | None = None
    task_type: str | None = None
    offset: int = 0
    limit: int = 50
    sort_by: str = "creation_date"
    descending: bool = False
    records: Records = Records.HIDDEN
    record_of: str | None = None


SORT_FIELDS = (
    "creation_date",
    "last_execution_date",
    "next_scheduled_execution",
    "task_type",
    "status",
    "id",
    "failure_count",
    "success_count",
    "total_execution_count",
)
LIST_CAP = 10_000
MOST_TYPES = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class EndedQuery:
    """
    Tasks that were last executed at or after `since` (epoch ms), whatever their status, by that moment, then id.

    `after` is the cursor of an earlier answer: only what sorts behind it.
    """

    since: int
    limit: int
    after: tuple[int, str] | None = None


Mark = tuple[int, int]
"""Where a change stands: in which sequence of the store, and under which number there. A later one has a higher."""


class Position(NamedTuple):
    """
    A place in the changes of one store: in each of its sequences, the number behind which one goes on.

    `identity` is that of the concrete index or database, so that a position never fits a re-created one.
    """

    identity: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """
    What has changed behind a position, each task as it is now; `marks` are those of all that was looked at.

    `more` says that the answer was cut off; the rest is behind `position`. A removed task is not among the changes.
    Where `in_order` is false, a change may become visible after one with a higher number: who wants to miss none asks
    again from a position of some seconds ago, and skips the marks it has.
    """

    tasks: tuple[Stored[Task], ...]
    position: Position
    marks: frozenset[Mark] = frozenset()
    more: bool = False
    in_order: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryQuery:
    """
    The rows of one task that a list shows, and those of its run records, the newest end first; `limit` as in
    `TaskQuery`.
    """

    task_id: str
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditQuery:
    """
    The rows of the audit that a list shows, the newest first; filters combine, `limit` as in `TaskQuery`.
    """

    task_id: str | None = None
    who: str | None = None
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """
    Answer to a search: a hint (P12), as fresh as the store's last refresh.

    `after` is the cursor behind the last document looked at, or None when the search reached the end.
    """

    tasks: tuple[Stored[Task], ...] = ()
    malformed: tuple[Stored[Malformed], ...] = ()
    after: tuple[int, str] | str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreReport:
    """
    What `doctor` shows of a store: facts by name, and problems each with what to do.

    What a single store cannot judge stands beside them: its clock (epoch ms) at the look, the nodes that no peer
    declared dead, and by type how many tasks that can be claimed have been due for `OVERDUE` without a claim.
    `quarantined` counts the documents that are no tasks; the problems name some of them.
    """

    facts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    now: int | None = None
    nodes: tuple[Heartbeat, ...] = ()
    overdue: Mapping[str, int] = field(default_factory=dict)
    quarantined: int = 0


OVERDUE = 10_000
"""Milliseconds after which somebody should have claimed a due task."""


class TaskStore(Protocol):
    """
    Task, heartbeat, slot and note documents with conditional writes (P1, P5). Safe to call from several threads.
    """

    def open(self) -> None:
        """
        Make what is missing (index, table, mapping) and check the rest; harmless when repeated and when several
        processes do it at once.

        Raises:
            ConfigurationError: a person must act; the message says what to do.
        """
        ...

    def close(self) -> None:
        """
        Release connections and files; harmless when repeated.
        """
        ...

    def lane(self, timeout: float) -> TaskStore:
        """
        Return a store on the same data with connections of its own and this time-out in seconds (for heartbeats, P6).
        """
        ...

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """
        Do each write on its own condition; outcomes in the order of the writes. Never raises for a store's failure.

        At most one write a document in one call (ValueError). Nothing waits for a refresh.
        """
        ...

    def tasks(self, ids: Sequence[str]) -> list[Stored[Task] | Stored[Malformed] | None]:
        """
        Read tasks by id, in order, None where there is none: newer than any search, and still only a hint (P1).
        """
        ...

    def heartbeats(self, ids: Sequence[str] | None = None) -> list[Stored[Heartbeat]]:
        """
        Read heartbeats by document id (those that exist, realtime), or with None search for all (as fresh as a search).
        """
        ...

    def slots(self, ids: Sequence[str] | None = None) -> list[Stored[Slot]]:
        """
        Read slots by task type (those that exist, realtime), or with None search for all that are taken.
        """
        ...

    def notes(self, kind: str, names: Sequence[str] | None = None) -> list[Stored[Note]]:
        """
        Read notes of a kind by name (those that exist, realtime), or with None search for all of them (as fresh as a
        search, by name, at most 10,000).
        """
        ...

    def watched(
        self, heartbeats: Sequence[str], notes: Sequence[tuple[str, str]]
    ) -> list[Stored[Heartbeat] | Stored[Note]]:
        """
        Read heartbeats by document id, and notes by kind and name, in one request: those that exist, realtime. A note
        that cannot be read is left out: peers must be seen all the same.
        """
        ...

    def find_due(self, query: DueQuery) -> Found:
        """
        Search for due work, by due date then id. A document that is no task is in `malformed`, never an error.
        """
        ...

    def find_owned(self, query: OwnedQuery) -> Found:
        """
        Search for tasks that name an owner.
        """
        ...

    def find_waiting(self, *, on: str | None, limit: int, after: str | None = None) -> Found:
        """
        Search for enabled WAITING tasks (those that wait on task `on`, if given), sorted by id, behind `after`.
        """
        ...

    def find_unplaced(self, *, limit: int) -> Found:
        """
        Search for documents without a partition or without a task type that are not in quarantine: written by others,
        to be adopted by a write back.
        """
        ...

    def find_purgeable(self, *, before: int, limit: int) -> Found:
        """
        Search for COMPLETED tasks without an owner whose last execution was at or before `before` (epoch ms), and
        those marked for deletion without an owner.
        """
        ...

    def find_ended(self, query: EndedQuery) -> Found:
        """
        Search for tasks by their last execution: those whose run may have ended without its row (P20).
        """
        ...

    def position(self) -> Position:
        """
        Return where the changes from now on begin: each change acknowledged after this call is behind it.
        """
        ...

    def knows(self, position: Position) -> bool:
        """
        Tell whether a position is one of this very store, and not ahead of it (as after a backup was put back).
        """
        ...

    def changes(self, since: Position, *, skip: Collection[Mark] = (), limit: int) -> Changes | None:
        """
        Search for the tasks that were written behind a position and whose marks are not in `skip`, by their numbers:
        up to `limit` of each sequence. None when the position is another store's, or
        seen to be ahead of it.
        """
        ...

    def add_history(self, rows: Sequence[HistoryRow]) -> list[Outcome]:
        """
        Create each row unless there is one of its id, in order; no id twice in one call. Never raises for a failure.

        WRITTEN (without a version) says that the row is there, from this call or an earlier one.
        """
        ...

    def history(self, query: HistoryQuery) -> Page[HistoryRow]:
        """
        List the rows of a task, as fresh as a search; they outlive the task.
        """
        ...

    def drop_history(self, *, before: int) -> int:
        """
        Remove old rows and return how many: none that ended at `before` (epoch ms) or later, and of the older ones at
        least those of whole months (UTC) that are over by then.
        """
        ...

    def add_audit(self, rows: Sequence[AuditRow]) -> list[Outcome]:
        """
        Create each row unless there is one of its id and moment, in order; no id twice in one call. Never raises for a
        failure. WRITTEN (without a version) says that the row is there, from this call or an earlier one.
        """
        ...

    def audit(self, query: AuditQuery) -> Page[AuditRow]:
        """
        List rows of the audit, the newest first, as fresh as a search. No row is ever changed.

        Raises:
            InvalidTask: the page reaches behind the newest 10,000.
        """
        ...

    def drop_audit(self, *, before: int) -> int:
        """
        Remove old rows of the audit and return how many, as `drop_history` does by their moments.
        """
        ...

    def summaries(self, *, since: int) -> list[TypeSummary]:
        """
        Count the listed tasks by type and state, and the history's runs that ended at or after `since` (epoch ms).

        Run records are not counted, their runs are. A row that has a duration is a run. Types that only have runs come
        too; of more than `MOST_TYPES` those with the most tasks, and with the most runs.
        """
        ...

    def activity(self, *, since: int, step: int) -> list[Activity]:
        """
        Add up the history's runs that ended at or after `since` (epoch ms) by stretches of `step` milliseconds, the
        first of which begins at `since`; by time, without those in which none ended. A row that has a duration is a
        run.
        """
        ...

    def find(self, query: TaskQuery) -> Page:
        """
        List tasks; documents that are no tasks are left out of the list and of the total.
        """
        ...

    def refresh(self) -> None:
        """
        Make everything acknowledged so far visible to searches. For recovery and for people, not for the hot path.
        """
        ...

    def clock(self) -> int:
        """
        Return the store's clock in epoch ms (the embedded store: this machine's).

        Raises:
            ConfigurationError: the store has no way to tell it, or not this user.
        """
        ...

    def defects(self) -> tuple[str, ...]:
        """
        Return what is wrong with the index or the tables themselves, so that tasks cannot be kept there as they should,
        each with what to do: a part is missing, or of another version, or refuses writes. Few requests, no change.
        """
        ...

    def check(self) -> StoreReport:
        """
        Look at everything that can be wrong with this store, without changing anything. Never raises.
        """
        ...


class Callback(Protocol):
    """
    What an object executor reports by, from any thread; the first of `complete` and `fail` counts, later ones are
    ignored.
    """

    def update_step(self, step: str, details: Mapping[str, Any] | None = None) -> None:
        """
        Set the current step and merge `details` into the status details.
        """
        ...

    def update_status_details(self, details: Mapping[str, Any]) -> None:
        """
        Merge `details` into the status details.
        """
        ...

    def checkpoint(self, data: Mapping[str, Any]) -> None:
        """
        Replace the checkpoint; returns when the store acknowledged it.

        Raises:
            LeaseLost: this run does not own its task any more.
            InvalidTask: `data` is not JSON.
        """
        ...

    def complete(self) -> None:
        """
        End the run as a success.
        """
        ...

    def fail(self, error: str) -> None:
        """
        End the run as a failure with this text.
        """
        ...


class Executor(Protocol):
    """
    The original's executor: code for one task type.
    """

    @property
    def task_type(self) -> str:
        """
        The type this executor runs; not blank.
        """
        ...

    def execute(self, task: Task, callback: Callback) -> None:
        """
        Run the task; an exception is a failure. May return before it calls back (see `callback_timeout`).
        """
        ...

    def can_resume(self, task: Task) -> bool:
        """
        Tell whether `resume` can go on from the task's checkpoint.
        """
        ...

    def resume(self, task: Task, callback: Callback) -> None:
        """
        Go on with a crashed run from `task.checkpoint_data`.
        """
        ...
