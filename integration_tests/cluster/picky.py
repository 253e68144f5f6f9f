"""
A proxy that can tell claims from other requests, and counts requests.

    with PickyProxy.to(server.url) as proxy:
        proxy.lose_claims(2)          # the answers to the next two claims are lost; the claims were done
        proxy.hold_claims(1)          # the next claim waits here until `release_claims`
        proxy.requests                # method and path of each request so far
"""

from __future__ import annotations

import contextlib
import re
import socket
from typing import Self
from urllib.parse import urlsplit

from integration_tests.faults.proxy import FaultProxy, _cut

_CHUNK = 65_536
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE|HEAD) (\S+) HTTP/1\.1\r\n")
_CLAIM = b'"status":"RUNNING"'


class PickyProxy(FaultProxy):
    """
    A proxy in front of one server for the clients of one node. A claim is told by what its `_bulk` carries, so reports
    of runs that go on count as claims too.
    """

    def __init__(self, host: str, port: int, *, scheme: str = "http") -> None:
        self.requests: list[str] = []
        self._to_lose = 0
        self._to_hold = 0
        self._claims_held = 0
        self._claims_lost = 0
        self._releases = 0
        self._lost_answers: set[socket.socket] = set()
        self._late: set[socket.socket] = set()
        super().__init__(host, port, scheme=scheme)

    @classmethod
    def to(cls, url: str) -> Self:
        """
        Return a proxy in front of the server at this address.
        """
        split = urlsplit(url)
        return cls(split.hostname or "127.0.0.1", split.port or 9200, scheme=split.scheme)

    def lose_claims(self, number: int) -> None:
        """
        Lose the answers to the next claims; the claims are done.
        """
        self._set("_to_lose", number)

    def hold_claims(self, number: int) -> None:
        """
        Keep the next claims here: they reach the server late, when released.
        """
        self._set("_to_hold", number)

    def release_claims(self) -> None:
        """
        Let the claims that are held go on their way, and hold no more.
        """
        with self._state.changed:
            self._to_hold = 0
            self._releases += 1
            self._state.changed.notify_all()

    def wait_until_claims_held(self, number: int = 1, timeout: float = 20) -> bool:
        """
        Wait until so many claims were held, of all; False when the time passed.
        """
        with self._state.changed:
            return self._state.changed.wait_for(lambda: self._claims_held >= number, timeout)

    def wait_until_claims_lost(self, number: int = 1, timeout: float = 20) -> bool:
        """
        Wait until so many answers were lost, of all; False when the time passed.
        """
        with self._state.changed:
            return self._state.changed.wait_for(lambda: self._claims_lost >= number, timeout)

    def _set(self, name: str, number: int) -> None:
        with self._state.changed:
            setattr(self, name, number)
            self._state.changed.notify_all()

    def _pump_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            is_bulk = False
            while data := client.recv(_CHUNK):
                # A client sends a request's head by itself, then its body.
                head = _REQUEST.match(data)
                if head is not None:
                    path = head[2].decode()
                    is_bulk = path.startswith("/_bulk")
                    self.requests.append(f"{head[1].decode()} {path}")
                if is_bulk and _CLAIM in data:
                    self._meet_claim(server)
                self._wait("hold_requests")
                server.sendall(data)
        # A server that sees the end of the connection beside a late claim may drop the claim: what was sent must land.
        if server not in self._late:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)

    def _meet_claim(self, server: socket.socket) -> None:
        with self._state.changed:
            if self._to_hold > 0:
                self._to_hold -= 1
                self._late.add(server)
                self._claims_held += 1
                before = self._releases
                self._state.changed.notify_all()
                self._state.changed.wait_for(lambda: self._releases > before or self._state.closed)
            elif self._to_lose > 0:
                self._to_lose -= 1
                self._lost_answers.add(server)

    def _pump_responses(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                self._wait("hold_responses")
                if self._take_lost(server) or self._take_drop():
                    break
                client.sendall(data)
        self._late.discard(server)
        for one in (client, server):
            _cut(one)
            self._sockets.discard(one)

    def _take_lost(self, server: socket.socket) -> bool:
        with self._state.changed:
            if server not in self._lost_answers:
                return False
            self._lost_answers.discard(server)
            self._claims_lost += 1
            self._state.changed.notify_all()
            return True
