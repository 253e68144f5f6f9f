"""
What slow, idle and greedy clients do to the others on a served process: nothing. For each store that can be served.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

from tests.rest.served import SIGN_IN, WAIT_SECONDS, Served, events_request
from tests.waiting import eventually
from unomi_rest.connections import STALL_SECONDS

ANSWERED_WITHIN = 0.1
ASKED = 50
HALF = b"GET /cxs/tasks HTTP/1.1\r\nHost: x\r\nX-Slow: "


class LimitsSuite:
    """
    The tests; a subclass has a fixture `server`.
    """

    def test_idle_connections_and_streams_hold_nobody_up(self, server: Served) -> None:
        """
        100 connections that say nothing, 100 in the middle of a header, and 20 streams: a list comes within 100 ms.
        """
        with ExitStack() as stack:
            listeners = [server.listen() for _ in range(20)]
            for listener in listeners:
                stack.callback(listener.close)
            for number in range(200):
                stack.callback(server.connect(HALF if number % 2 else b"").close)
            # Until the server has taken in the last of them.
            _timed(server)
            took = sorted(_timed(server) for _ in range(ASKED))
            server.ask("POST", "/cxs/tasks", {"taskType": "nobody's", "itemId": "seen-by-all"})
            for listener in listeners:
                listener.wait_for(lambda _, data: data.get("itemId") == "seen-by-all")

        print("ms:", [round(one * 1000) for one in took])
        assert took[ASKED * 95 // 100] < ANSWERED_WITHIN, took

    def test_one_stream_too_many_is_refused_and_told_when_to_come_back(self, server: Served) -> None:
        """
        The 65th; the others go on, and a place comes free with one that leaves.
        """
        listeners = [server.listen("?type=none") for _ in range(64)]
        try:
            status, headers, body = server.ask("GET", "/cxs/tasks/events")
            assert (status, headers["retry-after"]) == (503, "1")
            assert b"64 watch this process already" in body
            assert server.ask("GET", "/cxs/tasks?limit=1")[0] == 200
        finally:
            for listener in listeners:
                listener.close()

        eventually(lambda: server.ask("GET", "/cxs/tasks/events?timeout=0")[0] == 200, "no place", WAIT_SECONDS)

    def test_a_header_that_does_not_come_is_not_waited_for(self, server: Served) -> None:
        """
        Not even when it comes byte by byte.
        """
        with server.connect(HALF) as connection:
            began = time.monotonic()
            ended = False
            while not ended and time.monotonic() < began + WAIT_SECONDS:
                connection.settimeout(0.5)
                try:
                    connection.sendall(b"x")
                    ended = not connection.recv(1_000)
                except TimeoutError:
                    continue
                except OSError:
                    ended = True

        assert ended
        assert time.monotonic() - began < 25

    def test_too_much_is_refused(self, server: Served) -> None:
        """
        A long body by what it announces, too many and too long header fields, and a long target.
        """
        assert server.ask("POST", "/cxs/tasks", b" " * 1_000_001)[0] == 413
        assert server.ask("GET", "/cxs/tasks", **{f"X-{number}": "x" for number in range(200)})[0] == 431
        assert server.ask("GET", "/cxs/tasks", **{"X-Long": "x" * 20_000})[0] == 431
        assert server.ask("GET", f"/cxs/tasks?type={'x' * 20_000}")[0] in (400, 414)
        assert server.ask("GET", "/cxs/tasks?limit=1")[0] == 200

    def test_a_slow_reader_has_a_gap_and_stops_nobody(self, server: Served) -> None:
        """
        Who takes nothing is told so when it comes back, or let go after 20 seconds; the others have had every event by
        then.
        """
        quick, began = server.listen(), time.monotonic()
        with server.connect(events_request(), buffer=4_096) as slow:
            assert slow.recv(100)
            load = "x" * 20_000
            for number in range(1_300):
                server.ask(
                    "POST",
                    "/cxs/tasks",
                    {"taskType": "nobody's", "itemId": f"s-{number}", "parameters": {"load": load}},
                )
            quick.wait_for(lambda _, data: data.get("itemId") == "s-1299")
            in_time = time.monotonic() < began + STALL_SECONDS
            said = _rest(slow)
        quick.close()

        assert b'"s-1299"' not in said
        assert b"event: gap" in said[-1_000:] or not in_time


def _timed(server: Served) -> float:
    began = time.monotonic()
    assert server.ask("GET", "/cxs/tasks?limit=50", **SIGN_IN)[0] == 200
    return time.monotonic() - began


def _rest(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1_000_000):
        parts.append(part)
    return b"".join(parts)
