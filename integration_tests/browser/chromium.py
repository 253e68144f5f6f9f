"""
The browser of these tests: an installed Chromium.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

VARIABLE = "UNOMI_TEST_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


class NoBrowserError(RuntimeError):
    """
    There is no Chromium; the message says how to get one.
    """


@contextmanager
def chromium() -> Iterator[Browser]:
    """
    Start the browser, and end it.

    Raises:
        NoBrowserError: none is installed.
    """
    path = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise NoBrowserError(
            f"These tests need Chromium and found none: install it (Debian: apt-get install chromium) or name it by "
            f"{VARIABLE}=/path/to/chromium"
        )
    with sync_playwright() as playwright:
        # Without a sandbox it runs as root too; it sees nothing but the pages of these tests.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
