"""
The resources: each takes the scheduler, reads its parameters, calls one operation and answers.
"""

from __future__ import annotations

import falcon

from unomi_scheduler import Scheduler, task_document

from .pages import page_document, send
from .parameters import flag, task_query


class TasksResource:
    """
    All tasks, persistent and in memory: `GET /cxs/tasks`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer a page of the tasks that pass all filters.
        """
        send(resp, page_document(self._scheduler.find_tasks(**task_query(req))))


class TaskResource:
    """
    One task: `GET` and `DELETE /cxs/tasks/{id}`.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Answer the task.
        """
        send(resp, task_document(self._scheduler.get_task(task_id)))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Cancel the task and keep its document, or remove it with `remove=true`; `strict=true` makes a no-op a 409.
        """
        remove, strict = flag(req, "remove"), flag(req, "strict")
        if remove:
            self._scheduler.delete_task(task_id)
        else:
            self._scheduler.cancel_task(task_id, strict=strict)
        resp.status = falcon.HTTP_204
