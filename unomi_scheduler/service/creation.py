"""
Creation: tasks enter the store by create-only writes, now or with an error; nothing is queued and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from secrets import token_hex

from ..clock import Clock
from ..errors import Conflict, InvalidTask, SchedulerError, StoreUnavailable
from ..metrics import Metric, Metrics
from ..model import Stored, Task, TaskStatus
from ..ports import Action, Outcome, Result, TaskStore, Write
from ..rules.dependencies import Readiness, judge, with_dependents
from ..rules.lifecycle import advance
from ..rules.validation import check_dependencies
from .definitions import definition_of, fresh
from .dependencies import load_dependencies, waves
from .dependents import Dependents
from .edits import RACES, SENDS, send

BATCH = 1_000
"""How many tasks go into one call of the store."""
_SHOWN = 20


class NotAllScheduled(SchedulerError):
    """
    Some tasks of one call were not scheduled: `failed` says why by id, `scheduled` has those that were.
    """

    def __init__(self, failed: Mapping[str, SchedulerError], scheduled: Sequence[Task]) -> None:
        shown = "; ".join(f"{task_id}: {error}" for task_id, error in islice(failed.items(), _SHOWN))
        more = f" and {len(failed) - _SHOWN} more, see `failed`" if len(failed) > _SHOWN else ""
        super().__init__(f"{len(failed)} of {len(failed) + len(scheduled)} tasks were not scheduled: {shown}{more}")
        self.failed = dict(failed)
        self.scheduled = tuple(scheduled)


@dataclass(frozen=True, slots=True)
class Created:
    """
    A task as it stands after its creation was asked for; `existed` when the id was taken and its task was kept.
    """

    task: Task
    existed: bool = False


class Creation:
    """
    Writes new tasks.

    Args:
        offer: told of each task that was written, with its version, and of its store.
        near: tells whether an id is a memory task's of this process.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        metrics: Metrics,
        offer: Callable[[Stored[Task], TaskStore], None],
        near: Callable[[str], bool],
        dependents: Dependents,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._offer = offer
        self._near = near
        self._dependents = dependents

    def prepare(self, task: Task, known: Mapping[str, Task]) -> Task:
        """
        Return a task's definition as a new task, created now; it waits while a dependency is not met.

        Args:
            known: the dependencies that exist, and theirs, as far as they reach.

        Raises:
            InvalidTask: the definition breaks a rule, or a dependency is missing or leads back.
        """
        made = fresh(task, now=self._clock.now().wall, token=token_hex(16))
        check_dependencies(made, known)
        judgement = judge(made, known)
        if judgement.readiness is Readiness.READY:
            return made
        # A broken dependency is the node's to judge, with the history and the wake-up of those who wait for this one.
        return advance(made, TaskStatus.WAITING, waiting_on_tasks=judgement.unmet or made.depends_on)

    def created(self, task: Task) -> None:
        """
        Count a task that was created.
        """
        self._metrics.add(Metric.CREATED)
        if task.status is TaskStatus.WAITING:
            self._metrics.add(Metric.WAITING)

    def create(self, store: TaskStore, task: Task, *, keep: bool) -> Created:
        """
        Write one task; with `keep`, return the task that has the id already instead of raising.

        Raises:
            InvalidTask: the definition, or a dependency.
            Conflict: the id exists.
            StoreUnavailable: the store refused, or did not answer and the task may or may not exist.
        """
        (result,) = self.create_all(store, [task], keep=keep)
        if isinstance(result, SchedulerError):
            raise result
        return result

    def create_all(
        self, store: TaskStore, tasks: Sequence[Task], *, keep: bool, beside: Collection[str] = ()
    ) -> list[Created | SchedulerError]:
        """
        Write tasks in batches, dependencies before their dependents; one result for each, in order.

        Args:
            beside: the ids of the memory tasks of the same call.
        """
        results: dict[int, Created | SchedulerError] = {}
        places: dict[str, int] = {}
        for place, task in enumerate(tasks):
            if places.setdefault(task.id, place) != place:
                results[place] = Conflict(f"Task {task.id} is twice in this call")
        ordered, circular = waves([tasks[place] for place in places.values()])
        for task in circular:
            results[places[task.id]] = InvalidTask(f"Task {task.id}: its dependencies lead back to itself")
        named = _dependents_of(tasks)
        for batch in _batches(ordered):
            made = self._create_batch(store, batch, named, keep=keep, beside=beside)
            results |= {places[task.id]: result for task, result in zip(batch, made, strict=True)}
            self._dependents.made(store, [one.task for one in made if isinstance(one, Created) and not one.existed])
        return [results[place] for place in range(len(tasks))]

    def _create_batch(
        self,
        store: TaskStore,
        batch: Sequence[Task],
        named: Mapping[str, list[str]],
        *,
        keep: bool,
        beside: Collection[str],
    ) -> list[Created | SchedulerError]:
        try:
            known = load_dependencies(store, batch)
        except SchedulerError as error:
            return [error] * len(batch)
        refused = {task.id: self._unseen(task, known, beside) for task in batch}
        results = {task.id: refused[task.id] or self._ready(task, known, named.get(task.id, ())) for task in batch}
        made = [one for one in results.values() if isinstance(one, Task)]
        answers = _create(store, made)
        ended: dict[str, Created | SchedulerError] = {
            task.id: self._result(store, task, outcome, doubtful=doubtful, keep=keep)
            for task, (outcome, doubtful) in zip(made, answers, strict=True)
        }
        return [one if isinstance(one, SchedulerError) else ended[one.id] for one in results.values()]

    def _unseen(self, task: Task, known: Mapping[str, Task], beside: Collection[str]) -> InvalidTask | None:
        for name in task.depends_on:
            if name not in known and (name in beside or self._near(name)):
                return InvalidTask(
                    f"Task {task.id}: it depends on {name}, a memory task, which no other process can see; make {name} "
                    f"persistent, or {task.id} a memory task too"
                )
        return None

    def _ready(self, task: Task, known: Mapping[str, Task], dependents: Iterable[str]) -> Task | SchedulerError:
        try:
            return with_dependents(self.prepare(task, known), dependents)
        except SchedulerError as error:
            return error

    def _result(
        self, store: TaskStore, task: Task, outcome: Outcome, *, doubtful: bool, keep: bool
    ) -> Created | SchedulerError:
        try:
            if outcome.result is Result.WRITTEN and outcome.version is not None:
                return self._created(store, Stored(task, outcome.version))
            if outcome.result is Result.CONFLICT:
                return self._taken(store, task, doubtful=doubtful, keep=keep)
            if outcome.result is Result.REFUSED and outcome.error is not None:
                return outcome.error
            return _unknown(task, outcome)
        except SchedulerError as error:
            return error

    def _created(self, store: TaskStore, stored: Stored[Task]) -> Created:
        self.created(stored.record)
        self._offer(stored, store)
        return Created(stored.record)

    def _taken(self, store: TaskStore, task: Task, *, doubtful: bool, keep: bool) -> Created:
        if doubtful:
            ours = _confirmed(store, task)
            if ours is not None:
                return self._created(store, ours)
        if keep:
            (stored,) = store.tasks([task.id])
            if stored is not None and isinstance(stored.record, Task):
                return Created(stored.record, existed=True)
        raise Conflict(f"Task {task.id} exists already")


