"""
A small terminal: what stands on the screen after what a command sent, as far as rich and prompt_toolkit go.
"""

from __future__ import annotations

import re

_PARTS = re.compile(r"\x1b\[(?P<numbers>[0-9;?]*)(?P<what>[@-~])|\x1b[()=>].?|(?P<letter>.)", re.DOTALL)


class Emulation:
    """
    The lines of a screen, and where the cursor is.
    """

    def __init__(self) -> None:
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0

    @property
    def text(self) -> str:
        """
        The lines, without blanks at their ends and without empty ones at the end.
        """
        return "\n".join("".join(line).rstrip() for line in self._lines).rstrip()

    def send(self, sent: str) -> None:
        """
        Show what a command sent.
        """
        for part in _PARTS.finditer(sent):
            if part["letter"] is not None:
                self._write(part["letter"])
            elif part["what"] is not None:
                self._steer(part["what"], int(part["numbers"]) if part["numbers"].isdigit() else 0)

    def _write(self, letter: str) -> None:
        if letter == "\r":
            self._column = 0
        elif letter == "\n":
            self._row += 1
        elif letter == "\b":
            self._column = max(0, self._column - 1)
        elif letter.isprintable():
            line = self._line()
            line[self._column : self._column + 1] = [letter]
            self._column += 1

    def _line(self) -> list[str]:
        while len(self._lines) <= self._row:
            self._lines.append([])
        line = self._lines[self._row]
        line.extend(" " * (self._column - len(line)))
        return line

    def _steer(self, what: str, number: int) -> None:
        steps = max(1, number)
        if what == "A":
            self._row = max(0, self._row - steps)
        elif what == "B":
            self._row += steps
        elif what == "C":
            self._column += steps
        elif what == "D":
            self._column = max(0, self._column - steps)
        elif what == "H":
            self._row = self._column = 0
        elif what == "K":
            del self._line()[self._column :]
        elif what == "J":
            del self._line()[self._column :]
            del self._lines[self._row + 1 :]
