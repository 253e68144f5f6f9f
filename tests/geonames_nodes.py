"""
Nodes of the GeoNames sample as processes of their own, to be killed, paused and watched by tests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from unomi_scheduler import Scheduler, Task, TaskNotFound, TaskStatus

ROOT = Path(__file__).parents[1]
LOOK_EVERY = 0.02
_OWN = ("UNOMI_SCHEDULER_", "GEONAMES_")
_T = TypeVar("_T")


class SampleNode:
    """
    One node; it is ended by its pid when the `with` block is left, whatever state it is in.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [
            str(Path(sys.executable).with_name("unomi-scheduler")),
            "node",
            "--app",
            "examples.geonames:scheduler",
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment(self._settings), stdout=log, stderr=log
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """
        End it as `kill -9` does; harmless when it has ended.
        """
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> int:
        """
        Let it drain, and return its exit code.
        """
        self._signal(signal.SIGTERM)
        assert self._process is not None
        return self._process.wait(timeout=60)

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

    def logged(self, action: str) -> list[dict[str, Any]]:
        """
        Return the lines of its log with this action.
        """
        return [line for line in self._lines() if line.get("action") == action]

    def log_tail(self) -> str:
        """
        Return the end of its log, for a failing test.
        """
        return self._log.read_text()[-4_000:]

    def _lines(self) -> list[dict[str, Any]]:
        # The last piece is empty, or a line that is just being written.
        lines = self._log.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """
    Return this process's environment with these settings of ours and no others.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
    return {**inherited, "PYTHONPATH": str(ROOT), "UNOMI_SCHEDULER_LOG_FORMAT": "json", **settings}


def report(folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """
    Run the sample's own report.
    """
    command = [sys.executable, "-m", "examples.geonames", "report"]
    return subprocess.run(
        command, cwd=folder, env=environment(settings), capture_output=True, text=True, timeout=120, check=False
    )


def eventually(look: Callable[[], _T | None], *, what: str, within: float = 60, nodes: Sequence[SampleNode] = ()) -> _T:
    """
    Look again and again, and return the first answer that is not empty; fail with the nodes' logs when it is too late.
    """
    deadline = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {node.name}\n{node.log_tail()}" for node in nodes)
            raise AssertionError(f"{what}: not within {within:g} s\n{logs}")
        time.sleep(LOOK_EVERY)
    return found


def imported(scheduler: Scheduler, *, at_least: int) -> Callable[[], Task | None]:
    """
    Return a look at the import that answers with its task once its checkpoint is so far and it still runs.
    """

    def look() -> Task | None:
        task = _import_task(scheduler)
        if (
            task is None
            or task.status is not TaskStatus.RUNNING
            or (task.checkpoint_data or {}).get("imported", 0) < at_least
        ):
            return None
        return task

    return look


def completed(scheduler: Scheduler) -> Callable[[], Task | None]:
    """
    Return a look at the import that answers with its task once it is COMPLETED.
    """

    def look() -> Task | None:
        task = _import_task(scheduler)
        return task if task is not None and task.status is TaskStatus.COMPLETED else None

    return look


def _import_task(scheduler: Scheduler) -> Task | None:
    try:
        return scheduler.get_task("geonames-import")
    except TaskNotFound:
        return None
