"""
The audit in Elasticsearch: an index a month, `<prefix>-scheduleraudit-YYYY.MM` (by the moment of a row; `monthly`).
"""

from __future__ import annotations

from typing import Any

from ...model import AuditRow, Page
from ...ports import AuditQuery
from ..audit_rows import encode_row, limit_of, readable_rows
from ..options import ElasticsearchOptions
from . import mapping
from .connection import Connection
from .monthly import Entry, Monthly

Json = dict[str, Any]


class Audit(Monthly[AuditRow]):
    """
    The audit of one prefix.
    """

    def __init__(self, prefix: str, options: ElasticsearchOptions) -> None:
        super().__init__(
            mapping.audit_of(prefix),
            what="audit",
            properties=mapping.AUDIT_PROPERTIES,
            entry=lambda row: Entry(row.id, row.at, encode_row(row)),
            options=options,
        )

    def page(self, query: AuditQuery, connection: Connection) -> Page[AuditRow]:
        """
        Do what `TaskStore.audit` says.
        """
        found = self._search(search_of(query), connection)["hits"]
        return Page(
            list=readable_rows(hit["_source"] for hit in found["hits"]),
            offset=query.offset,
            page_size=query.limit,
            total_size=found["total"]["value"],
        )


def search_of(query: AuditQuery) -> Json:
    """
    Return the search for one page of the rows, the newest first.

    Raises:
        InvalidTask: the page lies behind what the server sorts.
    """
    wanted = {"taskId": query.task_id, "who": query.who}
    return {
        "query": {"bool": {"filter": [{"term": {name: value}} for name, value in wanted.items() if value is not None]}},
        "sort": [{"at": "desc"}, {"id": "desc"}],
        "from": query.offset,
        "size": limit_of(query),
        "track_total_hits": True,
    }
