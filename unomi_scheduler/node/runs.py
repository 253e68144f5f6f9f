"""
What the core and the workers say to each other about one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from ..model import Task
from ..rules.outcomes import SHUTDOWN
from ..rules.progress import Progress


class Pool(Enum):
    """
    Where a run's body is executed; each pool has slots of its own.
    """

    TASKS = auto()
    """Worker threads, for sync functions and object executors."""
    LOOP = auto()
    """The event loop, for `async def`."""
    SYSTEM = auto()
    """Worker threads for system tasks, so that the node's own duties never wait for users' tasks."""

    # A member is a key several times a run; by identity it is one in C.
    __hash__ = object.__hash__


class Signal(Enum):
    """
    What a running body is told: its context says `cancelled`. All but STOPPING make its writes raise `LeaseLost`.
    """

    CANCELLED = "the task was cancelled"
    LEASE_LOST = "the node's lease ended"
    TAKEN = "the task was taken over, deleted or changed hands"
    STOPPING = "the node is stopping"


class Ticket(NamedTuple):
    """
    One run to start: the claimed task (its fence, claim id and checkpoint in it), where, whether it goes on from a
    crash, and since when it was due (epoch ms; 0 where no moment was set, as after a crash).
    """

    task: Task
    claim_id: str
    pool: Pool
    resumed: bool = False
    due: int = 0


@dataclass(frozen=True, slots=True)
class Succeeded:
    """
    The body ended well.
    """


@dataclass(frozen=True, slots=True)
class Failed:
    """
    The body raised, failed by its callback, or never called back.
    """

    error: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """
    The body gave up because it was told to (`LeaseLost`, cancelled, stopping): no success and no failure.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class NotStarted:
    """
    The body was never called: the lease had ended between the claim and the start, or the node was stopping.
    """


Verdict = Succeeded | Failed | Interrupted | NotStarted


def broken_off(verdict: Interrupted | NotStarted) -> str:
    """
    Return what a task says of a run that gave up: the reason, or the original's words where the node stops.
    """
    reason = verdict.reason if isinstance(verdict, Interrupted) else ""
    return SHUTDOWN if reason in ("", Signal.STOPPING.value) else reason


class RunEnded(NamedTuple):
    """
    A body has returned (or an object executor's callback came, or its time ran out). `duration` in ms; `resumed` when
    it went on from a crash.
    """

    claim_id: str
    verdict: Verdict
    duration: int
    resumed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunReported:
    """
    A body reported progress. With a `receipt` it waits for `ReportStored` or `ReportRefused` with the same number.
    """

    claim_id: str
    progress: Progress
    receipt: int | None = None


class StartRun(NamedTuple):
    """
    Command: start this run in its pool.
    """

    ticket: Ticket


@dataclass(frozen=True, kw_only=True, slots=True)
class TellRun:
    """
    Command: tell the run's context.
    """

    claim_id: str
    signal: Signal


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportStored:
    """
    Command: the store acknowledged the report with this receipt.
    """

    claim_id: str
    receipt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRefused:
    """
    Command: the report with this receipt will not be stored; `error` says why (`LeaseLost`, or the store refused the
    document).
    """

    claim_id: str
    receipt: int
    error: Exception


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorInfo:
    """
    What the core must know of a registered executor.
    """

    task_type: str
    pool: Pool
    resumable: bool = False
    """True when it may be able to resume; the workers ask `can_resume(task)` itself at the start."""
