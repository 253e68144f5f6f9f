"""
Management beside single tasks: many tasks at once, the purge, the nodes and the types.
"""

from __future__ import annotations

import falcon

from unomi_scheduler import Scheduler, TypeSummary, bulk_document, node_document, type_document

from . import parameters
from .bodies import read_body
from .pages import send
from .schemas import BulkOrder


class BulkResource:
    """
    `POST /cxs/tasks/bulk`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Do one thing to many tasks, or tell which they would be.
        """
        order, dry_run = read_body(req, BulkOrder), parameters.DRY_RUN.of(req)
        result = self._scheduler.bulk(
            order.action,
            order.filter.selection(),
            reset_failure_count=order.reset_failure_count,
            dry_run=order.dry_run or dry_run,
        )
        document = bulk_document(result)
        resp.context.counts = {name: value for name, value in document.items() if type(value) is int}
        resp.context.changed_nothing = result.dry_run
        resp.context.each = str(result.action), result.changed_ids
        send(resp, document)


class PurgeResource:
    """
    `POST /cxs/tasks/purge`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Remove tasks that completed long ago, and answer how many.
        """
        removed = {"count": self._scheduler.purge_old_tasks(parameters.DAYS.of(req))}
        resp.context.counts = removed
        send(resp, removed)


class NodesResource:
    """
    `GET /cxs/nodes`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer the nodes of the cluster that no peer declared dead, by id.
        """
        nodes = sorted(self._scheduler.nodes(), key=lambda node: (node.node_id, node.started_at))
        send(resp, {"list": [node_document(node) for node in nodes], "totalSize": len(nodes)})


class NodeExecutorResource:
    """
    `PUT /cxs/nodes/{id}/executor`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_put(self, req: falcon.Request, resp: falcon.Response, node_id: str) -> None:
        """
        Let a node run tasks, or no longer, until it restarts.
        """
        enabled = parameters.ENABLED.of(req)
        self._scheduler.set_executor_node(node_id, enabled=enabled)
        send(resp, {"nodeId": node_id, "executorNode": enabled})


class TypesResource:
    """
    `GET /cxs/types`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer each task type: its tasks by state, who can run it, and how its runs of the last hour went.
        """
        nodes = self._scheduler.nodes()
        known = {one.task_type: one for one in self._scheduler.task_types()}
        names = sorted({*known, *(name for node in nodes for name in node.task_types)})
        types = [type_document(known.get(name) or TypeSummary(task_type=name), nodes) for name in names]
        send(resp, {"list": types, "totalSize": len(types)})
