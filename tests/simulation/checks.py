"""
The invariants, checked at each write that the store applies and at each body that starts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass

from unomi_scheduler.model import JsonObject, Malformed, Task, TaskStatus
from unomi_scheduler.node.lease import Lease
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.rules.history import row_id
from unomi_scheduler.rules.lifecycle import TRANSITIONS

COMMITS = {"SUCCESS", "FAILED"}


class Violation(AssertionError):
    """
    A promise was broken.
    """


@dataclass
class Body:
    """
    One body that is running somewhere.
    """

    lease: Lease
    task_id: str
    task_type: str
    claim_id: str
    fence: int
    exclusive: bool
    told: bool = False


def _reachable(current: TaskStatus, target: TaskStatus) -> bool:
    if current is target:
        return True
    once = TRANSITIONS[current]
    return target in once or any(target in TRANSITIONS[middle] for middle in once)


class Checks:
    """
    What must hold always.
    """

    def __init__(self) -> None:
        self.commits: Counter[str] = Counter()
        self.committed: dict[tuple[str, str], JsonObject] = {}
        self.begun: set[tuple[str, int]] = set()
        self.bodies: list[Body] = []
        self.entries: dict[str, tuple[str, int]] = {}
        self.claims = 0
        self.overlaps = 0
        self.now = 0

    def written(self, before: Task | Malformed | None, write: Write, now: int) -> None:
        """
        Check one applied write of a task.
        """
        self.now = now
        task = write.record
        if write.action is Action.DELETE or not isinstance(before, Task) or not isinstance(task, Task):
            return
        self._legal(before, task)
        self._fence(before, task)
        self._commit(before, task)
        self._turn(before, task)
        self._note_entries(before, task)

    def _turn(self, before: Task, task: Task) -> None:
        earlier, later = before.all_nodes_period or 0, task.all_nodes_period or 0
        waits = before.status is TaskStatus.SCHEDULED and before.failure_count > 0
        unfinished = waits or before.status in (TaskStatus.RUNNING, TaskStatus.CRASHED)
        if later < earlier or (later > earlier and unfinished):
            self.fail(f"I9 {task.id}: period {earlier} -> {later} on {before.status}")

    def _note_entries(self, before: Task, task: Task) -> None:
        known = {row_id(before, one) for one in before.history}
        for one in task.history:
            if (name := row_id(task, one)) not in known:
                self.entries[name] = (task.id, self.now)
        if before.status is TaskStatus.RUNNING and task.claim_id != before.claim_id and before.history:
            # A claim that is given back takes along what it had noted: no run began.
            noted, left = before.history[-1], {row_id(task, one) for one in task.history}
            if noted.get("status") == "RESUMED" and row_id(before, noted) not in left:
                self.entries.pop(row_id(before, noted), None)

    def rowless(self, rows: Container[str], *, until: int) -> dict[str, tuple[str, int]]:
        """
        Return the history entries written until a moment that have no row: id of the row, task, and when.
        """
        return {name: entry for name, entry in self.entries.items() if entry[1] <= until and name not in rows}

    def _legal(self, before: Task, task: Task) -> None:
        if not _reachable(before.status, task.status):
            self.fail(f"I4 {task.id}: {before.status} -> {task.status}")

    def _fence(self, before: Task, task: Task) -> None:
        claimed = task.status is TaskStatus.RUNNING and task.claim_id != before.claim_id
        if claimed:
            self.claims += 1
        if task.fence != before.fence + (1 if claimed else 0):
            self.fail(f"I2 {task.id}: fence {before.fence} -> {task.fence}, claimed {claimed}")

    def _commit(self, before: Task, task: Task) -> None:
        known = {one.get("claimId") for one in before.history if one.get("status") in COMMITS}
        for one in task.history:
            claim_id = one.get("claimId")
            if one.get("status") in COMMITS and claim_id and claim_id not in known and not self._restored(task, one):
                self.commits[str(claim_id)] += 1
                if self.commits[str(claim_id)] > 1:
                    self.fail(f"I1 {task.id}: claim {claim_id} committed twice")
                if before.claim_id != claim_id or before.status is not TaskStatus.RUNNING:
                    self.fail(f"I5 {task.id}: claim {claim_id} committed on {before.status} of {before.claim_id}")

    def _restored(self, task: Task, entry: JsonObject) -> bool:
        # A claim that is given back brings the entry back that it had pushed out of the ten.
        name = task.id, str(entry["claimId"])
        if name in self.committed:
            return self.committed[name] == entry
        self.committed[name] = entry
        return False

    def starts(self, body: Body, *, now: int) -> None:
        """
        Check one body that starts.
        """
        self.now = now
        if not body.lease.held(now):
            self.fail(f"I3 {body.task_id}: started without a lease")
        if (body.task_id, body.fence) in self.begun:
            self.fail(f"I2 {body.task_id}: fence {body.fence} begun twice")
        self.begun.add((body.task_id, body.fence))
        for other in self.bodies:
            same = other.task_id == body.task_id
            if same or (body.exclusive and other.exclusive and other.task_type == body.task_type):
                self.overlaps += 1
                # A holder that is paused or cut off beyond its lease may still run: its writes are refused (I5).
                if other.lease.held(now) and not other.told:
                    self.fail(
                        f"overlap of {body.task_id} ({body.fence}) with {other.task_id} ({other.fence}), not told"
                    )
        self.bodies.append(body)

    def ends(self, body: Body) -> None:
        """
        Forget a body that has returned or died.
        """
        if body in self.bodies:
            self.bodies.remove(body)

    def fail(self, text: str) -> None:
        """
        Raise a violation with the moment.
        """
        raise Violation(f"at {self.now} ms: {text}")
