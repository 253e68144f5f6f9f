"""
Accounts: configured ones, the password of the first start, and what is refused.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.rest.support import SettableClock
from unomi_rest.accounts import accounts_for, hash_password, is_loopback, make_account
from unomi_rest.throttle import ATTEMPTS, REFILL_MILLIS, Throttle
from unomi_scheduler import ConfigurationError, Settings


@pytest.fixture
def settings() -> Settings:
    """
    No user, and this machine alone.
    """
    return Settings(store="sqlite:///data/tasks.db")


def test_the_first_start_makes_a_password_and_keeps_its_hash(settings: Settings, tmp_path: Path) -> None:
    """
    Beside the store, for its owner alone; the password itself is nowhere.
    """
    (admin,), first = accounts_for(settings)

    assert first is not None
    assert first.path == tmp_path / "data" / "tasks.db.state" / "admin-password-hash"
    assert admin.accepts(first.password)
    assert len(first.password) >= 20
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in first.path.parent.iterdir()] == ["admin-password-hash"]
    assert first.password not in first.path.read_text()


def test_the_second_start_keeps_the_password(settings: Settings) -> None:
    """
    And does not show it.
    """
    _, first = accounts_for(settings)
    (admin,), second = accounts_for(settings)

    assert first is not None
    assert second is None
    assert admin.accepts(first.password)


def test_of_two_first_starts_at_once_one_wins(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The other takes the winner's hash.
    """
    _, first = accounts_for(settings)
    assert first is not None
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != first.path and exists(path))
    (admin,), second = accounts_for(settings)

    assert second is None
    assert admin.accepts(first.password)
    assert len(list(first.path.parent.iterdir())) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_others_get_in_only_with_a_configured_user(settings: Settings, host: str, tmp_path: Path) -> None:
    """
    There is no built-in password, and none is made where others could guess it.
    """
    with pytest.raises(ConfigurationError, match="no user is configured: set rest"):
        accounts_for(Settings(store=settings.store, rest={"host": host}))
    (admin,), first = accounts_for(Settings(rest={"host": host, "admin_password": "x"}))

    assert (admin.name, first) == ("admin", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_the_loopback_address_is_known(host: str, *, expected: bool) -> None:
    """
    By number and by name.
    """
    assert is_loopback(host) is expected


def test_a_damaged_file_says_what_to_do(settings: Settings) -> None:
    """
    It is not overwritten.
    """
    path = settings.state_path / "admin-password-hash"
    path.parent.mkdir(parents=True)
    path.write_text("oops")

    with pytest.raises(ConfigurationError, match="delete it, and the next start makes a new password"):
        accounts_for(settings)


def test_a_folder_that_cannot_be_written_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    """
    Two ways out.
    """
    (tmp_path / "data").write_text("a file in the way")

    with pytest.raises(ConfigurationError, match="set state_dir or rest"):
        accounts_for(settings)


def test_hashes_are_argon2_as_owasp_recommends() -> None:
    """
    And differ each time.
    """
    assert hash_password("x").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_password("x") != hash_password("x")


def test_an_account_shows_no_hash() -> None:
    """
    In whatever text it ends up.
    """
    assert "argon2" not in repr(make_account("a", "b"))


def test_the_throttle_lets_attempts_back_in_one_by_one() -> None:
    """
    Up to the full number.
    """
    clock = SettableClock()
    throttle = Throttle(clock)
    key = ("admin", "here")

    assert [throttle.take(key) for _ in range(ATTEMPTS + 1)] == [0] * ATTEMPTS + [REFILL_MILLIS]
    clock.advance(REFILL_MILLIS)
    assert [throttle.take(key), throttle.take(key)] == [0, REFILL_MILLIS]
    clock.advance(100 * REFILL_MILLIS)
    assert [throttle.take(key) for _ in range(ATTEMPTS + 1)] == [0] * ATTEMPTS + [REFILL_MILLIS]


def test_the_throttle_forgets_what_it_need_not_know() -> None:
    """
    However many names are tried.
    """
    clock = SettableClock()
    throttle = Throttle(clock)
    for number in range(12_000):
        throttle.take((str(number), "here"))

    assert len(throttle) <= 10_000
    clock.advance(REFILL_MILLIS)
    for number in range(6_000):
        throttle.take((f"again {number}", "here"))
    assert len(throttle) <= 6_000
