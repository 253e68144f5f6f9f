"""
Lists of very many tasks on Elasticsearch: the first page, and one from the middle, in every order and with each filter.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID, uuid4

from elasticsearch import Elasticsearch

from unomi_scheduler import SystemClock, Task, TaskStatus, TaskStore
from unomi_scheduler.ports import SORT_FIELDS, Action, Result, TaskQuery, Write
from unomi_scheduler.stores.opening import open_store
from unomi_scheduler.stores.options import ElasticsearchOptions

PAGE = 50
_BATCH = 5_000
_MONTH = 30 * 24 * 3_600_000
_COMMON = 0.7
"""The share of the tasks of one type, and of those in one state: at the middle of all, both still have tasks."""
_FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "by type": {"task_type": "common"},
    "by status": {"status": TaskStatus.SCHEDULED},
}


@contextmanager
def filled(url: str, *, tasks: int) -> Iterator[TaskStore]:
    """
    Give a store with so many tasks, which are gone in the end.
    """
    prefix = f"bench-{uuid4().hex[:8]}"
    options = ElasticsearchOptions(replicas=0, request_timeout=120.0, refresh_interval="5s")
    store = open_store(url, clock=SystemClock(), index_prefix=prefix, elasticsearch=options)
    try:
        made = _tasks(tasks)
        for _ in range(0, tasks, _BATCH):
            writes = [Write(Action.CREATE, task) for _, task in zip(range(_BATCH), made, strict=False)]
            for outcome in store.write(writes):
                if outcome.result is not Result.WRITTEN:
                    raise outcome.error or RuntimeError(str(outcome.result))
        store.refresh()
        yield store
    finally:
        store.close()
        with Elasticsearch(url, request_timeout=60) as server:
            server.indices.delete(index=list(server.indices.get(index=f"{prefix}-*")))


def _tasks(number: int) -> Iterator[Task]:
    numbers, now = Random(1), SystemClock().now().wall
    others = [one for one in TaskStatus if one is not TaskStatus.SCHEDULED]
    for _ in range(number):
        yield Task(
            id=str(UUID(int=numbers.getrandbits(128))),
            task_type="common" if numbers.random() < _COMMON else f"type-{numbers.randrange(10)}",
            status=TaskStatus.SCHEDULED if numbers.random() < _COMMON else numbers.choice(others),
            creation_date=now - numbers.randrange(_MONTH),
            fence=now,
            one_shot=True,
            # Half of them tie, or have none at all.
            next_scheduled_execution=now + _MONTH + numbers.choice((0, numbers.randrange(_MONTH))),
            last_execution_date=numbers.choice((None, now - numbers.randrange(_MONTH))),
            failure_count=numbers.randrange(3),
            success_count=numbers.randrange(1_000),
        )


def measure(store: TaskStore, *, tasks: int, rounds: int) -> Iterator[tuple[str, list[float], float]]:
    """
    Yield what is measured, how long it took in each round, and what is allowed (both ms): of each order the slowest of
    its directions and filters, on the first page and in the middle.
    """
    for field in SORT_FIELDS:
        for name, offset, limit in (("first page", 0, 1_000.0), (f"offset {tasks // 2:,}", tasks // 2, 2_000.0)):
            slowest: tuple[float, str, list[float]] = (-1.0, "", [])
            for descending in (False, True):
                for shown, chosen in _FILTERS.items():
                    query = replace(TaskQuery(sort_by=field, descending=descending, limit=PAGE), **chosen)
                    took = [_timed(store, replace(query, offset=offset), turn) for turn in range(rounds)]
                    which = f"{shown}{', descending' if descending else ''}"
                    slowest = max(slowest, (statistics.median(took), which, took))
            yield f"{name} by {field} ({slowest[1]})", slowest[2], limit


def _timed(store: TaskStore, query: TaskQuery, turn: int) -> float:
    # Another place in each round: the server must not answer by what it remembers of the one before.
    query = replace(query, offset=query.offset + 37 * turn)
    begun = time.perf_counter()
    page = store.find(query)
    took = (time.perf_counter() - begun) * 1_000
    if len(page.list) != PAGE:
        raise RuntimeError(f"{query} has {len(page.list)} tasks; expected {PAGE}: fill it with more")
    return took
