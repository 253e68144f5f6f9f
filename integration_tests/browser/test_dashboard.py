"""
Each page and each action of the dashboard, in a real browser, on a real served node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Page, expect

from integration_tests.browser.chromium import NoBrowserError, chromium
from integration_tests.browser.served import served
from unomi_rest.accounts import hash_password
from unomi_scheduler import Scheduler, Settings, TaskStatus

PASSWORD = "correct horse"
PAGES = (
    "/",
    "/tasks",
    "/tasks/import",
    "/nodes",
    "/types",
    "/audit",
    "/bulk?action=retry&status=FAILED&type=failing",
    "/nowhere",
)
LOOK = 10_000
"""Milliseconds within which a page shows what has happened."""
APP = """
from threading import Event
from unomi_scheduler import Scheduler

scheduler = Scheduler()
wait = Event().wait

@scheduler.executor("import")
def import_all(context):
    for done in range(1, 100_000):
        if context.cancelled:
            return
        context.update_step("Importing", processedCount=done % 1_000, totalCount=1_000)
        wait(0.05)

@scheduler.executor("failing")
def fail(context):
    raise OSError("no route to the source")

for task_type in ("quick", "steered"):
    scheduler.executor(task_type)(lambda context: None)

for name in ("import", "to-be-cancelled"):
    scheduler.new_task("import").with_id(name).as_one_shot().schedule()
for name in ("one", "two", "three"):
    scheduler.new_task("failing").with_id(f"broken {name}").with_max_retries(0).as_one_shot().schedule()
for task_type, begin in (("quick", "later"), ("bulked", "many"), ("steered", "steered")):
    for number in range(1 if task_type == "steered" else 70):
        daily = scheduler.new_task(task_type).with_initial_delay(1, "DAYS").with_period(1, "DAYS")
        daily.with_id(f"{begin}-{number:02}").schedule()
"""

SignedIn = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """
    The browser.
    """
    try:
        with chromium() as one:
            yield one
    except NoBrowserError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Where the application is.
    """
    tmp_path = tmp_path_factory.mktemp("served")
    (tmp_path / "app.py").write_text(APP)
    users = "".join(
        f"[[rest.users]]\nname = '{name}'\npassword_hash = '{hash_password(PASSWORD)}'\nroles = ['{role}']\n"
        for name, role in (("admin", "ADMINISTRATOR"), ("viewer", "VIEWER"))
    )
    (tmp_path / "scheduler.toml").write_text(f"store = 'sqlite:///{tmp_path}/tasks.db'\nlease = '2s'\n{users}")
    return tmp_path


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """
    The served application.
    """
    with served(folder, "app:scheduler", {}) as one:
        yield one


@pytest.fixture(scope="module")
def scheduler(folder: Path, address: str) -> Iterator[Scheduler]:
    """
    A scheduler on the same store that runs nothing.
    """
    one = Scheduler(Settings(store=f"sqlite:///{folder}/tasks.db"))
    yield one
    one.stop()


