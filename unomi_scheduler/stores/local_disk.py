"""
Which file system a path is on: SQLite's log needs shared memory, which network file systems lack.
"""

from __future__ import annotations

import os
from pathlib import Path

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"})
_MOUNTS = Path("/proc/self/mountinfo")


def file_system_of(path: str) -> str | None:
    """
    Return the type of the file system that holds a path, e.g. `ext4`; None where the system does not tell (not Linux).
    """
    try:
        mounts = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return None
    found: tuple[str, str | None] = ("", None)
    for mount in mounts:
        point, kind = _parsed(mount)
        # A later mount on the same point hides the earlier one.
        if _holds(point, path) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def on_network(file_system: str | None) -> bool:
    """
    Tell whether several machines may share this file system.
    """
    return file_system in NETWORK or (file_system or "").startswith("fuse.ssh")


def _parsed(mount: str) -> tuple[str, str | None]:
    before, _, after = mount.partition(" - ")
    point = before.split(" ")[4].replace("\\040", " ")
    return point, after.split(" ")[0] or None


def _holds(point: str, path: str) -> bool:
    return os.path.commonpath((point, path)) == point
