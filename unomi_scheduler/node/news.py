"""
News: lines about nodes that come and go, and about runs that are taken over, each on its own, unless there are very
many of a kind at once: then the first ones, and how many more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ..model import Heartbeat, Task
from ..timestamps import to_iso
from .complaints import AGAIN
from .lease import OBSERVER_SHARE

LOG = logging.getLogger("unomi_scheduler.node")
MOST = 20
"""How many lines of one kind are told in `AGAIN` milliseconds."""


@dataclass(slots=True)
class _Window:
    until: int
    told: int = 0
    kept: int = 0


class News:
    """
    What is told, and what was kept back lately. It reads no clock; it belongs to the core thread.
    """

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._boot = 0
        self._windows: dict[str, _Window] = {}

    def turn(self, boot: int) -> None:
        """
        Go on to a moment of the boot clock: what was kept back long enough is told as a number.
        """
        self._boot = boot
        if self._windows:
            self._close(boot)

    def end(self) -> None:
        """
        Keep nothing back any longer.
        """
        self._close(None)

    def joined(self, beat: Heartbeat) -> None:
        """
        Tell of a node that is new here.
        """
        where = f"process {beat.pid} on {beat.host or 'an unknown host'}"
        self._tell("node_joined", "Node %s takes part (%s)", beat.node_id, where, extra=_of(beat))

    def left(self, beat: Heartbeat, *, silent: int) -> None:
        """
        Tell of a node whose heartbeat was taken away, after it had not moved for `silent` milliseconds.
        """
        died = beat.dead_by is not None or silent > beat.lease_millis
        text = "Node %s is gone: another node declared it dead" if died else "Node %s has left"
        self._tell("node_left", text, beat.node_id, extra=_of(beat))

    def died(self, beat: Heartbeat) -> None:
        """
        Tell of a node whose death is acknowledged, and why.
        """
        if beat.dead_by not in (None, self._node_id):
            why = f"node {beat.dead_by} declared it so"
        elif beat.pid:
            why = f"its heartbeat did not move for {int(beat.lease_millis * OBSERVER_SHARE)} ms"
        else:
            why = "it owns runs and has no heartbeat"
        extra = {**_of(beat), "dead_by": beat.dead_by, "reason": why}
        self._tell("node_dead", "Node %s is dead: %s", beat.node_id, why, extra=extra, level=logging.WARNING)

    def recovered(self, found: Task, made: Task, reason: str) -> None:
        """
        Tell of a run that was broken off: the task as it was found, and as it stands now.
        """
        extra = {**_run(found), "previous_owner": found.lock_owner, "status": made.status.value, "reason": reason}
        self._tell(
            "run_recovered",
            "Recovered task %s from node %s (fence %d), it is %s now: %s",
            found.id, found.lock_owner, found.fence, made.status.value, reason,
            extra=extra,
        )  # fmt: skip

    def resumed(self, before: Task, claimed: Task) -> None:
        """
        Tell of a run that goes on here for one that was broken off.
        """
        former = before.status_details.get("crashedNode")
        extra = {**_run(claimed), "previous_owner": former}
        self._tell(
            "run_resumed",
            "Task %s goes on here with fence %d, after node %s with fence %d",
            claimed.id, claimed.fence, former, before.fence,
            extra=extra,
        )  # fmt: skip

    def retried(self, claimed: Task, after: Task) -> None:
        """
        Tell that a failed run is followed by another: the task as its run had it, and as it stands now.
        """
        self._tell(
            "run_retried",
            "Task %s failed %d times in a row and is tried again at %s",
            after.id, after.failure_count, to_iso(after.next_scheduled_execution or 0),
            extra={**_run(claimed), "failures": after.failure_count},
        )  # fmt: skip

    def dropped(self, claimed: Task) -> None:
        """
        Tell that a run has ended and its outcome is not written, since the task is not its own any more.
        """
        self._tell(
            "run_fenced",
            "The outcome of a run of task %s is dropped: it was cancelled, deleted or taken over meanwhile", claimed.id,
            extra=_run(claimed),
        )  # fmt: skip

    def _tell(self, action: str, text: str, *values: Any, extra: dict[str, Any], level: int = logging.INFO) -> None:
        window = self._windows.setdefault(action, _Window(self._boot + AGAIN))
        if window.told >= MOST:
            window.kept += 1
            return
        window.told += 1
        LOG.log(level, text, *values, extra={"action": action, "node_id": self._node_id, **extra})

    def _close(self, boot: int | None) -> None:
        for action, window in list(self._windows.items()):
            if boot is not None and boot < window.until:
                continue
            del self._windows[action]
            if window.kept:
                extra = {"action": action, "node_id": self._node_id, "count": window.kept}
                LOG.info("… and %d more of this kind: %s", window.kept, action, extra=extra)


def _of(beat: Heartbeat) -> dict[str, Any]:
    return {"peer": beat.node_id, "incarnation": beat.incarnation}


def _run(task: Task) -> dict[str, Any]:
    return {"task_id": task.id, "task_type": task.task_type, "claim_id": task.claim_id, "fence": task.fence}
