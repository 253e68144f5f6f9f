"""
What a server says when it starts: how to sign in, where it is, what to type.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
from pathlib import Path

DEFAULT_PORT = 8181
LOOPBACK = "127.0.0.1"
# Where a server listens on every address of the machine.
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def address_for_peers(host: str, port: int) -> str:
    """
    Return the address at which other nodes reach a server that listens here.
    """
    # On every address: by this machine's name, which the others have to be able to look up.
    near = socket.gethostname() if host in _EVERYWHERE else host
    return f"http://{f'[{near}]' if ':' in near else near}:{port}"


def first_password(password: str, path: Path) -> str:
    """
    Return the lines that show the password made for `admin`; nothing shows it again.
    """
    return (
        f"A password was made for user admin: {password}\n"
        f"It is shown this once; only its hash is kept. To have a new one made, delete {path}"
    )


def welcome(
    *,
    what: str,
    store: str | None,
    host: str,
    port: int,
    signed_in: str | None,
    only_duties: bool = False,
    secure: bool = False,
) -> str:
    """
    Return the lines that say what to do now.

    Args:
        what: the sentence's beginning, e.g. `Node a and REST run`.
        signed_in: the user that the shell on this machine is without a password, if it is.
        only_duties: whether the node has no application.
        secure: whether REST is served by HTTPS.
    """
    near = LOOPBACK if host in _EVERYWHERE else host
    url = f"{'https' if secure else 'http'}://{f'[{near}]' if ':' in near else near}:{port}"
    command = runnable("unomi-task") + ("" if url == f"http://{LOOPBACK}:{DEFAULT_PORT}" else f" --url {url}")
    return "\n".join(
        (
            f"{what}, store: {store or 'none'}",
            f"  dashboard {url}/",
            f"  address   {url}/cxs/tasks",
            "  sign in   as admin, or as a user of the settings (HTTP Basic)",
            f"  shell     {command} list" + (f"    (as {signed_in}, without a password)" if signed_in else ""),
            *([_ONLY_DUTIES] if only_duties else ()),
            "Ctrl-C drains and stops.",
        )
    )


def node_welcome(*, node_id: str, store: str | None, health: str, only_duties: bool) -> str:
    """
    Return the lines that say where a node without REST is.
    """
    return "\n".join(
        (
            f"Node {node_id} runs, store: {store or 'none'}",
            f"  health    {health}/readyz",
            *([_ONLY_DUTIES] if only_duties else ()),
            "Ctrl-C drains and stops.",
        )
    )


_ONLY_DUTIES = (
    "  tasks     none of yours, only its own duties (recovery, purge): name your scheduler, --app MODULE:NAME"
)


def draining(runs: int, seconds: float) -> str:
    """
    Return the line that says what a node waits for, and how long at most.
    """
    if not runs:
        return "Draining: no task runs here."
    return f"Draining: {_runs(runs)}, at most {seconds:g} s; Ctrl-C again ends at once."


def stopped(left: int) -> str:
    """
    Return the line that says how a node ended.
    """
    return f"Stopped; {_runs(left)} had not ended and will go on elsewhere." if left else "Stopped."


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def runnable(command: str) -> str:
    """
    Return a command as it can be typed here: its name if it is on the PATH, else the path of the one beside ours.
    """
    if shutil.which(command):
        return command
    for program in (sys.argv[0], sys.executable):
        beside = Path(program).absolute().with_name(command)
        if os.access(beside, os.X_OK):
            here = Path.cwd()
            return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))
    return command
