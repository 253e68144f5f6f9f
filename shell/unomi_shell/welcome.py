"""
What a server says when it starts: how to sign in, where it is, what to type.
"""

from __future__ import annotations

from pathlib import Path

DEFAULT_PORT = 8181
LOOPBACK = "127.0.0.1"
# Where a server listens on every address of the machine.
_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def first_password(password: str, path: Path) -> str:
    """
    Return the lines that show the password made for `admin`; nothing shows it again.
    """
    return (
        f"A password was made for user admin: {password}\n"
        f"It is shown this once; only its hash is kept. To have a new one made, delete {path}"
    )


def welcome(*, what: str, store: str | None, host: str, port: int, signed_in: str | None) -> str:
    """
    Return the lines that say what to do now.

    Args:
        what: the sentence's beginning, e.g. `Node a and REST run`.
        signed_in: the user that the shell on this machine is without a password, if it is.
    """
    near = LOOPBACK if host in _EVERYWHERE else host
    url = f"http://{f'[{near}]' if ':' in near else near}:{port}"
    command = "unomi-task list" if url == f"http://{LOOPBACK}:{DEFAULT_PORT}" else f"unomi-task --url {url} list"
    return "\n".join(
        (
            f"{what}, store: {store or 'none'}",
            f"  address   {url}/cxs/tasks",
            "  sign in   as admin, or as a user of the settings (HTTP Basic)",
            f"  shell     {command}" + (f"    (as {signed_in}, without a password)" if signed_in else ""),
            "Ctrl-C drains and stops.",
        )
    )
