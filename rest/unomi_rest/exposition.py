"""
The exposition: each metric with its name for Prometheus, kind, labels and meaning, and how to read it off an
observation.

A counter of the contract is called `unomi_scheduler_` + its name with underscores + `_total`; times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from unomi_scheduler import Distribution, Observation, TaskStatus

PREFIX = "unomi_scheduler_"
_SECOND = 1_000
_TIME = "tasks.execution.time"

COUNTERS: Mapping[str, str] = {
    "tasks.completed": "Runs that succeeded.",
    "tasks.failed": "Runs that failed, and tasks that failed without one.",
    "tasks.crashed": "Runs that were broken off: their node died or stopped, or its lease ended.",
    "tasks.created": "Tasks that were made through this process.",
    "tasks.cancelled": "Tasks that were cancelled or deleted through this process.",
    "tasks.resumed": "Tasks that went on from a crash.",
    "tasks.retried": "Failed tasks that somebody had tried again.",
    "tasks.waiting": "Tasks that had to wait for others when they were made.",
    "tasks.running": "Runs that were started.",
    "tasks.lock.attempts": "Claims that were tried.",
    "tasks.lock.acquired": "Claims that were won.",
    "tasks.lock.conflicts": "Claims that another node or an edit was faster than.",
    "tasks.lock.released": "Claims that were given up, nearly always at the end of their run.",
    "tasks.lock.timeouts": "Claims of others that were taken away as their owner's lease had ended.",
    _TIME: "Time that the bodies of committed runs took.",
    "tasks.recovery.attempts": "Runs of dead nodes that this one set out to recover.",
    "tasks.recovery.successes": "Runs of dead nodes that this one recovered.",
    "tasks.given.back": "Claims given back as their run could not begin.",
    "tasks.interrupted": "Runs that gave up as they were told to.",
    "tasks.fenced": "Runs whose outcome was dropped, as they did not own their task any more.",
    "tasks.quarantined": "Documents that are no tasks and were set aside.",
    "tasks.periods.skipped": "Periods of all-nodes tasks that this node skipped.",
    "tasks.slot.conflicts": "Claims of exclusive types that another run was faster than.",
    "nodes.declared.dead": "Nodes that this one declared dead.",
    "history.flushed": "Rows of the history that the store took.",
    "history.postponed": "Rows of the history that found no room in memory and are looked for later.",
    "history.refused": "Rows of the history that no store would take.",
    "audit.lost": "Rows of the audit that the store did not take; the log has them.",
}
"""The counters by the names that the scheduler counts under, with what each counts."""


@dataclass(frozen=True)
class Family:
    """
    One metric: its name without what Prometheus adds to it, its kind, labels, meaning, and how to read its values.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str
    read: Callable[[Observation], Iterable[tuple[tuple[str, ...], Any]]]

    @property
    def shown(self) -> str:
        """
        The name as queries use it.
        """
        return PREFIX + self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")

    def of(self, observation: Observation) -> Metric:
        """
        Return what Prometheus is told; without a value where there is nothing to tell.
        """
        return self.filled(self.read(observation))

    def filled(self, values: Iterable[tuple[tuple[str, ...], Any]]) -> Metric:
        """
        Return the metric with these values by their labels.
        """
        made: Any = _KINDS[self.kind](PREFIX + self.name, self.about, labels=self.labels)
        for labels, value in values:
            texts = [_text(label) for label in labels]
            if isinstance(value, Distribution):
                made.add_metric(texts, buckets=_buckets(value), sum_value=value.sum)
            else:
                made.add_metric(texts, value)
        return made  # type: ignore[no-any-return]


