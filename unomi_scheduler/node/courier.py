"""
The courier: takes a nudge to a peer's address by HTTP, on a connection that is kept where the peer keeps it.
"""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import Protocol
from urllib.parse import urlsplit

from .nudging import PATH

CONNECT_SECONDS = 0.3
ANSWER_SECONDS = 1.0
MOST_CONNECTIONS = 64


class Courier(Protocol):
    """
    Carries a body to an address.
    """

    def carry(self, address: str, body: bytes, authorization: str) -> int:
        """
        Return the status of the answer.

        Raises:
            OSError: there was none.
        """
        ...

    def close(self) -> None:
        """
        Let go of every connection.
        """
        ...


class HttpCourier:
    """
    Belongs to one thread. It knows no proxies and follows nothing: peers are near.
    """

    def __init__(self) -> None:
        self._kept: dict[str, HTTPConnection] = {}

    def carry(self, address: str, body: bytes, authorization: str) -> int:
        """
        Send it, once more where a kept connection turns out to be closed.
        """
        kept = self._kept.pop(address, None)
        if kept is not None:
            try:
                return self._send(kept, address, body, authorization)
            except TimeoutError:
                raise
            except OSError:
                # The peer had closed it meanwhile.
                pass
        return self._send(self._connect(address), address, body, authorization)

    def _connect(self, address: str) -> HTTPConnection:
        target = urlsplit(address)
        connection = HTTPConnection(target.hostname or "", target.port, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        return connection

    def _send(self, connection: HTTPConnection, address: str, body: bytes, authorization: str) -> int:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        try:
            connection.request("POST", PATH, body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            connection.close()
            raise error if isinstance(error, OSError) else ConnectionError(repr(error)) from error
        if answer.will_close or len(self._kept) >= MOST_CONNECTIONS:
            connection.close()
        else:
            self._kept[address] = connection
        return answer.status

    def close(self) -> None:
        """
        Close what is kept.
        """
        kept, self._kept = self._kept, {}
        for connection in kept.values():
            connection.close()
