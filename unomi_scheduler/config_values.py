"""
The kinds of values in the settings, each with how it is read from a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from .errors import ConfigurationError

PREFIX = "UNOMI_SCHEDULER_"
MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
_UNITS = {
    "ms": MILLISECOND,
    "s": SECOND,
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_USER_INFO = re.compile(r"(?<=//)([^/@,]*)@|(?<=,)([^/@,]*)@")
_STORES = re.compile(r"sqlite:///.+|https?://[^/].*|memory://.*", re.DOTALL)


def duration(value: object) -> timedelta:
    """
    Return a duration: `"10s"`, `"1h30m"`, `"500ms"`, ISO 8601 (`"PT10S"`, `"P1DT2H"`) or a number of seconds.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, timedelta):
        return value
    text = value.strip() if isinstance(value, str) else ""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return timedelta(seconds=value)
        if _NUMBER.fullmatch(text):
            return timedelta(seconds=float(text))
        if text.startswith("P"):
            return _iso_duration(text)
        if text and not _PART.sub("", text):
            return sum((float(number) * _UNITS[unit] for number, unit in _PART.findall(text)), timedelta())
    except (OverflowError, ValueError):
        pass
    raise ValueError('expected a duration such as "10s", "5m", "30d", "500ms", ISO 8601 or a number of seconds')


_ISO_PART = r"(?:(\d+(?:\.\d+)?){})?"
_ISO = re.compile(
    "P" + "".join(_ISO_PART.format(unit) for unit in "WD") + "(?:T" + "".join(map(_ISO_PART.format, "HMS")) + ")?"
)


def _iso_duration(text: str) -> timedelta:
    match = _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(text)
    weeks, days, hours, minutes, seconds = (float(number or 0) for number in match.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _text_or_none(value: object) -> object:
    return str(value) if isinstance(value, Path) else _empty_is_none(value)


def _list(value: object) -> object:
    # From the environment: JSON, or names between commas.
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _tables(value: object) -> object:
    return json.loads(value) if isinstance(value, str) and value else value or ()


def _store(value: object) -> object:
    if value in {"", None}:
        return None
    if isinstance(value, str) and not _STORES.fullmatch(value):
        raise ValueError('expected "sqlite:///PATH", "http(s)://HOST:9200[,HOST:9200]" or "memory://"')
    return value


def at_least(minimum: timedelta) -> AfterValidator:
    """
    Return the rule that a duration is this long or longer.
    """

    def check(value: timedelta) -> timedelta:
        if value < minimum:
            raise ValueError(f"expected {minimum.total_seconds():g}s or more")
        return value

    return AfterValidator(check)


Duration = Annotated[timedelta, BeforeValidator(duration), at_least(timedelta())]
OptionalText = Annotated[str | None, BeforeValidator(_text_or_none)]
OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_empty_is_none)]
OptionalCount = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(_empty_is_none)]
StoreUrl = Annotated[str | None, BeforeValidator(_store)]
Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_list)]
Tables = BeforeValidator(_tables)
Port = Annotated[int, Field(ge=0, le=65_535)]


def _matching(pattern: str, expected: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


# It stands in file names, in URLs and in the ids of documents.
_NODE_ID = _matching(r"[^\s/\x00-\x1f]{1,200}", "at most 200 characters without blanks and slashes")
_INDEX_PREFIX = _matching(
    r"[a-z0-9][a-z0-9._-]{0,99}", "at most 100 lower-case letters, digits, dots, dashes and underscores"
)
_USER_NAME = _matching(r"[^:\x00-\x1f]{1,200}", "at most 200 characters without a colon")
NodeId = Annotated[Annotated[str, _NODE_ID] | None, BeforeValidator(_empty_is_none)]
IndexPrefix = Annotated[str, _INDEX_PREFIX]
UserName = Annotated[str, _USER_NAME]


def without_sign_in(values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the settings with `USER:PASSWORD@` of the store's URL in the keys for them, which no message shows.

    Raises:
        ConfigurationError: the hosts of the URL name several users.
    """
    moved = dict(values)
    store = values.get("store")
    if not isinstance(store, str) or not store.startswith("http"):
        return moved
    found = {one or other for one, other in _USER_INFO.findall(store)}
    moved["store"] = _USER_INFO.sub("", store)
    if len(found) > 1:
        raise ConfigurationError("store: its hosts name several users; give one by elasticsearch.user and .password")
    for user, _, password in (text.partition(":") for text in found if text):
        given = dict(values.get("elasticsearch") or {})
        moved["elasticsearch"] = {"user": unquote(user), "password": unquote(password), **given}
    return moved
