"""
The server the suite finds: it takes documents, and it comes back from what the tests do to it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from elasticsearch import ApiError, ConnectionTimeout, Elasticsearch, TransportError

from . import Server

_INDEX = "house-documents"


@pytest.mark.smoke
def test_the_client_writes_and_reads_a_document(elasticsearch_url: str) -> None:
    """
    What is written under a condition is read back, and a stale condition is refused.
    """
    with Elasticsearch(elasticsearch_url) as client:
        first = client.index(index=_INDEX, id="a", document={"step": 1})
        condition = {"if_seq_no": first["_seq_no"], "if_primary_term": first["_primary_term"]}
        client.index(index=_INDEX, id="a", document={"step": 2}, **condition)
        with pytest.raises(ApiError) as refused:
            client.index(index=_INDEX, id="a", document={"step": 3}, **condition)

        assert refused.value.status_code == 409
        assert client.get(index=_INDEX, id="a")["_source"] == {"step": 2}
        client.indices.delete(index=_INDEX)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_local_server_keeps_data_and_address_over_an_end(breakable_server: Server, end: str) -> None:
    """
    After an end in order or at once, a start brings back what was acknowledged, at the same address.
    """
    with Elasticsearch(breakable_server.url, max_retries=0) as client:
        client.index(index=_INDEX, id=end, document={"kept": True})
        getattr(breakable_server, end)()
        with pytest.raises(TransportError):
            client.cluster.health()
        breakable_server.start()

        assert client.get(index=_INDEX, id=end)["_source"] == {"kept": True}


def test_a_paused_server_holds_its_connections_and_says_nothing(breakable_server: Server) -> None:
    """
    A pause is not an end: the request times out, and the next one after the pause is answered.
    """
    with Elasticsearch(breakable_server.url, max_retries=0) as client:
        client.cluster.health()
        with breakable_server.pause(), pytest.raises(ConnectionTimeout):
            client.options(request_timeout=0.5).cluster.health()

        assert client.cluster.health()["timed_out"] is False


def test_a_server_does_not_outlive_a_killed_test_run() -> None:
    """
    A process that finds a server and is killed by `kill -9` leaves neither the server nor its folder.
    """
    script = (
        "import time; from integration_tests import servers; "
        "server = servers.find(heap='512m', local=True); "
        "print(server.url, server._process.pid, server._folder, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    try:
        assert run.stdout is not None
        _, group, folder = run.stdout.readline().decode().split()
    finally:
        run.kill()
        run.communicate()

    assert _is_true_within(20, lambda: not _group_lives(int(group)) and not Path(folder).exists())


def _group_lives(group: int) -> bool:
    """
    Tell whether a process of the group is more than a zombie.
    """
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(int(line.split()[0]) == group and "Z" not in line for line in listed.splitlines())


def _is_true_within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
