"""
The application that the nodes of the cluster tests run, and a process around it: `python -m tests.cluster.worker`.

Each executor says in the run log what it does, one JSON line a time. A line is one `write` to a file opened for
appending, so a process that is killed loses none of those it wrote.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from threading import Event
from typing import Any

from unomi_scheduler import LeaseLost, Scheduler, SchedulerError, TaskContext
from unomi_scheduler.logs import configure_logging

from .worker_names import LEDGER_VARIABLE, LOG_VARIABLE, MEMORY_VARIABLE

scheduler = Scheduler()
_log = os.open(os.environ[LOG_VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def say(event: str, context: TaskContext | None = None, **more: Any) -> None:
    """
    Write one line. `at` is on a clock that all processes of a machine share, in seconds; `wall` in epoch ms.
    """
    line = {"event": event, "pid": os.getpid(), "at": time.monotonic(), "wall": time.time() * 1_000, **more}
    if context is not None:
        task = context.task
        line |= {
            "task": task.id, "fence": context.fence, "node": context.node_id, "claim": task.claim_id,
            "incarnation": task.owner_incarnation,
        }  # fmt: skip
    os.write(_log, (json.dumps(line) + "\n").encode())


@scheduler.executor("plain")
def plain(context: TaskContext) -> None:
    """
    Do nothing.
    """
    say("start", context)
    say("end", context)


@scheduler.executor("nap")
@scheduler.executor("lonely-nap")
@scheduler.executor("memory-nap")
def nap(context: TaskContext) -> None:
    """
    Take some seconds; end at once when told to, unless `stubborn`.
    """
    say("start", context)
    seconds = context.parameters["seconds"]
    if context.parameters.get("stubborn"):
        Event().wait(seconds)
    elif context.wait_cancelled(seconds):
        say("told", context, reason=context.reason)
    say("end", context)


@scheduler.executor("failing")
def failing(context: TaskContext) -> None:
    """
    Fail.
    """
    say("start", context)
    say("failed", context)
    raise RuntimeError("as asked")


@scheduler.executor("steps", can_resume=True)
def steps(context: TaskContext) -> None:
    """
    Put a number of steps into the ledger, with a checkpoint behind each; it does not look whether it was told to stop.
    """
    begin = context.checkpoint_data.get("step", 0)
    say("start", context, resumed=context.resumed, begin=begin)
    for step in range(begin, context.parameters["steps"]):
        Event().wait(context.parameters["pause"])
        if not enter(context, step):
            say("refused", context, step=step)
        try:
            context.save_checkpoint({"step": step + 1})
        except LeaseLost as error:
            say("told", context, reason=str(error))
            raise
        say("checkpoint", context, step=step + 1)
    say("end", context)


def enter(context: TaskContext, step: int) -> bool:
    """
    Enter a step into the ledger, a system beside the scheduler that refuses a late run by its fence.
    """
    with closing(sqlite3.connect(os.environ[LEDGER_VARIABLE], timeout=10)) as ledger, ledger:
        ledger.execute("CREATE TABLE IF NOT EXISTS entries (step INTEGER PRIMARY KEY, fence INTEGER, node TEXT)")
        ledger.execute("CREATE TABLE IF NOT EXISTS fences (task TEXT PRIMARY KEY, fence INTEGER)")
        done = ledger.execute(
            "INSERT INTO fences VALUES (?, ?) ON CONFLICT (task) DO UPDATE SET fence = excluded.fence "
            "WHERE excluded.fence >= fences.fence",
            (context.task.id, context.fence),
        )
        if done.rowcount:
            ledger.execute("REPLACE INTO entries VALUES (?, ?, ?)", (step, context.fence, context.node_id))
        return bool(done.rowcount)


def main() -> None:
    """
    Run the node until it is ended.
    """
    configure_logging(scheduler.settings.log_level, "json")
    for task_id, seconds in json.loads(os.environ.get(MEMORY_VARIABLE, "{}")).items():
        builder = scheduler.new_task("memory-nap").with_id(task_id).non_persistent().as_one_shot()
        builder.with_parameters({"seconds": seconds}).schedule()
    try:
        with scheduler:
            say("ready", node=scheduler.node_id)
            scheduler.wait()
    except SchedulerError as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    # As a module the application may be imported twice; the one that runs is this one.
    main()