@pytest.fixture
def signed_in(browser: Browser, address: str) -> Iterator[SignedIn]:
    """
    A function that opens a browser of its own and signs in; what a page complains of fails the test.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def sign_in(user: str = "admin", path: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=address, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        page.get_by_label("User").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        return page

    yield sign_in
    for context in contexts:
        context.close()
    # A page that is not there and a lost connection, which tests ask for, are told by the browser or by htmx.
    unasked = [one for one in complaints if not re.search(r"404|ERR_INTERNET_DISCONNECTED|^htmx:", one)]
    assert not unasked


def test_the_bar_moves_and_the_import_is_cancelled_and_run_again(signed_in: SignedIn, scheduler: Scheduler) -> None:
    """
    Without a reload; the browser asks before it cancels.
    """
    page = signed_in(path="/tasks/to-be-cancelled")
    page.evaluate("window.sameDocument = true")
    bar = page.get_by_role("progressbar")
    expect(bar).to_be_visible(timeout=LOOK)
    first = bar.get_attribute("value")
    expect(bar).not_to_have_attribute("value", str(first), timeout=LOOK)
    assert page.evaluate("window.sameDocument")

    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Cancel").click()
    assert scheduler.get_task("to-be-cancelled").status is TaskStatus.RUNNING
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("CANCELLED", timeout=LOOK)
    expect(page.get_by_text("Cancelled.", exact=True)).to_be_visible()


def test_a_failed_task_is_tried_again(signed_in: SignedIn, scheduler: Scheduler) -> None:
    """
    From the overview's groups of errors to the task, its error and the button.
    """
    page = signed_in()
    row = page.get_by_role("row").filter(has_text="no route to the source")
    expect(row).to_contain_text("3", timeout=LOOK)
    row.get_by_role("link").click()
    expect(page.locator("pre.error")).to_contain_text("OSError: no route to the source")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Scheduled for another try.")).to_be_visible()
    task_id = unquote(urlsplit(page.url).path.rpartition("/")[2])
    expect(page.get_by_role("table").locator("tbody tr")).not_to_have_count(1, timeout=LOOK)
    assert scheduler.history(task_id).total_size >= 3


def test_a_task_is_disabled_run_and_deleted(signed_in: SignedIn, scheduler: Scheduler) -> None:
    """
    The other actions of a task's page.
    """
    page = signed_in(path="/tasks/steered-00")
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("Disabled: it runs no more until it is enabled.")).to_be_visible()
    assert not scheduler.get_task("steered-00").enabled
    page.get_by_role("button", name="Enable").click()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("row").filter(has_text="SUCCESS")).to_have_count(1, timeout=LOOK)
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page).to_have_url(re.compile(r"/tasks\?done=delete$"))
    expect(page.get_by_role("link", name="steered-00")).to_have_count(0)


def test_the_list_filters_sorts_and_pages(signed_in: SignedIn) -> None:
    """
    By the form, the heads of the columns and the links below; the page stays as it is while it is refreshed.
    """
    page = signed_in(path="/tasks")
    page.get_by_label("Type").select_option("quick")
    page.get_by_role("button", name="Show").click()
    page.locator("#sort-itemId").click()
    page.locator("#sort-itemId").click()
    expect(page.locator("tbody tr").first).to_contain_text("later-00")
    page.get_by_role("link", name="Later", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(20)
    with page.expect_response(lambda response: "offset=50" in response.url and response.status == 200):
        pass
    expect(page.locator("tbody tr")).to_have_count(20)


def test_many_are_changed_after_a_look_at_them(signed_in: SignedIn, scheduler: Scheduler) -> None:
    """
    The preview names what it hits; nothing happens before the button.
    """
    page = signed_in(path="/tasks?status=SCHEDULED&type=bulked")
    page.get_by_role("combobox", name="All of these").select_option("cancel")
    page.get_by_role("button", name="Look what it hits").click()
    expect(page.get_by_text("This hits 70 tasks")).to_be_visible()
    expect(page.get_by_role("link", name="many-69")).to_be_visible()
    assert scheduler.find_tasks(status="CANCELLED", task_type="bulked").total_size == 0
    page.get_by_role("button", name="Cancel 70 tasks").click()
    expect(page.get_by_text("70 changed")).to_be_visible()
    assert scheduler.find_tasks(status="CANCELLED", task_type="bulked").total_size == 70


def test_a_lost_connection_is_told(signed_in: SignedIn) -> None:
    """
    With the time of what is shown, and no more once it is back.
    """
    page = signed_in()
    page.context.set_offline(True)
    expect(page.get_by_text("Connection lost")).to_be_visible(timeout=LOOK)
    page.context.set_offline(False)
    expect(page.get_by_text("Connection lost")).to_be_hidden(timeout=LOOK)


def test_a_hidden_page_asks_for_nothing(signed_in: SignedIn) -> None:
    """
    It asks at once when it is seen again.
    """
    page = signed_in()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true}); window.away = true"
    )
    # A whole minute of the page's own time passes: its timer would have asked thirty times.
    page.clock.install()
    page.clock.run_for(60_000)
    assert not asked
    with page.expect_request("**/"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")


def test_without_scripts_lists_and_forms_work(signed_in: SignedIn, scheduler: Scheduler) -> None:
    """
    Pages, filters and actions are plain links and forms.
    """
    page = signed_in(path="/tasks?type=quick&sort=itemId", java_script_enabled=False)
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("link", name="later-01").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.", exact=True)).to_be_visible()
    assert scheduler.get_task("later-01").status is TaskStatus.CANCELLED


def test_a_viewer_sees_and_changes_nothing(signed_in: SignedIn) -> None:
    """
    There is no button but the one that signs out.
    """
    page = signed_in("viewer", "/tasks/import")
    expect(page.get_by_text("(looks only)")).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(1)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_wrong_password_is_told(browser: Browser, address: str) -> None:
    """
    On the page, and not by a window of the browser.
    """
    page = browser.new_page(base_url=address)
    page.goto("/tasks")
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Wrong user or password")
    page.close()


def test_keys_are_enough(signed_in: SignedIn) -> None:
    """
    From the first key to a task without a mouse: each stop is seen, and is not lost by a refresh.
    """
    page = signed_in(path="/tasks?type=quick&sort=itemId")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.locator("#to-later-00").focus()
    with page.expect_response(lambda response: "/tasks?type=quick" in response.url):
        pass
    expect(page.locator("#to-later-00")).to_be_focused(timeout=LOOK)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/tasks/later-00$"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits_a_phone(signed_in: SignedIn, scheme: str) -> None:
    """
    No finding of axe, and no page that is wider than a narrow screen.
    """
    page = signed_in(color_scheme=scheme, viewport={"width": 390, "height": 800})
    for path in PAGES:
        page.goto(path)
        found = Axe().run(page)
        assert found.violations_count == 0, (path, found.generate_report())
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, path
