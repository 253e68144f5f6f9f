"""
Plain JSON: copies of what a body hands over, so that it is stored exactly as it was handed over, or refused at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite

import orjson

from ..errors import InvalidTask
from ..model import Json

_SMALLEST, _GREATEST = -(2**63), 2**64 - 1
_DEEPEST = 200


def plain_json(data: object, what: str) -> dict[str, Json]:
    """
    Return a copy of a JSON object.

    Mappings of any kind become dicts and tuples become lists. Dates, numbers that are not finite and the like are
    refused, since they would come back as something else.

    Raises:
        InvalidTask: it is no JSON; the message names where and which type.
    """
    if not isinstance(data, Mapping):
        raise InvalidTask(f"Invalid {what}: expected a dict, got {type(data).__name__}")
    try:
        copied = orjson.loads(orjson.dumps(data, default=_as_dict))
    except TypeError as error:
        raise InvalidTask(f"Invalid {what}: {next(_faults(data, what, 0), error)}") from None
    if copied != data:
        # Either tuples and mappings, which are welcome, or something that orjson turned into another value.
        for fault in _faults(data, what, 0):
            raise InvalidTask(f"Invalid {what}: {fault}")
    return copied  # type: ignore[no-any-return]


def copied(value: Json) -> Json:
    """
    Return a copy of the containers in a JSON value; everything else is shared.
    """
    if isinstance(value, Mapping):
        return {key: copied(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [copied(one) for one in value]
    return value


def _as_dict(value: object) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _faults(value: object, path: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield f"expected JSON, got something nested more than {_DEEPEST} deep or in itself"
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if not isinstance(key, str):
                yield f"expected texts as keys, got {key!r} at {path}"
            yield from _faults(one, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for position, one in enumerate(value):
            yield from _faults(one, f"{path}[{position}]", depth + 1)
    elif not _is_scalar(value):
        yield f"expected JSON, got {type(value).__name__} {value!r:.80} at {path}"


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return _is_unicode(value)
    if isinstance(value, int):
        return _SMALLEST <= value <= _GREATEST
    return value is None or (isinstance(value, float) and isfinite(value))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
