"""
What may be wrong with a cluster and our indices in it: facts, and problems with what to do. Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version as installed
from typing import Any

from ...errors import ConfigurationError, SchedulerError, StoreUnavailable
from ...model import Heartbeat
from ...ports import OVERDUE, StoreReport
from ..findings import SHOWN, quarantine_problem, unreadable_problem
from . import answers, mapping, queries
from .answers import PermissionDeniedError
from .connection import Connection, out_of_reach
from .indices import Described, Indices, newer
from .mapping import Kind

_OLDEST = (8, 19)
_BLOCKS = ("read_only", "read_only_allow_delete", "write", "metadata", "read")
_PRIVILEGES = ("manage", "read", "write")
_UNREAD_LOOKED_AT = 100
_TYPES_COUNTED = 1_000


class _Examination:
    """
    The probes of one examination and what they found so far.
    """

    def __init__(self, connection: Connection, indices: Indices) -> None:
        self.facts: dict[str, str] = {}
        self.problems: list[str] = []
        self.now: int | None = None
        self.nodes: tuple[Heartbeat, ...] = ()
        self.overdue: dict[str, int] = {}
        self.quarantined = 0
        self._there: set[Kind] = set()
        self._denied: list[str] = []
        self._connection = connection
        self._indices = indices

    def run(self) -> StoreReport:
        self.facts["client"] = installed("elasticsearch")
        self.facts["hosts"] = ", ".join(self._connection.hosts)
        # When the server does not answer or does not understand us, every other probe would say the same.
        if self._probe(self._server):
            for one in (self._health, self._cluster_blocks, self._privileges):
                self._probe(one)
            for kind in Kind:
                self._probe(lambda kind=kind: self._index(kind))  # type: ignore[misc]
            self._probe(self._history)
            self._missing_indices()
            for kind, look in (
                (Kind.TASK, self._documents),
                (Kind.TASK, self._clock),
                (Kind.TASK, self._overdue),
                (Kind.NODE, self._nodes),
            ):
                if kind in self._there:
                    self._probe(look)
        if self.facts.get("privileges") != "missing":
            # Where the list of missing privileges is known it says all of this once.
            self.problems.extend(self._denied[:1])
        return StoreReport(
            facts=self.facts,
            problems=tuple(dict.fromkeys(self.problems)),
            now=self.now,
            nodes=self.nodes,
            overdue=self.overdue,
            quarantined=self.quarantined,
        )

    def _probe(self, look: Callable[[], None]) -> bool:
        try:
            look()
        except PermissionDeniedError as error:
            self._denied.append(str(error))
        except SchedulerError as error:
            self.problems.append(str(error))
            return False
        return True

    def _read(self, path: str, **params: str) -> Any:
        return self._connection.read("GET", path, **params) or {}

    def _server(self) -> None:
        try:
            self._versions()
        except StoreUnavailable as error:
            raise StoreUnavailable(out_of_reach(self._connection.hosts, error)) from error
        except PermissionDeniedError:
            raise
        except ConfigurationError as error:
            raise ConfigurationError(f"Elasticsearch at {self.facts['hosts']}: {error}") from error

    def _versions(self) -> None:
        nodes = self._read("/_nodes/_local", filter_path="nodes.*.version").get("nodes") or {}
        version = next((str(node.get("version", "")) for node in nodes.values()), "")
        self.facts["server"] = version or "unknown"
        numbers = _numbers(version)
        if numbers and numbers < _OLDEST:
            self.problems.append(f"the server's version {version} is not supported: upgrade it to 8.19 or later")
        client = self.facts["client"]
        if numbers and int(client.partition(".")[0]) > numbers[0]:
            self.problems.append(
                f"the client's version {client} is above the server's {version}: pip install 'unomi-scheduler[es8]'"
            )

    def _health(self) -> None:
        # Patterns: by a plain name that is missing the server would wait for it.
        names = ",".join(self._patterns())
        health = self._read(f"/_cluster/health/{names}", timeout="1s")
        status = str(health.get("status", "unknown"))
        self.facts["health"] = status
        if status == "red":
            self.problems.append(
                "health is red, a shard of the scheduler's indices is missing: ask GET _cluster/allocation/explain why"
            )

    def _cluster_blocks(self) -> None:
        settings = self._read("/_cluster/settings", flat_settings="true")
        for level in ("persistent", "transient"):
            for name, value in (settings.get(level) or {}).items():
                if name.startswith("cluster.blocks.") and value == "true":
                    self.problems.append(f"the whole cluster is blocked by {name}: set it to null in _cluster/settings")

    def _privileges(self) -> None:
        if not self._connection.authenticated:
            return
        names = self._patterns()
        body = {"cluster": ["monitor"], "index": [{"names": names, "privileges": list(_PRIVILEGES)}]}
        try:
            answer = self._connection.read("POST", "/_security/user/_has_privileges", body)
        except ConfigurationError:
            # A server without security has no privileges to ask for.
            self.facts["privileges"] = "not checked"
            return
        missing = sorted(set(_missing(answer)))
        self.facts["privileges"] = "sufficient" if not missing else "missing"
        if missing:
            self.problems.append(f"the user lacks privileges, grant them: {', '.join(missing)}")

    def _index(self, kind: Kind) -> None:
        alias = self._indices.alias(kind)
        found = self._indices.describe(kind, self._connection)
        if found is None:
            self.facts[alias] = "missing; it is created when a scheduler starts"
            return
        self._there.add(kind)
        count = self._connection.read("POST", f"/{alias}/_count").get("count", 0)
        self.facts[alias] = f"{found.name}, {count} documents, mapping version {found.mapping_version}"
        self.problems.extend(_index_problems(found))

    def _patterns(self) -> list[str]:
        return [*(f"{self._indices.alias(kind)}*" for kind in Kind), f"{mapping.history_of(self._indices.prefix)}*"]

    def _history(self) -> None:
        name = mapping.history_of(self._indices.prefix)
        found = self._read(f"/{name}-*", flat_settings="true")
        count = self._connection.read("POST", f"/{name}-*/_count").get("count", 0) if found else 0
        self.facts[name] = f"{count} rows in {len(found)} indices"
        for index, shown in sorted(found.items()):
            settings = shown.get("settings") or {}
            self.problems.extend(_blocked(index, settings))

    def _missing_indices(self) -> None:
        # None at all is how a server looks before the first start.
        aliases = [self._indices.alias(kind) for kind in Kind]
        gone = [alias for alias in aliases if self.facts.get(alias, "").startswith("missing")]
        if gone and self._there:
            self.problems.append(_missing_index(" and the index ".join(gone)))

    def _search(self, kind: Kind, body: Any) -> Any:
        return self._connection.read("POST", f"/{self._indices.alias(kind)}/_search", body) or {}

    def _documents(self) -> None:
        found = self._search(Kind.TASK, queries.quarantined(limit=SHOWN)).get("hits") or {}
        self.quarantined = (found.get("total") or {}).get("value", 0)
        some = [(hit["_id"], str(hit["_source"].get("quarantineReason"))) for hit in found.get("hits", ())]
        self.problems.extend(quarantine_problem(self.quarantined, some))
        unplaced = self._search(Kind.TASK, queries.unplaced(limit=_UNREAD_LOOKED_AT)).get("hits") or {}
        read = [answers.stored_task(hit) for hit in unplaced.get("hits", ())]
        self.problems.extend(unreadable_problem(one for one in read if answers.is_malformed(one)))

    def _clock(self) -> None:
        nodes = self._read("/_nodes/_local/stats/os", filter_path="nodes.*.timestamp").get("nodes") or {}
        self.now = next((int(node["timestamp"]) for node in nodes.values()), None)

    def _overdue(self) -> None:
        if self.now is not None:
            body = queries.overdue(before=self.now - OVERDUE, types=_TYPES_COUNTED)
            types = (self._search(Kind.TASK, body).get("aggregations") or {}).get("types") or {}
            self.overdue = {str(one["key"]): one["doc_count"] for one in types.get("buckets", ())}

    def _nodes(self) -> None:
        found = self._search(Kind.NODE, queries.everything()).get("hits") or {}
        read = [answers.stored_heartbeat(hit) for hit in found.get("hits", ())]
        self.nodes = tuple(one.record for one in read if one is not None and one.record.dead_by is None)


def examine(connection: Connection, indices: Indices) -> StoreReport:
    """
    Look at everything that can be wrong. Never raises.
    """
    return _Examination(connection, indices).run()


def defects(connection: Connection, indices: Indices) -> tuple[str, ...]:
    """
    Return what is wrong with our indices themselves.
    """
    return tuple(defect for kind in Kind for defect in _defects_of(kind, connection, indices))


def _defects_of(kind: Kind, connection: Connection, indices: Indices) -> Iterator[str]:
    try:
        found = indices.describe(kind, connection)
    except ConfigurationError as error:
        yield str(error)
        return
    if found is None:
        yield _missing_index(indices.alias(kind))
    else:
        yield from _index_problems(found)


def _missing_index(names: str) -> str:
    return f"the index {names} is missing: start a scheduler again, which creates it, or restore it from a snapshot"


def _numbers(version: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else None


def _missing(answer: Any) -> Iterator[str]:
    for name, granted in (answer.get("cluster") or {}).items():
        if not granted:
            yield f"{name} on the cluster"
    for index, privileges in (answer.get("index") or {}).items():
        yield from (f"{name} on {index}" for name, granted in privileges.items() if not granted)


def _blocked(index: str, settings: Mapping[str, str]) -> Iterator[str]:
    for name in _BLOCKS:
        setting = f"index.blocks.{name}"
        if settings.get(setting) == "true":
            disk = "the disk is nearly full: free space, or " if name == "read_only_allow_delete" else ""
            yield f"the index {index} is blocked by {setting}: {disk}set it to null in its settings"


def _index_problems(found: Described) -> Iterator[str]:
    version = found.mapping_version
    if version is None or version < mapping.MAPPING_VERSION:
        yield (
            f"the index {found.name} has mapping version {version}, {mapping.MAPPING_VERSION} is current: "
            "it is upgraded when a scheduler of this version starts"
        )
    elif version > mapping.MAPPING_VERSION:
        yield newer(found)
    yield from _blocked(found.name, found.settings)
    if mapping.write_alias_of(found.name) not in found.aliases:
        yield f"the index {found.name} has no alias for writes: it is made when a scheduler starts"
