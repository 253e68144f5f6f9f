"""
Batches: one rule for many stored tasks, each decided and written by itself, all of them sent in one call (P1, P5).

Whoever was faster with a task is met as a conflict of that one task, which its caller judges again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidTransition, SchedulerError
from ..model import Stored, Task
from ..ports import Action, Outcome, Result, TaskStore, Write
from . import edits
from .edits import Rule
from .history import Keeping

SIZE = 500
"""How many tasks are written at once; more would keep the store from others for too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """
    What became of tasks, by id: `written` as our write left them, `unmoved` where the rule changed nothing or its state
    did not allow it, `failed` with what went wrong. A task that is in none of them was changed by others meanwhile.
    """

    written: Mapping[str, Stored[Task]]
    unmoved: frozenset[str]
    failed: Mapping[str, SchedulerError]

    def after(self, tasks: Sequence[Stored[Task]]) -> list[Stored[Task]]:
        """
        Return those of the tasks that stand as this call left or found them.
        """
        known = (self.written.get(one.record.id, one) for one in tasks)
        return [one for one in known if one.record.id in self.written or one.record.id in self.unmoved]


def apply(store: TaskStore, tasks: Sequence[Stored[Task]], rule: Rule, *, keeping: Keeping, now: int) -> Batch:
    """
    Apply a rule to tasks as they were read.
    """
    changes: list[tuple[Stored[Task], Task]] = []
    failed: dict[str, SchedulerError] = {}
    unmoved: set[str] = set()
    for one in tasks:
        try:
            after = rule(one.record)
        except InvalidTransition:
            after = one.record
        except SchedulerError as error:
            failed[one.record.id] = error
            continue
        if after == one.record:
            unmoved.add(one.record.id)
        else:
            changes.append((one, after))
    keeping.before_changes(store, [(one.record, after) for one, after in changes], now=now)
    written: dict[str, Stored[Task]] = {}
    writes = [Write(Action.REPLACE, after, one.version) for one, after in changes]
    for (one, after), (outcome, doubtful) in zip(changes, send(store, writes), strict=True):
        try:
            landed = edits.landed(store, one, after, outcome, doubtful=doubtful)
        except SchedulerError as error:
            failed[after.id] = error
            continue
        if landed is not None:
            written[after.id] = landed
    return Batch(written=written, unmoved=frozenset(unmoved), failed=failed)


def send(store: TaskStore, writes: Sequence[Write]) -> list[tuple[Outcome, bool]]:
    """
    Do writes, those without an answer again (P3); with each outcome, whether an answer was ever missing.
    """
    outcomes = list(store.write(writes)) if writes else []
    doubtful: set[int] = set()
    for _ in range(edits.SENDS - 1):
        unknown = [place for place, one in enumerate(outcomes) if one.result is Result.UNKNOWN]
        if not unknown:
            break
        doubtful.update(unknown)
        for place, outcome in zip(unknown, store.write([writes[place] for place in unknown]), strict=True):
            outcomes[place] = outcome
    return [(one, place in doubtful or one.result is Result.UNKNOWN) for place, one in enumerate(outcomes)]
