"""
What the pages' forms do: one task, or all that a filter finds. Each ends with the way back to a page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

import falcon

from unomi_scheduler import BulkAction, InvalidTask, Scheduler, Selection

from .door import form_of
from .noting import note
from .pages import Page

_STEPS: Mapping[str, Callable[[Scheduler, str], object]] = {
    "run": lambda scheduler, task_id: scheduler.run_now(task_id),
    "retry": lambda scheduler, task_id: scheduler.retry_task(task_id, reset_failure_count=True),
    "resume": lambda scheduler, task_id: scheduler.resume_task(task_id),
    "cancel": lambda scheduler, task_id: scheduler.cancel_task(task_id),
    "enable": lambda scheduler, task_id: scheduler.update_task_config(task_id, enabled=True),
    "disable": lambda scheduler, task_id: scheduler.update_task_config(task_id, enabled=False),
    "delete": lambda scheduler, task_id: scheduler.delete_task(task_id),
}
BULK_ACTIONS = tuple(str(action) for action in BulkAction)


class TaskAction(Page):
    """
    `/tasks/{id}/{action}`.
    """

    def on_post(self, req: falcon.Request, resp: falcon.Response, task_id: str, action: str) -> None:
        """
        Do it, and go back to the task; to the list where it is gone.
        """
        step = _STEPS.get(action)
        if step is None:
            raise falcon.HTTPNotFound(title="Not found", description=f"There is no action {action!r:.40}")
        note(req, action, task_id=task_id)
        changed = step(self.scheduler, task_id) is not False
        req.context.noted["changed_nothing"] = not changed
        home = "/tasks" if action == "delete" else f"/tasks/{quote(task_id, safe='')}"
        see(resp, f"{home}?done={action if changed else 'none'}")


class BulkPage(Page):
    """
    `/bulk`: one action on all tasks that a filter finds, with a look at what it hits before.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Show how many tasks it would be, and the first of them.
        """
        wanted = {name: req.get_param(name) or "" for name in ("action", "status", "type")}
        self._show(req, resp, wanted, dry_run=True)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Do it, and show what became of them.
        """
        form = form_of(req)
        wanted = {name: str(form.get(name, "")) for name in ("action", "status", "type")}
        note(req, "bulk", asked=wanted)
        self._show(req, resp, wanted, dry_run=False)

    def _show(self, req: falcon.Request, resp: falcon.Response, wanted: dict[str, str], *, dry_run: bool) -> None:
        result = self.scheduler.bulk(
            wanted["action"], _selection(wanted), reset_failure_count=wanted["action"] == "retry", dry_run=dry_run
        )
        if not dry_run:
            counts = ("matched", "changed", "unchanged", "failed", "remaining")
            req.context.noted["counts"] = {name: getattr(result, name) for name in counts}
            req.context.each = str(result.action), result.changed_ids
        self.show(req, resp, "bulk.html", wanted=wanted, result=result)


def _selection(wanted: Mapping[str, str]) -> Selection:
    if wanted["action"] not in BULK_ACTIONS:
        raise InvalidTask(f"Invalid action: expected {', '.join(BULK_ACTIONS)}, got {wanted['action']!r:.40}")
    if not wanted["status"] and not wanted["type"]:
        raise InvalidTask("Invalid filter: choose a status or a type, so that it is not every task there is")
    return Selection(status=wanted["status"] or None, task_type=wanted["type"] or None)


def see(resp: falcon.Response, address: str) -> None:
    """
    Send the browser to a page of this site.
    """
    resp.status = falcon.HTTP_303
    resp.location = address


def local(address: str | None) -> str:
    """
    Return an address if it is a page of this site, and the first page otherwise.
    """
    parts = urlsplit(address or "/")
    safe = not parts.scheme and not parts.netloc and parts.path.startswith("/") and "\\" not in (address or "")
    return address if address and safe and not address.startswith("//") else "/"
