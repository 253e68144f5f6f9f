"""
The dashboard's pages, forms and door, asked in this process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from html import unescape
from importlib import resources
from pathlib import Path
from urllib.parse import urlencode

import pytest
from falcon.testing import Cookie, Result, TestClient

from tests.factories import make_task
from tests.rest.support import ADMIN, GUEST, PASSWORD, VIEWER, SettableClock
from unomi_rest.accounts import Account, make_account
from unomi_rest.dashboard import sessions, views, words
from unomi_rest.dashboard.actions import local
from unomi_rest.site import create_site
from unomi_scheduler import Scheduler, Settings, TaskNotFound, TaskStatus, TypeSummary

PAGES = ("/", "/tasks", "/nodes", "/types", "/audit")
HOSTILE = '"><script>alert(1)</script>'


class Browser:
    """
    One who signs in and sends the forms of the pages it sees.
    """

    def __init__(self, site: TestClient) -> None:
        self._site = site
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Result:
        """
        Ask for a page.
        """
        return self._site.simulate_get(path, headers=headers, cookies=self.cookies)

    def post(self, path: str, form: dict[str, str], **headers: str) -> Result:
        """
        Send a form as browsers do.
        """
        sent = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self._site.simulate_post(path, body=urlencode(form), headers=sent, cookies=self.cookies)

    def sign_in(self, user: str, password: str = PASSWORD, back: str = "/") -> Result:
        """
        Fill in the form and keep the cookie.
        """
        result = self.post("/sign-in", {"user": user, "password": password, "next": back})
        if "unomi_session" in result.cookies:
            cookie: Cookie = result.cookies["unomi_session"]
            self.cookies = {"unomi_session": cookie.value}
        return result

    def token(self) -> str:
        """
        Return the token that this session's forms carry.
        """
        found = re.search(r'name="formToken" value="([^"]+)"', self.get("/").text)
        assert found
        return unescape(found[1])

    def do(self, path: str, **form: str) -> Result:
        """
        Send a form with its token.
        """
        return self.post(path, {"formToken": self.token(), **form})


@pytest.fixture
def clock() -> SettableClock:
    """
    The clock of the pages.
    """
    return SettableClock()


@pytest.fixture
def scheduler(settings: Settings, clock: SettableClock) -> Iterator[Scheduler]:
    """
    A scheduler by the same clock.
    """
    made = Scheduler(settings, clock=clock)
    yield made
    made.stop()


@pytest.fixture
def site(scheduler: Scheduler, settings: Settings, clock: SettableClock) -> TestClient:
    """
    Everything that is served.
    """
    return TestClient(create_site(scheduler, settings, accounts=(ADMIN, VIEWER, GUEST), clock=clock))


@pytest.fixture
def admin(site: TestClient) -> Browser:
    """
    An administrator who has signed in.
    """
    browser = Browser(site)
    assert browser.sign_in("admin").status_code == 303
    return browser


@pytest.fixture
def viewer(site: TestClient) -> Browser:
    """
    One who may look, signed in.
    """
    browser = Browser(site)
    assert browser.sign_in("viewer").status_code == 303
    return browser


class TestDoor:
    """
    Who gets in, and what a browser is told.
    """

    @pytest.mark.parametrize("path", [*PAGES, "/tasks/x", "/bulk", "/nowhere"])
    def test_a_stranger_is_sent_to_the_sign_in_page(self, site: TestClient, path: str) -> None:
        """
        And back to the page afterwards.
        """
        result = Browser(site).get(path)

        assert result.status_code == 303
        assert result.headers["location"].startswith("/sign-in")
        assert "unomi_session" not in result.cookies
        back = "/sign-in" if path == "/" else f"/sign-in?next={path.replace('/', '%2F')}"
        assert result.headers["location"] == back

    @pytest.mark.parametrize("path", ["/tasks/x/cancel", "/bulk", "/sign-out"])
    def test_a_strangers_form_does_nothing(self, site: TestClient, scheduler: Scheduler, path: str) -> None:
        """
        It ends at the sign-in page.
        """
        scheduler.new_task("sample").with_id("x").schedule()

        assert Browser(site).post(path, {"action": "cancel", "type": "sample"}).status_code == 303
        assert scheduler.get_task("x").status is TaskStatus.SCHEDULED

    def test_a_part_of_a_page_asks_the_browser_to_sign_in(self, site: TestClient) -> None:
        """
        A redirect would put the sign-in form into the middle of a page.
        """
        result = Browser(site).get("/tasks", **{"HX-Request": "true"})

        assert (result.status_code, result.headers["hx-redirect"]) == (401, "/sign-in?next=%2Ftasks")

    @pytest.mark.parametrize(("user", "password", "status"), [("admin", "wrong", 401), ("guest", PASSWORD, 403)])
    def test_others_do_not_get_in(self, site: TestClient, user: str, password: str, status: int) -> None:
        """
        The form comes again and says why; there is no cookie.
        """
        browser = Browser(site)
        result = browser.sign_in(user, password)

        assert result.status_code == status
        assert 'role="alert"' in result.text
        assert not browser.cookies

    def test_guesses_are_throttled(self, site: TestClient) -> None:
        """
        As for REST, whose guesses count too.
        """
        browser = Browser(site)
        answers = [browser.sign_in("admin", "wrong").status_code for _ in range(7)]

        assert answers[-1] == 429
        assert "Too many wrong passwords" in browser.sign_in("admin", "wrong").text

    def test_the_cookie_is_for_this_site_alone(self, site: TestClient) -> None:
        """
        No script reads it and no other site sends it; over TLS it goes over nothing else.
        """
        cookie = Browser(site).sign_in("admin").cookies["unomi_session"]

        assert (cookie.http_only, cookie.same_site, cookie.path, bool(cookie.secure)) == (True, "Strict", "/", False)

    def test_a_session_ends(self, admin: Browser, clock: SettableClock) -> None:
        """
        By itself after its time, and by signing out.
        """
        assert admin.get("/").status_code == 200
        clock.advance(sessions.LIFETIME_MILLIS)
        assert admin.get("/").status_code == 303
        admin.sign_in("admin")
        assert admin.do("/sign-out").headers["location"] == "/sign-in"
        assert admin.get("/").status_code == 303

    def test_a_session_is_known_to_every_process(
        self, admin: Browser, scheduler: Scheduler, settings: Settings, clock: SettableClock
    ) -> None:
        """
        Another one on the same store takes the cookie, until it is ended here and 5 seconds are over.
        """
        elsewhere = Browser(TestClient(create_site(scheduler, settings, accounts=(ADMIN,), clock=clock)))
        elsewhere.cookies = dict(admin.cookies)

        assert elsewhere.get("/").status_code == 200
        admin.do("/sign-out")
        clock.advance(5_000)
        assert elsewhere.get("/").status_code == 303

    def test_a_session_has_no_more_than_its_account(
        self, admin: Browser, scheduler: Scheduler, settings: Settings, clock: SettableClock
    ) -> None:
        """
        Whoever is taken from the settings is out with the next start, and whoever lost a role has lost it.
        """

        def after_a_restart(*accounts: Account) -> Browser:
            browser = Browser(TestClient(create_site(scheduler, settings, accounts=accounts, clock=clock)))
            browser.cookies = dict(admin.cookies)
            return browser

        assert "(looks only)" in after_a_restart(make_account("admin", PASSWORD, ("VIEWER",))).get("/").text
        assert after_a_restart(VIEWER).get("/").status_code == 303

    def test_a_viewer_may_sign_out_and_nothing_else(self, viewer: Browser, scheduler: Scheduler) -> None:
        """
        What would change something is not offered, and refused when it is sent all the same.
        """
        scheduler.new_task("sample").with_id("x").schedule()
        page = viewer.get("/tasks/x")

        assert "do-cancel" not in page.text
        assert viewer.do("/tasks/x/cancel").status_code == 403
        assert viewer.do("/bulk", action="cancel", type="sample", status="").status_code == 403
        assert scheduler.get_task("x").status is TaskStatus.SCHEDULED
        assert viewer.do("/sign-out").status_code == 303

    @pytest.mark.parametrize("token", [None, "", "wrong"])
    def test_a_form_needs_the_sessions_token(self, admin: Browser, scheduler: Scheduler, token: str | None) -> None:
        """
        Another site can make a browser send a form, but does not know the token.
        """
        scheduler.new_task("sample").with_id("x").schedule()
        form = {} if token is None else {"formToken": token}

        assert admin.post("/tasks/x/cancel", form).status_code == 403
        assert scheduler.get_task("x").status is TaskStatus.SCHEDULED

    @pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}])
    def test_a_form_of_another_site_is_refused(self, admin: Browser, headers: dict[str, str]) -> None:
        """
        Even with the token, and also at the sign-in page.
        """
        assert admin.post("/sign-out", {"formToken": admin.token()}, **headers).status_code == 403
        form = {"user": "admin", "password": PASSWORD}
        assert admin.post("/sign-in", form, **headers).status_code == 403

    @pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/nowhere", "/static/dashboard.js"])
    def test_every_answer_has_the_safe_headers(self, admin: Browser, path: str) -> None:
        """
        Nothing from elsewhere, nothing inline, in no frame, in no cache but what never changes.
        """
        headers = admin.get(path).headers

        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert ("no-store" in headers["cache-control"]) is not path.startswith("/static")

    @pytest.mark.parametrize(
        "address",
        ["//evil.example", "http://evil.example/", "\\\\evil.example", "javascript:alert(1)", "evil", "/\\evil"],
    )
    def test_the_way_back_stays_on_this_site(self, address: str) -> None:
        """
        Whatever somebody puts into the address of the sign-in page.
        """
        assert local(address) == "/"
        assert local("/tasks?status=FAILED") == "/tasks?status=FAILED"


class TestPages:
    """
    What the pages show.
    """

    @pytest.mark.parametrize("path", PAGES)
    def test_an_empty_store_has_pages(self, admin: Browser, path: str) -> None:
        """
        They say that there is nothing.
        """
        page = admin.get(path)

        assert page.status_code == 200
        assert 'class="none"' in page.text or 'class="bad"' in page.text

    def test_the_overview_counts(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        By state, with a way to each.
        """
        for name in ("one", "two"):
            scheduler.new_task("sample").with_id(name).schedule()
        scheduler.cancel_task("two")
        text = admin.get("/").text

        assert '<a href="/tasks?status=SCHEDULED"><strong>1</strong>' in text
        assert '<a href="/tasks?status=CANCELLED"><strong>1</strong>' in text
        assert 'href="/tasks/one"' in text

    def test_the_list_filters_sorts_and_pages(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        Its links lead to the same list changed in one thing.
        """
        for number in range(60):
            scheduler.new_task("even" if number % 2 == 0 else "odd").with_id(f"task-{number:02}").schedule()
        first = admin.get("/tasks?sort=itemId").text
        names = re.findall(r'id="to-(task-\d\d)"', first)

        assert names == [f"task-{number:02}" for number in range(50)]
        assert 'rel="next" href="/tasks?sort=itemId&amp;offset=50"' in first
        assert 'aria-sort="ascending"><a href="/tasks?sort=itemId%3Adesc"' in first
        rest = admin.get("/tasks?sort=itemId&offset=50").text
        assert len(re.findall(r'id="to-', rest)) == 10
        assert 'rel="prev" href="/tasks?sort=itemId"' in rest
        only = admin.get("/tasks?type=odd&status=SCHEDULED&sort=itemId:desc").text
        assert re.findall(r'id="to-(task-\d\d)"', only)[:2] == ["task-59", "task-57"]
        assert "<small>30</small>" in only

    @pytest.mark.parametrize("query", ["status=NONE", "sort=nothing", "offset=-1", "offset=x"])
    def test_a_wrong_filter_is_explained(self, admin: Browser, query: str) -> None:
        """
        As REST explains it, on a page.
        """
        page = admin.get(f"/tasks?{query}")

        assert page.status_code == 400
        assert "expected" in page.text
        assert "<h1>" in page.text

    def test_a_task_shows_all_of_it(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        Its schedule with the next five runs, why it does not run, and every field.
        """
        scheduler.new_task("sample").with_id("a/b c").with_period(1, "HOURS").with_parameters(
            {"key": "Grüße"}
        ).schedule()
        page = admin.get("/tasks/a%2Fb%20c")

        assert page.status_code == 200
        assert "1 h, fixed rate" in page.text
        assert page.text.count(" UTC, ") == 5
        assert "Grüße" in page.text
        assert all(reason in unescape(page.text) for reason in scheduler.explain("a/b c"))
        assert 'action="/tasks/a%2Fb%20c/cancel"' in page.text

    def test_hostile_texts_are_texts(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        An id, a type or a parameter with markup in it shows as it is and does nothing.
        """
        scheduler.new_task(HOSTILE).with_id(HOSTILE).with_parameters({HOSTILE: HOSTILE}).schedule()
        place = "/tasks/" + HOSTILE.replace('"', "%22").replace("<", "%3C").replace(">", "%3E").replace("/", "%2F")
        pages = [admin.get(path) for path in (*PAGES, place, "/tasks?type=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")]

        assert [page.status_code for page in pages] == [200] * len(pages)
        assert not [page for page in pages if "<script>alert" in page.text]
        assert "&lt;script&gt;alert(1)" in pages[1].text

    @pytest.mark.parametrize(("path", "status"), [("/tasks/none", 404), ("/nowhere", 404), ("/static/none.js", 404)])
    def test_what_is_not_there_has_a_page(self, admin: Browser, path: str, status: int) -> None:
        """
        With a way back.
        """
        page = admin.get(path)

        assert page.status_code == status
        assert '<a href="/">Overview</a>' in page.text

    def test_rest_is_where_it_was(self, site: TestClient) -> None:
        """
        Beside the pages, with its own way of signing in.
        """
        assert site.simulate_get("/livez").status_code == 200
        assert site.simulate_get("/cxs/tasks").status_code == 401
        assert site.simulate_get("/cxs/nowhere").json["code"] == "401"


class TestForms:
    """
    What the forms do.
    """

    def test_one_task_is_steered(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        Each action leads back to the task and says what became of it.
        """
        scheduler.new_task("sample").with_id("x").with_period(1, "HOURS").schedule()

        assert admin.do("/tasks/x/disable").headers["location"] == "/tasks/x?done=disable"
        assert not scheduler.get_task("x").enabled
        admin.do("/tasks/x/enable")
        assert scheduler.get_task("x").enabled
        assert admin.do("/tasks/x/run").headers["location"] == "/tasks/x?done=run"
        assert admin.do("/tasks/x/cancel").headers["location"] == "/tasks/x?done=cancel"
        assert scheduler.get_task("x").status is TaskStatus.CANCELLED
        assert admin.do("/tasks/x/cancel").headers["location"] == "/tasks/x?done=none"
        assert "Nothing changed" in admin.get("/tasks/x?done=none").text
        assert admin.do("/tasks/x/delete").headers["location"] == "/tasks?done=delete"
        with pytest.raises(TaskNotFound):
            scheduler.get_task("x")

    def test_an_unknown_action_is_refused(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        Nothing happens.
        """
        scheduler.new_task("sample").with_id("x").schedule()

        assert admin.do("/tasks/x/explode").status_code == 404

    def test_many_are_changed_after_a_look(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        The look changes nothing and tells how many; then it is done.
        """
        for number in range(3):
            scheduler.new_task("sample").with_id(f"s{number}").schedule()
        scheduler.new_task("other").with_id("o").schedule()
        look = admin.get("/bulk?action=cancel&type=sample&status=SCHEDULED").text

        assert "<strong>3</strong> tasks" in look
        assert scheduler.find_tasks(status="CANCELLED").total_size == 0
        done = admin.do("/bulk", action="cancel", type="sample", status="SCHEDULED").text
        assert "<strong>3</strong> changed" in done
        assert scheduler.find_tasks(status="CANCELLED").total_size == 3
        assert scheduler.get_task("o").status is TaskStatus.SCHEDULED

    @pytest.mark.parametrize("query", ["action=cancel", "action=explode&type=a", "type=a"])
    def test_a_change_of_everything_is_not_offered(self, admin: Browser, query: str) -> None:
        """
        Nor one that is none.
        """
        assert admin.get(f"/bulk?{query}").status_code == 400

    def test_what_is_done_is_in_the_audit(self, admin: Browser, scheduler: Scheduler) -> None:
        """
        Who, what, of which task and from where; a form that changed nothing is not, nor is a look.
        """
        scheduler.new_task("sample").with_id("x").schedule()
        for path in ("/tasks/x/cancel", "/tasks/x/cancel", "/tasks/none/cancel"):
            admin.do(path)
        admin.do("/bulk", action="delete", type="sample", status="")
        rows = [(row.who, row.action, row.task_id, row.status, row.address) for row in scheduler.audit.page().list]

        assert rows == [
            ("admin", "delete", "x", 200, "127.0.0.1"),
            ("admin", "bulk", None, 200, "127.0.0.1"),
            ("admin", "cancel", "none", 404, "127.0.0.1"),
            ("admin", "cancel", "x", 200, "127.0.0.1"),
        ]
        page = admin.get("/audit").text
        assert page.count("<td>cancel</td>") == 2
        assert "changed 1" in page

    def test_failed_sign_ins_are_in_the_audit(self, site: TestClient, scheduler: Scheduler) -> None:
        """
        With a name that is a user's, and without any other text that was typed.
        """
        Browser(site).sign_in("admin", "wrong")
        Browser(site).sign_in("my password in the wrong field", "wrong")

        rows = [(row.who, row.action, row.status) for row in scheduler.audit.page().list]
        assert rows == [("unknown", "sign-in", 401), ("admin", "sign-in", 401)]

    def test_the_audit_is_for_administrators(self, viewer: Browser) -> None:
        """
        It shows addresses.
        """
        assert viewer.get("/audit").status_code == 403
        assert 'href="/audit"' not in viewer.get("/").text


class TestViews:
    """
    What the pages work out.
    """

    def test_failures_are_grouped_by_their_first_line(self) -> None:
        """
        The most frequent first, each with the one that failed last.
        """
        tasks = [
            make_task(id=name, last_error=error, last_execution_date=at)
            for name, error, at in [
                ("a", "boom\nline 2", 1),
                ("b", "boom\nline 3", 5),
                ("c", None, 2),
                ("d", "x" * 300, 3),
            ]
        ]
        groups = views.grouped(tasks)

        assert [(group.count, group.latest.id) for group in groups] == [(2, "b"), (1, "c"), (1, "d")]
        assert groups[0].subject == "boom"
        assert len(groups[2].subject) == 120

    def test_progress_needs_two_numbers(self) -> None:
        """
        And a total above zero; more than all is all.
        """
        details = [
            {},
            {"processedCount": 1},
            {"processedCount": "1", "totalCount": 2},
            {"processedCount": 1, "totalCount": 0},
        ]

        assert [views.progress_of(make_task(status_details=one)) for one in details] == [None] * 4
        many = views.progress_of(make_task(status_details={"processedCount": 5, "totalCount": 4}))
        assert many is not None
        assert many.percent == 100

    def test_counts_have_every_state(self) -> None:
        """
        In the order of the states.
        """
        counts = views.counts_of([TypeSummary(task_type="a", counts={TaskStatus.FAILED: 2})])

        assert list(counts) == list(TaskStatus)
        assert counts[TaskStatus.FAILED] == 2

    @pytest.mark.parametrize(
        ("millis", "text"),
        [
            (None, "–"), (0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h"),
            (90_061_000, "1 d 1 h"),
        ],
    )  # fmt: skip
    def test_durations_have_two_units(self, millis: int | None, text: str) -> None:
        """
        The two largest.
        """
        assert words.duration(millis) == text

    @pytest.mark.parametrize(
        ("away", "text"), [(0, "now"), (-1_400, "now"), (5_000, "in 5.0 s"), (-7_200_000, "2 h ago")]
    )
    def test_moments_are_told_from_now(self, away: int, text: str) -> None:
        """
        Before or behind.
        """
        assert words.relative(1_000_000 + away, 1_000_000) == text


def test_what_came_from_others_is_unchanged() -> None:
    """
    Each file has the checksum that stands beside it, and its licence is there.
    """
    folder = Path(str(resources.files("unomi_rest.dashboard") / "static"))
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: checksum for checksum, name in (line.split() for line in lines)}

    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in listed} == listed
    assert {name.partition("-")[0] for name in listed} == {"htmx", "uplot"}
    assert len([name for name in listed if name.endswith("LICENSE.txt")]) == 2
