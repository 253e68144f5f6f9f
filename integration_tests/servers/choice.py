"""
Choose the server: `ELASTICSEARCH_URL`, else a container, else a local process, else say what to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from . import container, local
from .server import NotReadyError, Server, version_of, wait_until_ready

DEFAULT_VERSION = "9.2.0"
URL_VARIABLE = "ELASTICSEARCH_URL"

_ADVICE = """\
These tests need a real Elasticsearch and found none. One of these three will do:
  1. name a running one that the tests may write to:  ELASTICSEARCH_URL=http://localhost:9200
  2. start a Docker engine: the tests then start a container by themselves
  3. install Maven (`mvn`) and Java 21 or later: the tests then fetch a server from Maven Central and start it
What was tried:
"""


class NoServerError(RuntimeError):
    """
    No way led to a server; the message says which were tried and how to open one.
    """

    def __init__(self, attempts: list[str]) -> None:
        super().__init__(_ADVICE + "\n".join(f"  - {attempt}" for attempt in attempts))


class Start(Protocol):
    """
    A way to start a server.
    """

    def __call__(self, *, version: str, heap: str) -> Server:
        """
        Start a server of a version with a heap of a size such as `1g`; returns when it is ready.
        """
        ...


def connect(url: str) -> Server:
    """
    Take a server that somebody else runs.
    """
    wait_until_ready(url, seconds=30)
    return Server(url=url, version=version_of(url), how="url")


@dataclass(frozen=True, kw_only=True)
class ServerChoice:
    """
    The order of the ways to a server; each way is a parameter, so that the order can be tested without any of them.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    docker: Callable[[], container.Engine] = container.docker_client
    connect: Callable[[str], Server] = connect
    container: Start = container.start
    local: Start = local.start

    def choose(self, *, version: str, heap: str = "1g", only_local: bool = False) -> Server:
        """
        Return a ready server, or raise NoServerError.

        A named server that does not answer is an error: nobody names one to be given another.
        """
        url = self.environ.get(URL_VARIABLE, "").rstrip("/")
        attempts: list[str] = [f"{URL_VARIABLE} is not set"]
        if only_local:
            attempts = ["the test breaks its server, so it must be a local process"]
        elif url:
            return self._named(url)
        elif server := self._contained(version=version, heap=heap, attempts=attempts):
            return server
        try:
            return self.local(version=version, heap=heap)
        except (OSError, RuntimeError) as error:
            attempts.append(f"a local process: {error}")
            raise NoServerError(attempts) from error

    def _named(self, url: str) -> Server:
        try:
            return self.connect(url)
        except (OSError, NotReadyError) as error:
            raise NoServerError([f"{URL_VARIABLE}={url}: {error}"]) from error

    def _contained(self, *, version: str, heap: str, attempts: list[str]) -> Server | None:
        try:
            self.docker().ping()
        except Exception as error:  # noqa: BLE001  whatever it is, there is no engine to use
            attempts.append(f"a Docker engine: {error}")
            return None
        try:
            return self.container(version=version, heap=heap)
        except Exception as error:  # noqa: BLE001  an engine that may not pull images is no reason to give up
            attempts.append(f"a container: {error}")
            print(f"no container, trying a local process: {error}", file=sys.stderr)
            return None


def find(*, version: str = DEFAULT_VERSION, heap: str = "1g", local: bool = False) -> Server:
    """
    Return a ready server: a context manager with `url`, `version` and `how`.

    Args:
        version: What to start; a server named by the environment is taken as it is.
        heap: The size of its heap, such as `1g`.
        local: Insist on a local process of our own, which the test may kill, pause and restart.
    """
    return ServerChoice().choose(version=version, heap=heap, only_local=local)
