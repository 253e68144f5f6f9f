"""
What goes into the core (events) and comes out of it (commands), beside the messages about runs in `runs`.

The core never waits: a command that needs the store is answered later by an event that carries the same query or batch.
Where a node has to do with several stores, one after the other, `binding` is the number of the one that is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..clock import Instant
from ..errors import SchedulerError
from ..model import Heartbeat, HistoryRow, JsonObject, Note, Page, Slot, Stored, Task
from ..ports import DueQuery, EndedQuery, Found, Outcome, OwnedQuery, Write
from ..rules.orders import Order
from .nudging import Hint
from .runs import ExecutorInfo, ReportRefused, ReportStored, RunEnded, RunReported, StartRun, TellRun


@dataclass(frozen=True, slots=True)
class AskDue:
    """
    Search for due work.
    """

    query: DueQuery


@dataclass(frozen=True, slots=True)
class AskOwned:
    """
    Search for tasks that name an owner; `fresh` asks for a refresh before.
    """

    query: OwnedQuery
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class AskTasks:
    """
    Read tasks by id; the answer is a list in the same order.
    """

    ids: tuple[str, ...]
    purpose: str = "settle"


@dataclass(frozen=True, slots=True)
class AskHeartbeats:
    """
    Read heartbeats by document id, or search for all with None; and in the same request the inbox of this name, if one
    is given.
    """

    ids: tuple[str, ...] | None = None
    purpose: str = "watch"
    inbox: str | None = None


@dataclass(frozen=True, slots=True)
class AskInbox:
    """
    Read inboxes by name.
    """

    names: tuple[str, ...]
    purpose: str = "look"


@dataclass(frozen=True, slots=True)
class ShowMemory:
    """
    Write down these memory tasks for the others, in the notes of this heartbeat; the answer is the notes as they stand.

    `known` are those notes as they stood; None means that they have to be read.
    """

    name: str
    tasks: tuple[Task, ...]
    known: tuple[Stored[Note], ...] | None


@dataclass(frozen=True, slots=True)
class ForgetNotes:
    """
    Remove the notes of this heartbeat, which is over; the answer is empty.
    """

    name: str


@dataclass(frozen=True, slots=True)
class AskSlots:
    """
    Read slots by task type, or search for all that are taken with None; `fresh` asks for a refresh before.
    """

    types: tuple[str, ...] | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class AskUnplaced:
    """
    Search for documents that others wrote.
    """

    limit: int


@dataclass(frozen=True, slots=True)
class AskWaiting:
    """
    Search for tasks that wait for others, or for one of them; `fresh` asks for a refresh before.
    """

    limit: int
    after: str | None = None
    on: str | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class AskRecords:
    """
    Search for the run records of all-nodes tasks; the answer is a page.
    """


@dataclass(frozen=True, slots=True)
class AskEnded:
    """
    Search for tasks by their last execution; `fresh` asks for a refresh before.
    """

    query: EndedQuery
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class AskClock:
    """
    Read the store's clock.
    """


Query = (
    AskDue
    | AskOwned
    | AskTasks
    | AskHeartbeats
    | AskInbox
    | ShowMemory
    | ForgetNotes
    | AskSlots
    | AskUnplaced
    | AskWaiting
    | AskRecords
    | AskEnded
    | AskClock
)
Answer = Found | Page | Sequence[Stored[Task] | Stored[Heartbeat] | Stored[Slot] | Stored[Note] | object | None] | int


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Command: do these writes in one call.
    """

    number: int
    writes: tuple[Write, ...]
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Flush:
    """
    Command: add these rows to the history.
    """

    number: int
    rows: tuple[HistoryRow, ...]
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """
    Command: put this query to the store.
    """

    query: Query
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Tell:
    """
    Command: have other nodes told of these tasks, which were written here and are theirs to claim.
    """

    tasks: tuple[Stored[Task], ...]
    binding: int = 0


@dataclass(frozen=True, slots=True)
class SetTimer:
    """
    Command: fire `TimerFired` for a memory task at this wall-clock moment (epoch ms), instead of any earlier one;
    None clears it.
    """

    task_id: str
    at: int | None


@dataclass(frozen=True, slots=True)
class Recall:
    """
    Command: take back the tickets that no worker has begun; each ends as `NotStarted`. Those of memory tasks only with
    `memory`.
    """

    memory: bool = True


