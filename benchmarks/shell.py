"""
`python -m benchmarks.shell`: how long the commands of `unomi-task` take, and lists of very many tasks.

    --help                          at most 150 ms, as a process of its own
    list, 50 of 100,000 tasks       at most 300 ms, over REST and straight at a store, the same
    lists of 1,000,000 tasks on Elasticsearch: the first page at most 1 s, the page at offset 500,000 at most 2 s
    one bulk action for 10,000      at most 3 s, on SQLite
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from wsgiref.simple_server import WSGIRequestHandler, make_server

from benchmarks import lists
from integration_tests import servers
from unomi_rest.accounts import make_account
from unomi_rest.app import create_app
from unomi_scheduler import Scheduler, Selection

_COMMAND = [sys.executable, "-c", "from unomi_shell.main import main; main(prog_name='unomi-task')"]
_BATCH = 5_000
_BULK = 10_000


@dataclass(frozen=True)
class Figure:
    """
    How long something took in each round, and may take (ms).
    """

    name: str
    took: list[float]
    limit: float

    @property
    def slow(self) -> bool:
        """
        Whether it took too long, by its median.
        """
        return statistics.median(self.took) > self.limit

    def __str__(self) -> str:
        verdict = "TOO SLOW" if self.slow else "ok"
        return (
            f"{self.name:75} median {statistics.median(self.took):6,.0f} ms, most {max(self.took):6,.0f} ms, "
            f"limit {self.limit:5,.0f} ms: {verdict}"
        )


class _Quiet(WSGIRequestHandler):
    def get_environ(self) -> dict[str, object]:
        return {**super().get_environ(), "RAW_URI": self.path}

    def log_message(self, format: str, *args: object) -> None:
        pass


def main(given: list[str] | None = None) -> int:
    """
    Print a line a figure, and what is missing; return 1 if something took too long, 2 if something is missing.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shell", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="in the store that the commands list")
    parser.add_argument("--many", type=int, default=1_000_000, help="on Elasticsearch; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(given)
    slow, missing = 0, []
    for figure in _commands(tasks=chosen.tasks, rounds=chosen.rounds):
        print(figure, flush=True)
        slow += figure.slow
    try:
        for figure in _lists(tasks=chosen.many, rounds=chosen.rounds) if chosen.many else ():
            print(figure, flush=True)
            slow += figure.slow
    except servers.NoServerError as error:
        missing.append(f"lists on Elasticsearch: {error}")
    if not chosen.many:
        missing.append("lists on Elasticsearch: left out by --many 0")
    for one in missing:
        print(f"NOT MEASURED: {one}")
    return 1 if slow else 2 if missing else 0


def _commands(*, tasks: int, rounds: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/tasks.db"
        scheduler = Scheduler(store=store)
        _fill(scheduler, tasks)
        app = create_app(scheduler, scheduler.settings, accounts=[make_account("bench", "bench")])
        with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://bench:bench@127.0.0.1:{server.server_port}"
            shown = f"list 50 of {tasks:,} tasks"
            yield Figure("unomi-task --help", _measure(["--help"], rounds), 150)
            yield Figure(f"{shown} over REST", _measure(["--url", url, "list"], rounds), 300)
            yield Figure(f"{shown} straight at a store", _measure(["--store", store, "list"], rounds), 300)
            server.shutdown()
        yield _bulk(scheduler, min(_BULK, tasks))
        scheduler.stop()


def _bulk(scheduler: Scheduler, tasks: int) -> Figure:
    selection = Selection(ids=tuple(f"task-{number:06}" for number in range(tasks)))
    begun = time.perf_counter()
    result = scheduler.bulk("cancel", selection)
    took = (time.perf_counter() - begun) * 1_000
    if result.changed != tasks:
        raise RuntimeError(f"expected {tasks} cancelled tasks, got {result}")
    return Figure(f"cancel {tasks:,} tasks at once on SQLite", [took], 3_000)


def _lists(*, tasks: int, rounds: int) -> Iterator[Figure]:
    with servers.find() as server, lists.filled(server.url, tasks=tasks) as store:
        for name, took, limit in lists.measure(store, tasks=tasks, rounds=rounds):
            yield Figure(f"{name} of {tasks:,} tasks", took, limit)


def _fill(scheduler: Scheduler, number: int) -> None:
    tasks = (
        scheduler.new_task("sample").with_id(f"task-{number:06}").with_initial_delay(timedelta(days=1)).build()
        for number in range(number)
    )
    while some := list(islice(tasks, _BATCH)):
        scheduler.schedule_many(some)


def _measure(arguments: Iterable[str], rounds: int) -> list[float]:
    # An installed command is compiled; the first call, which may compile, does not count.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    took = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run([*_COMMAND, *arguments], check=True, capture_output=True, env=environment)
        took.append((time.perf_counter() - begun) * 1_000)
    return took[1:]


if __name__ == "__main__":
    sys.exit(main())