_KINDS: Mapping[str, Callable[..., Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}
Values = Iterator[tuple[tuple[str, ...], Any]]


def _text(label: str) -> str:
    # A task type may be any text, even one that is no Unicode.
    return label.encode(errors="replace").decode()


def _buckets(one: Distribution) -> list[tuple[str, int]]:
    return [("+Inf" if bound == inf else str(bound), count) for bound, count in one.buckets]


def _counter(name: str, about: str) -> Family:
    if name == _TIME:
        return Family(
            "tasks_execution_seconds", "counter", (), about, lambda seen: [((), seen.counters.get(name, 0) / _SECOND)]
        )
    return Family(name.replace(".", "_"), "counter", (), about, lambda seen: [((), seen.counters.get(name, 0))])


def _of_node(name: str, about: str, read: Callable[[Any], float | None], kind: str = "gauge") -> Family:
    def values(seen: Observation) -> Values:
        value = read(seen.node) if seen.node.running else None
        if value is not None:
            yield (), value

    return Family(name, kind, (), about, values)


def _of_pools(name: str, about: str) -> Family:
    part = name.removeprefix("pool_")
    return Family(
        name, "gauge", ("pool",), about,
        lambda seen: [((pool,), getattr(load, part)) for pool, load in seen.node.pools.items()],
    )  # fmt: skip


def _by(name: str, kind: str, labels: tuple[str, ...], about: str) -> Callable[[Callable[..., Any]], Family]:
    return lambda read: Family(name, kind, labels, about, read)


def _info(seen: Observation) -> Values:
    named = {"version": seen.version, "node_id": seen.node_id, "executor_node": str(seen.executor_node).lower()}
    yield (), {name: _text(value) for name, value in named.items()}


def _labelled(numbers: Mapping[str, Distribution]) -> Values:
    return ((((label,), one)) for label, one in sorted(numbers.items()))


FAMILIES: tuple[Family, ...] = (
    Family("node", "info", (), "This node: version, node_id, executor_node (whether it runs tasks).", _info),
    Family("node_running", "gauge", (), "1 while the node of this process takes part.",
           lambda seen: [((), int(seen.node.running))]),
    _of_node("node_draining", "1 while the node claims nothing more and waits for its runs, before it stops.",
             lambda node: int(node.draining)),
    _of_node("node_start_time_seconds", "When the node was started, since the epoch.",
             lambda node: node.started_at / _SECOND),
    _of_node("core_idle_seconds", "How long ago the node's core last moved; it does at least once a second.",
             lambda node: node.stuck_for / _SECOND),
    _of_node("peers", "Other nodes that are not declared dead, as this node sees it.",
             lambda node: node.peers if node.bound else None),
    _of_node("planned_tasks", "Tasks that the node holds in memory for when they are due.", lambda node: node.planned),
    _of_node("due_tasks", "Those of the planned tasks that are due and not claimed yet.", lambda node: node.due),
    _of_node("due_age_seconds", "How long the one of these is due that waits longest; 0 without any.",
             lambda node: node.overdue_for / _SECOND),
    _of_node("runs_under_way", "Runs from their claim to their acknowledged end.", lambda node: node.under_way),
    _of_pools("pool_slots", "Bodies that a pool may run at once."),
    _of_pools("pool_busy", "Bodies that a pool runs."),
    _of_pools("pool_waiting", "Claimed runs that wait for a thread or a slot of a pool."),
    _of_node("lease_seconds", "How long the others wait for a silent node.",
             lambda node: node.lease_millis / _SECOND if node.bound else None),
    _of_node("lease_age_seconds", "How long ago the last acknowledged heartbeat was sent.",
             lambda node: None if node.lease_age is None else node.lease_age / _SECOND),
    _of_node("lease_held", "1 while the node may claim and start runs.",
             lambda node: int(node.lease_held) if node.bound else None),
    _of_node("clock_offset_seconds", "How far this machine's clock is ahead of the store's; missing if not known.",
             lambda node: None if node.clock_offset is None else node.clock_offset / _SECOND),
    _of_node("clock_trusted", "1 while that is within max_clock_offset, or there is nothing to compare with.",
             lambda node: int(node.clock_trusted)),
    _of_node("history_rows_waiting", "Rows of the history that the store has not acknowledged.",
             lambda node: node.rows_waiting),
    Family("memory_tasks", "gauge", ("status",), "Memory tasks of this process by state.",
           lambda seen: [((str(status),), number) for status, number in seen.memory_tasks.items()]),
    *(_counter(name, about) for name, about in COUNTERS.items()),
    Family("runs", "counter", ("task_type", "outcome"), "Committed runs by how they ended.",
           lambda seen: sorted(seen.runs.items())),
    Family("run_duration_seconds", "histogram", ("task_type",), "How long the bodies of committed runs took.",
           lambda seen: _labelled(seen.run_seconds)),
    Family("start_delay_seconds", "histogram", ("task_type",), "How long after its task was due a body began.",
           lambda seen: _labelled(seen.delay_seconds)),
    Family("store_request_duration_seconds", "histogram", ("verb",), "How long requests to the store took.",
           lambda seen: _labelled(seen.store_seconds)),
    Family("store_errors", "counter", ("verb", "kind"), "Requests to the store that failed.",
           lambda seen: sorted(seen.store_errors.items())),
)  # fmt: skip
"""What an observation tells, in the order of the page."""


def _asked(_: Observation) -> Values:
    yield from ()


STORE_UP = Family("store_up", "gauge", (), "1 while the store answers.", _asked)
TASKS = Family(
    "tasks", "gauge", ("task_type", "status"), "Stored tasks of the whole cluster, counted once in 10 s.", _asked
)
"""What the store was asked for; every process of a cluster tells the same."""


def others(observation: Observation) -> Iterator[Metric]:
    """
    Yield the counters that no table names yet.
    """
    for name in sorted(observation.counters.keys() - COUNTERS.keys()):
        yield _counter(name, f"The counter {name}.").of(observation)


def tasks_of(counts: Iterable[tuple[str, Mapping[TaskStatus, int]]], *, most: int, rest: str) -> Values:
    """
    Yield the values of `TASKS`: of the types with the most tasks, and of all the others together.
    """
    ordered = sorted(counts, key=lambda one: (-sum(one[1].values()), one[0]))
    together: dict[TaskStatus, int] = {}
    for number, (task_type, by_status) in enumerate(ordered):
        for status, count in by_status.items():
            if number < most:
                yield (task_type, str(status)), count
            else:
                together[status] = together.get(status, 0) + count
    for status, count in together.items():
        yield (rest, str(status)), count
