"""
What the indices look like: names, settings and mappings of tasks, nodes, slots, notes, the history and the audit.

Each index has two aliases. `<prefix>-scheduledtask` is the name people and reads use; it is a *write alias*, of which
the cluster admits one index only, so of several processes that create one at the same time a single one succeeds.
`<index>-write` belongs to one concrete index for ever: writes go through it with `require_alias`, so that they neither
create an index that is missing nor reach another one of the same public name.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from ..options import ElasticsearchOptions

SCHEMA = 1
"""Part of the index names; a change of it means new indices."""
MAPPING_VERSION = 2
"""Grows with every field added to a mapping; an older index is upgraded in place, a newer one refused."""
META_KEY = "unomiScheduler"

Json = dict[str, Any]

_KEYWORD: Json = {"type": "keyword"}
# An exists query must see a reason of any length, which a keyword above `ignore_above` would hide.
_TEXT: Json = {"type": "text"}
_LONG: Json = {"type": "long"}
_INTEGER: Json = {"type": "integer"}
_SHORT: Json = {"type": "short"}
_BOOLEAN: Json = {"type": "boolean"}
_DATE: Json = {"type": "date", "format": "strict_date_optional_time||epoch_millis"}
_STORED: Json = {"type": "object", "enabled": False}


class Kind(Enum):
    """
    The four kinds of documents; the value is the end of the alias's name.
    """

    TASK = "scheduledtask"
    NODE = "schedulernode"
    SLOT = "schedulerslot"
    NOTE = "schedulernote"


_PROPERTIES: dict[Kind, Json] = {
    Kind.TASK: {
        "itemId": _KEYWORD,
        "itemType": _KEYWORD,
        "taskType": _KEYWORD,
        "status": _KEYWORD,
        "enabled": _BOOLEAN,
        "creationDate": _DATE,
        "nextScheduledExecution": _DATE,
        "lastExecutionDate": _DATE,
        "failureCount": _INTEGER,
        "successCount": _INTEGER,
        "deleteRequested": _BOOLEAN,
        "lockOwner": _KEYWORD,
        "ownerIncarnation": _KEYWORD,
        "onNodes": _KEYWORD,
        "onTags": _KEYWORD,
        "allNodesOf": _KEYWORD,
        "dependsOn": _KEYWORD,
        "waitingOnTasks": _KEYWORD,
        "parameters": _STORED,
        "statusDetails": _STORED,
        "checkpointData": _STORED,
        "dueDate": _LONG,
        "partition": _SHORT,
        "statusOrder": _SHORT,
        "totalExecutionCount": _LONG,
        "quarantineReason": _TEXT,
    },
    Kind.NODE: {"nodeId": _KEYWORD, "incarnation": _KEYWORD, "deadBy": _KEYWORD, "beatAt": _LONG},
    Kind.SLOT: {
        "taskType": _KEYWORD,
        "taskId": _KEYWORD,
        "claimId": _KEYWORD,
        "owner": _KEYWORD,
        "incarnation": _KEYWORD,
    },
    Kind.NOTE: {"kind": _KEYWORD, "name": _KEYWORD, "body": _STORED},
}


HISTORY = "schedulerhistory"
"""What the names of the history's indices begin with, behind the prefix; each ends with its month."""
AUDIT = "scheduleraudit"
"""The same for the audit."""
MONTHS = 12
HISTORY_PROPERTIES: Json = {
    "taskId": _KEYWORD,
    "taskType": _KEYWORD,
    "nodeId": _KEYWORD,
    "status": _KEYWORD,
    "end": _DATE,
    "duration": _LONG,
    "fence": _LONG,
    "attempt": _INTEGER,
    "allNodesOf": _KEYWORD,
}
AUDIT_PROPERTIES: Json = {
    "id": _KEYWORD,
    "at": _DATE,
    "who": _KEYWORD,
    "byToken": _KEYWORD,
    "address": _KEYWORD,
    "action": _KEYWORD,
    "status": _SHORT,
    "taskId": _KEYWORD,
    "nodeId": _KEYWORD,
    "tokenId": _KEYWORD,
    "parameters": _STORED,
    "counts": _STORED,
}


def alias_of(prefix: str, kind: Kind) -> str:
    """
    Return the public name of an index.
    """
    return f"{prefix}-{kind.value}"


def write_alias_of(index: str) -> str:
    """
    Return the name by which writes reach exactly this concrete index.
    """
    return f"{index}-write"


def mappings_of(kind: Kind) -> Json:
    """
    Return the mappings of an index, its version included.
    """
    return {"dynamic": False, "_meta": {META_KEY: {"mappingVersion": MAPPING_VERSION}}, "properties": _PROPERTIES[kind]}


def history_of(prefix: str) -> str:
    """
    Return what the names of the history's indices begin with.
    """
    return f"{prefix}-{HISTORY}"


def audit_of(prefix: str) -> str:
    """
    Return what the names of the audit's indices begin with.
    """
    return f"{prefix}-{AUDIT}"


def monthly_mappings(properties: Json) -> Json:
    """
    Return the mappings of an index of a month. A field that a later version adds counts from the next month on.
    """
    return {
        "dynamic": False,
        "_meta": {META_KEY: {"mappingVersion": MAPPING_VERSION}},
        "properties": properties,
    }


def monthly_creation_of(index: str, properties: Json, options: ElasticsearchOptions) -> Json:
    """
    Return the body that creates an index of a month.

    It has no refresh interval of its own: it is written all the time and searched seldom, so that the server's way,
    to refresh only what is searched, is the cheapest.
    """
    settings = {name: value for name, value in settings_of(options).items() if name != "refresh_interval"}
    return {
        "settings": {"index": settings | {"number_of_shards": 1}},
        "mappings": monthly_mappings(properties),
        "aliases": {write_alias_of(index): {}},
    }


def settings_of(options: ElasticsearchOptions) -> Json:
    """
    Return the settings an index is created with.
    """
    # Without an explicit interval a shard stops refreshing after 30 s without a search, and the next search waits.
    settings: Json = {"refresh_interval": options.refresh_interval, "translog": {"durability": "request"}}
    if options.replicas is None:
        return settings | {"number_of_shards": options.shards, "auto_expand_replicas": "0-1"}
    return settings | {"number_of_shards": options.shards, "number_of_replicas": options.replicas}


def creation_of(index: str, alias: str, kind: Kind, options: ElasticsearchOptions) -> Json:
    """
    Return the body that creates a concrete index together with its two aliases.
    """
    # Nodes, slots and notes are a handful of documents: one shard serves them best.
    settings = settings_of(options) | ({} if kind is Kind.TASK else {"number_of_shards": 1})
    return {
        "settings": {"index": settings},
        "mappings": mappings_of(kind),
        "aliases": {alias: {"is_write_index": True}, write_alias_of(index): {}},
    }


def version_of(mappings: Json) -> int | None:
    """
    Return the version of a mapping found in the store, or None when it is none of ours.
    """
    meta = (mappings.get("_meta") or {}).get(META_KEY) or {}
    version = meta.get("mappingVersion")
    return version if isinstance(version, int) else None


def reference() -> str:
    """
    Return the text of `config/index-mappings.json`: each index's mappings, for people to read.
    """
    monthly = {HISTORY: HISTORY_PROPERTIES, AUDIT: AUDIT_PROPERTIES}
    mappings = {kind.value: mappings_of(kind) for kind in Kind}
    mappings |= {name: monthly_mappings(properties) for name, properties in monthly.items()}
    return json.dumps(mappings, indent=2) + "\n"
