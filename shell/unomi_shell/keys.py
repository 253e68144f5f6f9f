"""
Keys as they are pressed, while a screen stands.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

UP, DOWN, ENTER, ESCAPE, BACKSPACE = "up", "down", "enter", "escape", "backspace"
_NAMED = {
    "\x1b[A": UP,
    "\x1bOA": UP,
    "\x1b[B": DOWN,
    "\x1bOB": DOWN,
    "\r": ENTER,
    "\n": ENTER,
    "\x7f": BACKSPACE,
    "\b": BACKSPACE,
}
_MOST = 1_024


def read_keys(text: str) -> list[str]:
    """
    Return the keys of what a terminal sent: names of those that have one, letters, and nothing of other sequences.
    """
    keys = []
    while text:
        sequence = next((one for one in _NAMED if text.startswith(one)), None)
        if sequence is not None:
            keys.append(_NAMED[sequence])
        elif text[0] == "\x1b":
            sequence = _sequence(text)
            keys += [ESCAPE] if sequence == "\x1b" else []
        else:
            sequence = text[0]
            keys += [sequence] if sequence.isprintable() else []
        text = text[len(sequence) :]
    return keys


def _sequence(text: str) -> str:
    if text[1:2] not in {"[", "O"}:
        return text[0]
    end = next((place for place, letter in enumerate(text[2:], 2) if "@" <= letter <= "~"), len(text) - 1)
    return text[: end + 1]


class Keys:
    """
    The keyboard, and a bell that others may ring to end a wait.
    """

    def __init__(self) -> None:
        self._typed = sys.stdin.fileno()
        self._heard, self._told = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._told, False)

    def ring(self) -> None:
        """
        End the wait of the one who reads; from any thread.
        """
        try:
            os.write(self._told, b"!")
        except BlockingIOError:
            # It has not been heard often enough to be forgotten.
            return

    def read(self, seconds: float) -> list[str]:
        """
        Return the keys pressed; none when the time is over or the bell rang.

        Raises:
            EOFError: the terminal is gone.
        """
        ready, _, _ = select.select([self._typed, self._heard], [], [], seconds)
        if self._heard in ready:
            os.read(self._heard, _MOST)
        if self._typed not in ready:
            return []
        sent = os.read(self._typed, _MOST)
        if not sent:
            raise EOFError
        return read_keys(sent.decode(errors="replace"))


@contextmanager
def pressed() -> Iterator[Keys]:
    """
    Let keys come one by one, unseen, until the end.
    """
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield Keys()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
