"""
The commands as real processes, several at once: what each says of a store that will not do, and its exit code.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

WAIT_SECONDS = 120
_SERVER = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]
_CLIENT = [sys.executable, "-c", "from unomi_shell.main import main; main(prog_name='unomi-task')"]
_PREFIX = "UNOMI_SCHEDULER_"


@dataclass(frozen=True)
class Ended:
    """
    How a command ended.
    """

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """
        The one line it complained with: on standard error, or for `doctor` its one problem.
        """
        problems = [line for line in self.out.splitlines() if line.startswith("PROBLEM: ")]
        lines = problems or self.err.splitlines()

        assert len(lines) == 1, self
        assert "Traceback" not in self.out + self.err, self
        assert self.code != 0, self
        return lines[0]


def complaints_about(store: str, folder: Path, **settings: str) -> dict[str, str]:
    """
    Start every command that needs a store, and return what each complains of, by its name.
    """
    ended = run_together(
        folder,
        {
            "node": [*_SERVER, "node"],
            "serve": [*_SERVER, "serve", "--port", "0"],
            "doctor": [*_SERVER, "doctor"],
            "unomi-task": [*_CLIENT, "--store", store, "list"],
        },
        **{"store": store, **settings},
    )
    return {name: one.complaint for name, one in ended.items()}


def doctor(folder: Path, **settings: str) -> Ended:
    """
    Run `unomi-scheduler doctor` with these settings.
    """
    return run_together(folder, {"doctor": [*_SERVER, "doctor"]}, **settings)["doctor"]


def import_from(index: str, folder: Path, *options: str, **settings: str) -> Ended:
    """
    Run `unomi-scheduler import --from-index` with these settings.
    """
    return run_together(folder, {"import": import_command(index, *options)}, **settings)["import"]


def import_command(index: str, *options: str) -> list[str]:
    """
    Return the command line of an import.
    """
    return [*_SERVER, "import", "--from-index", index, *options]


def run_together(folder: Path, commands: dict[str, list[str]], **settings: str) -> dict[str, Ended]:
    """
    Run commands at once and return how each ended.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    environment = {**clean, "XDG_STATE_HOME": str(folder / "xdg-state")}
    environment |= {f"{_PREFIX}{name.upper()}": value for name, value in settings.items()}
    processes = {
        name: subprocess.Popen(
            arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, arguments in commands.items()
    }
    try:
        return {name: _ended(process) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=WAIT_SECONDS)
    return Ended(process.returncode, out, err)
