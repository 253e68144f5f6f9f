"""
What of a request the audit keeps: little enough to be read, and nothing that is secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..model import Json, JsonObject

MOST_BYTES = 4_000
"""How long what was asked for may be; of more only the names are kept."""
LONGEST_TEXT = 200
LONGEST_NAME = 512
_LONGEST_KEY = 100
_MOST_NAMES = 30
_MOST_ITEMS = 10
_HIDDEN = "***"
_SECRET = ("password", "passwd", "secret", "token", "credential", "apikey", "api_key", "authorization")
# A task's parameters and checkpoint are its own business, and may hold secrets under any name.
_SHOWN = frozenset({"filter"})


def bounded(asked: Mapping[str, Any]) -> JsonObject | None:
    """
    Return what was asked for, fit for a row of the audit; None when nothing was said.

    What looks like a secret by its name is hidden, of objects (a task's parameters) only the names are kept, long texts
    and lists are cut.
    """
    kept = {text(name, _LONGEST_KEY): _value(name, value) for name, value in list(asked.items())[:_MOST_NAMES]}
    if len(orjson.dumps(kept)) > MOST_BYTES:
        return {"names": [*kept]}
    return kept or None


def text(value: str, longest: int = LONGEST_TEXT) -> str:
    """
    Return a text that any store takes, cut to a length.
    """
    whole = value.encode("utf-8", "replace").decode()
    return whole if len(whole) <= longest else f"{whole[: longest - 1]}…"


def _value(name: str, value: object) -> Json:
    if any(word in name.lower() for word in _SECRET):
        return _HIDDEN
    if isinstance(value, Mapping):
        names = [str(one) for one in value][:_MOST_NAMES]
        return (
            {text(one, _LONGEST_KEY): _value(one, value[one]) for one in names}
            if name in _SHOWN
            else {"names": [text(one, _LONGEST_KEY) for one in names]}
        )
    if isinstance(value, list | tuple):
        shown = [_value(name, one) for one in value[:_MOST_ITEMS]]
        return shown if len(value) <= _MOST_ITEMS else [*shown, f"and {len(value) - _MOST_ITEMS} more"]
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return text(str(value))
