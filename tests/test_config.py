"""
Settings: where they come from, what they refuse, and what they never show.
"""

from __future__ import annotations

import re
import tomllib
import traceback
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from unomi_scheduler.config import ElasticsearchSettings, RestSettings, Settings
from unomi_scheduler.errors import ConfigurationError
from unomi_scheduler.stores.options import ElasticsearchOptions

REFERENCE = Path(__file__).parents[1] / "config" / "scheduler.toml"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNo"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A folder without a settings file.
    """
    monkeypatch.chdir(tmp_path)


def refusal(config_file: Path | None = None, **overrides: Any) -> str:
    """
    Return the message with which settings are refused.
    """
    with pytest.raises(ConfigurationError) as caught:
        Settings(config_file, **overrides)
    return str(caught.value)


def leaves(model: Any, prefix: str = "") -> Iterator[str]:
    """
    Every key that is no table, with dots.
    """
    parts = {"elasticsearch": ElasticsearchSettings, "rest": RestSettings}
    for name in model.model_fields:
        if name in parts:
            yield from leaves(parts[name], f"{name}.")
        else:
            yield prefix + name


def test_the_reference_file_names_every_key_with_its_default() -> None:
    """
    config/scheduler.toml is complete and says what is true without it.
    """
    content = tomllib.loads(REFERENCE.read_text(encoding="utf-8"))
    named = {key for key, value in content.items() if not isinstance(value, dict)}
    named |= {f"{table}.{key}" for table, part in content.items() if isinstance(part, dict) for key in part}

    assert named == set(leaves(Settings))
    assert Settings(REFERENCE) == Settings()


def test_every_key_of_the_reference_file_has_a_comment_before_it() -> None:
    """
    No key stands there unexplained; neighbours may share a comment.
    """
    paragraphs = re.split(r"\n\n+", REFERENCE.read_text(encoding="utf-8"))

    assert [one for one in paragraphs if re.search(r"^\w+ =", one, re.MULTILINE) and "#" not in one] == []


def test_the_file_in_the_folder_is_read(tmp_path: Path) -> None:
    """
    scheduler.toml needs no argument.
    """
    (tmp_path / "scheduler.toml").write_text("threads = 16\n[rest]\nport = 9000\n")

    settings = Settings()

    assert (settings.threads, settings.rest.port, settings.rest.host) == (16, 9000, "127.0.0.1")


def test_arguments_beat_the_environment_and_that_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each key has the value of the strongest source that names it, within a table too.
    """
    (tmp_path / "other.toml").write_text('threads = 16\nlease = "20s"\n[rest]\nport = 1\nhost = "::1"\n')
    monkeypatch.setenv("UNOMI_SCHEDULER_CONFIG", str(tmp_path / "other.toml"))
    monkeypatch.setenv("UNOMI_SCHEDULER_LEASE", "30s")
    monkeypatch.setenv("UNOMI_SCHEDULER_REST__PORT", "2")

    settings = Settings(rest={"admin_password": "x"}, lease="40s")

    assert settings.threads == 16
    assert settings.lease == timedelta(seconds=40)
    assert (settings.rest.port, settings.rest.host) == (2, "::1")
    assert settings.rest.admin_password is not None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10s", 10),
        ("500ms", 0.5),
        ("5m", 300),
        ("1h30m", 5_400),
        ("2 d", 172_800),
        ("1.5s", 1.5),
        ("PT10S", 10),
        ("P1DT2H", 93_600),
        ("P2W", 1_209_600),
        ("7", 7),
        (7, 7),
        (0.25, 0.25),
        (timedelta(minutes=1), 60),
    ],
)
def test_durations_are_written_in_many_ways(value: Any, seconds: float) -> None:
    """
    Units, ISO 8601, numbers of seconds, and what Python has.
    """
    assert Settings(drain_timeout=value).drain_timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["soon", "10 parsecs", "", "P", "PT", "1s2", True, float("inf"), None, "-5s", -5, "-5"]
)
def test_other_durations_are_refused(value: Any) -> None:
    """
    The message names the key and says what is expected.
    """
    message = refusal(drain_timeout=value)

    assert "drain_timeout: expected" in message


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"threads": 3}, "threads: expected 4 or more, got 3"),
        ({"threads": "many"}, "threads: expected a whole number, got 'many'"),
        ({"lease": "999ms"}, "lease: expected 1s or more, got '999ms'"),
        ({"executor_node": "perhaps"}, "executor_node: expected true or false, got 'perhaps'"),
        ({"rest": {"port": 65_536}}, "rest.port: expected 65535 or less, got 65536"),
        ({"rest": 1}, "rest: expected a table of keys, got 1"),
        ({"log_level": "LOUD"}, "log_level: expected 'DEBUG', 'INFO', 'WARNING' or 'ERROR', got 'LOUD'"),
        ({"store": "sqlite://x.db"}, 'store: expected "sqlite:///PATH"'),
        ({"store": "redis://x"}, 'store: expected "sqlite:///PATH"'),
        ({"node_id": "a b"}, "node_id: expected at most 200 characters without blanks and slashes, got 'a b'"),
        ({"index_prefix": "Context"}, "index_prefix: expected at most 100 lower-case letters"),
        ({"max_clock_offset": "11s"}, "max_clock_offset must not be longer than lease (10s), got 11s"),
        ({"elasticsearch": {"user": "x"}}, "elasticsearch.user and elasticsearch.password go together"),
        ({"rest": {"cors_origins": ["*"]}}, "rest.cors_origins: name each origin"),
        ({"rest": {"users": [{"name": "x"}]}}, "rest.users.0.password_hash: is required"),
        ({"rest": {"users": [{"name": "a:b", "password_hash": HASH, "roles": []}]}}, "without a colon, got 'a:b'"),
    ],
)
def test_a_wrong_value_is_refused_by_name(overrides: dict[str, Any], expected: str) -> None:
    """
    What was expected, what came.
    """
    assert expected in refusal(**overrides)


