"""
`python -m benchmarks.pickup`: how long after its due time a task starts, with real processes on one store.

Beside each case stands what the store itself takes at that moment for one read and one conditional write, one after the
other: the least that a claim costs. A run with duplicates or losses is void.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from uuid import uuid4

from elasticsearch import Elasticsearch

from benchmarks.pickup_names import LOG_VARIABLE, TYPE
from integration_tests import servers
from unomi_scheduler import Scheduler, TaskContext
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.model import Task
from unomi_scheduler.node.executors import FunctionExecutor
from unomi_scheduler.ports import Action, TaskStore, Write
from unomi_scheduler.stores.opening import open_store

_NODE = (str(Path(sys.executable).with_name("unomi-scheduler")), "node", "--app", "benchmarks.pickup_node:scheduler")
_LIMIT = 60.0
_WARM_UP = 20
_SCHEDULERS = 8
_REFERENCES = 200


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    One situation: how tasks come, and the targets (p50 and p99, ms).

    Args:
        rate: tasks a second.
        ahead: how many seconds before they are due, at random between these; None is for now.
        nodes: processes beside the one that schedules; without any it runs the tasks itself.
    """

    name: str
    rate: int
    target: tuple[float, float | None]
    ahead: tuple[float, float] | None = None
    nodes: int = 2
    nudge: bool = True


CASES = (
    Case(name="future, scheduled elsewhere, 20/s", rate=20, ahead=(2, 5), target=(6, 40)),
    Case(name="future, scheduled elsewhere, 200/s", rate=200, ahead=(2, 5), target=(6, 40)),
    Case(name="now, on the own node, 20/s", rate=20, nodes=0, target=(15, None)),
    Case(name="now, elsewhere, no nudge, 20/s", rate=20, nudge=False, target=(900, 1_800)),
    Case(name="now, elsewhere, nudge, 20/s", rate=20, target=(25, 60)),
    Case(name="now, elsewhere, nudge, 200/s", rate=200, target=(25, 60)),
)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """
    What one case gave: milliseconds from due to start in order, those of the bare store, and what went wrong.
    """

    late: list[float]
    bare: list[float]
    duplicates: int
    lost: int


def percentile(values: list[float], share: float) -> float:
    """
    Return the value that so large a share of the ordered values does not exceed.
    """
    return values[min(len(values) - 1, int(len(values) * share))]


def measure(url: str, case: Case, *, seconds: float) -> Figures:
    """
    Run one case, in Elasticsearch on indices of its own, which are gone afterwards.
    """
    prefix = f"pickup-{uuid4().hex[:8]}"
    with _indices(url, prefix), tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        log = Path(folder) / "starts"
        log.touch()
        for number in range(case.nodes):
            stack.enter_context(_node(number, url, prefix, log, case))
        scheduler = Scheduler(
            store=url, index_prefix=prefix, node_id="bench", executor_node=not case.nodes, nudge=case.nudge,
            purge_enabled=False, log_level="WARNING",
        )  # fmt: skip
        if not case.nodes:
            scheduler.register_executor(_own(log))
        stack.enter_context(scheduler)
        _until(lambda: _able(scheduler) >= max(1, case.nodes), "the nodes")
        _warm_up(scheduler, log)
        bare = reference(url, prefix)
        dues = _schedule(scheduler, case, seconds)
        _until(lambda: dues.keys() <= _starts(log).keys(), "the last start", fail=False)
        return _figures(dues, _starts(log), bare)


@contextmanager
def _indices(url: str, prefix: str) -> Iterator[None]:
    try:
        yield
    finally:
        if url.startswith("http"):
            with Elasticsearch(url) as admin:
                for index in admin.indices.get(index=f"{prefix}-*", expand_wildcards="all"):
                    admin.indices.delete(index=index)


def _figures(dues: dict[str, int], starts: dict[str, list[float]], bare: list[float]) -> Figures:
    late = sorted(min(starts[name]) - due for name, due in dues.items() if name in starts)
    duplicates = sum(len(starts.get(name, ())) > 1 for name in dues)
    return Figures(late=late, bare=bare, duplicates=duplicates, lost=len(dues) - len(late))


def reference(url: str, prefix: str, number: int = _REFERENCES) -> list[float]:
    """
    Return the milliseconds, in order, of one read and one conditional write of a task, by the bare store.
    """
    store = open_store(url, clock=SystemClock(), index_prefix=prefix)
    task = Task(id=f"bare-{uuid4().hex}", task_type="bare", creation_date=SystemClock().now().wall, enabled=False)
    store.write([Write(Action.CREATE, task)])
    took = sorted(_one_claim(store, task.id) for _ in range(number))
    store.close()
    return took


