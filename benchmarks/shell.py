"""
`python -m benchmarks.shell`: how long the commands of `unomi-task` take, each as a process of its own.

    --help                       at most 150 ms
    list, 50 of 100,000 tasks    at most 300 ms over REST; straight at a store it loads the scheduler, too
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from wsgiref.simple_server import WSGIRequestHandler, make_server

from unomi_rest.accounts import make_account
from unomi_rest.app import create_app
from unomi_scheduler import Scheduler

_COMMAND = [sys.executable, "-c", "from unomi_shell.main import main; main(prog_name='unomi-task')"]
_TASKS, _BATCH, _ROUNDS = 100_000, 5_000, 9
_LIMITS = {"--help": 150, "list over REST": 300}


class _Quiet(WSGIRequestHandler):
    def get_environ(self) -> dict[str, object]:
        return {**super().get_environ(), "RAW_URI": self.path}

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> int:
    """
    Print a line a command, and return 1 if one took too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/tasks.db"
        scheduler = Scheduler(store=store)
        _fill(scheduler)
        app = create_app(scheduler, scheduler.settings, accounts=[make_account("bench", "bench")])
        with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://bench:bench@127.0.0.1:{server.server_port}"
            took = {
                "--help": _measure(["--help"]),
                "list over REST": _measure(["--url", url, "list"]),
                "list at a store": _measure(["--store", store, "list"]),
            }
            server.shutdown()
        scheduler.stop()
    return _report(took)


def _fill(scheduler: Scheduler) -> None:
    tasks = (
        scheduler.new_task("sample").with_id(f"task-{number:06}").with_initial_delay(timedelta(days=1)).build()
        for number in range(_TASKS)
    )
    while some := list(islice(tasks, _BATCH)):
        scheduler.schedule_many(some)


def _measure(arguments: Iterable[str]) -> list[float]:
    took = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        subprocess.run([*_COMMAND, *arguments], check=True, capture_output=True)
        took.append((time.perf_counter() - begun) * 1_000)
    return took


def _report(took: dict[str, list[float]]) -> int:
    slow = 0
    for name, times in took.items():
        median, limit = statistics.median(times), _LIMITS.get(name)
        slow += limit is not None and median > limit
        allowed = f", limit {limit} ms" if limit else ""
        print(f"{name:16} median {median:4.0f} ms, least {min(times):4.0f} ms{allowed}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
