"""
Observing: what one process measures of itself, for those who watch over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ..distributions import Distribution
from ..model import TaskStatus
from .wiring import Wiring

if TYPE_CHECKING:
    from ..node.observing import NodeState


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """
    A process and its node at one moment. Durations of the distributions are seconds, those of `node` milliseconds.

    Args:
        counters: the counters of `get_all_metrics`, by the contract's names.
        runs: committed runs by task type and how they ended.
        run_seconds: how long their bodies took, by task type.
        delay_seconds: how long after a task was due its body began, by task type.
        store_seconds: how long a request to the store took, by verb.
        store_errors: requests that failed, by verb and kind of failure.
        store_answers: whether the last request had an answer; None when there was none, or no store is bound.
        memory_tasks: the memory tasks of this process by state.
    """

    node_id: str
    version: str
    executor_node: bool
    has_store: bool
    store_answers: bool | None
    node: NodeState
    counters: Mapping[str, int]
    runs: Mapping[tuple[str, str], int]
    run_seconds: Mapping[str, Distribution]
    delay_seconds: Mapping[str, Distribution]
    store_seconds: Mapping[str, Distribution]
    store_errors: Mapping[tuple[str, str], int]
    memory_tasks: Mapping[TaskStatus, int]


def observation_of(wiring: Wiring) -> Observation:
    """
    Return what there is to see of one process.
    """
    node, metrics = wiring.node, wiring.metrics
    states = [task.status for task in node.memory_tasks()]
    return Observation(
        node_id=node.options.node_id,
        version=_version(),
        executor_node=node.executor_node,
        has_store=wiring.has_store,
        store_answers=wiring.store_answers,
        node=node.state(),
        counters=metrics.all(),
        runs=metrics.runs.all(),
        run_seconds=metrics.run_seconds.all(),
        delay_seconds=metrics.delay_seconds.all(),
        store_seconds=metrics.store_seconds.all(),
        store_errors=metrics.store_errors.all(),
        memory_tasks={status: states.count(status) for status in TaskStatus},
    )


def _version() -> str:
    try:
        return version("unomi-scheduler")
    except PackageNotFoundError:
        return "unknown"
