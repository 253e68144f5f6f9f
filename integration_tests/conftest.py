"""
Fixtures of the integration tests: one server for the whole run, and servers of their own for tests that break them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import servers

_HERE = Path(__file__).parent
_VERSION = os.environ.get("UNOMI_TEST_SERVER_VERSION") or "9.2.0"
# The first test of a run waits for the server, which may have to be fetched first.
_TIMEOUT = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Give the tests of this folder time enough for the server that they wait for.
    """
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT))


def _found(*, local: bool = False, heap: str = "1g") -> servers.Server:
    try:
        return servers.find(version=_VERSION, heap=heap, local=local)
    except servers.NoServerError as error:
        message = str(error)
    pytest.fail(message, pytrace=False)


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[servers.Server]:
    """
    Return the run's one server. Tests share it, so each uses an index prefix of its own.
    """
    with _found() as server:
        yield server


@pytest.fixture(scope="session")
def elasticsearch_url(elasticsearch_server: servers.Server) -> str:
    """
    Return the address of the run's one server.
    """
    return elasticsearch_server.url


@pytest.fixture(scope="module")
def breakable_server() -> Iterator[servers.Server]:
    """
    Return a server that the tests of one module may kill, pause and restart.
    """
    with _found(local=True, heap="512m") as server:
        yield server
