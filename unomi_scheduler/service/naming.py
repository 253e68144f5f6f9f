"""
Naming: a node id where the settings give none: the host's name and the lowest number no other process here has taken.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from ..errors import ConfigurationError
from ..node.identity import NodeLock, host_name


class NodeName:
    """
    A node id, held on this host until it is released; after a restart the same process mostly finds it free again.

    Args:
        folder: where the names of one store are taken; None, or one that cannot be written, gives a random name.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock: NodeLock | None = None
        try:
            self.node_id = f"{host_name()}-{token_hex(3)}" if folder is None else self._take(folder / "names")
        except OSError:
            self.node_id = f"{host_name()}-{token_hex(3)}"

    def _take(self, folder: Path) -> str:
        number = 0
        while self._lock is None:
            number += 1
            lock = NodeLock(folder, f"{host_name()}-{number}")
            with suppress(ConfigurationError):
                lock.acquire()
                self._lock = lock
        return f"{host_name()}-{number}"

    def release(self) -> None:
        """
        Let another process take the name; harmless when repeated.
        """
        if self._lock is not None:
            self._lock.release()
            self._lock = None
