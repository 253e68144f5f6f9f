"""
The page about the shell shows what the commands say.
"""

from __future__ import annotations

import pytest

from tests.shell.emulation import Emulation
from tests.shell.screens import PAGE, pages_screens, shown, without_moments, written
from unomi_shell.failures import Exit
from unomi_shell.main import main


def test_the_screens_are_those_of_the_commands() -> None:
    """
    But for dates and numbers; `python -m tests.shell.screens` writes them anew.
    """
    page = shown(PAGE.read_text(encoding="utf-8"))
    made = pages_screens()

    assert page.keys() == made.keys()
    for name, screen in made.items():
        assert without_moments(page[name]) == without_moments(screen), name


def test_every_command_and_exit_code_is_on_the_page() -> None:
    """
    None is left out.
    """
    page = PAGE.read_text(encoding="utf-8")

    assert [name for name in main.commands if name not in page] == []
    assert [code for code in Exit if f"| {code.value} | " not in page] == []


def test_a_page_is_written_between_its_fences() -> None:
    """
    And nothing else of it.
    """
    page = "a\n<!-- screen: x -->\n```text\nold\n```\nb\n"

    assert written(page, {"x": "new\n\n"}) == page.replace("old", "new")


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("a\r\nb", "a\nb"),
        ("abc\x1b[2Dx\x1b[K", "ax"),
        ("abc\r\nd\x1b[Hx\x1b[J", "x"),
        ("a\x1b[3Cb\x1b[31mc", "a   bc"),
        ("a\b\x1b[Bb", "a\nb"),
    ],
)
def test_the_small_terminal_shows_what_a_large_one_does(sent: str, text: str) -> None:
    """
    As far as it is needed.
    """
    emulation = Emulation()
    emulation.send(sent)

    assert emulation.text == text
