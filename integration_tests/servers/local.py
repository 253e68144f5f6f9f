"""
Elasticsearch as a local process: fetched by Maven, run in folders of its own, ended with the test run.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from . import fetch, java, watch
from .account import Account, cache_folder
from .server import NotReadyError, Server, wait_until_ready

_START_SECONDS = 120
_STOP_SECONDS = 30
_LOG_TAIL = 4000
_VECTOR_MODULE = "jdk.incubator.vector"


def start(*, version: str, heap: str) -> Server:
    """
    Start a server of this version; returns when it is ready.
    """
    account = Account.for_servers()
    cache = cache_folder()
    runtime = java.find(server_version=version, account=account, cache=cache)
    distribution = fetch.distribution(version, cache=cache, java_home=runtime.home)
    server = LocalServer(version=version, heap=heap, distribution=distribution, runtime=runtime, account=account)
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


class LocalServer(Server):
    """
    One server process with its own port, data and logs, all gone after `close`.
    """

    def __init__(self, *, version: str, heap: str, distribution: Path, runtime: java.Java, account: Account) -> None:
        self._port = free_port()
        super().__init__(url=f"http://127.0.0.1:{self._port}", version=version, how="local", on_close=self._discard)
        self._transport_port = free_port()
        self._heap = heap
        self._distribution = distribution
        self._runtime = runtime
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._folder = self._prepare_folder()
        atexit.register(self._discard)

    def start(self) -> None:
        """
        Start the process on its port and data; returns when it is ready, or raises NotReadyError with its last words.
        """
        if self._process is not None:
            return
        with (self._folder / "logs" / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environ(),
                cwd=self._folder / "logs",
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._account.popen_arguments(),
            )
        self._watcher = self._start_watcher(self._process.pid)
        try:
            wait_until_ready(self.url, seconds=_START_SECONDS, while_true=lambda: self._is_running)
        except NotReadyError as error:
            raise NotReadyError(f"{error}; its log ends:\n{self.log_tail()}") from error

    def stop(self) -> None:
        """
        End the process in order and keep its data.
        """
        self.resume()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """
        End the process at once and keep its data.
        """
        self._end(signal.SIGKILL)

    def pause(self) -> ExitStack:
        """
        Freeze the process now, until `resume` or the end of a `with` block.
        """
        self._signal(signal.SIGSTOP)
        until = ExitStack()
        until.callback(self.resume)
        return until

    def resume(self) -> None:
        """
        Let the process go on; harmless when it was not paused.
        """
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        """
        Return the end of what the process printed.
        """
        return (self._folder / "logs" / "console.log").read_text(errors="replace")[-_LOG_TAIL:]

    @property
    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _prepare_folder(self) -> Path:
        cache_runs = cache_folder() / "runs"
        cache_runs.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{self.version}-", dir=cache_runs))
        for name in ("data", "logs", "tmp"):
            (folder / name).mkdir()
        shutil.copytree(self._distribution / "config", folder / "config")
        if _VECTOR_MODULE not in self._runtime.modules:
            self._leave_out_vector_module(folder / "config" / "jvm.options")
        self._account.give(folder)
        return folder

    def _leave_out_vector_module(self, options: Path) -> None:
        # It only makes vector search faster, but a Java without it refuses to start when it is asked for.
        lines = options.read_text().splitlines(keepends=True)
        options.write_text("".join(line for line in lines if _VECTOR_MODULE not in line))

    def _command(self) -> list[str]:
        settings = {
            "discovery.type": "single-node",
            "http.port": self._port,
            "transport.port": self._transport_port,
            "path.data": self._folder / "data",
            "path.logs": self._folder / "logs",
            "xpack.security.enabled": "false",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
        }
        return [
            str(self._distribution / "bin" / "elasticsearch"),
            *(f"-E{name}={value}" for name, value in settings.items()),
        ]

    def _environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "ES_JAVA_HOME": str(self._runtime.home),
            "ES_JAVA_OPTS": f"-Xms{self._heap} -Xmx{self._heap}",
            "ES_PATH_CONF": str(self._folder / "config"),
            "ES_TMPDIR": str(self._folder / "tmp"),
            "HOME": str(self._folder),
        }

    def _start_watcher(self, group: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, watch.__file__, str(os.getpid()), str(group), str(self._folder)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        process, watcher = self._process, self._watcher
        if process is None:
            return
        self._signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            process.wait()
        self._wait_for_the_port()
        self._process = self._watcher = None
        if watcher is not None:
            watcher.kill()
            watcher.wait()

    def _wait_for_the_port(self) -> None:
        # The launcher we wait for is not the server: the port is closed when the server itself is gone.
        deadline = time.monotonic() + _STOP_SECONDS
        while not _is_free(self._port):
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                return
            time.sleep(0.05)

    def _discard(self) -> None:
        atexit.unregister(self._discard)
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def free_port() -> int:
    """
    Return a port nobody listens on, below those the system gives to outgoing connections.

    From among those, a client that reconnects to a stopped server may be given the server's own port.
    """
    while not _is_free(port := random.randrange(20_000, 30_000)):
        pass
    return port


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        # Like the server does: a connection that is only waiting to be forgotten holds no port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
