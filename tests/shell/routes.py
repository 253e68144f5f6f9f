"""
The requests that steer, answered as the table of the surface says, wherever REST has no route of its own for them yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import falcon
from pydantic.alias_generators import to_camel

from unomi_rest import problems
from unomi_rest.app import App
from unomi_scheduler import Heartbeat, Scheduler, history_document, task_document
from unomi_shell.snapshot import iso


class _Part:
    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler


class _Retry(_Part):
    def on_post(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        reset, strict = req.get_param_as_bool("resetFailureCount"), req.get_param_as_bool("strict")
        edited = self.scheduler.retried(task_id, reset_failure_count=bool(reset), strict=bool(strict))
        resp.media = task_document(edited.task)


class _Resume(_Part):
    def on_post(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        resp.media = task_document(self.scheduler.resumed(task_id, strict=bool(req.get_param_as_bool("strict"))).task)


class _Run(_Part):
    def on_post(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        resp.media = task_document(self.scheduler.run_now(task_id))


class _Config(_Part):
    def on_put(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        more = req.get_media() if req.content_length else {}
        resp.media = task_document(
            self.scheduler.update_task_config(
                task_id,
                max_retries=req.get_param_as_int("maxRetries"),
                retry_delay=req.get_param_as_int("retryDelay"),
                enabled=more.get("enabled"),
            )
        )


class _Explain(_Part):
    def on_get(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        resp.media = {"reasons": self.scheduler.explain(task_id)}


class _History(_Part):
    def on_get(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        offset, limit = req.get_param_as_int("offset"), req.get_param_as_int("limit")
        page = self.scheduler.history(task_id, offset or 0, 50 if limit is None else limit)
        resp.media = {
            "list": [history_document(row) for row in page.list],
            "offset": page.offset,
            "pageSize": page.page_size,
            "totalSize": page.total_size,
            "totalSizeRelation": page.total_size_relation,
        }


class _Purge(_Part):
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"count": self.scheduler.purge_old_tasks(req.get_param_as_int("days"))}


class _Nodes(_Part):
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"list": [_node(one) for one in self.scheduler.nodes()]}


def _node(node: Heartbeat) -> dict[str, object]:
    dates = {"startedAt": iso(node.started_at), "beatAt": iso(node.beat_at)}
    return {to_camel(name): value for name, value in asdict(node).items()} | dates


_TABLE = {
    "/cxs/tasks/purge": _Purge,
    "/cxs/tasks/{task_id}/retry": _Retry,
    "/cxs/tasks/{task_id}/resume": _Resume,
    "/cxs/tasks/{task_id}/run": _Run,
    "/cxs/tasks/{task_id}/config": _Config,
    "/cxs/tasks/{task_id}/explain": _Explain,
    "/cxs/tasks/{task_id}/history": _History,
    "/cxs/nodes": _Nodes,
}


def complete(real: App, scheduler: Scheduler) -> WSGIApplication:
    """
    Return REST with answers to what the table promises and it has no route for.
    """
    more: App = falcon.App()
    problems.install(more)
    for path, resource in _TABLE.items():
        more.add_route(path, resource(scheduler))

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        promised = _template(more, path)
        is_missing = promised is not None and promised != _template(real, path)
        return (more if is_missing else real)(environ, start)

    return answer


def _template(app: App, path: str) -> object:
    found = app._router.find(path)
    return found[-1] if found else None
