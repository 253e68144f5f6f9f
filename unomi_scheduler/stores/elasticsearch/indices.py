"""
Which concrete index stands behind each alias; creates what is missing and upgrades what is older.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigurationError, SchedulerError, StoreUnavailable
from ..options import ElasticsearchOptions
from . import mapping
from .connection import Connection
from .mapping import Kind

_log = logging.getLogger(__name__)


class IndexMissingError(ConfigurationError):
    """
    Nothing has the alias's name.
    """


@dataclass(frozen=True, slots=True)
class Described:
    """
    A concrete index as the server shows it.
    """

    name: str
    aliases: frozenset[str]
    mapping_version: int | None
    settings: dict[str, str]


class Indices:
    """
    The concrete indices of one prefix. What was looked up is shared by all lanes of a store.
    """

    def __init__(self, prefix: str, options: ElasticsearchOptions) -> None:
        self.prefix = prefix
        self._options = options
        self._names: dict[Kind, str] = {}

    def alias(self, kind: Kind) -> str:
        """
        Return the public name of an index.
        """
        return mapping.alias_of(self.prefix, kind)

    def current(self, kind: Kind, connection: Connection) -> str:
        """
        Return the concrete index behind an alias, asking the server when it is not known.

        Raises:
            IndexMissingError: there is none.
        """
        known = self._names.get(kind)
        return known if known is not None else self.look_up(kind, connection)

    def look_up(self, kind: Kind, connection: Connection) -> str:
        """
        Ask the server which concrete index is behind an alias, whatever was known before.
        """
        self._names.pop(kind, None)
        found = self.describe(kind, connection)
        if found is None:
            alias = self.alias(kind)
            raise IndexMissingError(
                f"the index {alias} is missing: start the scheduler again, which creates it, or restore it"
            )
        self._names[kind] = found.name
        return found.name

    def describe(self, kind: Kind, connection: Connection) -> Described | None:
        """
        Return the one concrete index behind an alias as it is now, or None when there is none.

        Raises:
            ConfigurationError: the alias's name is an index, or it stands for several.
        """
        alias = self.alias(kind)
        answer: dict[str, Any] = connection.read("GET", f"/{alias}", flat_settings="true", ignore_unavailable="true")
        return one_of(alias, answer)

    def ensure(self, kind: Kind, connection: Connection) -> None:
        """
        Create an index unless there is one, upgrade an older one, and remember its name.
        """
        found = self.describe(kind, connection) or self._create(kind, connection)
        if found.mapping_version != mapping.MAPPING_VERSION:
            self._upgrade(kind, found, connection)
        own = mapping.write_alias_of(found.name)
        if own not in found.aliases:
            # An index that an administrator put behind the alias, e.g. a copy with other settings.
            connection.change("PUT", f"/{found.name}/_alias/{own}")
        self._names[kind] = found.name

    def _create(self, kind: Kind, connection: Connection) -> Described:
        alias = self.alias(kind)
        name = f"{alias}-v{mapping.SCHEMA}-{secrets.token_hex(6)}"
        failed: SchedulerError | None = None
        try:
            connection.change("PUT", f"/{name}", mapping.creation_of(name, alias, kind, self._options))
            _log.info("created index %s", name, extra={"action": "index-created", "index": name})
        except (ConfigurationError, StoreUnavailable) as error:
            # Another process was faster, or it was done and the answer was lost: what is there now decides.
            failed = error
        found = self.describe(kind, connection)
        if found is None:
            raise failed or StoreUnavailable(f"the index {name} was created and cannot be seen")
        return found

    def _upgrade(self, kind: Kind, found: Described, connection: Connection) -> None:
        if found.mapping_version is not None and found.mapping_version > mapping.MAPPING_VERSION:
            raise ConfigurationError(newer(found))
        connection.change("PUT", f"/{found.name}/_mapping", mapping.mappings_of(kind))
        _log.info("upgraded index %s", found.name, extra={"action": "index-upgraded", "index": found.name})


def newer(found: Described) -> str:
    """
    Return what to say of an index that a newer version made.
    """
    return (
        f"the index {found.name} has mapping version {found.mapping_version}, this version of unomi-scheduler knows "
        f"{mapping.MAPPING_VERSION}: install the newer unomi-scheduler that made it"
    )


def one_of(alias: str, answer: dict[str, Any]) -> Described | None:
    """
    Return the one index of an answer that describes what an alias stands for.

    Raises:
        ConfigurationError: the alias's name is an index, or it stands for several.
    """
    if alias in answer:
        raise ConfigurationError(
            f"{alias} is an index, where an alias is needed; is it that of an Apache Unomi? Stop that, choose another "
            "index prefix for this scheduler, and take the tasks over: "
            f"`UNOMI_SCHEDULER_INDEX_PREFIX=scheduler unomi-scheduler import --from-index {alias}`"
        )
    if len(answer) > 1:
        raise ConfigurationError(
            f"the alias {alias} stands for several indices, leave it one: {', '.join(sorted(answer))}"
        )
    for name, shown in answer.items():
        version = mapping.version_of(shown.get("mappings") or {})
        return Described(name, frozenset(shown.get("aliases") or {}), version, shown.get("settings") or {})
    return None
