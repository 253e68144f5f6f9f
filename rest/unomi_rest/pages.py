"""
Pages as JSON, and answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import falcon
import orjson

from unomi_scheduler import Page

T = TypeVar("T")
OPTIONS = orjson.OPT_NON_STR_KEYS


def page_document(page: Page[T], document: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """
    Return the JSON document of a page, of which `document` makes those of its items; `pageSize` is the limit that was
    asked for.
    """
    return {
        "list": [document(one) for one in page.list],
        "offset": page.offset,
        "pageSize": page.page_size,
        "totalSize": page.total_size,
        "totalSizeRelation": page.total_size_relation,
    }


def send(resp: falcon.Response, document: object) -> None:
    """
    Answer with a JSON document. What a memory task holds beside JSON is shown as its text.
    """
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(document, default=str, option=OPTIONS)
