"""
The tasks: each resource takes the scheduler, reads its parameters, calls one operation and answers.
"""

from __future__ import annotations

from urllib.parse import quote

import falcon

from unomi_scheduler import AuditRow, InvalidTask, Scheduler, history_document, task_document

from . import parameters
from .access import change_document
from .bodies import read_body, read_optional_body
from .pages import page_document, send
from .parameters import task_query
from .problems import InvalidParameter
from .schemas import ConfigChange, TaskDefinition

MOST_CHANGES = 50


class _Resource:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler


class TasksResource(_Resource):
    """
    All tasks, persistent and in memory: `GET` and `POST /cxs/tasks`.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer a page of the tasks that pass all filters.
        """
        send(resp, page_document(self._scheduler.find_tasks(**task_query(req)), task_document))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Make a task.
        """
        definition = read_body(req, TaskDefinition).definition()
        if definition.get("persistent") is False and not self._scheduler.running:
            raise InvalidTask(
                "Invalid persistent: expected true, as a memory task lives in the process that is asked, and this one "
                "runs no node; ask one that does"
            )
        task = self._scheduler.schedule_task(self._scheduler.create_task(**definition))
        resp.context.subjects = {"task_id": task.id}
        resp.status = falcon.HTTP_201
        resp.location = f"{req.path}/{quote(task.id, safe='')}"
        send(resp, task_document(task))


class TaskResource(_Resource):
    """
    One task: `GET` and `DELETE /cxs/tasks/{id}`.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Answer the task.
        """
        send(resp, task_document(self._scheduler.get_task(task_id)))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Cancel the task and keep its document, or remove it with `remove=true`; `strict=true` makes a no-op a 409.
        """
        remove, strict = parameters.REMOVE.of(req), parameters.STRICT.of(req)
        if remove:
            self._scheduler.delete_task(task_id)
        else:
            self._scheduler.cancel_task(task_id, strict=strict)
        resp.status = falcon.HTTP_204


class RetryResource(_Resource):
    """
    `POST /cxs/tasks/{id}/retry`.
    """

    def on_post(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Schedule a FAILED task for now, and answer it as this very write left it.
        """
        reset, strict = parameters.RESET_FAILURE_COUNT.of(req), parameters.STRICT.of(req)
        send(resp, task_document(self._scheduler.retried(task_id, reset_failure_count=reset, strict=strict).task))


class ResumeResource(_Resource):
    """
    `POST /cxs/tasks/{id}/resume`.
    """

    def on_post(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Let a CRASHED task go on from its checkpoint, and answer it as this very write left it.
        """
        send(resp, task_document(self._scheduler.resumed(task_id, strict=parameters.STRICT.of(req)).task))


class ConfigResource(_Resource):
    """
    `PUT /cxs/tasks/{id}/config`.
    """

    def on_put(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Change parts of a task's definition: what the query and the body say.
        """
        changes = read_optional_body(req, ConfigChange).changes()
        for name, parameter in (("max_retries", parameters.MAX_RETRIES), ("retry_delay", parameters.RETRY_DELAY)):
            value = parameter.of(req)
            if value is not None and name in changes:
                raise InvalidParameter(parameter.name, str(value), "it in the query or in the body, not in both")
            if value is not None:
                changes[name] = value
        send(resp, task_document(self._scheduler.update_task_config(task_id, **changes)))


class RunResource(_Resource):
    """
    `POST /cxs/tasks/{id}/run`.
    """

    def on_post(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Ask for one run at once, beside the schedule.
        """
        send(resp, task_document(self._scheduler.run_now(task_id)))


class HistoryResource(_Resource):
    """
    `GET /cxs/tasks/{id}/history`.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Answer a page of the task's runs, the newest first; also of a task that is gone, while its rows are kept. The
        newest changes by people stand beside those of the first page.
        """
        offset, limit = parameters.OFFSET.of(req), parameters.LIMIT.of(req)
        runs = page_document(self._scheduler.history(task_id, offset, limit), history_document)
        changes = () if offset else self._changes(task_id)
        send(resp, {**runs, "changes": [change_document(row) for row in changes]})

    def _changes(self, task_id: str) -> tuple[AuditRow, ...]:
        # Whoever may look may look often: no refresh for it.
        return self._scheduler.audit.page(task_id=task_id, limit=MOST_CHANGES, refresh=False).list


class ExplainResource(_Resource):
    """
    `GET /cxs/tasks/{id}/explain`.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Answer why the task does not run, or when it will, in sentences.
        """
        send(resp, {"itemId": task_id, "reasons": self._scheduler.explain(task_id)})
