"""
The table of routes: what answers each path, who may ask, and what each method takes and answers.

The application is made of it, and so is its description (`openapi`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from unomi_scheduler import Scheduler

from . import answers, parameters, schemas
from .access import AuditResource, TokenResource, TokensResource
from .events import ABOUT, RESUMING, EventsResource
from .health import LiveResource, ReadyResource
from .management import BulkResource, NodeExecutorResource, NodesResource, PurgeResource, TypesResource
from .metrics import MetricsResource
from .openapi import OpenApiResource
from .parameters import Parameter
from .resources import (
    ConfigResource,
    ExplainResource,
    HistoryResource,
    ResumeResource,
    RetryResource,
    RunResource,
    TaskResource,
    TasksResource,
)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """
    One method of a path.

    Args:
        query: its query parameters.
        body: the model of its body, if it takes one; `body_needed` says that it must come.
        answer: the model of what it answers with `status`; None is nothing.
        stream: what it answers where that is a stream of events in place of a model.
        headers: the request headers of its own, each with what it says.
        errors: the statuses of its own errors, beside those that every request may meet.
        text: the media type of an answer that is no JSON document.
    """

    method: str
    summary: str
    query: tuple[Parameter[Any], ...] = ()
    body: type[BaseModel] | None = None
    body_needed: bool = True
    answer: type[BaseModel] | None = answers.TaskDocument
    stream: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200
    errors: tuple[int, ...] = ()
    text: str | None = None


@dataclass(frozen=True)
class Route:
    """
    A path, what answers it, whether that needs no sign-in, and whether even to look one must be ADMINISTRATOR.
    """

    path: str
    resource: Callable[[Scheduler], object]
    operations: tuple[Operation, ...]
    public: bool = False
    private: bool = False


_PAGE = (parameters.OFFSET, parameters.LIMIT)
_TASKS = (
    Operation(
        method="GET",
        summary="List tasks, persistent ones and those in memory",
        query=(parameters.STATUS, parameters.TYPE, *_PAGE, parameters.SORT_BY, parameters.RECORDS),
        answer=answers.TaskPage,
    ),
    Operation(
        method="POST",
        summary="Make a task",
        body=schemas.TaskDefinition,
        status=201,
        errors=(409,),
    ),
)
_TASK = (
    Operation(method="GET", summary="Show a task", errors=(404,)),
    Operation(
        method="DELETE",
        summary="Cancel a task, or remove it",
        query=(parameters.REMOVE, parameters.STRICT),
        answer=None,
        status=204,
        errors=(404, 409),
    ),
)
_RETRY = Operation(
    method="POST",
    summary="Schedule a FAILED task for now",
    query=(parameters.RESET_FAILURE_COUNT, parameters.STRICT),
    errors=(404, 409),
)
_RESUME = Operation(
    method="POST",
    summary="Let a CRASHED task go on from its checkpoint",
    query=(parameters.STRICT,),
    errors=(404, 409),
)
_CONFIG = Operation(
    method="PUT",
    summary="Change parts of a task's definition",
    query=(parameters.MAX_RETRIES, parameters.RETRY_DELAY),
    body=schemas.ConfigChange,
    body_needed=False,
    errors=(404, 409),
)
_RUN = Operation(method="POST", summary="Run a task now, beside its schedule", errors=(404, 409))
_HISTORY = Operation(
    method="GET",
    summary="List a task's runs, and who changed it",
    query=_PAGE,
    answer=answers.HistoryPage,
    errors=(404,),
)
_EXPLAIN = Operation(
    method="GET", summary="Tell why a task does not run, or when it will", answer=answers.Explanation, errors=(404,)
)
_BULK = Operation(
    method="POST",
    summary="Do one thing to many tasks",
    query=(parameters.DRY_RUN,),
    body=schemas.BulkOrder,
    answer=answers.BulkReport,
)
_PURGE = Operation(
    method="POST",
    summary="Remove tasks that completed long ago",
    query=(parameters.DAYS,),
    answer=answers.Count,
)
_EVENTS = Operation(
    method="GET",
    summary="Watch tasks as they change: server-sent events of the whole cluster",
    query=(
        parameters.STATUS,
        parameters.TYPE,
        parameters.TASK_ID,
        parameters.RECORDS,
        parameters.SINCE,
        parameters.MOST_EVENTS,
        parameters.SECONDS,
    ),
    headers=(RESUMING,),
    stream=ABOUT,
)
_NODES = Operation(method="GET", summary="List the nodes of the cluster", answer=answers.NodeList)
_NODE_EXECUTOR = Operation(
    method="PUT",
    summary="Let a node run tasks, or no longer",
    query=(parameters.ENABLED,),
    answer=answers.NodeExecutor,
    errors=(404,),
)
_TYPES = Operation(method="GET", summary="List the task types", answer=answers.TypeList)
_AUDIT = Operation(
    method="GET",
    summary="List who changed what",
    query=(*_PAGE, parameters.TASK, parameters.WHO),
    answer=answers.AuditPage,
)
_TOKENS = (
    Operation(method="GET", summary="List the tokens, without their secrets", answer=answers.TokenList),
    Operation(
        method="POST",
        summary="Make a token; its secret is shown this once",
        body=schemas.TokenRequest,
        answer=answers.NewToken,
        status=201,
        errors=(409,),
    ),
)
_REVOKE = Operation(
    method="DELETE",
    summary="Revoke a token; every process refuses it within 5 seconds",
    answer=None,
    status=204,
    errors=(404, 409),
)
_METRICS = Operation(
    method="GET", summary="Show what this process measures, for Prometheus", answer=None, text="text/plain"
)
_LIVE = Operation(method="GET", summary="Tell whether this process works", answer=answers.Health, errors=(503,))
_READY = Operation(
    method="GET", summary="Tell whether this process can be given work", answer=answers.Health, errors=(503,)
)
_INTERFACE = Operation(method="GET", summary="Describe this interface", answer=answers.Interface)

METRICS = Route("/metrics", MetricsResource, (_METRICS,))
HEALTH = (
    Route("/livez", LiveResource, (_LIVE,), public=True),
    Route("/readyz", ReadyResource, (_READY,), public=True),
)
ROUTES: tuple[Route, ...] = (
    *HEALTH,
    Route("/openapi.json", lambda _scheduler: OpenApiResource(lambda: ROUTES), (_INTERFACE,), public=True),
    METRICS,
    Route("/cxs/tasks", TasksResource, _TASKS),
    Route("/cxs/tasks/bulk", BulkResource, (_BULK,)),
    Route("/cxs/tasks/purge", PurgeResource, (_PURGE,)),
    Route("/cxs/tasks/events", EventsResource, (_EVENTS,)),
    Route("/cxs/tasks/{task_id}", TaskResource, _TASK),
    Route("/cxs/tasks/{task_id}/retry", RetryResource, (_RETRY,)),
    Route("/cxs/tasks/{task_id}/resume", ResumeResource, (_RESUME,)),
    Route("/cxs/tasks/{task_id}/config", ConfigResource, (_CONFIG,)),
    Route("/cxs/tasks/{task_id}/run", RunResource, (_RUN,)),
    Route("/cxs/tasks/{task_id}/history", HistoryResource, (_HISTORY,)),
    Route("/cxs/tasks/{task_id}/explain", ExplainResource, (_EXPLAIN,)),
    Route("/cxs/nodes", NodesResource, (_NODES,)),
    Route("/cxs/nodes/{node_id}/executor", NodeExecutorResource, (_NODE_EXECUTOR,)),
    Route("/cxs/types", TypesResource, (_TYPES,)),
    Route("/cxs/audit", AuditResource, (_AUDIT,), private=True),
    Route("/cxs/tokens", TokensResource, _TOKENS, private=True),
    Route("/cxs/tokens/{token_id}", TokenResource, (_REVOKE,), private=True),
)
