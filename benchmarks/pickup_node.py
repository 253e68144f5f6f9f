"""
The application of the nodes that `benchmarks.pickup` measures: a start is one line in a file, `<task id> <epoch ms>`.
"""

from __future__ import annotations

import os
import time

from benchmarks.pickup_names import LOG_VARIABLE, TYPE
from unomi_scheduler import Scheduler, TaskContext

scheduler = Scheduler()
_log = os.open(os.environ[LOG_VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@scheduler.executor(TYPE)
def pickup(context: TaskContext) -> None:
    """
    Say when it began.
    """
    os.write(_log, f"{context.task.id} {time.time() * 1_000:.3f}\n".encode())
