"""
A small server for the health of a node without REST.
"""

from __future__ import annotations

import errno
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from unomi_scheduler import ConfigurationError, Scheduler

from .app import create_health_app


class HealthServer(ThreadingMixIn, WSGIServer):
    """
    Answers each request in a thread of its own.
    """

    daemon_threads = True
    # Peers may come all at once.
    request_queue_size = 128


class _Quiet(WSGIRequestHandler):
    # A client that sends nothing is let go.
    timeout = 5

    def log_message(self, format: str, *args: object) -> None:
        pass


def health_server(scheduler: Scheduler, host: str, port: int) -> HealthServer:
    """
    Return a server that is bound but does not serve yet.

    Raises:
        ConfigurationError: the port is in use.
    """
    try:
        server = HealthServer((host, port), _Quiet)
    except OSError as error:
        what = "admin_port" if error.errno == errno.EADDRINUSE else "admin_host or admin_port"
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {error.strerror}; choose another {what}") from error
    server.set_app(create_health_app(scheduler))
    return server
