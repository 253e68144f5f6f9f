"""
End a server whose test run died: `watch.py PARENT GROUP FOLDER`, started as a process of its own.

A test run that is killed by `kill -9` cannot tidy up. This small process notices that its parent has changed, kills the
server's process group and removes the run's folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress


def main(parent: int, group: int, folder: str) -> None:
    """
    Wait for the parent's end, then kill the group and remove the folder.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        time.sleep(1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
