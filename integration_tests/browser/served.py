"""
A served application with tasks in every state, as a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import eventually

WAIT_SECONDS = 60
_COMMAND = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]


@contextmanager
def served(folder: Path, app: str, settings: Mapping[str, str]) -> Iterator[str]:
    """
    Serve `app` from a folder, give its address, and stop it.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNOMI_SCHEDULER_")}
    environ = {**kept, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(folder / "state"), **settings}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*_COMMAND, "serve", "--app", app, "--port", "0"], cwd=folder, env=environ, stdout=log, stderr=log
        )
    try:
        yield eventually(lambda: _address(folder / "log"), "it does not serve", WAIT_SECONDS)
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _address(log: Path) -> str | None:
    text = log.read_text()
    assert "Traceback" not in text, text
    found = re.search(r"address +(http://[^/]+)/", text)
    return found[1] if found else None