def _dependents_of(tasks: Iterable[Task]) -> dict[str, list[str]]:
    # Named at once where a dependency is made in the same call, which saves a write each.
    named: dict[str, list[str]] = {}
    for task in tasks:
        for name in task.depends_on:
            named.setdefault(name, []).append(task.id)
    return named


def _batches(ordered: Sequence[Sequence[Task]]) -> Iterator[Sequence[Task]]:
    for wave in ordered:
        for start in range(0, len(wave), BATCH):
            yield wave[start : start + BATCH]


def _create(store: TaskStore, tasks: Sequence[Task]) -> list[tuple[Outcome, bool]]:
    # Each outcome with whether an answer was ever missing; only the writes without an answer are sent again (P3).
    writes = [Write(Action.CREATE, task) for task in tasks]
    outcomes = store.write(writes) if writes else []
    doubtful = [outcome.result is Result.UNKNOWN for outcome in outcomes]
    for _ in range(SENDS - 1):
        open_ends = [place for place, outcome in enumerate(outcomes) if outcome.result is Result.UNKNOWN]
        if not open_ends:
            break
        for place, outcome in zip(open_ends, store.write([writes[place] for place in open_ends]), strict=True):
            outcomes[place] = outcome
    return list(zip(outcomes, doubtful, strict=True))


def _unknown(task: Task, outcome: Outcome) -> StoreUnavailable:
    return StoreUnavailable(
        f"Task {task.id}: the store did not answer {SENDS} times; the task may or may not exist ({outcome.error})"
    )


def _confirmed(store: TaskStore, task: Task) -> Stored[Task] | None:
    # A read proves nothing (P1): what looks like our creation is confirmed by one more write, which changes nothing.
    for _ in range(RACES):
        (found,) = store.tasks([task.id])
        if found is None or not isinstance(found.record, Task) or not _ours(found.record, task):
            return None
        outcome, _ = send(store, Write(Action.REPLACE, found.record, found.version))
        if outcome.result is Result.WRITTEN and outcome.version is not None:
            return Stored(found.record, outcome.version)
        if outcome.result in (Result.REFUSED, Result.UNKNOWN):
            raise _unknown(task, outcome)
    raise Conflict(f"Task {task.id}: other writers were faster {RACES} times; it may or may not be this one")


def _ours(found: Task, task: Task) -> bool:
    # A node may have claimed it meanwhile, which replaces the token; the rest of our creation still stands then.
    if found.claim_id == task.claim_id:
        return True
    return found.creation_date == task.creation_date and definition_of(found) == definition_of(task)
