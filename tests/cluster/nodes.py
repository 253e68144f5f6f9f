"""
A cluster of real processes on one store: they are started, killed, paused and watched by tests.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

from unomi_scheduler import Scheduler, Task, TaskNotFound, TaskStatus, TaskStore

from .worker_names import LEDGER_VARIABLE, LOG_VARIABLE, MEMORY_VARIABLE

ROOT = Path(__file__).parents[2]
LEASE = 2.0
"""Seconds; the lease of the nodes unless a test says otherwise."""
LOOK_EVERY = 0.03
_PREFIX = "UNOMI_SCHEDULER_"
_WORKER = (sys.executable, "-m", "tests.cluster.worker")
_COMMAND = (str(Path(sys.executable).with_name("unomi-scheduler")), "node", "--app", "tests.cluster.worker:scheduler")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Said:
    """
    One line of a run log; `at` is on a clock that the machine's processes share, in seconds, `wall` in epoch ms.
    """

    event: str
    pid: int
    at: float
    wall: float
    node: str = ""
    task: str = ""
    claim: str = ""
    incarnation: str = ""
    fence: int = 0
    resumed: bool = False
    begin: int = 0
    step: int = 0
    reason: str = ""


class RunLog:
    """
    What one process said of its runs, read as far as it is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._said: list[Said] = []

    def said(self) -> list[Said]:
        """
        Return all whole lines so far.
        """
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                self._read += len(whole) + 1
                self._said += [Said(**json.loads(line)) for line in whole.split(b"\n")]
        return self._said


class NodeProcess:
    """
    One node; `end` kills it by its pid, whatever state it is in.
    """

    def __init__(self, name: str, folder: Path, command: Sequence[str], settings: dict[str, str]) -> None:
        self.name = name
        self.log = RunLog(folder / f"{name}-{uuid4().hex[:6]}.runs")
        self._output = self.log.path.with_suffix(".log")
        self.killed_at: float | None = None
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_PREFIX)}
        paths = os.pathsep.join(str(ROOT / folder) for folder in (".", "rest", "shell"))
        environment = {**inherited, "PYTHONPATH": paths, LOG_VARIABLE: str(self.log.path), **settings}
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)

    @property
    def pid(self) -> int:
        """
        The process's id.
        """
        return self._process.pid

    @property
    def running(self) -> bool:
        """
        Whether the process has not ended.
        """
        return self._process.poll() is None

    def kill(self) -> None:
        """
        End it as `kill -9` does; harmless when it has ended.
        """
        if self.killed_at is None:
            self.killed_at = time.monotonic()
        self._signal(signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """
        Freeze it.
        """
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """
        Let it go on after `pause`.
        """
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """
        Ask it to stop.
        """
        self._signal(signal.SIGTERM)

    def ended(self, *, within: float) -> int:
        """
        Return its exit code, once it has ended.
        """
        return self._process.wait(timeout=within)

    def output(self) -> str:
        """
        Return what it printed and logged.
        """
        return self._output.read_text()

    def logged(self, action: str) -> list[dict[str, Any]]:
        """
        Return the lines of its own log with this action.
        """
        lines = [json.loads(line) for line in self.output().split("\n")[:-1] if line.startswith("{")]
        return [line for line in lines if line.get("action") == action]

    def _signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)


