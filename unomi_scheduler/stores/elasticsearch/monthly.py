"""
Rows in an index a month, `<name>-YYYY.MM` (UTC, by a row's moment): created once, never changed, dropped as a whole.

A row's index follows from the row, so the same row made twice meets itself. An index is created when its first row
comes, by whoever is first: its name decides that, and the others find it there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from elasticsearch import ApiError

from ...errors import ConfigurationError, InvalidTask, SchedulerError, StoreRefused, StoreUnavailable
from ...ports import Action, Outcome, Result
from ..options import ElasticsearchOptions
from . import answers, bulk, mapping
from .bulk import Operation
from .connection import Connection

R = TypeVar("R")
_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_THERE = Outcome(Result.WRITTEN)
_SHARDS = "routing_table.indices.*.shards.*.recovery_source.type"
_MONTH = re.compile(r"-(\d{4})\.(\d{2})")
Json = dict[str, Any]


def month_of(moment: int) -> str:
    """
    Return the month of a moment (epoch ms) as an index's name ends.
    """
    return _month_of_day(moment // _DAY)


# The rows of one flush share their day.
@lru_cache(maxsize=64)
def _month_of_day(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y.%m")


def over_at(index: str) -> int | None:
    """
    Return when the month of an index is over (epoch ms), or None when the name ends in none.
    """
    found = _MONTH.fullmatch(index[-len("-YYYY.MM") :])
    if found is None or not 1 <= int(found[2]) <= mapping.MONTHS:
        return None
    year, month = divmod(int(found[1]) * mapping.MONTHS + int(found[2]), mapping.MONTHS)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 1000


class Entry(NamedTuple):
    """
    A row as it is written: its id, its moment (epoch ms), and its document.
    """

    id: str
    at: int
    body: bytes


class Monthly(Generic[R]):
    """
    The rows of one name.

    Args:
        what: what they are, for messages: `history`.
        properties: their mapping.
        entry: makes of a row what is written; raises TypeError for one that is not JSON.
    """

    def __init__(
        self,
        name: str,
        *,
        what: str,
        properties: Json,
        entry: Callable[[R], Entry],
        options: ElasticsearchOptions,
    ) -> None:
        self._name = name
        self._what = what
        self._properties = properties
        self._entry = entry
        self._options = options

    @property
    def pattern(self) -> str:
        """
        What names every index.
        """
        return f"{self._name}-*"

    def add(self, rows: Sequence[R], connection: Connection) -> list[Outcome]:
        """
        Do what `TaskStore.add_history` and `add_audit` say.
        """
        outcomes: dict[int, Outcome] = {}
        operations = [one for place, row in enumerate(rows) if (one := self._operation(place, row, outcomes))]
        _send(operations, outcomes, connection)
        homeless = [one for one in operations if outcomes[one.place].result is Result.MISSING]
        if homeless:
            self._send_again(homeless, outcomes, connection)
        return [outcomes[place] for place in range(len(rows))]

    def _operation(self, place: int, row: R, outcomes: dict[int, Outcome]) -> Operation | None:
        try:
            entry = self._entry(row)
            index = f"{self._name}-{month_of(entry.at)}"
            target = orjson.dumps({"create": {"_index": mapping.write_alias_of(index), "_id": entry.id}})
        except TypeError as error:
            outcomes[place] = Outcome(Result.REFUSED, error=InvalidTask(f"not a row of the {self._what}: {error}"))
            return None
        lines = b"%b\n%b\n" % (target, entry.body)
        return Operation(place, Action.CREATE, index, lines)

    def _send_again(self, homeless: list[Operation], outcomes: dict[int, Outcome], connection: Connection) -> None:
        for index in sorted({one.home for one in homeless}):
            mine = [one for one in homeless if one.home == index]
            try:
                self._create(index, connection)
            except SchedulerError as error:
                # Nothing of these rows was done; only the index could not be made.
                refused = error if isinstance(error, ConfigurationError) else StoreRefused(str(error))
                outcomes.update((one.place, Outcome(Result.REFUSED, error=refused)) for one in mine)
            else:
                _send(mine, outcomes, connection)
        lost = Outcome(
            Result.REFUSED, error=StoreRefused(f"an index of the {self._what} was removed while it was written")
        )
        outcomes.update((one.place, lost) for one in homeless if outcomes[one.place].result is Result.MISSING)

    def _create(self, index: str, connection: Connection) -> None:
        try:
            connection.change("PUT", f"/{index}", mapping.monthly_creation_of(index, self._properties, self._options))
        except (ConfigurationError, StoreUnavailable):
            # Another process was faster, or it was done and the answer was lost: what is there now decides.
            if index not in self._described(connection):
                raise
            connection.change("PUT", f"/{index}/_alias/{mapping.write_alias_of(index)}")

    def _described(self, connection: Connection) -> Json:
        answer: Json = connection.read("GET", f"/{self.pattern}", filter_path="*.settings.index.uuid") or {}
        return answer

    def _search(self, body: Json, connection: Connection) -> Json:
        try:
            return _searched(self.pattern, body, connection)
        except StoreUnavailable as error:
            # The index of a month that has just begun may not answer yet; without an answer there is nothing to ask.
            if not isinstance(error.__cause__, ApiError):
                raise
            without = [f"-{index}*" for index in self._unborn(connection)]
        return _searched(",".join([self.pattern, *without]), body, connection)

    def _unborn(self, connection: Connection) -> list[str]:
        # Made from nothing, and not there yet: no row of theirs was acknowledged. What has lost its shards had some.
        try:
            answer = connection.read("GET", f"/_cluster/state/routing_table/{self.pattern}", filter_path=_SHARDS)
        except SchedulerError:
            return []
        indices = ((answer or {}).get("routing_table") or {}).get("indices") or {}
        return [name for name, one in sorted(indices.items()) if _is_unborn(one["shards"])]

    def drop(self, *, before: int, connection: Connection) -> int:
        """
        Remove the indices of months that were over at a moment; return how many rows were in them.
        """
        dropped = 0
        for index in sorted(self._described(connection)):
            over = over_at(index)
            if over is not None and over <= before:
                dropped += int(connection.read("POST", f"/{index}/_count").get("count", 0))
                connection.change("DELETE", f"/{index}", ignore_unavailable="true")
        return dropped


def _searched(names: str, body: Json, connection: Connection) -> Json:
    # Half an answer would look like a whole one: a shard that fails fails the search.
    found: Json = connection.read("POST", f"/{names}/_search", body, allow_partial_search_results="false")
    return found


def _is_unborn(shards: Json) -> bool:
    copies = [copy for several in shards.values() for copy in several]
    return any(copy.get("recovery_source", {}).get("type") == "EMPTY_STORE" for copy in copies)


def _send(operations: Sequence[Operation], outcomes: dict[int, Outcome], connection: Connection) -> None:
    for part in bulk.parts(operations):
        answer = connection.bulk(bulk.body(part))
        if isinstance(answer, Outcome):
            outcomes.update((one.place, answer) for one in part)
        else:
            outcomes.update(
                zip((one.place for one in part), map(_row_outcome, answers.outcomes(answer, part)), strict=True)
            )


def _row_outcome(outcome: Outcome) -> Outcome:
    # A conflict says that the row is there; a version of it is of no use.
    return _THERE if outcome.result in (Result.WRITTEN, Result.CONFLICT) else outcome
