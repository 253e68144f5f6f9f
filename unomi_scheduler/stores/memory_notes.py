"""
The lists of memory tasks that nodes show each other: notes of at most 256 kB, named after one incarnation and numbered.

A memory task's parameters may be anything, so what is not JSON is shown by its `repr`. Beyond 2,000 tasks, or 16 notes,
only counts are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import SchedulerError, StoreUnavailable
from ..model import Heartbeat, JsonObject, Note, Stored, Task, evolve
from ..ports import Action, Result, TaskStore, Write
from ..rules.orders import INBOX
from .documents import decode_task, task_document

MEMORY = "memory"
"""The kind of the notes."""
MOST_TASKS, MOST_PAGES, MOST_BYTES = 2_000, 16, 256_000
_FRAME = 1_000
_BULKY = ("parameters", "checkpointData", "statusDetails")


@dataclass(frozen=True)
class Shown:
    """
    What a node shows of its memory tasks: the tasks, or only how many there are by type and status.
    """

    tasks: tuple[Task, ...] = ()
    counts: tuple[tuple[str, str, int], ...] = ()


def plain_document(task: Task) -> dict[str, Any]:
    """
    Return a memory task as JSON that any process can read.
    """
    options = orjson.OPT_NON_STR_KEYS
    try:
        plain: dict[str, Any] = orjson.loads(orjson.dumps(task_document(task), default=repr, option=options))
    except (TypeError, ValueError):
        # What even `repr` cannot help, such as a list within itself, is left out.
        bare = evolve(task, parameters={}, checkpoint_data=None, status_details={}, history=())
        plain = orjson.loads(orjson.dumps(task_document(bare), default=repr, option=options))
    return plain


def pages(beat_id: str, tasks: Sequence[Task]) -> list[Note]:
    """
    Return the notes that show these tasks, none for none. `beat_id` is the id of the node's heartbeat document.
    """
    if not tasks:
        return []
    lists = _lists(tasks) if len(tasks) <= MOST_TASKS else None
    if lists is None or len(lists) > MOST_PAGES:
        counts = Counter((task.task_type, task.status.value) for task in tasks)
        return [_note(beat_id, 0, {"counts": [[*key, count] for key, count in sorted(counts.items())]})]
    return [_note(beat_id, number, {"tasks": one}) for number, one in enumerate(lists)]


def _lists(tasks: Iterable[Task]) -> list[list[Any]]:
    lists: list[list[Any]] = [[]]
    size = 0
    for task in tasks:
        document = plain_document(task)
        length = len(orjson.dumps(document))
        if length > MOST_BYTES - _FRAME:
            document = {name: value for name, value in document.items() if name not in _BULKY}
            length = len(orjson.dumps(document))
        if lists[-1] and size + length > MOST_BYTES - _FRAME:
            lists.append([])
            size = 0
        lists[-1].append(document)
        size += length + 1
    return lists


def _note(beat_id: str, number: int, body: JsonObject) -> Note:
    return Note(kind=MEMORY, name=f"{beat_id}:{number}", body=body)


def beat_of(note: Note) -> str:
    """
    Return the id of the heartbeat document of the node that shows this.
    """
    return note.name.rpartition(":")[0]


def shown(note: Note) -> Shown:
    """
    Return what a note shows; what cannot be read, such as a task of a later version, is left out.
    """
    body = note.body
    tasks, counts = body.get("tasks"), body.get("counts")
    return Shown(
        tasks=tuple(filter(None, map(_task, tasks))) if isinstance(tasks, list) else (),
        counts=tuple(filter(None, map(_count, counts))) if isinstance(counts, list) else (),
    )


def _task(document: Any) -> Task | None:
    try:
        return decode_task(document)
    except (SchedulerError, AttributeError, TypeError, ValueError):
        return None


def _count(item: Any) -> tuple[str, str, int] | None:
    match item:
        case [str(task_type), str(status), int(count)]:
            return task_type, status, count
    return None


def show(
    store: TaskStore, beat_id: str, tasks: Sequence[Task], known: Sequence[Stored[Note]] | None
) -> tuple[Stored[Note], ...]:
    """
    Let the notes of an incarnation show these tasks, and return them as they stand; what is shown already is left.

    Args:
        known: the notes as they stand; None means that they have to be read.

    Raises:
        SchedulerError: some write was not done, or nobody knows; the next attempt must read.
    """
    there = {one.record.id: one for one in (_all(store, beat_id) if known is None else known)}
    wanted = {note.id: note for note in pages(beat_id, tasks)}
    writes = [_write(note, there.get(note.id)) for note in wanted.values() if not _same(note, there.get(note.id))]
    writes += [Write(Action.DELETE, one.record, one.version) for name, one in there.items() if name not in wanted]
    now = {name: one for name, one in there.items() if name in wanted}
    outcomes = store.write(writes) if writes else []
    for write, outcome in zip(writes, outcomes, strict=True):
        if outcome.result is not Result.WRITTEN or outcome.version is None:
            raise outcome.error or StoreUnavailable(f"{write.record.id}: {outcome.result.value}")
        if write.action is not Action.DELETE:
            now[write.record.id] = Stored(wanted[write.record.id], outcome.version)
    return tuple(now[name] for name in wanted)


def _same(note: Note, there: Stored[Note] | None) -> bool:
    return there is not None and there.record.body == note.body


def _write(note: Note, there: Stored[Note] | None) -> Write:
    return Write(Action.CREATE, note) if there is None else Write(Action.REPLACE, note, there.version)


def _all(store: TaskStore, beat_id: str) -> list[Stored[Note]]:
    return store.notes(MEMORY, [f"{beat_id}:{number}" for number in range(MOST_PAGES)])


def forget(store: TaskStore, beat_id: str) -> None:
    """
    Remove every note of an incarnation that is over: its lists and its inbox with the orders in it.

    Raises:
        SchedulerError: the store did not answer, or something was written meanwhile; try again.
    """
    found = [*store.notes(INBOX, [beat_id]), *_all(store, beat_id)]
    writes = [Write(Action.DELETE, one.record, one.version) for one in found]
    for outcome in store.write(writes) if writes else ():
        if outcome.result not in (Result.WRITTEN, Result.MISSING):
            raise outcome.error or StoreUnavailable(f"The notes of {beat_id}: {outcome.result.value}")


def lists_of(notes: Iterable[Note], alive: Iterable[Heartbeat]) -> list[tuple[str, Shown]]:
    """
    Return what live nodes show, with the id of each node.
    """
    nodes = {beat.id: beat.node_id for beat in alive}
    return [(nodes[beat_of(note)], shown(note)) for note in notes if beat_of(note) in nodes]
