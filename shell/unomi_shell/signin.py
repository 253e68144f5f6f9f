"""
What `serve` leaves for its own user on this machine, so that `unomi-task` works without typing a password.

It is a secret of one run of the server: made at its start, removed at its end, worth nothing afterwards. One file a
port, readable by its owner alone.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_SECRET_BYTES = 32
_OTHERS = 0o077


class Credentials(NamedTuple):
    """
    A name and a password.
    """

    user: str
    password: str


@contextmanager
def left_for_owner(port: int) -> Iterator[Credentials | None]:
    """
    Leave credentials for a server on this port, and take them away at the end; None where they cannot be written.
    """
    credentials = Credentials(f"{_user()}@local", secrets.token_urlsafe(_SECRET_BYTES))
    text = json.dumps(credentials._asdict())
    try:
        path = _path(port)
        _write(path, text)
    except (OSError, RuntimeError):
        # A machine without a home for its users; there the password is typed.
        yield None
        return
    try:
        yield credentials
    finally:
        # Another server may have taken the port, and the file, since.
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


def find_left(port: int) -> Credentials | None:
    """
    Return what a server on this port left for this user; a file that others could have written or read counts as none.
    """
    try:
        path = _path(port)
        status = path.stat()
        if status.st_uid != os.getuid() or status.st_mode & _OTHERS:
            return None
        return Credentials(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, RuntimeError, ValueError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _path(port: int) -> Path:
    return state_folder() / "sign-in" / f"{port}.json"


def state_folder() -> Path:
    """
    Return the folder of this user for what is to last.

    Raises:
        RuntimeError: the user has no home.
    """
    # The settings know this folder too, but `unomi-task` must not load the scheduler to find it.
    if sys.platform == "darwin":
        state = Path.home() / "Library" / "Application Support"
    else:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "unomi-scheduler"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