@dataclass(frozen=True, slots=True)
class Obey:
    """
    Command: do what this order says; `Obeyed` follows. The orders of a node are done one after the other.
    """

    order: Order
    binding: int = 0


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """
    Command: the time for leaving a store is over; `claims` are of bodies that have not returned. They keep its
    heartbeat.
    """

    claims: tuple[str, ...]
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """
    Command: nothing is left to do for a store: end its heartbeat. Not `settled`: it did not take every write or every
    row of the history, so the heartbeat's document must stay, for peers to recover what it stands for.
    """

    settled: bool
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Stopped:
    """
    Command: nothing is left to do; `leftover` are the claims whose bodies have not returned, `unsettled` the bindings
    whose store did not take every row of the history, so that the heartbeat's document must stay.
    """

    leftover: tuple[str, ...]
    unsettled: tuple[int, ...] = ()


Command = (
    Batch
    | Flush
    | Ask
    | Tell
    | StartRun
    | TellRun
    | ReportStored
    | ReportRefused
    | SetTimer
    | Recall
    | Obey
    | LeftBehind
    | Left
    | Stopped
)


@dataclass(frozen=True, slots=True)
class Committed:
    """
    Event: the outcomes of a batch, in its order.
    """

    number: int
    outcomes: Sequence[Outcome]
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Flushed:
    """
    Event: the outcomes of a flush, in its order.
    """

    number: int
    outcomes: Sequence[Outcome]
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """
    Event: the answer to a query, or the error instead of one, and when the query was sent.
    """

    query: Query
    sent: Instant
    answer: Answer | None = None
    error: SchedulerError | None = None
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Offered:
    """
    Event: this process changed a task, or scheduled it (`created`).
    """

    stored: Stored[Task]
    created: bool = False
    binding: int = 0


@dataclass(frozen=True, slots=True)
class ScheduledBefore:
    """
    Event: this process scheduled these definitions for all nodes before its node worked in their store; how they stand
    by now is to be read.
    """

    ids: tuple[str, ...]
    binding: int = 0


@dataclass(frozen=True, slots=True)
class Nudged:
    """
    Event: another node told of tasks that are due now or soon; with `more` there are others besides.
    """

    hints: tuple[Hint, ...]
    more: bool = False
    binding: int = 0


@dataclass(frozen=True, slots=True)
class ExecutorsChanged:
    """
    Event: the registered executors, by type.
    """

    executors: Mapping[str, ExecutorInfo]


@dataclass(frozen=True, slots=True)
class TimerFired:
    """
    Event: a memory task's timer.
    """

    task_id: str


@dataclass(frozen=True, slots=True)
class MemoryChanged:
    """
    Event: a memory task was put, changed or removed by the user.
    """

    task_id: str


@dataclass(frozen=True, slots=True)
class Rejoined:
    """
    Event: the node was fenced and goes on as a new incarnation.
    """

    incarnation: str
    binding: int = 0


@dataclass(frozen=True, slots=True)
class StoreBound:
    """
    Event: the node has joined a store as `incarnation`; `dead` are the marked heartbeats of those before it.
    """

    binding: int
    incarnation: str
    dead: tuple[Stored[Heartbeat], ...] = ()


@dataclass(frozen=True, slots=True)
class LeaveStore:
    """
    Event: claim nothing more in the store that is bound, and leave it; `LeftBehind` or `Left` follows by `deadline`
    (boot clock).
    """

    deadline: int


@dataclass(frozen=True, slots=True)
class ExecutorSet:
    """
    Event: the node runs tasks from now on, or nothing but what is for all nodes.
    """

    enabled: bool


@dataclass(frozen=True, slots=True)
class Obeyed:
    """
    Event: what became of an order.
    """

    order_id: str
    outcome: JsonObject
    binding: int = 0


@dataclass(frozen=True, slots=True)
class LookNow:
    """
    Event: look for crashed runs and due work at once.
    """


@dataclass(frozen=True, slots=True)
class StopRequested:
    """
    Event: claim nothing more and end. `deadline` is on the boot clock; what runs beyond it is told, and then, with
    `exiting`, marked as crashed because the process ends at once (P18).
    """

    deadline: int
    exiting: bool


Event = (
    Committed
    | Flushed
    | Answered
    | Offered
    | ScheduledBefore
    | Nudged
    | ExecutorsChanged
    | TimerFired
    | MemoryChanged
    | Rejoined
    | StoreBound
    | LeaveStore
    | ExecutorSet
    | Obeyed
    | LookNow
    | StopRequested
    | RunEnded
    | RunReported
)
