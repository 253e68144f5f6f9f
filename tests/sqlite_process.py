"""
A process of its own for the tests of the SQLite store: `python sqlite_process.py VERB PATH [ARGUMENT]`.

It says `ready` and waits for a line before it begins, so that several begin at once.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from unomi_scheduler.model import Task, TaskStatus, evolve
from unomi_scheduler.ports import Action, Result, TaskQuery, Write
from unomi_scheduler.stores.sqlite import SqliteStore


def claim(store: SqliteStore, name: str) -> None:
    """
    Try to claim every task, one write each, from the end that the name says; print the versions won.
    """
    ids = [task.id for task in store.find(TaskQuery(limit=-1, sort_by="id")).list]
    tasks = [one for one in store.tasks(ids if name == "first" else ids[::-1]) if one is not None]
    _wait()
    won = []
    for one in tasks:
        if isinstance(one.record, Task):
            claimed = evolve(one.record, status=TaskStatus.RUNNING, claim_id=name, lock_owner=name)
            (outcome,) = store.write([Write(Action.REPLACE, claimed, one.version)])
            if outcome.version is not None:
                won.append(outcome.version.seq_no)
    print(json.dumps(won))


def fill(store: SqliteStore, count: str) -> None:
    """
    Create tasks in batches without an end; print the ids of each batch once it is acknowledged.
    """
    _wait()
    number = 0
    while True:
        batch = [_task(number + more) for more in range(int(count))]
        outcomes = store.write([Write(Action.CREATE, task) for task in batch])
        if all(outcome.result is Result.WRITTEN for outcome in outcomes):
            print(json.dumps([task.id for task in batch]), flush=True)
        number += len(batch)


def overflow(store: SqliteStore, limit: str) -> None:
    """
    Create tasks until a file would grow beyond a limit in bytes; print how the last batch ended and what is there.
    """
    _wait()
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    for batch in range(1_000):
        tasks = [_task(batch * 10 + more) for more in range(10)]
        outcomes = store.write([Write(Action.CREATE, task) for task in tasks])
        if outcomes[0].result is not Result.WRITTEN:
            there = store.tasks([task.id for task in tasks])
            print(json.dumps([sorted({one.result.value for one in outcomes}), sum(map(bool, there)), batch]))
            return


def _task(number: int) -> Task:
    return Task(id=f"task-{number:06d}", task_type="sample", creation_date=number, parameters={"text": "x" * 500})


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    opened = SqliteStore(Path(sys.argv[2]))
    opened.open()
    {"claim": claim, "fill": fill, "overflow": overflow}[sys.argv[1]](opened, sys.argv[3])
