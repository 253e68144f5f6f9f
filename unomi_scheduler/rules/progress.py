"""
Progress: what a run reports while it goes on, merged into the document (P4).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..model import JsonObject, Task, evolve


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """
    What a run reported and the store does not have yet; None means unchanged.
    """

    step: str | None = None
    details: JsonObject = field(default_factory=dict)
    checkpoint: JsonObject | None = None

    def then(self, later: Progress) -> Progress:
        """
        Return both reports as one; the later wins.
        """
        return Progress(
            step=self.step if later.step is None else later.step,
            details={**self.details, **later.details},
            checkpoint=self.checkpoint if later.checkpoint is None else later.checkpoint,
        )


def progressed(task: Task, progress: Progress) -> Task:
    """
    Return the task with a report merged in; the status details are merged, the history is not touched.
    """
    return evolve(
        task,
        current_step=task.current_step if progress.step is None else progress.step,
        status_details={**task.status_details, **progress.details} if progress.details else task.status_details,
        checkpoint_data=task.checkpoint_data if progress.checkpoint is None else progress.checkpoint,
    )
