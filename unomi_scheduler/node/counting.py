"""
Counting: what the end of a run adds to the metrics, for stored tasks and memory tasks alike.
"""

from __future__ import annotations

from ..metrics import Metric, Outcome
from ..model import Task, TaskStatus
from .board import Board
from .runs import Failed, NotStarted, RunEnded, Succeeded

GIVEN_BACK, INTERRUPTED = "tasks.given.back", "tasks.interrupted"


def tell_end(board: Board, event: RunEnded, *, claimed: Task, after: Task) -> None:
    """
    Tell of a failure that the run's task is tried again after.
    """
    if not isinstance(event.verdict, Failed) or not after.failure_count:
        return
    # Asked to run once more beside its schedule, it has no moment and is no retry.
    if after.status is TaskStatus.SCHEDULED and after.next_scheduled_execution is not None:
        board.news.retried(claimed, after)


def count_end(board: Board, event: RunEnded, *, before: Task) -> None:
    """
    Count the end of a run after the write that made it true.

    Args:
        before: the task before its claim. A run that went on by itself after a crash counts as resumed; one that
            somebody asked for was counted then.
    """
    if isinstance(event.verdict, NotStarted):
        board.count(GIVEN_BACK)
        return
    if isinstance(event.verdict, Succeeded):
        board.count(Metric.COMPLETED)
        outcome = Outcome.SUCCEEDED
    elif isinstance(event.verdict, Failed):
        board.count(Metric.FAILED)
        outcome = Outcome.FAILED
    else:
        # It leaves its task CRASHED, and the task goes on from there.
        board.count(INTERRUPTED)
        board.count(Metric.CRASHED)
        outcome = Outcome.INTERRUPTED
    board.count(Metric.EXECUTION_TIME, event.duration)
    board.ran(before.task_type, outcome, event.duration)
    if event.resumed and before.status is TaskStatus.CRASHED:
        board.count(Metric.RESUMED)
