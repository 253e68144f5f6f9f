"""
The code that a newcomer types runs as it stands: the README's application, and the first minutes of the surface.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"

DRIVE = """
from datetime import timedelta
from myapp import scheduler

tries = 0
with scheduler:
    while scheduler.get_task("sync-hourly").success_count == 0:
        tries += 1
        assert tries < 400, scheduler.get_task("sync-hourly")
        scheduler.wait(timedelta(milliseconds=50))
    task = scheduler.get_task("sync-hourly")
print(task.status, task.checkpoint_data, task.status_details["processedCount"], scheduler.nodes())
"""

FIRST_MINUTES = """
from datetime import timedelta
from types import SimpleNamespace
from unomi_scheduler import Scheduler

pushed, cleaned = [], []


def records_after(done):
    return [SimpleNamespace(id=number) for number in range(done + 1, 11)]


push, clean_cache = pushed.append, lambda: cleaned.append(1)
scheduler = Scheduler()


@scheduler.executor("dataSync", can_resume=True)
def sync(context):
    done = context.checkpoint_data.get("lastProcessedId", 0)
    for record in records_after(done):
        push(record)
        context.save_checkpoint({"lastProcessedId": record.id})
        context.update_step("Processing records", processedCount=record.id, totalCount=1000)


stored = scheduler.new_task("dataSync").with_period(1, "HOURS").schedule()
local = scheduler.new_task("localCache").non_persistent().with_period(5, "MINUTES")
local = local.with_simple_executor(clean_cache).schedule()

tries = 0
with scheduler:
    while not (scheduler.get_task(stored.id).success_count and scheduler.get_task(local.id).success_count):
        tries += 1
        assert tries < 400, (scheduler.get_task(stored.id), scheduler.get_task(local.id))
        scheduler.wait(timedelta(milliseconds=50))
    assert [record.id for record in pushed] == list(range(1, 11))
    assert cleaned == [1]
    print([str(scheduler.get_task(one.id).status) for one in (stored, local)])
"""


def _run(code: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UNOMI_SCHEDULER_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readmes_application_runs(tmp_path: Path) -> None:
    """
    Ten lines in an empty folder: the task is scheduled, runs, and waits for its next hour.
    """
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "myapp.py").write_text(blocks[0])

    assert _run(DRIVE, tmp_path).startswith("SCHEDULED {'done': 100} 100 []")


def test_the_first_minutes_run_as_written(tmp_path: Path) -> None:
    """
    A stored and a memory task by the builder, with a function that resumes and a plain one.
    """
    assert _run(FIRST_MINUTES, tmp_path).strip() == "['SCHEDULED', 'SCHEDULED']"
