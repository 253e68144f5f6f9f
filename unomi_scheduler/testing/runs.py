"""
Runs: what a manual node has run, as a test looks at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from ..model import Json, Task


class RunOutcome(StrEnum):
    """
    How one execution of a body ended.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The body raised, or failed by its callback."""
    INTERRUPTED = "interrupted"
    """The body gave up because it was told to: cancelled, its lease lost, or the node stopping."""
    UNFINISHED = "unfinished"
    """An object executor has returned and not called back yet."""
    DIED = "died"
    """The node died while the body ran (`ManualNode.crash`)."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """
    One execution of a body. `task` is the task as it was claimed for it; `scheduler.get_task(run.task_id)` is what
    became of it.

    `error` is the text that its history has, `exception` what the body raised.
    """

    task: Task = field(repr=False)
    task_id: str
    type: str
    outcome: RunOutcome
    error: str | None
    exception: BaseException | None = field(repr=False)
    resumed: bool
    at: datetime
    duration: timedelta

    @property
    def parameters(self) -> Mapping[str, Json]:
        """
        The parameters of the task.
        """
        return self.task.parameters
