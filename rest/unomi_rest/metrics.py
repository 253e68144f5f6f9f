"""
`GET /metrics`: what this process measures, in the form that Prometheus reads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

import falcon
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from unomi_scheduler import Clock, Observation, Scheduler, SystemClock, TypeSummary

from .exposition import FAMILIES, STORE_UP, TASKS, others, tasks_of
from .looks import Look, Seen

_log = logging.getLogger(__name__)
LOOK_EVERY_MILLIS = 10_000
# A scrape waits for the store only so long, and shows then what it knows; the first one knows nothing.
PATIENCE_MILLIS, FIRST_PATIENCE_MILLIS = 30, 1_000
LIMIT_MILLIS = 2_000
MOST_TYPES = 50
OTHER = "(other)"


class MetricsResource:
    """
    `GET /metrics`.
    """

    def __init__(self, scheduler: Scheduler, clock: Clock | None = None) -> None:
        # One of its own: several schedulers may live in one process.
        self._registry = CollectorRegistry()
        self._registry.register(SchedulerCollector(scheduler, clock or SystemClock()))
        ProcessCollector(registry=self._registry)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer in the form that was asked for: the text format, or OpenMetrics.
        """
        encode, media = choose_encoder(req.get_header("Accept") or "")
        resp.data = encode(self._registry)
        resp.content_type = media


class SchedulerCollector(Collector):
    """
    Reads the metrics of one scheduler. The store is asked beside the scrape, at most once in ten seconds.
    """

    def __init__(self, scheduler: Scheduler, clock: Clock) -> None:
        self._scheduler = scheduler
        self._counts = Look(
            self._ask, clock=clock, every=LOOK_EVERY_MILLIS, patience=PATIENCE_MILLIS, limit=LIMIT_MILLIS,
            name="metrics-look", first=FIRST_PATIENCE_MILLIS,
        )  # fmt: skip

    def describe(self) -> Iterator[Metric]:
        """
        Yield nothing: to register a collector must not ask a scheduler.
        """
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """
        Yield what there is to tell now.
        """
        observation = self._scheduler.observe()
        yield from (family.of(observation) for family in FAMILIES)
        yield from others(observation)
        yield from self._of_store(observation)

    def _ask(self) -> list[TypeSummary]:
        return self._scheduler.task_types(timedelta(0), memory=False)

    def _of_store(self, observation: Observation) -> Iterator[Metric]:
        seen = self._counts.newest() if observation.has_store else None
        up = [((), int(_answers(seen, last=observation.store_answers)))] if observation.has_store else []
        counts = [(one.task_type, one.counts) for one in (seen.value if seen else None) or ()]
        yield STORE_UP.filled(up)
        yield TASKS.filled(tasks_of(counts, most=MOST_TYPES, rest=OTHER))


def _answers(seen: Seen[list[TypeSummary]] | None, *, last: bool | None) -> bool:
    if seen is None:
        # The first look is under way: what else was asked of the store tells.
        return last is True
    if seen.error is not None:
        _log.debug("The store was not counted: %s", seen.error, extra={"action": "rest.metrics"})
        return False
    return last is not False
