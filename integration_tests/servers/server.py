"""
A running Elasticsearch as the tests see it, and how to ask one whether it is ready.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Literal, Self

How = Literal["url", "container", "local"]


class NotReadyError(RuntimeError):
    """
    A server did not become ready in time.
    """


class Server:
    """
    One Elasticsearch; a context manager that gives it back at the end.

    The verbs that break it work on a local process alone: what others run is not ours to break.
    """

    def __init__(self, *, url: str, version: str, how: How, on_close: Callable[[], object] = lambda: None) -> None:
        self.url = url
        self.version = version
        self.how = how
        self._on_close = on_close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Elasticsearch {self.version} at {self.url} ({self.how})>"

    def close(self) -> None:
        """
        Give the server back: end it if we started it. Harmless when repeated.
        """
        self._on_close()

    def start(self) -> None:
        """
        Start it again after `stop` or `kill`, with the same data and the same address; returns when it is ready.
        """
        raise self._not_ours()

    def stop(self) -> None:
        """
        End it in order and keep its data.
        """
        raise self._not_ours()

    def kill(self) -> None:
        """
        End it at once, as by `kill -9`, and keep its data.
        """
        raise self._not_ours()

    def restart(self) -> None:
        """
        Stop it and start it again.
        """
        self.stop()
        self.start()

    def pause(self) -> AbstractContextManager[object]:
        """
        Freeze it now: connections stay open and nothing answers, until `resume` or the end of a `with` block.
        """
        raise self._not_ours()

    def resume(self) -> None:
        """
        Let a paused server go on.
        """
        raise self._not_ours()

    def _not_ours(self) -> RuntimeError:
        return RuntimeError(f"{self!r} cannot be broken by a test: ask for one with local=True")


def ask(url: str, *, timeout: float) -> dict[str, Any]:
    """
    Return the JSON that a GET answers; raises OSError without an answer.
    """
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def wait_until_ready(url: str, *, seconds: float, while_true: Callable[[], bool] = lambda: True) -> None:
    """
    Return when the cluster can take writes; raises NotReadyError at the deadline or when `while_true` says no.
    """
    deadline = time.monotonic() + seconds
    trouble = "no answer"
    while time.monotonic() < deadline:
        try:
            health = ask(f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s", timeout=5)
        except (OSError, ValueError) as error:
            trouble = str(error)
        else:
            if not health["timed_out"]:
                return
            trouble = f"cluster status {health['status']}"
        if not while_true():
            raise NotReadyError(f"{url} ended before it was ready ({trouble})")
        time.sleep(0.2)
    raise NotReadyError(f"{url} was not ready after {seconds:.0f} s ({trouble})")


def version_of(url: str) -> str:
    """
    Return a server's version. It asks for the nodes, as a reduced distribution may not answer `GET /`.
    """
    nodes = ask(f"{url}/_nodes/_local?filter_path=nodes.*.version", timeout=10)["nodes"]
    return str(next(iter(nodes.values()))["version"])
