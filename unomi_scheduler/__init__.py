"""
A cluster task scheduler whose only coordinator is Elasticsearch (or, on one machine, an SQLite file).

    you ──► Scheduler ──► TaskBuilder          service/, builder     makes, changes and reads tasks
               │
               ▼                               node/                 takes part in the cluster
        ┌─────────────┐ events  ┌──────────┐
        │    shell    │ ──────► │   core   │   core: a step machine without threads, clocks or I/O
        │ threads, I/O│ ◄────── │          │   shell: feeds it from the store, the heartbeat and the workers
        └──────┬──────┘ commands└────┬─────┘
               │                     ▼
               │                  rules/       pure: transitions, due times, claims, retries, who runs what
               ▼
           TaskStore ◄── elasticsearch, sqlite, memory    ports, stores/    conditional writes of documents
               │
               ▼
        Task, Heartbeat, Slot                  model, errors         the vocabulary; frozen values

A task is one document; a run is one execution of it. Every change is one write on condition that nothing changed since
the read it was decided on, so a lost race is a normal result, and no node ever waits for another. The life of a run:

    schedule ─► due ─► claim (RUNNING, owner, fence + 1) ─► executor ─► one write: COMPLETED, next due time, or retry

Each run is committed at most once, and executed at least once. A node renews one heartbeat document, however many tasks
it runs; when it dies, the others declare it dead by a write, mark its runs CRASHED, and go on from their checkpoints.

A node works in one store at a time, by a core of its own for each: one that is left keeps its core until its runs have
returned (`node/cores`, `node/bindings`). Memory tasks live in the process and go over to the next core. An all-nodes
task is a definition that nobody claims and on each node a record that is run like any other task (`node/everywhere`).

What is due now and another node's to run is told to that node by a signed hint over HTTP (`node/nudger`, `node/hints`);
correctness never rests on it.

Imports point one way: service → node → stores → ports, rules → model. What `__all__` does not name is private.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builder import TaskBuilder
    from .clock import Clock, SystemClock
    from .config import Settings
    from .distributions import Distribution
    from .errors import (
        ConfigurationError,
        Conflict,
        InvalidTask,
        InvalidTransition,
        LeaseLost,
        NodeNotFound,
        NodeUnavailable,
        SchedulerError,
        StoreRefused,
        StoreUnavailable,
        TaskNotFound,
        WatchRefused,
    )
    from .logs import configure_logging
    from .metrics import Metric
    from .model import (
        Activity,
        AuditRow,
        DependencyPolicy,
        Heartbeat,
        HistoryRow,
        Page,
        Task,
        TaskStatus,
        TimeUnit,
        TotalRelation,
        TypeSummary,
    )
    from .node.context import AsyncTaskContext, TaskContext
    from .node.executors import FunctionExecutor
    from .ports import Callback, Executor, StoreReport, TaskStore
    from .service import (
        BulkAction,
        BulkResult,
        Change,
        ChangeKind,
        Edited,
        NodeRun,
        NotAllScheduled,
        Observation,
        Scheduler,
        Selection,
        Watch,
    )
    from .service.auditing import Audit
    from .service.documents import bulk_document, node_document, type_document
    from .service.tokens import Token, Tokens, token_document
    from .stores.audit_rows import audit_document
    from .stores.documents import task_document
    from .stores.history_rows import history_document
    from .stores.opening import examine_store
    from .stores.takeover import ImportReport, import_tasks

__all__ = [
    "Activity",
    "AsyncTaskContext",
    "Audit",
    "AuditRow",
    "BulkAction",
    "BulkResult",
    "Callback",
    "Change",
    "ChangeKind",
    "Clock",
    "ConfigurationError",
    "Conflict",
    "DependencyPolicy",
    "Distribution",
    "Edited",
    "Executor",
    "FunctionExecutor",
    "Heartbeat",
    "HistoryRow",
    "ImportReport",
    "InvalidTask",
    "InvalidTransition",
    "LeaseLost",
    "Metric",
    "NodeNotFound",
    "NodeRun",
    "NodeUnavailable",
    "NotAllScheduled",
    "Observation",
    "Page",
    "Scheduler",
    "SchedulerError",
    "Selection",
    "Settings",
    "StoreRefused",
    "StoreReport",
    "StoreUnavailable",
    "SystemClock",
    "Task",
    "TaskBuilder",
    "TaskContext",
    "TaskNotFound",
    "TaskStatus",
    "TaskStore",
    "TimeUnit",
    "Token",
    "Tokens",
    "TotalRelation",
    "TypeSummary",
    "Watch",
    "WatchRefused",
    "audit_document",
    "bulk_document",
    "configure_logging",
    "examine_store",
    "history_document",
    "import_tasks",
    "node_document",
    "task_document",
    "token_document",
    "type_document",
]

# Where each name lives: loaded at its first use, so that what only wants the words does not load the stores.
_HOMES = {
    "Activity": ".model",
    "AsyncTaskContext": ".node.context",
    "Audit": ".service.auditing",
    "AuditRow": ".model",
    "BulkAction": ".service",
    "BulkResult": ".service",
    "Callback": ".ports",
    "Change": ".service",
    "ChangeKind": ".service",
    "Clock": ".clock",
    "ConfigurationError": ".errors",
    "Conflict": ".errors",
    "DependencyPolicy": ".model",
    "Distribution": ".distributions",
    "Edited": ".service",
    "Executor": ".ports",
    "FunctionExecutor": ".node.executors",
    "Heartbeat": ".model",
    "HistoryRow": ".model",
    "ImportReport": ".stores.takeover",
    "InvalidTask": ".errors",
    "InvalidTransition": ".errors",
    "LeaseLost": ".errors",
    "Metric": ".metrics",
    "NodeNotFound": ".errors",
    "NodeRun": ".service",
    "NodeUnavailable": ".errors",
    "NotAllScheduled": ".service",
    "Observation": ".service",
    "Page": ".model",
    "Scheduler": ".service",
    "SchedulerError": ".errors",
    "Selection": ".service",
    "Settings": ".config",
    "StoreRefused": ".errors",
    "StoreReport": ".ports",
    "StoreUnavailable": ".errors",
    "SystemClock": ".clock",
    "Task": ".model",
    "TaskBuilder": ".builder",
    "TaskContext": ".node.context",
    "TaskNotFound": ".errors",
    "TaskStatus": ".model",
    "TaskStore": ".ports",
    "TimeUnit": ".model",
    "Token": ".service.tokens",
    "Tokens": ".service.tokens",
    "TotalRelation": ".model",
    "TypeSummary": ".model",
    "Watch": ".service",
    "WatchRefused": ".errors",
    "audit_document": ".stores.audit_rows",
    "bulk_document": ".service.documents",
    "configure_logging": ".logs",
    "examine_store": ".stores.opening",
    "history_document": ".stores.history_rows",
    "import_tasks": ".stores.takeover",
    "node_document": ".service.documents",
    "task_document": ".stores.documents",
    "token_document": ".service.tokens",
    "type_document": ".service.documents",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
