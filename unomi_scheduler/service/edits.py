"""
Edits of stored tasks: read, decide by a rule, write on condition that nothing changed since (P1, P3).
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import Conflict, InvalidTask, StoreUnavailable, TaskNotFound
from ..model import Misplaced, Stored, Task
from ..ports import Action, Outcome, Result, TaskStore, Write
from ..rules.purging import owned
from ..stores.homes import find

Rule = Callable[[Task], Task]

RACES = 20
"""How many lost races make an edit give up."""
SENDS = 3
"""How often one write is sent when the store does not answer."""


def read(store: TaskStore, task_id: str) -> Stored[Task]:
    """
    Return a stored task, to be changed.

    Raises:
        TaskNotFound: there is none.
        InvalidTask: the document is no task.
        Conflict: the document is still where Apache Unomi kept it.
    """
    stored = find(store, task_id)
    if isinstance(stored.record, Misplaced):
        raise Conflict(f"The document {stored.record.id} cannot be changed yet: {stored.record.reason}; try again then")
    if not isinstance(stored.record, Task):
        raise InvalidTask(f"Task {task_id} is in quarantine: {stored.record.reason}")
    return Stored(stored.record, stored.version)


def send(store: TaskStore, write: Write) -> tuple[Outcome, bool]:
    """
    Do one write, sent again while the store does not answer (P3); tell whether an answer was ever missing.
    """
    outcome, doubtful = store.write([write])[0], False
    for _ in range(SENDS - 1):
        if outcome.result is not Result.UNKNOWN:
            break
        doubtful = True
        outcome = store.write([write])[0]
    return outcome, doubtful or outcome.result is Result.UNKNOWN


def change(store: TaskStore, task_id: str, rule: Rule) -> Stored[Task]:
    """
    Apply a rule to a stored task and return it as this very write left it; a rule that changes nothing writes nothing.

    Raises:
        TaskNotFound: there is no such task.
        InvalidTransition, InvalidTask: the rule said so.
        Conflict: other writers were faster each time.
        StoreUnavailable: the store did not answer; the change may or may not be done.
    """
    for _ in range(RACES):
        before = read(store, task_id)
        after = rule(before.record)
        if after == before.record:
            return before
        written = replace_task(store, before, after)
        if written is not None:
            return written
    raise Conflict(f"Task {task_id}: other writers were faster {RACES} times; try again")


def replace_task(store: TaskStore, before: Stored[Task], after: Task) -> Stored[Task] | None:
    """
    Write `after` over `before` and return it with its version, or None when another writer was faster.
    """
    outcome, doubtful = send(store, Write(Action.REPLACE, after, before.version))
    return landed(store, before, after, outcome, doubtful=doubtful)


def landed(
    store: TaskStore, before: Stored[Task], after: Task, outcome: Outcome, *, doubtful: bool
) -> Stored[Task] | None:
    """
    Return `after` with its version if this outcome of its write, or what the store has now, says that it was written.

    Args:
        doubtful: an answer was missing on the way to the outcome.
    """
    if outcome.result is Result.WRITTEN and outcome.version is not None:
        return Stored(after, outcome.version)
    raise_failure(outcome, after.id)
    if doubtful:
        return _landed(store, before.record, after)
    return None


def raise_failure(outcome: Outcome, task_id: str) -> None:
    """
    Raise what an outcome says went wrong: a refusal, or no answer at all; a lost race is nothing wrong.
    """
    if outcome.result is Result.UNKNOWN:
        raise StoreUnavailable(
            f"Task {task_id}: no answer from the store; the change may or may not be done ({outcome.error})"
        )
    if outcome.result is Result.REFUSED:
        raise outcome.error or StoreUnavailable(f"Task {task_id}: the store refused the change")


def _landed(store: TaskStore, before: Task, after: Task) -> Stored[Task] | None:
    # A read proves nothing (P1): what looks like our write is confirmed by one more, which changes nothing.
    for _ in range(RACES):
        try:
            found = read(store, after.id)
        except TaskNotFound:
            return None
        if not _carries(found.record, before, after):
            return None
        outcome, _ = send(store, Write(Action.REPLACE, found.record, found.version))
        raise_failure(outcome, after.id)
        if outcome.result is Result.WRITTEN and outcome.version is not None:
            return Stored(found.record, outcome.version)
    return None


def _carries(found: Task, before: Task, after: Task) -> bool:
    entries = [entry for entry in after.history if entry not in before.history]
    return found == after or (bool(entries) and all(entry in found.history for entry in entries))


def delete(store: TaskStore, task_id: str, mark: Rule, *, may_go: Callable[[Task], bool]) -> Stored[Task]:
    """
    Mark a task for removal, and remove it when no run of it is left; else its owner does, when the run ended (P17).

    Returns the marked task.

    Args:
        may_go: sees to what must be done before the removal; where it answers no, a purge removes the task.

    Raises:
        TaskNotFound: there is no such task.
        Conflict: other writers were faster each time.
        StoreUnavailable: the store did not answer.
    """
    marked = change(store, task_id, mark)
    for _ in range(RACES):
        if owned(marked.record) or not may_go(marked.record):
            return marked
        outcome, _ = send(store, Write(Action.DELETE, marked.record, marked.version))
        if outcome.result in (Result.WRITTEN, Result.MISSING):
            return marked
        raise_failure(outcome, task_id)
        try:
            marked = change(store, task_id, mark)
        except TaskNotFound:
            return marked
    raise Conflict(f"Task {task_id} is marked for removal; other writers were faster {RACES} times")
