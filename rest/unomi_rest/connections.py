"""
Connections of slow clients: what a client may take its time for, so that it holds no thread that others need.

gunicorn waits for as long as a client likes, once its first byte is there.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from threading import Lock
from typing import Protocol

HEADER_SECONDS = 15
"""For the whole header of a request, in whatever pieces it comes, and for the handshake before it."""
STALL_SECONDS = 20
"""Without a byte of a body, or without a byte of an answer taken."""


class Connection(Protocol):
    """
    gunicorn's connection. Its socket becomes another one with the handshake.
    """

    sock: socket.socket


class HeaderWatch:
    """
    Ends the connections whose header is not there in time. Safe from any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._reading: dict[Connection, float] = {}

    def begun(self, connection: Connection, now: float) -> None:
        """
        Note that a thread begins to read a header.
        """
        with self._lock:
            self._reading[connection] = now + HEADER_SECONDS

    def done(self, connection: Connection) -> None:
        """
        Note that the header is there, or nobody waits for it any more.
        """
        with self._lock:
            self._reading.pop(connection, None)

    def end_late(self, now: float) -> int:
        """
        End the connections that are late, and return how many were.
        """
        with self._lock:
            late = [one for one, end in self._reading.items() if end <= now]
            for one in late:
                del self._reading[one]
                # It wakes the thread that reads. Not the method of an encrypted socket, which is that thread's alone.
                with suppress(OSError):
                    socket.socket.shutdown(one.sock, socket.SHUT_RDWR)
        return len(late)


def limit_stalls(connection: socket.socket) -> None:
    """
    Have a blocking call on a connection fail when nothing moves for `STALL_SECONDS`; one that moves slowly goes on.
    """
    seconds = struct.pack("ll", STALL_SECONDS, 0)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, option, seconds)


def stalled(error: BaseException | None) -> bool:
    """
    Tell whether an error says that nothing moved for too long.
    """
    return isinstance(error, BlockingIOError | TimeoutError)
