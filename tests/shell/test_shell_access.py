"""
`unomi-task` with tokens: signing in with one, making, listing and revoking them; and the audit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from tests.shell.support import PASSWORD, USER, run, schedule
from tests.shell.ways import STORE, WAYS, way_to
from unomi_scheduler import Scheduler
from unomi_shell.account import user
from unomi_shell.server import main as server


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    """
    A scheduler with one task.
    """
    made = Scheduler(store=STORE)
    schedule(made, "sync-1")
    yield made
    made.stop()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """
    The options that lead to it.
    """
    with way_to(request.param, scheduler, monkeypatch) as options:
        yield options


def test_a_token_is_made_listed_and_revoked(way: list[str], scheduler: Scheduler) -> None:
    """
    It stands alone on standard output, this once.
    """
    made = run(*way, "tokens", "create", "ci", "--role", "viewer", "--days", "7")
    token = made.stdout.strip()
    token_id = token.split("_")[1]

    assert (made.exit_code, scheduler.tokens.check(*token.split("_", 2)[1:]) is not None) == (0, True)
    assert "shown this once" in made.stderr
    for words in (["tokens"], ["tokens", "list"], ["tokens", "--json"]):
        listed = run(*way, *words).output
        assert token_id in listed
        assert token.split("_", 2)[2] not in listed
    assert run(*way, "tokens", "revoke", token_id).output == f"Token {token_id} has been revoked.\n"
    assert "No tokens found." in run(*way, "tokens").output
    again = run(*way, "tokens", "revoke", token_id, "--json")
    assert (again.exit_code, "Token not found" in again.stderr) == (3, True)
    audited = json.loads(run(*way, "audit", "--json").stdout)["list"]
    assert [(row["action"], row["status"]) for row in audited] == [
        ("revoke token", 404), ("revoke token", 204), ("create token", 201),
    ]  # fmt: skip
    assert token.split("_", 2)[2] not in str(audited)


def test_changes_are_in_the_audit_and_beside_the_task(way: list[str], scheduler: Scheduler) -> None:
    """
    Who did them is the user signed in, or at a store the system's.
    """
    run(*way, "config", "sync-1", "--max-retries", "9")
    run(*way, "retry", "sync-1")
    run(*way, "cancel", "sync-1")
    run(*way, "purge", "-d", "7", "-f")
    rows = json.loads(run(*way, "audit", "--json").stdout)["list"]

    assert [(row["action"], row["status"]) for row in rows] == [
        ("purge", 200), ("cancel", 204), ("retry", 409), ("config", 200),
    ]  # fmt: skip
    at_store = "--store" in way
    assert {(row["who"], row["via"]) for row in rows} == {(user(), "SHELL") if at_store else (USER, "REST")}
    assert rows[0]["counts"] == {"count": 0}
    assert "maxRetries=9" in run(*way, "audit", "sync-1").output
    assert "count=0" not in run(*way, "audit", "sync-1").output
    assert "No changes found." in run(*way, "audit", "--who", "nobody").output
    for words in (["history", "sync-1"], ["show", "sync-1"]):
        shown = run(*way, *words).output
        assert "\nChanges:\n" in shown
        assert "maxRetries=9" in shown
    assert "1 more" not in run(*way, "audit", "--limit", "4").stderr
    assert "3 more" in run(*way, "audit", "--limit", "1").stderr


def test_a_task_that_nobody_changed_shows_no_changes(way: list[str], scheduler: Scheduler) -> None:
    """
    As before.
    """
    assert "Changes" not in run(*way, "show", "sync-1").output
    assert "Changes" not in run(*way, "history", "sync-1").output


def test_one_signs_in_with_a_token(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By the option or the variable, before user and password; what stands in the address comes before the variable.
    """
    _, viewer = scheduler.tokens.make("eye", ["VIEWER"], created_by="admin")
    with way_to("rest", scheduler, monkeypatch) as (_, url):
        assert run("--url", url, "cancel", "sync-1", "--token", viewer).exit_code == 6
        monkeypatch.setenv("UNOMI_TASK_TOKEN", viewer)
        assert run("--url", url, "list").exit_code == 0
        refused = run("--url", url, "cancel", "sync-1")
        assert (refused.exit_code, "UNOMI_TASK_TOKEN" in refused.stderr) == (6, True)
        named = url.replace("//", f"//{USER}:{PASSWORD.replace(' ', '%20')}@")
        assert run("--url", named, "cancel", "sync-1").exit_code == 0


@pytest.mark.parametrize("token", ["us_é_x", "us_a\r\nX-Evil: 1"])
def test_what_is_no_token_is_not_sent(token: str) -> None:
    """
    It is not repeated either: it may be another secret.
    """
    result = run("--url", "http://127.0.0.1:1", "list", "--token", token)

    assert (result.exit_code, token in result.output) == (2, False)


def test_a_stores_password_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """
    By the doctor, by a command, in the log: the store is out of reach, and its address is told without it.
    """
    caplog.set_level("DEBUG")
    address = "http://ops:s3cr3t-of-the-store@127.0.0.1:9"
    monkeypatch.setenv("UNOMI_SCHEDULER_STORE", address)
    examined = CliRunner().invoke(server, ["doctor"])
    listed = run("--store", address, "list")

    assert (examined.exit_code, listed.exit_code) == (1, 5)
    assert "127.0.0.1:9" in examined.output
    assert "s3cr3t" not in examined.output + listed.output + caplog.text


def test_a_failed_change_of_a_store_is_as_it_was(scheduler: Scheduler) -> None:
    """
    What was no proper request leaves no row.
    """
    assert run("--store", STORE, "config", "sync-1", "--max-retries", "-1").exit_code == 2
    assert scheduler.audit.page().list == ()