class Cluster:
    """
    The processes of one test on one store, and `manager`, who takes no part and only schedules and looks.
    """

    def __init__(self, folder: Path, url: str, prefix: str) -> None:
        self.folder = folder
        self.url = url
        self.prefix = prefix
        self.nodes: list[NodeProcess] = []
        self.manager = Scheduler(
            store=url, index_prefix=prefix, node_id="manager", executor_node=False, state_dir=folder / "manager-state"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes:
            node.kill()
        self.manager.stop()

    @property
    def store(self) -> TaskStore:
        """
        The store, for what no user can do.
        """
        return self.manager._wiring.required_store()

    def launch(
        self,
        name: str,
        *,
        by_command: bool = False,
        url: str = "",
        memory: dict[str, float] | None = None,
        **settings: object,
    ) -> NodeProcess:
        """
        Start a node and return at once.

        Args:
            by_command: as `unomi-scheduler node`, not as a bare process.
            url: where it finds the store, if not where the others do.
            memory: ids and seconds of memory tasks that it schedules for itself.
            settings: of the node, such as `lease="3s"`; a name may have `__` in it.
        """
        chosen = {
            "store": url or self.url, "index_prefix": self.prefix, "node_id": name, "lease": f"{LEASE:g}s",
            "state_dir": self.folder / "state", "log_format": "json", **settings,
        }  # fmt: skip
        environment = {f"{_PREFIX}{key.upper()}": str(value) for key, value in chosen.items() if value is not None}
        environment |= {LEDGER_VARIABLE: str(self.folder / "ledger.db"), MEMORY_VARIABLE: json.dumps(memory or {})}
        node = NodeProcess(name, self.folder, _COMMAND if by_command else _WORKER, environment)
        self.nodes.append(node)
        return node

    def start(self, *names: str, **options: Any) -> list[NodeProcess]:
        """
        Start nodes at once, and return when the store knows them.
        """
        nodes = [self.launch(name, **options) for name in names]
        self.wait_for_nodes(*nodes)
        return nodes

    def wait_for_nodes(self, *nodes: NodeProcess) -> None:
        """
        Return when these nodes take part.
        """

        def look() -> bool:
            known = {beat.pid for beat in self.manager.nodes()}
            assert all(node.running for node in nodes), self._logs()
            return {node.pid for node in nodes} <= known

        self.eventually(look, what="the nodes take part", within=40)

    def said(self, event: str = "", *, task: str = "") -> list[Said]:
        """
        Return what all processes said (of one task), in the order of time.
        """
        found = [one for node in self.nodes for one in node.log.said()]
        chosen = (one for one in found if event in ("", one.event) and task in ("", one.task))
        return sorted(chosen, key=lambda one: one.at)

    def eventually(self, look: Callable[[], _T | None], *, what: str, within: float = 30) -> _T:
        """
        Look again and again and return the first answer that is not empty; fail with the nodes' logs when it is too
        late.
        """
        deadline = time.monotonic() + within
        while not (found := look()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {within:g} s\n{self._logs()}")
            time.sleep(LOOK_EVERY)
        return found

    def heard(self, event: str, *, task: str, number: int = 1, within: float = 30) -> list[Said]:
        """
        Return what was said of a task once it was said often enough.
        """

        def look() -> list[Said] | None:
            found = self.said(event, task=task)
            return found if len(found) >= number else None

        return self.eventually(look, what=f"{number} × {event} of {task}", within=within)

    def reached(self, task_id: str, *statuses: TaskStatus, within: float = 30) -> Task:
        """
        Return a task once it is in one of these states, and nobody owns it.
        """

        def look() -> Task | None:
            task = self.task(task_id)
            return task if task is not None and task.status in statuses and task.lock_owner is None else None

        return self.eventually(look, what=f"{task_id} {' or '.join(statuses)}", within=within)

    def completed(self, task_id: str, *, within: float = 30) -> Task:
        """
        Return a task once it is COMPLETED.
        """
        return self.reached(task_id, TaskStatus.COMPLETED, within=within)

    def succeeded(self, task_id: str) -> Task:
        """
        Return a task, periodic or not, once a run of it has succeeded.
        """

        def look() -> Task | None:
            task = self.task(task_id)
            return task if task is not None and task.success_count else None

        return self.eventually(look, what=f"{task_id} ran")

    def task(self, task_id: str) -> Task | None:
        """
        Return a task as it stands, or None.
        """
        try:
            return self.manager.get_task(task_id)
        except TaskNotFound:
            return None

    def tasks(self, ids: Iterable[str]) -> list[Task]:
        """
        Return those of these tasks that there are, as they stand.
        """
        found = self.store.tasks(list(ids))
        return [one.record for one in found if one is not None and isinstance(one.record, Task)]

    def schedule(self, task_type: str, *ids: str, **definition: Any) -> list[str]:
        """
        Schedule one-shot tasks (periodic ones with `period` in ms) and return their ids.
        """
        once = "period" not in definition
        made = [self.manager.create_task(task_type, id=one, one_shot=once, **definition) for one in ids]
        self.manager.schedule_many(made)
        return list(ids)

    def schedule_one(self, task_type: str, task_id: str) -> Task:
        """
        Schedule one task for now and return it.

        Raises:
            Conflict: the id exists.
        """
        return self.manager.schedule_task(self.manager.create_task(task_type, id=task_id, one_shot=True))

    def node_of(self, pid: int) -> NodeProcess:
        """
        Return the node with this pid.
        """
        return next(node for node in self.nodes if node.pid == pid)

    def dead(self) -> dict[int, float]:
        """
        Return the pids of the killed nodes with the time of each death.
        """
        return {node.pid: node.killed_at for node in self.nodes if node.killed_at is not None}

    def ledger(self) -> list[tuple[int, int, str]]:
        """
        Return the steps entered into the ledger, each with its fence and its node.
        """
        with closing(sqlite3.connect(self.folder / "ledger.db")) as ledger:
            return ledger.execute("SELECT step, fence, node FROM entries ORDER BY step").fetchall()

    def _logs(self) -> str:
        shown = (f"--- {node.name} ({node.pid})\n{node.output()[-3_000:]}" for node in self.nodes)
        return "\n".join(shown)
