"""
Throughput: due no-op tasks, once by the bare store (search, claim, complete) and once by a whole node.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from threading import Event, Lock
from uuid import uuid4

from unomi_scheduler.clock import SystemClock
from unomi_scheduler.metrics import Metrics
from unomi_scheduler.model import PARTITIONS, Stored, Task
from unomi_scheduler.node.executors import FunctionExecutor
from unomi_scheduler.node.options import NodeOptions
from unomi_scheduler.node.registry import Registry
from unomi_scheduler.node.shell import Node
from unomi_scheduler.ports import Action, DueQuery, Outcome, Result, TaskStore, Write
from unomi_scheduler.rules import claims, outcomes
from unomi_scheduler.stores.opening import open_store

BATCH = 1_000
LIMIT = 120.0


@dataclass(frozen=True)
class Reached:
    """
    What one node reached.
    """

    rate: float
    duplicates: int
    lost: int
    writes_per_run: float


class _Counting:
    """
    A store that counts the writes of tasks.
    """

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self.writes = 0

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self.writes += sum(isinstance(write.record, Task) for write in writes)
        return self._store.write(writes)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def _filled(url: str, tasks: int) -> tuple[TaskStore, str]:
    clock = SystemClock()
    store = open_store(url, clock=clock, index_prefix=f"bench-{uuid4().hex[:8]}")
    kind = f"noop-{uuid4().hex[:8]}"
    now = clock.now().wall
    for start in range(0, tasks, BATCH):
        made = [
            Task(
                id=f"{kind}-{n}",
                task_type=kind,
                creation_date=now,
                fence=now,
                one_shot=True,
                next_scheduled_execution=now,
            )
            for n in range(start, min(tasks, start + BATCH))
        ]
        _all_written(store.write([Write(Action.CREATE, task) for task in made]))
    store.refresh()
    return store, kind


def _all_written(done: Sequence[Outcome]) -> list[Outcome]:
    for outcome in done:
        if outcome.result is not Result.WRITTEN:
            raise outcome.error or RuntimeError(str(outcome.result))
    return list(done)


def bare(url: str, *, tasks: int) -> float:
    """
    Return how many tasks a second the store claims and completes with nothing between: one page after the other.
    """
    store, kind = _filled(url, tasks)
    clock, rng = SystemClock(), Random(1)
    by = claims.Claimant(node_id="bench", incarnation="bench", lease_millis=10_000)
    types, everywhere = frozenset({kind}), frozenset(range(PARTITIONS))
    after: tuple[int, str] | None = None
    began, done = time.perf_counter(), 0
    while done < tasks:
        now = clock.now().wall
        found = store.find_due(
            DueQuery(
                node_id="bench",
                tags=(),
                shares=((types, everywhere),),
                task_types=types,
                due_before=now,
                overdue_before=now,
                limit=BATCH,
                after=after,
            )
        )
        claimed = [
            Stored(claims.claim(one.record, by=by, claim_id=f"{rng.getrandbits(128):032x}", now=now), one.version)
            for one in found.tasks
        ]
        held = _replace(store, claimed)
        _replace(store, [Stored(outcomes.complete(one.record, now=now, duration=0), one.version) for one in held])
        done += len(held)
        after = found.after if isinstance(found.after, tuple) else None
    rate = tasks / (time.perf_counter() - began)
    store.close()
    return rate


def _replace(store: TaskStore, wanted: Sequence[Stored[Task]]) -> list[Stored[Task]]:
    done = _all_written(store.write([Write(Action.REPLACE, one.record, one.version) for one in wanted]))
    return [Stored(one.record, outcome.version or one.version) for one, outcome in zip(wanted, done, strict=True)]


def node(url: str, *, tasks: int, threads: int) -> Reached:
    """
    Return what one node does with the same tasks, from its first start to its last.
    """
    filled, kind = _filled(url, tasks)
    store = _Counting(filled)
    starts: list[float] = []
    seen: Counter[str] = Counter()
    everything, lock = Event(), Lock()

    def body(context: object) -> None:
        starts.append(time.perf_counter())
        with lock:
            seen[context.task.id] += 1  # type: ignore[attr-defined]
        if len(starts) >= tasks:
            everything.set()

    registry = Registry()
    registry.register(FunctionExecutor(kind, body))
    one = Node(
        store=store,  # type: ignore[arg-type]
        options=NodeOptions(node_id="bench", threads=threads),
        registry=registry,
        clock=SystemClock(),
        metrics=Metrics(),
    )
    one.start()
    everything.wait(LIMIT)
    one.stop(10_000)
    filled.close()
    ids: set[str] = {record for record, count in seen.items() if count > 1}
    span = (max(starts) - min(starts)) if len(starts) > 1 else LIMIT
    return Reached(len(starts) / span, len(ids), tasks - len(seen), store.writes / max(1, len(starts)))
