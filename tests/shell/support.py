"""
What the tests of the commands share: REST on a real port, and the commands run in this process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import WSGIApplication

from click.testing import CliRunner, Result

from unomi_rest.accounts import make_account
from unomi_rest.app import create_app
from unomi_scheduler import Scheduler
from unomi_shell.main import main

USER, PASSWORD = "admin", "correct horse"
ADMIN, GUEST = make_account(USER, PASSWORD), make_account("guest", PASSWORD, ())
HOUR = timedelta(hours=1)


class _Quiet(WSGIRequestHandler):
    def get_environ(self) -> dict[str, Any]:
        # As the real server tells what was sent.
        return {**super().get_environ(), "RAW_URI": self.path}

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(app: WSGIApplication) -> Iterator[str]:
    """
    Serve an application on a free port and give its URL.
    """
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        # `shutdown` waits for the end of an interval.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def rest(scheduler: Scheduler) -> Iterator[str]:
    """
    Serve REST over a scheduler, for an administrator and a guest without roles.
    """
    with served(create_app(scheduler, scheduler.settings, accounts=(ADMIN, GUEST))) as url:
        yield url


def schedule(scheduler: Scheduler, task_id: str, task_type: str = "sample") -> None:
    """
    Store a task that is due in an hour.
    """
    scheduler.new_task(task_type).with_id(task_id).with_initial_delay(HOUR).as_one_shot().schedule()


def run(*arguments: str, answer: str | None = None) -> Result:
    """
    Run `unomi-task`.
    """
    return CliRunner().invoke(main, arguments, input=answer)
