"""
Pages and tasks as JSON.
"""

from __future__ import annotations

from typing import Any

import falcon
import orjson

from unomi_scheduler import Page, task_document

_OPTIONS = orjson.OPT_NON_STR_KEYS


def page_document(page: Page) -> dict[str, Any]:
    """
    Return the JSON document of a page; `pageSize` is the limit that was asked for.
    """
    return {
        "list": [task_document(task) for task in page.list],
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
    resp.data = orjson.dumps(document, default=str, option=_OPTIONS)
