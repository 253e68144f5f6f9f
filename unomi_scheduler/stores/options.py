"""
The options of a connection to Elasticsearch.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class ElasticsearchOptions:
    """
    How to reach a cluster and how to make the index there; times are seconds unless a unit stands beside them.

    `replicas` None lets the server have one where a second machine can hold it (`auto_expand_replicas` 0-1).
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    ca_certs: str | None = None
    verify_certs: bool = True
    shards: int = 1
    replicas: int | None = None
    refresh_interval: str = "250ms"
    request_timeout: float = 10.0
