"""
The test kit: test your own tasks on the real scheduler, in one thread, without sleeping.

    from unomi_scheduler.testing import ManualNode

    def test_a_failed_import_is_tried_again():
        with ManualNode(myapp.scheduler) as node:
            myapp.scheduler.new_task("import").with_parameters({"url": "no such"}).schedule()

            assert [run.outcome for run in node.run_due()] == ["failed"]
            assert [run.outcome for run in node.advance(timedelta(minutes=1))] == ["failed"]

`ManualNode` is a node that does nothing unless it is told to; it drives the scheduler's own core, so that claims,
retries, dependencies, checkpoints and takeovers are those of production. `SettableClock` is its time, `FaultyStore` a
store that fails on demand, `a_task` and its like make records. With pytest, the fixtures `unomi_node`, `unomi_clock`,
`unomi_store` and `unomi_scheduler` are there without an import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import SettableClock
    from .factories import NOW, a_due_task, a_heartbeat, a_history_row, a_running_task, a_task
    from .faults import Fault, FaultyStore
    from .node import ManualNode
    from .runs import Run, RunOutcome

__all__ = [
    "NOW",
    "Fault",
    "FaultyStore",
    "ManualNode",
    "Run",
    "RunOutcome",
    "SettableClock",
    "a_due_task",
    "a_heartbeat",
    "a_history_row",
    "a_running_task",
    "a_task",
]

# Loaded at their first use: pytest loads this package for everybody who has it installed.
_HOMES = {
    "NOW": ".factories",
    "Fault": ".faults",
    "FaultyStore": ".faults",
    "ManualNode": ".node",
    "Run": ".runs",
    "RunOutcome": ".runs",
    "SettableClock": ".clock",
    "a_due_task": ".factories",
    "a_heartbeat": ".factories",
    "a_history_row": ".factories",
    "a_running_task": ".factories",
    "a_task": ".factories",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
