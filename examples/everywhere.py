"""
Where tasks run: on every node, on the nodes with a tag, and one at a time in the whole cluster.

    unomi-scheduler node --app examples.everywhere:scheduler                                    # in three terminals,
    UNOMI_SCHEDULER_NODE_ID=two UNOMI_SCHEDULER_TAGS='["archive"]' unomi-scheduler node --app …  # one with the tag

`disk-report` runs on every node each ten seconds and tells how full its disk is: each node has its own run. `archive`
runs on a node that says `archive` of itself and waits while there is none; `unomi-task explain archive` says so.
`ledger-a` and `ledger-b` write to the same file, so their type is exclusive: however many nodes there are, at most one
task of the type runs at a time.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from unomi_scheduler import Scheduler, TaskContext

LEDGER = Path("ledger.txt")

scheduler = Scheduler()


@scheduler.executor("diskReport")
def report_disk(context: TaskContext) -> None:
    """
    Tell how full this node's disk is.
    """
    usage = shutil.disk_usage(".")
    context.update_status_details(node=context.node_id, percentUsed=round(100 * usage.used / usage.total))


@scheduler.executor("archive")
def archive(context: TaskContext) -> None:
    """
    Pack the ledger, on the node that keeps archives.
    """
    if LEDGER.exists():
        shutil.copy(LEDGER, LEDGER.with_suffix(f".{context.fence}.bak"))


@scheduler.executor("appendToLedger")
def append(context: TaskContext) -> None:
    """
    Number a line behind the last: right only while nobody else does the same.
    """
    lines = LEDGER.read_text(encoding="utf-8").splitlines() if LEDGER.exists() else []
    LEDGER.write_text("\n".join([*lines, f"{len(lines) + 1} {context.task.id}"]) + "\n", encoding="utf-8")


def schedule() -> None:
    """
    Schedule the tasks; what exists from an earlier start is kept.
    """
    every = scheduler.new_task("diskReport").with_id("disk-report").with_period(10, "SECONDS")
    every.run_on_all_nodes().schedule(if_exists="keep")
    scheduler.new_task("archive").with_id("archive").on_tags("archive").schedule(if_exists="keep")
    for name in ("ledger-a", "ledger-b"):
        task = scheduler.new_task("appendToLedger").with_id(name).with_period(1, "SECONDS")
        task.disallow_parallel_execution().schedule(if_exists="keep")


schedule()
