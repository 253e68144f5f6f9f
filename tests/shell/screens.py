"""
The screens in docs/shell.md, made by the commands themselves: `python -m tests.shell.screens` writes them anew.

In the page each stands behind a comment that names it, e.g. `<!-- screen: list -->`.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from tests.shell.support import run
from tests.shell.terminals import terminal
from tests.waiting import ended, eventually
from unomi_scheduler import Scheduler, TaskContext

PAGE = Path(__file__).parents[2] / "docs" / "shell.md"
_STORE = "sqlite:///tasks.db"
_BLOCK = re.compile(r"(<!-- screen: (?P<name>\w+) -->\n\n?```text\n)(?P<screen>.*?)(```)", re.DOTALL)
_LINES: dict[str, tuple[str, ...]] = {
    "list": ("list --sort itemId",),
    "wide": ("list --wide -t import",),
    "show": ("show import",),
    "explain": ("explain sync", "explain mail"),
    "history": ("history mail",),
    "steer": (
        "config sync --max-retries 5 --retry-delay 60000",
        "retry mail --reset",
        "resume import",
        "delete sync",
        "cancel nobody",
    ),
    "nodes": ("nodes", "executor"),
    "audit": ("audit", "history mail", "tokens"),
}


def pages_screens() -> dict[str, str]:
    """
    Return every screen by name, of a cluster made for it.
    """
    # Whose machine makes the page is nobody's business.
    named = patch("socket.gethostname", return_value="host-1")
    user = patch("unomi_shell.account.user", return_value="ops")
    with tempfile.TemporaryDirectory() as folder, chdir(folder), named, user, _home(folder), _cluster() as scheduler:
        screens = {"watch": _watch(), "shell": _shell()}
        for name, lines in _LINES.items():
            screens[name] = "".join(_said(line) for line in lines)
            if name == "steer":
                ended(scheduler, "mail-2024-03-20")
        return screens


@contextmanager
def _home(folder: str) -> Iterator[None]:
    with patch.dict(os.environ, {"XDG_STATE_HOME": folder}):
        yield


@contextmanager
def _cluster() -> Iterator[Scheduler]:
    scheduler, stopped = Scheduler(store=_STORE, node_id="alpha"), threading.Event()

    @scheduler.executor("import", can_resume=True)
    def work(context: TaskContext) -> None:
        context.save_checkpoint({"lastProcessedId": 420})
        context.update_step("Processing records", processedCount=420, totalCount=1000)
        while not context.cancelled and not stopped.wait(0.02):
            pass

    scheduler.executor("mail")(_refuse)
    scheduler.new_task("import").with_id("import-2024-03").as_one_shot().schedule()
    scheduler.new_task("mail").with_id("mail-2024-03-20").with_max_retries(0).as_one_shot().schedule()
    hourly = scheduler.new_task("sync").with_id("sync-customers").with_period(1, "HOURS")
    hourly.with_initial_delay(timedelta(minutes=90)).schedule()
    with scheduler:
        ended(scheduler, "mail-2024-03-20")
        eventually(lambda: scheduler.get_task("import-2024-03").current_step, "the import has not begun")
        yield scheduler
        stopped.set()


def _refuse() -> None:
    raise RuntimeError("the server refused: mailbox full")


def _said(line: str) -> str:
    result = run("--store", _STORE, *line.split())
    code = f"[exit code {result.exit_code}]\n" if result.exit_code else ""
    return f"$ unomi-task {line}\n{result.output}{code}\n"


def _watch() -> str:
    with terminal("--store", _STORE, "watch", "--every", "0.2") as it:
        it.shows("RUNNING 1", "420/1000", "ENABLED 1", "q quit")
        return it.emulated + "\n"


def _shell() -> str:
    with terminal("--store", _STORE, columns=100) as it:
        it.shows("unomi>")
        it.type("task-list --status fa\t")
        it.shows("FAILED")
        it.type("\r")
        it.shows("Showing 1 task(s)")
        eventually(lambda: it.listens() and it.emulated.endswith("\nunomi>"), "there is no prompt")
        it.type("show \t")
        it.shows("import RUNNING", "sync SCHEDULED")
        return it.emulated + "\n"


def written(page: str, screens: dict[str, str]) -> str:
    """
    Return the page with these screens in it.
    """

    def screen(block: re.Match[str]) -> str:
        return f"{block[1]}{screens[block['name']].rstrip()}\n{block[4]}"

    return _BLOCK.sub(screen, page)


def shown(page: str) -> dict[str, str]:
    """
    Return the screens of a page by name.
    """
    return {block["name"]: block["screen"] for block in _BLOCK.finditer(page)}


def without_moments(screen: str) -> str:
    """
    Return a screen without what differs each time: numbers, lengths of time, and the spaces that follow from them.
    """
    text = re.sub(r"\d+(\.\d+)?( ms| s)?", "0", screen)
    return re.sub(r"[ ─]+", " ", text).replace(" \n", "\n").strip()


def main(say: Callable[[str], None] = print) -> None:
    """
    Write the screens of the page anew.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), pages_screens()), encoding="utf-8")
    say(f"{PAGE.name}: written")


if __name__ == "__main__":
    main()