def test_everything_wrong_is_told_at_once() -> None:
    """
    Nobody mends a file one error at a time.
    """
    message = refusal(threads=1, lease="0s", treads=4)

    assert len(message.splitlines()) == 4


@pytest.mark.parametrize(
    ("overrides", "meant"),
    [
        ({"treads": 8}, "treads: unknown key; did you mean threads?"),
        ({"port": 8}, "port: unknown key; did you mean rest.port?"),
        ({"rest": {"prot": 8}}, "rest.prot: unknown key; did you mean rest.port?"),
        ({"elasticsearch": {"api_kay": "x"}}, "api_kay: unknown key; did you mean elasticsearch.api_key?"),
        ({"lock_timeout": "10s"}, "lock_timeout: unknown key; did you mean lease?"),
        ({"zzz": 1}, "zzz: unknown key; config/scheduler.toml names them all"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_meant(overrides: dict[str, Any], meant: str) -> None:
    """
    At every level, and for the original's names too.
    """
    assert meant in refusal(**overrides)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("UNOMI_SCHEDULER_THREAD_POOL_SIZE", "UNOMI_SCHEDULER_THREADS"),
        ("UNOMI_SCHEDULER_REST__PROT", "UNOMI_SCHEDULER_REST__PORT"),
        ("UNOMI_SCHEDULER_NODEID", "UNOMI_SCHEDULER_NODE_ID"),
    ],
)
def test_an_unknown_variable_is_refused_with_what_was_meant(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A misspelt variable is never silently ignored.
    """
    monkeypatch.setenv(variable, "8")

    assert f"{variable}: unknown key; did you mean {meant}?" in refusal()


def test_a_wrong_variable_is_named_as_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The message says where to look.
    """
    monkeypatch.setenv("UNOMI_SCHEDULER_LEASE", "long")

    assert "UNOMI_SCHEDULER_LEASE: expected a duration" in refusal()


@pytest.mark.parametrize("order", [("REST", "REST__PORT"), ("REST__PORT", "REST")])
def test_a_variable_cannot_be_a_value_and_a_table(order: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Whichever comes first.
    """
    for name in order:
        monkeypatch.setenv(f"UNOMI_SCHEDULER_{name}", "1")

    assert "give one of them" in refusal()


def test_lists_come_from_the_environment_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And tables as JSON.
    """
    monkeypatch.setenv("UNOMI_SCHEDULER_TAGS", "gpu, eu")
    monkeypatch.setenv("UNOMI_SCHEDULER_REST__CORS_ORIGINS", '["https://a.example"]')
    monkeypatch.setenv("UNOMI_SCHEDULER_REST__USERS", f'[{{"name": "a", "password_hash": "{HASH}", "roles": ["X"]}}]')

    settings = Settings()

    assert settings.tags == ("gpu", "eu")
    assert settings.rest.cors_origins == ("https://a.example",)
    assert settings.rest.users[0].roles == ("X",)


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    """
    A file that was asked for must be there.
    """
    broken = tmp_path / "broken.toml"
    broken.write_text("threads: 8")

    assert "none.toml" in refusal(tmp_path / "none.toml")
    assert "broken.toml is not TOML" in refusal(broken)


def test_secrets_show_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Neither in the object's text, nor in a refusal and its trace, wherever the secret stood.
    """
    secret = "geheim".upper()
    monkeypatch.setenv("UNOMI_SCHEDULER_REST__ADMIN_PASWORD", secret)
    with pytest.raises(ConfigurationError) as caught:
        Settings(
            store=f"http://u:{secret}@localhost:9200",
            elasticsearch={"api_key": [secret], "pasword": secret},
            rest={"users": [{"name": "x", "password_hash": secret, "roles": ["A"]}]},
            max_clock_offset="1d",
        )
    monkeypatch.delenv("UNOMI_SCHEDULER_REST__ADMIN_PASWORD")
    shown = Settings(elasticsearch={"user": "u", "password": secret}, rest={"admin_password": secret})

    assert secret not in "".join(traceback.format_exception(caught.value))
    assert secret not in repr(shown) + str(shown)


def test_credentials_in_the_store_address_move_to_their_keys() -> None:
    """
    The address can be shown then.
    """
    settings = Settings(store="https://elastic:p%40ss@one:9200,two:9200")

    assert settings.store == "https://one:9200,two:9200"
    assert settings.elasticsearch.options()["user"] == "elastic"
    assert settings.elasticsearch.options()["password"] == "p@ss"
    assert "name several users" in refusal(store="https://a:b@one:9200,c:d@two:9200")


def test_the_elasticsearch_table_has_the_fields_of_the_options() -> None:
    """
    And makes them.
    """
    made = ElasticsearchOptions(**Settings(elasticsearch={"refresh_interval": "1s"}).elasticsearch.options())

    assert {field.name for field in fields(ElasticsearchOptions)} == set(ElasticsearchSettings.model_fields)
    assert made == ElasticsearchOptions(refresh_interval="1000ms")


@pytest.mark.parametrize("table", [{"user": "a", "password": "b", "api_key": "c"}, {"password": "b"}])
def test_elasticsearch_takes_one_way_to_sign_in(table: dict[str, str]) -> None:
    """
    Half a pair, or two ways at once, are mistakes.
    """
    assert "elasticsearch: " in refusal(elasticsearch=table)


def test_a_user_is_given_once() -> None:
    """
    The admin password makes a user too.
    """
    user = {"name": "admin", "password_hash": HASH, "roles": ["ADMINISTRATOR"]}

    assert "user admin is given twice" in refusal(rest={"users": [user], "admin_password": "x"})
    assert "user admin is given twice" in refusal(rest={"users": [user, user]})


def test_settings_are_frozen() -> None:
    """
    At both levels.
    """
    settings = Settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.threads = 9  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.rest.port = 9  # type: ignore[misc]


def test_state_stands_beside_the_file_or_where_a_user_keeps_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Each store has a folder of its own.
    """
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("sys.platform", "linux")
    beside = Settings(store="sqlite:///data/tasks.db").state_path
    first = Settings(store="http://one:9200").state_path
    second = Settings(store="http://two:9200").state_path
    given = Settings(store="sqlite:///data/tasks.db", state_dir=tmp_path / "own").state_path

    assert beside == tmp_path / "data" / "tasks.db.state"
    assert first.parent == tmp_path / "state" / "unomi-scheduler"
    assert first != second
    assert given.parent == tmp_path / "own"
