"""
The account a server runs as: Elasticsearch refuses to run as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Account:
    """
    A user to run processes as; `name` is None for the present one.
    """

    name: str | None

    @classmethod
    def for_servers(cls) -> Account:
        """
        Return the present user, or `nobody` when that is root.
        """
        return cls("nobody" if os.geteuid() == 0 else None)

    def popen_arguments(self) -> dict[str, Any]:
        """
        Return what makes subprocess start a process as this user.
        """
        if self.name is None:
            return {}
        return {"user": self.name, "group": pwd.getpwnam(self.name).pw_gid, "extra_groups": []}

    def give(self, folder: Path) -> None:
        """
        Make this user the owner of a folder and of all in it.
        """
        if self.name is None:
            return
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, self.name, pwd.getpwnam(self.name).pw_gid)


def cache_folder(environ: dict[str, str] | os._Environ[str] = os.environ) -> Path:
    """
    Return the folder that keeps what was fetched; root's is outside /root, where the server's account may read.
    """
    if os.geteuid() == 0:
        return Path("/var/cache/unomi-scheduler")
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unomi-scheduler"
