"""
Nodes that are going to die: a process that is killed, or a node of this process that loses its store for good.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from unomi_scheduler import Scheduler

_ROOT = Path(__file__).parents[2]


class Doomed(Protocol):
    """
    A node that is going to die.
    """

    node_id: str

    def kill(self) -> None:
        """
        End it without a word to anybody.
        """
        ...

    def end(self) -> None:
        """
        Clear up behind it.
        """
        ...


class KilledProcess:
    """
    A node in a process of its own; it dies by SIGKILL.
    """

    def __init__(self, node_id: str, folder: Path, settings: dict[str, Any]) -> None:
        self.node_id = node_id
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        command = (sys.executable, "-m", "tests.service_suite.child", str(folder), json.dumps(settings, default=str))
        with (folder / f"{node_id}.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """
        End it as `kill -9` does.
        """
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """
        The same; harmless when it is dead.
        """
        self.kill()


class CutOff:
    """
    A node of this process that loses its store for good; what its body still does reaches nobody.
    """

    def __init__(self, scheduler: Scheduler, cut: Event) -> None:
        self.node_id = scheduler.node_id
        self._scheduler = scheduler
        self._cut = cut

    def kill(self) -> None:
        """
        Cut it off.
        """
        self._cut.set()

    def end(self) -> None:
        """
        Let it have its store back, or its stop would wait for it.
        """
        self._cut.clear()
        self._scheduler.stop()
