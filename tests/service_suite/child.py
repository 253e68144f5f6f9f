"""
A node in a process of its own, to be killed: `python -m tests.service_suite.child FOLDER SETTINGS-AS-JSON`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.service_suite.bodies import Journal, register
from unomi_scheduler import Scheduler


def main() -> None:
    """
    Run until the process is ended.
    """
    folder, settings = sys.argv[1:]
    scheduler = Scheduler(**json.loads(settings))
    register(scheduler, Journal(Path(folder)))
    with scheduler:
        scheduler.wait()


if __name__ == "__main__":
    main()
