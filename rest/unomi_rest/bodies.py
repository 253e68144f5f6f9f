"""
Request bodies: JSON objects, checked by a model that refuses what it does not know.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar

import falcon
import orjson
from pydantic import BaseModel, ValidationError

from .connections import STALL_SECONDS

M = TypeVar("M", bound=BaseModel)
_MOST_SHOWN = 5
_UNKNOWN = "extra_forbidden"


class InvalidBody(falcon.HTTPBadRequest):
    """
    The body of a request is not what it should be.
    """

    def __init__(self, message: str) -> None:
        super().__init__(title="Invalid body", description=message)


def read_body(req: falcon.Request, model: type[M]) -> M:
    """
    Return the body of a request as its model.

    Raises:
        HTTPUnsupportedMediaType: it says that it is something else than JSON.
        InvalidBody: it is missing, no JSON, or breaks the model.
    """
    if not req.content_length:
        raise InvalidBody("expected a JSON object, got no body")
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if kind != falcon.MEDIA_JSON:
        raise falcon.HTTPUnsupportedMediaType(
            title="Unsupported media type",
            description=f"expected a body of Content-Type {falcon.MEDIA_JSON}, got {kind or 'none'!r:.100}",
        )
    document = _parsed(_read(req))
    body = _checked(document, model)
    # For the audit, which keeps nothing of what was no proper request.
    req.context.asked = document
    return body


def read_optional_body(req: falcon.Request, model: type[M]) -> M:
    """
    Return the body of a request as its model; none is one that says nothing.
    """
    return read_body(req, model) if req.content_length else model()


def _read(req: falcon.Request) -> bytes:
    try:
        return req.bounded_stream.read()
    except (BlockingIOError, TimeoutError):
        raise InvalidBody(
            f"expected {req.content_length} bytes, and no more came for {STALL_SECONDS} seconds"
        ) from None


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody(f"expected a JSON object: {error}") from None
    if not isinstance(document, dict):
        raise InvalidBody(f"expected a JSON object, got {document!r:.100}")
    return document


def _checked(document: dict[str, Any], model: type[M]) -> M:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        shown = "; ".join(_told(problem, model) for problem in problems[:_MOST_SHOWN])
        more = f"; and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        raise InvalidBody(f"{shown}{more}") from None


def _told(problem: Any, model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != _UNKNOWN:
        return f"{place}: {problem['msg']}, got {problem['input']!r:.100}"
    known = [field.alias or name for name, field in model.model_fields.items()]
    near = get_close_matches(place, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
    return f"{place:.100}: no such field; {hint}"