def _one_claim(store: TaskStore, task_id: str) -> float:
    began = time.perf_counter()
    (found,) = store.tasks([task_id])
    assert found is not None
    store.write([Write(Action.REPLACE, found.record, found.version)])
    return (time.perf_counter() - began) * 1_000


@contextmanager
def _node(number: int, url: str, prefix: str, log: Path, case: Case) -> Iterator[None]:
    settings = {"STORE": url, "INDEX_PREFIX": prefix, "NODE_ID": f"node-{number}", "PURGE_ENABLED": "false"}
    settings |= {"NUDGE": str(case.nudge).lower(), "LOG_LEVEL": "WARNING"}
    environment = {**os.environ, LOG_VARIABLE: str(log)}
    environment |= {f"UNOMI_SCHEDULER_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(_NODE, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(_LIMIT)


def _own(log: Path) -> FunctionExecutor:
    # Does in this process what the nodes' executor does in theirs.
    file = os.open(log, os.O_WRONLY | os.O_APPEND)

    def start(context: TaskContext) -> None:
        os.write(file, f"{context.task.id} {time.time() * 1_000:.3f}\n".encode())

    return FunctionExecutor(TYPE, start)


def _able(scheduler: Scheduler) -> int:
    return sum(TYPE in node.task_types for node in scheduler.nodes())


def _warm_up(scheduler: Scheduler, log: Path) -> None:
    ids = {scheduler.new_task(TYPE).as_one_shot().schedule().id for _ in range(_WARM_UP)}
    _until(lambda: ids <= _starts(log).keys(), "the first starts")


def _schedule(scheduler: Scheduler, case: Case, seconds: float) -> dict[str, int]:
    random = Random(1)
    began = time.perf_counter()
    with ThreadPoolExecutor(_SCHEDULERS) as threads:
        made = []
        for number in range(max(1, int(case.rate * seconds))):
            time.sleep(max(0.0, began + number / case.rate - time.perf_counter()))
            ahead = random.uniform(*case.ahead) if case.ahead else 0.0
            made.append(threads.submit(partial(_one, scheduler, ahead)))
        tasks = [one.result() for one in made]
    return {task.id: task.next_scheduled_execution or 0 for task in tasks}


def _one(scheduler: Scheduler, ahead: float) -> Task:
    builder = scheduler.new_task(TYPE).as_one_shot()
    return (builder.with_initial_delay(timedelta(seconds=ahead)) if ahead else builder).schedule()


def _starts(log: Path) -> dict[str, list[float]]:
    starts: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        name, at = line.split()
        starts.setdefault(name, []).append(float(at))
    return starts


def _until(condition: Callable[[], bool], what: str, *, fail: bool = True) -> None:
    end = time.monotonic() + _LIMIT
    while not condition():
        if time.monotonic() > end:
            if fail:
                raise TimeoutError(f"{what} did not come in {_LIMIT:g} s")
            return
        time.sleep(0.05)


def row(case: Case, figures: Figures) -> str:
    """
    Return the line of a case.
    """
    p50, p99 = (percentile(figures.late, share) for share in (0.5, 0.99))
    bare50, bare99 = (percentile(figures.bare, share) for share in (0.5, 0.99))
    target = " / ".join("-" if one is None else f"{one:g}" for one in case.target)
    void = f"  VOID: {figures.duplicates} twice, {figures.lost} lost" if figures.duplicates or figures.lost else ""
    return (
        f"{case.name:36} {len(figures.late):6} {p50:7.1f} / {p99:7.1f} {target:>14} {bare50:8.1f} / {bare99:6.1f}{void}"
    )


def main() -> int:
    """
    Print a line a case; 1 if one of them is void.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pickup", description=__doc__)
    parser.add_argument("--store", help="sqlite:///PATH or http://HOST:9200; by default an Elasticsearch is found")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long tasks are scheduled in each case")
    parser.add_argument("--only", default="", help="cases with this text in their name")
    chosen = parser.parse_args()
    print(f"{'start - due, ms':36} {'tasks':>6} {'p50 / p99':>17} {'target':>14} {'read + write':>17}")
    outcomes: Counter[bool] = Counter()
    with ExitStack() as stack:
        url = chosen.store or stack.enter_context(servers.find()).url
        for case in (case for case in CASES if chosen.only in case.name):
            figures = measure(url, case, seconds=chosen.seconds)
            print(row(case, figures), flush=True)
            outcomes[bool(figures.duplicates or figures.lost)] += 1
    return 1 if outcomes[True] else 0


if __name__ == "__main__":
    sys.exit(main())
