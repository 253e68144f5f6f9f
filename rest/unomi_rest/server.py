"""
The HTTP server: gunicorn with threads, and with the node in its one worker, or without a node in any number of them.

The socket is bound here, before gunicorn, so that the port is known and a port in use is one clear error. The scheduler
is made in the worker: threads, files and connections do not outlive a fork.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from queue import SimpleQueue
from types import FrameType
from typing import Any, TypeVar

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.errors import AppImportError  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from unomi_scheduler import (
    ConfigurationError,
    Scheduler,
    SchedulerError,
    Settings,
    StoreUnavailable,
    SystemClock,
)

from .accounts import Account
from .connections import HeaderWatch, limit_stalls, stalled
from .site import Wsgi, create_site

_log = logging.getLogger(__name__)
T = TypeVar("T")
THREADS = 256
CONNECTIONS = 1_000
# What a worker may take beyond the drain to close its connections.
_GRACE_SECONDS = 5
_BACKLOG = 512


class Unusable(Exception):
    """
    The application that is to be served cannot be used; the text says why.
    """


@dataclass(frozen=True, kw_only=True)
class Service:
    """
    What is to be served.

    Args:
        accounts: called once in each worker, when the store was opened; who may sign in.
        make_scheduler: called once in each worker. It may raise `Unusable`.
        started: called in the first worker once it serves.
        address: where a node in the worker answers, for its peers.
        runs_node: whether the worker starts the scheduler; there is one worker then.
    """

    settings: Settings
    accounts: Callable[[], tuple[Account, ...]]
    listener: socket.socket
    make_scheduler: Callable[[], Scheduler]
    started: Callable[[Scheduler], None]
    runs_node: bool = True
    address: str | None = None
    workers: int = 1


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens there.

    Raises:
        ConfigurationError: the port is in use, or the address is not one of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        reason = (
            "the port is in use; choose another by --port or rest.port"
            if in_use
            else f"{error.strerror}; choose another address by --host or rest.host, or port by --port or rest.port"
        )
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {reason}") from error
    return listener


def serve(service: Service) -> int:
    """
    Serve until SIGTERM or SIGINT, drain, and return the exit code: 0 after an orderly end, 1 when it could not start,
    2 when the application was `Unusable`, 130 when a second SIGINT ended it at once.
    """
    parent = os.getpid()
    code = 0
    try:
        _Application(service).run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    if os.getpid() != parent:
        # The end of a worker: what the caller does next is the parent's, and a stubborn task holds nobody up.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return _EXIT_CODES.get(code, 1)


_INTERRUPTED = 130
_EXIT_CODES = {0: 0, Arbiter.APP_LOAD_ERROR: 2, _INTERRUPTED: _INTERRUPTED}


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, service: Service) -> None:
        self.service = service
        self._descriptor = service.listener.detach()
        super().__init__()

    def load_config(self) -> None:
        """
        Set what this gunicorn knows of our options.
        """
        for name, value in self._options().items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def _options(self) -> dict[str, Any]:
        return {
            "bind": [f"fd://{self._descriptor}"],
            "workers": self.service.workers,
            "worker_class": _Worker,
            "threads": THREADS,
            "worker_connections": CONNECTIONS,
            # Neither a busy moment nor a number of requests may end a process that runs tasks.
            "timeout": 0,
            "max_requests": 0,
            "graceful_timeout": ceil(self.service.settings.drain_timeout.total_seconds()) + _GRACE_SECONDS,
            "preload_app": False,
            "control_socket_disable": True,
            "accesslog": None,
            "loglevel": "warning",
            "logger_class": _Logger,
            "proc_name": "unomi-scheduler",
            **self._encryption(),
        }

    def _encryption(self) -> dict[str, Any]:
        rest = self.service.settings.rest
        if rest.certificate is None:
            return {}
        return {"certfile": rest.certificate, "keyfile": rest.key, "do_handshake_on_connect": False}

    def load(self) -> Wsgi:
        """
        Make scheduler and application; called in each worker.
        """
        self.scheduler = _clearly(self.service.make_scheduler)
        # Before a password is made and shown: it would be lost on one whose server then does not start.
        _clearly(self._open_store)
        return create_site(self.scheduler, self.service.settings, accounts=_clearly(self.service.accounts))

    def _open_store(self) -> None:
        try:
            self.scheduler.find_tasks(limit=0)
        except StoreUnavailable:
            # REST alone says so to whoever asks, until the store is back.
            if self.service.runs_node:
                raise

    def run(self) -> None:
        """
        Serve.
        """
        _Arbiter(self).run()


class _Arbiter(Arbiter):  # type: ignore[misc]
    """
    The parent process. Ctrl-C and a closed terminal end it in order; nothing makes a second node beside the first.
    """

    def handle_int(self) -> None:
        """
        End as SIGTERM does.
        """
        raise StopIteration

    handle_hup = handle_int

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's argument
        """
        Let the workers drain; another Ctrl-C ends them at once.
        """
        signal.signal(signal.SIGINT, self._end_now)
        super().stop(graceful)

    def _end_now(self, sig: int, frame: FrameType | None) -> None:
        for pid in list(self.WORKERS):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        raise SystemExit(_INTERRUPTED)

    def _ignore(self) -> None:
        pass

    handle_ttin = handle_ttou = handle_usr2 = _ignore


class _Worker(ThreadWorker):  # type: ignore[misc]
    """
    The process that answers requests and, with `serve`, runs the node. SIGTERM starts the drain at once.
    """

    def init_signals(self) -> None:
        """
        Leave Ctrl-C to the parent.
        """
        super().init_signals()
        # A terminal sends it to every process.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def load_wsgi(self) -> None:
        """
        Make the scheduler and the application, and start the node.
        """
        super().load_wsgi()
        service: Service = self.app.service
        if self.app.scheduler.settings.drain_timeout > service.settings.drain_timeout:
            _log.warning("drain_timeout of the application is longer than that of the settings, which is kept to")
        # A queue, since a signal handler must not take locks; and a thread that is there before the signal.
        self.orders: SimpleQueue[None] = SimpleQueue()
        self.drain = threading.Thread(target=self._stop_when_told, name="drain", daemon=True)
        self.drain.start()
        if service.runs_node:
            self.app.scheduler.advertise(service.address)
            _clearly(self.app.scheduler.start)
        if self.age == 1:
            service.started(self.app.scheduler)

    def init_process(self) -> None:
        """
        Serve until told to end.
        """
        self.headers = HeaderWatch()
        super().init_process()

    def handle(self, conn: Any) -> Any:
        """
        Answer what comes on a connection, if it comes in time.
        """
        with suppress(OSError):
            limit_stalls(conn.sock)
        self.headers.begun(conn, _now())
        try:
            return super().handle(conn)
        finally:
            self.headers.done(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """
        Answer a request whose header is there.
        """
        self.headers.done(conn)
        return super().handle_request(req, conn)

    def murder_pending(self) -> None:
        """
        End what is late; gunicorn asks for it about every second.
        """
        super().murder_pending()
        self.headers.end_late(_now())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """
        Begin the drain.
        """
        super().handle_exit(sig, frame)
        if self.booted:
            self.orders.put(None)

    def run(self) -> None:
        """
        Answer requests until told to end, and leave when the node is drained.
        """
        try:
            super().run()
        finally:
            self.orders.put(None)
            self.drain.join()

    def _stop_when_told(self) -> None:
        self.orders.get()
        scheduler: Scheduler = self.app.scheduler
        if scheduler.running:
            _log.info(
                "Draining %d runs: those that can resume give up now, the others get %g s",
                scheduler.active_runs,
                scheduler.settings.drain_timeout.total_seconds(),
                extra={"action": "rest.drain"},
            )
        try:
            scheduler.stop(exiting=True)
        except Exception:  # noqa: BLE001 - whatever it is, the process ends now
            _log.exception("Stopping failed", extra={"action": "rest.stop"})


class _Logger(Logger):  # type: ignore[misc]
    """
    Sends gunicorn's own messages where all others go.
    """

    def setup(self, cfg: Any) -> None:
        """
        Keep no handlers.
        """
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.addFilter(_is_news)


def _now() -> float:
    return SystemClock().now().boot / 1000


def _is_news(record: logging.LogRecord) -> bool:
    if record.exc_info and stalled(record.exc_info[1]):
        # A client that was let go; there is nobody to tell.
        return False
    # A worker that could not start has said why; these three would only repeat that it did.
    if record.msg == "Worker (pid:%s) exited with code %s." and isinstance(record.args, tuple):
        return record.args[-1] not in (Arbiter.APP_LOAD_ERROR, Arbiter.WORKER_BOOT_ERROR)
    return not str(record.msg).startswith(("Shutting down:", "Reason:"))


def _clearly(step: Callable[[], T]) -> T:
    # One line and an exit code that gunicorn knows, so that it does not try again.
    try:
        return step()
    except Unusable as error:
        raise AppImportError(f"Error: {error}") from error
    except SchedulerError as error:
        print(f"Error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - as gunicorn prints the other
        raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from error
