"""
Failures: automatic retries, retrying by hand, and resuming from a checkpoint.

    unomi-scheduler node --app examples.retries:scheduler
    unomi-task --store sqlite:///unomi-scheduler.db show copy-records

`copy-records` copies numbered records to a service that fails now and then. A failed run is retried after two seconds,
at most five times in a row, and each run goes on behind the last checkpoint: so does the run that follows a crash
(`kill -9` the node and start it again), which can tell by `context.resumed`. `call-support` fails for good, since
nobody answers; `answer()` below makes the call succeed and retries it by hand, its failures forgotten.
"""

from __future__ import annotations

from pathlib import Path

from unomi_scheduler import Scheduler, TaskContext

RECORDS, REFUSED = range(50), (19, 39)
COPIES, ANSWERED = Path("copies.txt"), Path("answered")

scheduler = Scheduler()


class ServiceError(Exception):
    """
    The service did not take a record.
    """


@scheduler.executor("copyRecords", can_resume=True)
def copy_records(context: TaskContext) -> None:
    """
    Copy what no earlier run has copied; two records fail at their first attempt.
    """
    done = int(context.checkpoint_data.get("done", 0))
    for record in RECORDS[done:]:
        if record in REFUSED and context.checkpoint_data.get("failedAt") != record:
            context.save_checkpoint({"done": record, "failedAt": record})
            raise ServiceError(f"the service did not take record {record}")
        with COPIES.open("a", encoding="utf-8") as copies:
            copies.write(f"{record}\n")
        context.save_checkpoint({"done": record + 1})
        context.update_step("Copying", processedCount=record + 1, totalCount=len(RECORDS))


@scheduler.executor("callSupport")
def call_support() -> None:
    """
    Succeed once somebody answers.
    """
    if not ANSWERED.exists():
        raise ServiceError("nobody answers")


def answer() -> None:
    """
    Put the matter right and retry by hand: `unomi-task retry call-support --reset` does the same.
    """
    ANSWERED.touch()
    scheduler.retry_task("call-support", reset_failure_count=True)


def schedule() -> None:
    """
    Schedule the tasks; what exists from an earlier start is kept.
    """
    copying = scheduler.new_task("copyRecords").with_id("copy-records").as_one_shot()
    copying.with_max_retries(5).with_retry_delay(2, "SECONDS").schedule(if_exists="keep")
    calling = scheduler.new_task("callSupport").with_id("call-support").as_one_shot()
    calling.with_max_retries(1).with_retry_delay(1, "SECONDS").schedule(if_exists="keep")


schedule()
