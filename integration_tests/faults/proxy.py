"""
A TCP proxy that misbehaves on demand, for clients of any server.

    with FaultProxy.to(server.url) as proxy:
        store = open_store(proxy.url)
        proxy.drop_responses(1)      # the next answer is lost, its request was done
        proxy.reset()                # every connection is cut, new ones too, until heal()
        proxy.hold_requests()        # requests wait here until heal(): a write that arrives late
        proxy.black_hole()           # nothing passes, nothing is refused, until heal()
        proxy.delay(0.05)            # every request takes this much longer, until heal()
        proxy.heal()

An answer is told from the next by the request between them: the proxy expects one request at a time on a connection, as
HTTP clients send them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)


class _State:
    """
    What the proxy does now; its condition wakes those who wait for a change.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.drops = 0
        self.delay = 0.0
        self.cut = False
        self.hold_requests = False
        self.hold_responses = False
        self.closed = False
        self.held = 0
        self.dropped = 0


class FaultProxy:
    """
    A proxy in front of one address; a context manager that closes it. Harmless until told otherwise.
    """

    def __init__(self, host: str, port: int, *, scheme: str = "http") -> None:
        self._target = (host, port)
        self._scheme = scheme
        self._state = _State()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, name="fault-proxy", daemon=True)
        self._thread.start()

    @classmethod
    def to(cls, url: str) -> FaultProxy:
        """
        Return a proxy in front of the server at this address.
        """
        split = urlsplit(url)
        return cls(split.hostname or "127.0.0.1", split.port or 9200, scheme=split.scheme)

    @property
    def url(self) -> str:
        """
        The address clients use instead of the server's.
        """
        return f"{self._scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def drop_responses(self, number: int) -> None:
        """
        Lose the next answers: each is taken from the server, thrown away, and its connection is cut.
        """
        self._change(drops=number)

    def delay(self, seconds: float) -> None:
        """
        Keep every request back for this time.
        """
        self._change(delay=seconds)

    def hold_requests(self) -> None:
        """
        Keep requests here: none is answered, and all reach the server, late, when the proxy heals.
        """
        self._change(hold_requests=True)

    def black_hole(self) -> None:
        """
        Let nothing pass in either direction; connections stay open.
        """
        self._change(hold_requests=True, hold_responses=True)

    def reset(self) -> None:
        """
        Cut every connection by RST, the open ones at once and new ones as they come.
        """
        self._change(cut=True)
        self._cut_all()

    def heal(self) -> None:
        """
        End every fault; what is held goes on its way.
        """
        self._change(drops=0, delay=0.0, cut=False, hold_requests=False, hold_responses=False)

    def wait_until_held(self, number: int = 1, timeout: float = 10.0) -> bool:
        """
        Wait until so many pieces are held here; False when the time passed.
        """
        with self._state.changed:
            return self._state.changed.wait_for(lambda: self._state.held >= number, timeout)

    def wait_until_dropped(self, number: int = 1, timeout: float = 10.0) -> bool:
        """
        Wait until so many answers were lost, of all since the proxy started; False when the time passed.
        """
        with self._state.changed:
            return self._state.changed.wait_for(lambda: self._state.dropped >= number, timeout)

    def close(self) -> None:
        """
        Cut everything and stop listening; harmless when repeated.
        """
        self._change(closed=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()
        self._thread.join(timeout=5)

    def _change(self, **values: float) -> None:
        with self._state.changed:
            for name, value in values.items():
                setattr(self._state, name, value)
            self._state.changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._state.cut or not self._connect(client):
                _cut(client)

    def _connect(self, client: socket.socket) -> bool:
        try:
            server = socket.create_connection(self._target, timeout=10)
        except OSError:
            return False
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets |= {client, server}
        for pump in (self._pump_requests, self._pump_responses):
            threading.Thread(target=pump, args=(client, server), name=pump.__name__, daemon=True).start()
        return True

    def _pump_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK):
                self._wait("hold_requests")
                server.sendall(data)
        # What the client sent before it gave up is delivered, late: closing the server's side would take it back.
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _pump_responses(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                self._wait("hold_responses")
                if self._take_drop():
                    break
                client.sendall(data)
        for one in (client, server):
            _cut(one)
            self._sockets.discard(one)

    def _wait(self, fault: str) -> None:
        with self._state.changed:
            if self._state.delay and fault == "hold_requests":
                # A wait that only the end of the delay's fault cuts short.
                self._state.changed.wait_for(lambda: not self._state.delay or self._state.closed, self._state.delay)
            if getattr(self._state, fault):
                self._state.held += 1
                self._state.changed.notify_all()
                self._state.changed.wait_for(lambda: not getattr(self._state, fault) or self._state.closed)
                self._state.held -= 1

    def _take_drop(self) -> bool:
        with self._state.changed:
            if self._state.drops < 1:
                return False
            self._state.drops -= 1
            self._state.dropped += 1
            self._state.changed.notify_all()
            return True

    def _cut_all(self) -> None:
        for one in list(self._sockets):
            _cut(one)


def _cut(one: socket.socket) -> None:
    """
    Close a connection by RST, so that the other side sees an error and not an end; wake who reads from it.
    """
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        one.close()
