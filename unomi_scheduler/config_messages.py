"""
What is wrong with settings, in words: what was expected, what came, what was probably meant. Secrets are never shown.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .config_values import PREFIX

# Keys of the original that mean one of ours, in lower case and without their signs.
_ORIGINAL = {
    "threadpoolsize": "threads",
    "poolsize": "threads",
    "locktimeout": "lease",
    "completedtaskttldays": "completed_task_ttl",
    "purgetaskenabled": "purge_enabled",
}
_SECRET = frozenset({"password", "api_key", "admin_password", "password_hash"})
_EXPECTED = {
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
    "missing": "is required",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected a text",
    "string_too_short": "expected a text that is not empty",
    "literal_error": "expected {expected}",
    "model_type": "expected a table of keys",
}


def explain(error: ValidationError, known: Sequence[str], arguments: Mapping[str, Any]) -> str:
    """
    Return a message with one line for each thing that is wrong.

    Args:
        known: every key there is, with dots.
        arguments: what the caller gave; the rest came from the environment or the file.
    """
    lines = [_explain_one(one, known, arguments) for one in error.errors(include_url=False)]
    return "Invalid settings:\n" + "\n".join(f"  {line}" for line in lines)


def _explain_one(one: ErrorDetails, known: Sequence[str], arguments: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in one["loc"])
    place = _place(path, arguments)
    if one["type"] == "extra_forbidden":
        return f"{place}: unknown key{_suggestion(path, known, as_variable=place.startswith(PREFIX))}"
    what = _expectation(one)
    if path and isinstance(one["input"], str | int | float) and one["loc"][-1] not in _SECRET:
        what += f", got {one['input']!r:.80}"
    return f"{place}: {what}" if path else what


def _expectation(one: ErrorDetails) -> str:
    template = _EXPECTED.get(one["type"])
    if template is None:
        return one["msg"].removeprefix("Value error, ")
    return template.format(**one.get("ctx", {}))


def _place(path: str, arguments: Mapping[str, Any]) -> str:
    variable = _variable(path)
    return variable if path.partition(".")[0] not in arguments and variable in os.environ else path


def _variable(path: str) -> str:
    return PREFIX + path.upper().replace(".", "__")


def _suggestion(path: str, known: Sequence[str], *, as_variable: bool) -> str:
    plain = ".".join(part for part in path.lower().split(".") if not part.isdigit())
    leaf = plain.rpartition(".")[2]
    original = _ORIGINAL.get("".join(filter(str.isalnum, leaf)))
    same_name = [key for key in known if key.rpartition(".")[2] == leaf]
    near = get_close_matches(plain, known, n=1, cutoff=0.7)
    best = original or next(iter(same_name + near), None)
    if best is None:
        return "; config/scheduler.toml names them all"
    return f"; did you mean {_variable(best) if as_variable else best}?"
