"""
The settings: one frozen object, read from arguments, the environment and a file, and checked as a whole.

Arguments beat the environment (`UNOMI_SCHEDULER_<KEY>`, nested with `__`), which beats the file (`scheduler.toml`).
`config/scheduler.toml` is the reference of all keys. An empty text stands for "not set".
"""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from .config_messages import explain
from .config_values import (
    MILLISECOND,
    PREFIX,
    SECOND,
    Duration,
    IndexPrefix,
    Names,
    NodeId,
    OptionalCount,
    OptionalPath,
    OptionalSecret,
    OptionalText,
    Port,
    StoreUrl,
    Tables,
    UserName,
    at_least,
    without_sign_in,
)
from .errors import ConfigurationError

FILE = "scheduler.toml"
_SQLITE = "sqlite:///"
FILE_VARIABLE = f"{PREFIX}CONFIG"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ElasticsearchSettings(_Part):
    """
    How to reach Elasticsearch and how to make the index there.
    """

    user: OptionalText = None
    password: OptionalSecret = None
    api_key: OptionalSecret = None
    ca_certs: OptionalText = None
    verify_certs: bool = True
    shards: Annotated[int, Field(ge=1)] = 1
    replicas: OptionalCount = None
    refresh_interval: Annotated[Duration, at_least(10 * MILLISECOND)] = 250 * MILLISECOND
    request_timeout: Annotated[Duration, at_least(MILLISECOND)] = timedelta(seconds=10)

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("elasticsearch.user and elasticsearch.password go together; give both or none")
        if self.user is not None and self.api_key is not None:
            raise ValueError("elasticsearch.api_key and elasticsearch.user exclude each other; give one of them")
        return self

    def options(self) -> dict[str, Any]:
        """
        Return the arguments of `ElasticsearchOptions`; secrets are plain in it.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return values | {
            "password": self.password and self.password.get_secret_value(),
            "api_key": self.api_key and self.api_key.get_secret_value(),
            "refresh_interval": f"{self.refresh_interval // MILLISECOND}ms",
            "request_timeout": self.request_timeout.total_seconds(),
        }


class RestUser(_Part):
    """
    One who may sign in; `password_hash` is what `unomi-scheduler hash-password` prints.
    """

    name: UserName
    password_hash: Annotated[SecretStr, Field(min_length=1)]
    roles: Names

    @model_validator(mode="after")
    def _is_a_hash(self) -> Self:
        if not self.password_hash.get_secret_value().startswith("$argon2"):
            raise ValueError(f"password_hash of user {self.name}: expected the output of unomi-scheduler hash-password")
        return self


class RestSettings(_Part):
    """
    Where REST listens and who may use it.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 8181
    admin_password: OptionalSecret = None
    users: Annotated[tuple[RestUser, ...], Tables] = ()
    cors_origins: Names = ()
    certificate: OptionalText = None
    key: OptionalText = None
    sign_in_attempts: Annotated[int, Field(ge=1)] = 5

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [user.name for user in self.users] + ["admin"] * (self.admin_password is not None)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"rest: user {name} is given twice; rest.admin_password makes user admin")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("rest.certificate and rest.key go together; give both or none")
        if "*" in self.cors_origins:
            raise ValueError(
                'rest.cors_origins: name each origin, for example "https://ops.example.org"; "*" is refused'
            )
        return self


