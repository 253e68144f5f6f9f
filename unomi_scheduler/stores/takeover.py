"""
Import: the tasks of an index of Apache Unomi are copied into a store of ours; the index is only read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..config import Settings
from ..errors import ConfigurationError, Conflict
from .options import ElasticsearchOptions


class OriginAlive(Conflict):
    """
    The documents say that an Apache Unomi is still at work on them.
    """


class SourceMissing(ConfigurationError, LookupError):
    """
    There is no index of the name to import from.
    """


class Refused(NamedTuple):
    """
    A document that was not copied, by its `_id`, and why.
    """

    document_id: str
    reason: str


class Renamed(NamedTuple):
    """
    A document, by its `_id`, and the id of the task that it became or was folded into.
    """

    document_id: str
    task_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """
    What an import did, or with `dry_run` would do. `documents` = copied + kept + folded + refused.

    `crashed` counts those among the copied that the original left RUNNING. `kept` counts the tasks that were there
    already; `occupied` names those of them that are not of this import: another task had the id.
    """

    source: str
    target: str
    dry_run: bool
    documents: int
    copied: int
    crashed: int
    kept: int
    occupied: tuple[Renamed, ...] = ()
    renamed: tuple[Renamed, ...] = ()
    folded: tuple[Renamed, ...] = ()
    refused: tuple[Refused, ...] = ()


def import_tasks(settings: Settings, *, from_index: str, dry_run: bool = False, force: bool = False) -> ImportReport:
    """
    Copy the tasks of an index of Apache Unomi into the store of these settings. It may be repeated: what is there is
    kept, and an import that was broken off goes on.

    Args:
        dry_run: only tell what would be done.
        force: go on although the original seems to be alive.

    Raises:
        ConfigurationError: the store is no Elasticsearch, or the index is our own or does not exist (a LookupError).
        Conflict: the original is alive.
        StoreUnavailable: the store did not answer; repeat the import.
    """
    url = settings.store or ""
    if not url.startswith(("http://", "https://")):
        scheme = url.partition("://")[0] or "none"
        raise ConfigurationError(
            f"import needs the Elasticsearch that has {from_index}: set store = http(s)://HOST:9200; it is {scheme}"
        )
    # The client is loaded only where it is used.
    from .elasticsearch.importing import Import  # noqa: PLC0415

    options = ElasticsearchOptions(**settings.elasticsearch.options())
    one = Import(url, settings.index_prefix, options, source=from_index)
    try:
        return one.run(dry_run=dry_run, force=force)
    finally:
        one.close()
