"""
What the tasks of the scenarios do, wherever they run: in a thread of the test or in a process of their own.

A run's number, counted over all nodes by the journal, says which word of the task's `script` it follows; the last word
stands for all further runs.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unomi_scheduler import LeaseLost, Scheduler, TaskContext

SAMPLE = "sample"
RESUMABLE = "resumable"
LOOK_EVERY = 0.02


@dataclass(frozen=True, kw_only=True)
class Line:
    """
    One line of the journal; `at` in seconds, on a clock that the processes of a machine share.
    """

    event: str
    task: str
    node: str
    claim: str
    fence: int
    at: float
    resumed: bool
    checkpoint: dict[str, Any]


class Journal:
    """
    What all runs of a scenario said, in one file; a line is one write, so none is lost with its process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "journal"

    def say(self, event: str, context: TaskContext) -> None:
        """
        Write one line.
        """
        line = {
            "event": event, "task": context.task.id, "node": context.node_id, "claim": context.task.claim_id,
            "fence": context.fence, "at": time.monotonic(), "resumed": context.resumed,
            "checkpoint": dict(context.checkpoint_data),
        }  # fmt: skip
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (json.dumps(line) + "\n").encode())
        finally:
            os.close(descriptor)

    def lines(self, task_id: str = "", event: str = "start") -> list[Line]:
        """
        Return the lines of an event (of one task).
        """
        if not self._path.exists():
            return []
        found = [Line(**json.loads(text)) for text in self._path.read_text().split("\n")[:-1]]
        return [one for one in found if event in ("", one.event) and task_id in ("", one.task)]

    def open_gate(self, name: str) -> None:
        """
        Let the runs that hold for this task go on; `all` means every one.
        """
        (self.folder / f"gate-{name}").touch()

    def is_open(self, name: str) -> bool:
        """
        Tell whether runs of this task go on.
        """
        return any((self.folder / f"gate-{one}").exists() for one in (name, "all"))


def register(scheduler: Scheduler, journal: Journal, *types: str) -> None:
    """
    Let a node run these types, all of them by the script.
    """

    def body(context: TaskContext) -> None:
        follow(journal, context)

    for task_type in types or (SAMPLE, RESUMABLE):
        scheduler.executor(task_type, can_resume=task_type == RESUMABLE)(body)


def follow(journal: Journal, context: TaskContext) -> None:
    """
    Do what the script says for this run: `ok`, `fail`, `hold` (until the gate opens, or the run is told to give up),
    `save` (a checkpoint, then hold).
    """
    script = context.parameters.get("script", ["ok"])
    number = len(journal.lines(context.task.id))
    journal.say("start", context)
    word = script[min(number, len(script) - 1)]
    if word == "save":
        context.save_checkpoint({"processed": 3})
        journal.say("saved", context)
    if word in ("save", "hold"):
        _hold(journal, context)
    if word == "fail":
        journal.say("fail", context)
        raise RuntimeError(f"failed in run {number + 1}")
    journal.say("end", context)


def _hold(journal: Journal, context: TaskContext) -> None:
    while not journal.is_open(context.task.id):
        if context.wait_cancelled(LOOK_EVERY):
            journal.say("told", context)
            raise LeaseLost(context.reason)
