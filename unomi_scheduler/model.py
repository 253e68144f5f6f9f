"""
The vocabulary: what a task, a heartbeat, a slot and a page are.

Everything here is frozen and has no behaviour beyond its own values. Instants are epoch milliseconds (int), durations
are
milliseconds unless a unit stands beside them. A change is `dataclasses.replace`; a change of `status` goes through
`rules.lifecycle` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, Generic, NamedTuple

from typing_extensions import TypeVar

from .timestamps import to_iso

Json = Any
JsonObject = Mapping[str, Json]

PARTITIONS = 256
HISTORY_LIMIT = 10
EMPTY: JsonObject = {}


class TaskStatus(StrEnum):
    """
    The seven states of the contract; their edges are in `rules.lifecycle`.
    """

    SCHEDULED = "SCHEDULED"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"


class TimeUnit(StrEnum):
    """
    The units of the original (`java.util.concurrent.TimeUnit`).
    """

    NANOSECONDS = "NANOSECONDS"
    MICROSECONDS = "MICROSECONDS"
    MILLISECONDS = "MILLISECONDS"
    SECONDS = "SECONDS"
    MINUTES = "MINUTES"
    HOURS = "HOURS"
    DAYS = "DAYS"

    def to_millis(self, amount: int) -> int:
        """
        Return `amount` of this unit in whole milliseconds, cut as the original cuts.
        """
        return amount * _NANOS[self] // 1_000_000


_NANOS = {
    TimeUnit.NANOSECONDS: 1,
    TimeUnit.MICROSECONDS: 1_000,
    TimeUnit.MILLISECONDS: 1_000_000,
    TimeUnit.SECONDS: 1_000_000_000,
    TimeUnit.MINUTES: 60_000_000_000,
    TimeUnit.HOURS: 3_600_000_000_000,
    TimeUnit.DAYS: 86_400_000_000_000,
}


class DependencyPolicy(StrEnum):
    """
    What a dependent does when a dependency failed, was cancelled or was deleted.
    """

    FAIL = "FAIL"
    WAIT = "WAIT"
    RUN = "RUN"


@dataclass(frozen=True, kw_only=True, repr=False)
class Task:
    """
    One task document (contract section 1, and the fields of the protocol).

    `extra` keeps the fields of a document that we do not know; they are written back as they were read.
    `history_flushed` says how many entries of `history`, from the oldest, are known to have their row (P20).
    No slots: `evolve` copies the instance dictionary, thirty times quicker than a constructor of fifty arguments.
    """

    # Identity
    id: str
    task_type: str
    creation_date: int
    # Definition: what a user decides
    parameters: JsonObject = field(default_factory=dict)
    initial_delay: int = 0
    initial_delay_unit: TimeUnit = TimeUnit.MILLISECONDS
    period: int = 0
    time_unit: TimeUnit = TimeUnit.MILLISECONDS
    fixed_rate: bool = True
    one_shot: bool = False
    allow_parallel_execution: bool = True
    persistent: bool = True
    run_on_all_nodes: bool = False
    system_task: bool = False
    max_retries: int = 3
    retry_delay: int = 60_000
    max_crashes: int = 5
    keep_checkpoint: bool = False
    depends_on: tuple[str, ...] = ()
    dependency_policy: DependencyPolicy = DependencyPolicy.FAIL
    on_nodes: tuple[str, ...] = ()
    on_tags: tuple[str, ...] = ()
    enabled: bool = True
    # What a run record of an all-nodes task stands for: its definition, and when the period began
    all_nodes_of: str | None = None
    all_nodes_period: int | None = None
    # State: what runs and requests leave
    status: TaskStatus = TaskStatus.SCHEDULED
    status_details: JsonObject = field(default_factory=dict)
    history: tuple[JsonObject, ...] = ()
    history_flushed: int = 0
    current_step: str | None = None
    checkpoint_data: JsonObject | None = None
    next_scheduled_execution: int | None = None
    last_execution_date: int | None = None
    last_executed_by: str | None = None
    last_error: str | None = None
    failure_count: int = 0
    success_count: int = 0
    crash_count: int = 0
    waiting_for_task_type: str | None = None
    waiting_on_tasks: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    run_requests: int = 0
    run_requested_at: int | None = None
    resume_requested: bool = False
    delete_requested: bool = False
    # Ownership: who runs it (P2)
    lock_owner: str | None = None
    lock_date: int | None = None
    lock_lease_millis: int = 0
    executing_node_id: str | None = None
    owner_incarnation: str | None = None
    claim_id: str | None = None
    fence: int = 0
    extra: JsonObject = field(default_factory=dict)

    def __repr__(self) -> str:
        # The whole is the document; in a log line or an error nobody wants a thousand characters of defaults.
        due = self.next_scheduled_execution
        return (
            f"Task(id={self.id!r}, task_type={self.task_type!r}, status={self.status}, "
            f"next_scheduled_execution={None if due is None else _shown(due)})"
        )

    @property
    def period_millis(self) -> int:
        """
        The period in milliseconds; 0 means the task does not recur.
        """
        return self.time_unit.to_millis(self.period) if self.period else 0

    @property
    def initial_delay_millis(self) -> int:
        """
        The delay before the first run in milliseconds.
        """
        return self.initial_delay_unit.to_millis(self.initial_delay) if self.initial_delay else 0

    @property
    def periodic(self) -> bool:
        """
        Whether the task is armed again after a run.
        """
        return self.period > 0

    @property
    def exclusive(self) -> bool:
        """
        Whether at most one task of this type may run in the cluster (P15).
        """
        return not self.allow_parallel_execution

    @property
    def targeted(self) -> bool:
        """
        Whether only named nodes or tags may run it.
        """
        return bool(self.on_nodes or self.on_tags)

    @property
    def everywhere(self) -> bool:
        """
        Whether it is the definition of an all-nodes task: no node claims it, each runs it by a record of its own (P14).
        """
        return self.run_on_all_nodes and self.persistent and self.all_nodes_of is None


def _shown(moment: int) -> str:
    try:
        return to_iso(moment)
    except (OverflowError, TypeError, ValueError):
        return repr(moment)


TASK_FIELDS = frozenset(one.name for one in fields(Task))
_TASK_DEFAULTS = {one.name: one.default for one in fields(Task) if one.default is not MISSING}
_TASK_FACTORIES = {one.name: one.default_factory for one in fields(Task) if one.default_factory is not MISSING}


def evolve(task: Task, **changes: Any) -> Task:
    """
    Return a copy of the task with these fields changed.

    Raises:
        TypeError: a name is no field of a task.
    """
    return _make(task.__dict__, changes)


def task_from(values: Mapping[str, Any]) -> Task:
    """
    Return the task with these fields, the others at their defaults: `Task(**values)`, quicker.
    """
    return _make({**_TASK_DEFAULTS, **{name: make() for name, make in _TASK_FACTORIES.items()}}, values)


def _make(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Task:
    if not changes.keys() <= TASK_FIELDS:
        raise TypeError(f"no fields of a task: {', '.join(sorted(changes.keys() - TASK_FIELDS))}")
    made = object.__new__(Task)
    made.__dict__.update(base)
    made.__dict__.update(changes)
    return made


class Version(NamedTuple):
    """
    The version of one stored record: what a conditional write is conditional on.

    `index` is the identity of the concrete index or database, so that a version never fits a re-created one.
    """

    index: str  # type: ignore[assignment]  # the word everybody uses; nobody looks for an element of a version
    seq_no: int
    primary_term: int

    def newer_than(self, other: Version) -> bool:
        """
        Tell whether this version was written after `other` in the same index; another index counts as newer.
        """
        return self.index != other.index or (self.primary_term, self.seq_no) > (other.primary_term, other.seq_no)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """
    One incarnation of a node, as its peers see it (P6). Its document id is `<node_id>:<incarnation>`.

    `counter` grows with every attempt to write; `dead_by` is the mark of P8 (the node id that declared it dead).
    `history_since`: every run that this incarnation ended before that moment has its row in the history (P20); 0 where
    it is not said.
    """

    node_id: str
    incarnation: str
    counter: int
    lease_millis: int
    started_at: int
    beat_at: int
    executor_node: bool = True
    tags: tuple[str, ...] = ()
    task_types: tuple[str, ...] = ()
    address: str | None = None
    host: str = ""
    pid: int = 0
    version: str = ""
    busy: bool = False
    running: int = 0
    clock_offset: int = 0
    history_since: int = 0
    dead_by: str | None = None

    @property
    def id(self) -> str:
        """
        The id of the document.
        """
        return f"{self.node_id}:{self.incarnation}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """
    The right of one exclusive task type to run (P15); free while `claim_id` is None. Its document id is the task type.
    """

    task_type: str
    task_id: str | None = None
    claim_id: str | None = None
    owner: str | None = None
    incarnation: str | None = None
    since: int | None = None

    @property
    def id(self) -> str:
        """
        The id of the document.
        """
        return self.task_type


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """
    A small document that the cluster shares beside its tasks, such as a sign-in token or a list of a node's memory
    tasks: `name` among those of its `kind`, and `body`, any JSON object. Its document id is `<kind>:<name>`.

    A kind has no colon in it.
    """

    kind: str
    name: str
    body: JsonObject

    @property
    def id(self) -> str:
        """
        The id of the document.
        """
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Malformed:
    """
    A task document that cannot be read as a task: its id, why, and the document as it stands.

    Written back, it is the same document with `quarantineReason` set and without `dueDate`, so that no search for due
    work meets it again.
    """

    id: str
    reason: str
    document: JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Misplaced(Malformed):
    """
    A good task in a document that has another id than the task: as Apache Unomi keeps it, `<tenant>_<itemId>`.

    It is read and listed; it is never written, so that no two documents can be one task. A node moves it to its id.
    """

    task: Task


Record = Task | Heartbeat | Slot | Note | Malformed
R_co = TypeVar("R_co", covariant=True)


class Stored(NamedTuple, Generic[R_co]):
    """
    A record and the version it was read or written at.
    """

    record: R_co
    version: Version


class HistoryRow(NamedTuple):
    """
    One entry of a task's history, as it is kept outside the task document (P20). Instants are epoch milliseconds.

    A run has one row, of the kind SUCCESS, FAILED, CRASHED or CANCELLED; what people do between runs (RETRIED, RESUMED,
    CANCELLED), and a failure for want of a dependency, have one without a claim. `start` and `duration` (ms) are None
    where nothing ran. `attempt` counts the tries since the last success. The owner and the recoverer are those of a
    crash. The row of a run record names its definition, and when its period began. `rules.history` says how the id is
    made: the same entry has the same id, whoever makes its row.
    """

    id: str
    task_id: str
    task_type: str
    status: str
    end: int
    claim_id: str | None = None
    fence: int | None = None
    node_id: str | None = None
    start: int | None = None
    duration: int | None = None
    attempt: int | None = None
    error: str | None = None
    previous_owner: str | None = None
    recovery_node: str | None = None
    all_nodes_of: str | None = None
    period: int | None = None


class AuditRow(NamedTuple):
    """
    One change that somebody asked for, as it ended, or an attempt that was refused. `at` is epoch milliseconds.

    `who` is the account or token, with `by_token` the token's id; `via` is REST or SHELL, `address` the peer's there
    and the machine's here. `status` is that of HTTP. What it was about is `task_id`, `node_id` or `token_id`;
    `parameters` is what was asked for, bounded and without secrets, `counts` what became of many tasks. `left_out` says
    how many rows of such refusals were not written before this one.
    """

    id: str
    at: int
    who: str
    action: str
    status: int
    via: str = "REST"
    by_token: str | None = None
    address: str | None = None
    task_id: str | None = None
    node_id: str | None = None
    token_id: str | None = None
    parameters: JsonObject | None = None
    counts: JsonObject | None = None
    left_out: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeSummary:
    """
    What there is of one task type: how many tasks in each state (states without any are left out), and how many runs
    ended within the time that was asked for, how many of them failed or crashed, how long they took together and the
    longest of them, in milliseconds.
    """

    task_type: str
    counts: Mapping[TaskStatus, int] = field(default_factory=dict)
    runs: int = 0
    failures: int = 0
    run_millis: int = 0
    longest_millis: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """
    The runs that ended within one stretch of time, which began at `start` (epoch ms): how many, how many of them failed
    or crashed, how long they took together and the longest of them, in milliseconds.
    """

    start: int
    runs: int = 0
    failures: int = 0
    run_millis: int = 0
    longest_millis: int = 0


Listed_co = TypeVar("Listed_co", covariant=True, default=Task)


class TotalRelation(StrEnum):
    """
    Whether `Page.total_size` is exact.
    """

    EQUAL = "EQUAL"
    AT_LEAST = "GREATER_THAN_OR_EQUAL_TO"


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[Listed_co]):
    """
    One page of tasks, or of what else is listed; `page_size` is the limit asked for, `total_size` counts every match.
    """

    list: tuple[Listed_co, ...]
    offset: int
    page_size: int
    total_size: int
    total_size_relation: TotalRelation = TotalRelation.EQUAL
