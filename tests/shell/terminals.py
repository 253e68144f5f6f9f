"""
Commands in a real terminal (a pty): what they show, and what is typed at them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.shell.emulation import Emulation
from tests.waiting import PATIENCE

_CODE = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)                        # so that Ctrl-C arrives,
signal.signal(signal.SIGINT, signal.default_int_handler)    # also where the tests run in the background
from unomi_shell.main import main
main(prog_name="unomi-task")
"""
_STEERING = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>]|\x1b\][^\x07]*\x07|[\r\x07]")
_HOME = "\x1b[H"
LINES, COLUMNS = 30, 120


class Terminal:
    """
    A terminal and the command in it.
    """

    def __init__(self, process: subprocess.Popen[bytes], end: int) -> None:
        self._process = process
        self._end = end
        self._sent = ""

    @property
    def text(self) -> str:
        """
        All that was shown since the last `forget`, without what steers a terminal.
        """
        return _STEERING.sub("", self._sent)

    @property
    def screen(self) -> str:
        """
        The last whole screen of a command that draws from the upper left corner.
        """
        drawn = self._sent.split(_HOME)
        return _STEERING.sub("", drawn[-1])

    @property
    def emulated(self) -> str:
        """
        What stands on it now.
        """
        emulation = Emulation()
        emulation.send(self._sent)
        return emulation.text

    def type(self, text: str) -> None:
        """
        Type.
        """
        os.write(self._end, text.encode())

    def forget(self) -> None:
        """
        Count only what comes from now on.
        """
        self._sent = ""

    def shows(self, *words: str, within: float = PATIENCE) -> str:
        """
        Wait until all words are on the screen at once, however they are spaced, and return it.
        """
        deadline = time.monotonic() + within
        while not any(_in(words, text) for text in (self.screen, self.emulated)):
            assert time.monotonic() < deadline, f"expected {words}, there is:\n{self.text[-4_000:]}"
            assert self._hear(1), f"ended without {words}:\n{self.text[-4_000:]}"
        return self.screen

    def listens(self) -> bool:
        """
        Take in what has been sent until now; answer whether the command is there.
        """
        return self._hear(0)

    def ends(self, within: float = PATIENCE) -> int:
        """
        Wait until the command has ended, and return its exit code.
        """
        deadline = time.monotonic() + within
        while self._hear(1):
            assert time.monotonic() < deadline, f"has not ended:\n{self.text[-4_000:]}"
        return self._process.wait(within)

    def kill(self) -> None:
        """
        End it whatever it does.
        """
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def _hear(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._end], [], [], seconds)
        if not ready:
            return True
        try:
            heard = os.read(self._end, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # So a pty says that nobody is left at its other end.
            return False
        # A prompt may ask where the cursor is; it stands at the left.
        if b"\x1b[6n" in heard:
            os.write(self._end, b"\x1b[1;1R")
        self._sent += heard.decode(errors="replace")
        return bool(heard)


def _in(words: tuple[str, ...], text: str) -> bool:
    shown = "".join(text.split())
    return all("".join(word.split()) in shown for word in words)


@contextmanager
def terminal(*arguments: str, columns: int = COLUMNS) -> Iterator[Terminal]:
    """
    Run `unomi-task` in a terminal of its own.
    """
    size = struct.pack("HHHH", LINES, columns, 0, 0)
    environment = {**os.environ, "TERM": "xterm-256color", "LINES": str(LINES), "COLUMNS": str(columns)}
    end, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, size)
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE, *arguments],
        env=environment,
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    made = Terminal(process, end)
    try:
        yield made
    finally:
        made.kill()