class Settings(BaseModel):
    """
    Everything a node, REST and the commands can be told. Durations are `timedelta`.

    Raises:
        ConfigurationError: a key is unknown or a value is wrong; the message names each one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    store: StoreUrl = "sqlite:///unomi-scheduler.db"
    index_prefix: IndexPrefix = "context"
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    node_id: NodeId = None
    tags: Names = ()
    executor_node: bool = True
    threads: Annotated[int, Field(ge=4)] = 8
    system_threads: Annotated[int, Field(ge=1)] = 2
    async_slots: Annotated[int, Field(ge=1)] = 64
    lease: Annotated[Duration, at_least(SECOND)] = timedelta(seconds=10)
    callback_timeout: Annotated[Duration, at_least(MILLISECOND)] = timedelta(hours=1)
    max_crashes: Annotated[int, Field(ge=0)] = 5
    max_clock_offset: Annotated[Duration, at_least(MILLISECOND)] = SECOND
    poll_interval: Annotated[Duration, at_least(10 * MILLISECOND)] = SECOND
    completed_task_ttl: Duration = timedelta(days=30)
    purge_enabled: bool = True
    history_ttl: Duration = timedelta(days=30)
    history_enabled: bool = True
    audit_ttl: Duration = timedelta(days=365)
    drain_timeout: Duration = timedelta(seconds=30)
    rest: RestSettings = RestSettings()
    admin_port: Port = 0
    admin_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    nudge: bool = True
    state_dir: OptionalPath = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "text", "json"] = "auto"
    log_config: OptionalPath = None

    def __init__(self, config_file: str | Path | None = None, **overrides: Any) -> None:
        file = _read_file(config_file or os.environ.get(FILE_VARIABLE))
        given = map(without_sign_in, (file, _read_environment(os.environ), overrides))
        try:
            super().__init__(**reduce(_merged, given))
        except ValidationError as error:
            # Not chained: the original carries the values, secrets too.
            raise ConfigurationError(explain(error, list(_keys(Settings)), overrides)) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_clock_offset > self.lease:
            raise ValueError(
                f"max_clock_offset must not be longer than lease ({self.lease.total_seconds():g}s), "
                f"got {self.max_clock_offset.total_seconds():g}s; shorten it or lengthen lease"
            )
        return self

    @property
    def store_file(self) -> Path | None:
        """
        The database file of an SQLite store, which may not exist; None with any other store.
        """
        store = (self.store or "").strip()
        return Path(store.removeprefix(_SQLITE)) if store.startswith(_SQLITE) else None

    @property
    def state_path(self) -> Path:
        """
        The folder for what belongs to this store on this machine: lock files, a generated password's hash.

        Beside the file for SQLite; else in `state_dir`, or where the platform keeps a user's state. It may not exist.
        """
        store, file = self.store or "memory://", self.store_file
        if self.state_dir is None and file is not None:
            return Path(f"{file}.state").absolute()
        key = hashlib.sha256(f"{store}\n{self.index_prefix}".encode()).hexdigest()[:16]
        return (self.state_dir or user_state_folder(os.environ)) / key


_PARTS: dict[str, type[BaseModel]] = {
    "elasticsearch": ElasticsearchSettings,
    "rest": RestSettings,
    "users": RestUser,
}


def user_state_folder(environment: Mapping[str, str]) -> Path:
    """
    Return the folder where this platform keeps what programs remember of a user.
    """
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "unomi-scheduler"
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "unomi-scheduler"


def _merged(values: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    # Table by table: one key of the environment leaves the file's others of its table as they are.
    merged = dict(values)
    for key, value in stronger.items():
        weaker = merged.get(key)
        merged[key] = _merged(weaker, value) if isinstance(weaker, dict) and isinstance(value, dict) else value
    return merged


def _read_file(path: str | Path | None) -> dict[str, Any]:
    file = Path(path or FILE)
    if path is None and not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"Cannot read {file}: {error.strerror}; name another file or put it right") from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        *tables, key = variable.removeprefix(PREFIX).lower().split("__")
        table = values
        for name in tables:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigurationError(
                    f"{variable}: {PREFIX}{name.upper()} is given as a value too; give one of them"
                )
        if isinstance(table.get(key), dict):
            raise ConfigurationError(f"{variable}: names under it are given too; give one of them")
        table[key] = text
    return values


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name in model.model_fields:
        yield prefix + name
        if name in _PARTS:
            yield from _keys(_PARTS[name], f"{prefix}{name}.")
