"""
A server as a process of its own, and what listens to its events.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from tests.waiting import eventually

COMMAND = [sys.executable, "-c", "from unomi_shell.server import main; main(prog_name='unomi-scheduler')"]
PASSWORD = "correct horse"
SIGN_IN = {"Authorization": f"Basic {base64.b64encode(f'admin:{PASSWORD}'.encode()).decode()}"}
WAIT_SECONDS = 60
_PREFIX = "UNOMI_SCHEDULER_"


@dataclass(frozen=True)
class Served:
    """
    A server that runs.
    """

    address: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def place(self) -> tuple[str, int]:
        """
        Host and port.
        """
        split = urlsplit(self.address)
        return split.hostname or "", split.port or 0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """
        Send one request on a connection of its own; return status, headers and body.
        """
        connection = HTTPConnection(*self.place, timeout=WAIT_SECONDS)
        text = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, text, {**SIGN_IN, **kind, **headers})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def connect(self, sent: bytes = b"", *, buffer: int | None = None) -> socket.socket:
        """
        Return a connection on which so much was sent.
        """
        connection = socket.socket()
        if buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.settimeout(WAIT_SECONDS)
        connection.connect(self.place)
        connection.sendall(sent)
        return connection

    def listen(self, query: str = "") -> Listener:
        """
        Return one who listens to events from now on; the place of one that has just gone may not be free yet.
        """

        def opened() -> Listener | None:
            listener = Listener(self.connect(events_request(query)))
            eventually(lambda: listener.first_id or listener.ended, "no answer", WAIT_SECONDS)
            if not listener.first_id:
                listener.close()
            return listener if listener.first_id else None

        return eventually(opened, "no stream", WAIT_SECONDS)


def events_request(query: str = "") -> bytes:
    """
    Return the request for a stream.
    """
    return f"GET /cxs/tasks/events{query} HTTP/1.0\r\nAuthorization: {SIGN_IN['Authorization']}\r\n\r\n".encode()


@dataclass
class Listener:
    """
    Reads a stream in a thread: each event with its id, its data and when it came.
    """

    connection: socket.socket
    events: list[tuple[str, str, Any, float]] = field(default_factory=list)
    head: str = ""
    first_id: str = ""
    ended: bool = False

    def __post_init__(self) -> None:
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError), self.connection.makefile("rb") as lines:
            for line in lines:
                self.head += line.decode()
                if line == b"\r\n":
                    break
            fields: dict[str, str] = {}
            for line in lines:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if not name and "data" in fields:
                    moment = time.monotonic()
                    self.events.append((fields["event"], fields["id"], json.loads(fields["data"]), moment))
                if not name:
                    self.first_id = self.first_id or fields.get("id", "")
                    fields = {}
                fields[name] = value
        self.ended = True

    def wait_for(self, wanted: Callable[[str, Any], bool]) -> tuple[str, str, Any, float]:
        """
        Return the first event that is wanted, by its name and data.
        """

        def look() -> tuple[str, str, Any, float] | None:
            return next((one for one in list(self.events) if wanted(one[0], one[2])), None)

        return eventually(look, f"it did not come, but {self.events[-3:]}", WAIT_SECONDS)

    def close(self) -> None:
        """
        Listen no more.
        """
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


@contextmanager
def serving(folder: Path, *arguments: str, command: str = "serve", **settings: str) -> Iterator[Served]:
    """
    Run a server with these settings until the end of the block.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    given = {"rest__admin_password": PASSWORD, "store": "sqlite:///tasks.db", "state_dir": "state", **settings}
    environment = {**clean, **{f"{_PREFIX}{name.upper()}": value for name, value in given.items()}}
    said = folder / f"out-{time.monotonic_ns()}"
    with said.open("w") as out:
        process = subprocess.Popen(
            [*COMMAND, command, "--port", "0", *arguments], cwd=folder, env=environment, stdout=out, stderr=out
        )
    try:
        yield Served(eventually(lambda: _address_in(said, process), "it does not serve", WAIT_SECONDS), folder, process)
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _address_in(said: Path, process: subprocess.Popen[bytes]) -> str | None:
    text = said.read_text()
    assert process.poll() is None, text
    found = re.search(r"(https?://127\.0\.0\.1:\d+)/cxs/tasks", text)
    return found[1] if found else None
