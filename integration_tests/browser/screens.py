"""
The pictures in docs/images: every page of the dashboard, light and dark, taken of the running sample.

    python -m integration_tests.browser.screens
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from integration_tests.browser.chromium import chromium
from integration_tests.browser.served import served

IMAGES = Path(__file__).parents[2] / "docs" / "images"
_PASSWORD = "correct horse"
_PAGES = {
    "overview": "/",
    "tasks": "/tasks",
    "task": "/tasks/geonames-import",
    "nodes": "/nodes",
    "types": "/types",
    "audit": "/audit",
    "bulk": "/bulk?action=run&type=cache-refresh-Country",
}
_SCHEMES = ("light", "dark")
_UNDER_WAY = 20
"""Per cent of the import that must be done before a picture is taken."""


def main() -> int:
    """
    Serve the sample, take every picture, and stop it.
    """
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        settings = {
            "UNOMI_SCHEDULER_REST__ADMIN_PASSWORD": _PASSWORD,
            "UNOMI_SCHEDULER_STORE": f"sqlite:///{folder}/tasks.db",
            "UNOMI_SCHEDULER_NODE_ID": "node-1",
        }
        with served(Path(folder), "examples.geonames:scheduler", settings) as address:
            _take(browser, address)
    return 0


def _take(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.goto("/sign-in")
    _save(page, "sign-in")
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill(_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    bar = page.get_by_role("progressbar").first
    expect(bar).to_have_js_property("tagName", "PROGRESS", timeout=60_000)
    page.wait_for_function(
        "least => document.querySelector('progress')?.value >= least", arg=_UNDER_WAY, timeout=120_000
    )
    for name, path in _PAGES.items():
        page.goto(path)
        _save(page, name)


def _save(page: Page, name: str) -> None:
    for scheme in _SCHEMES:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.reload()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=IMAGES / f"{name}-{scheme}.png")


if __name__ == "__main__":
    sys.exit(main())
