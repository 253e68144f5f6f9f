"""
The pages: each asks the scheduler, has `views` work it out, and fills a template.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import falcon
import jinja2

from unomi_scheduler import Clock, Scheduler, TaskStatus, task_document

from .. import parameters
from . import views, words
from .door import session_of

_LATEST = 8
_FAILED = 500
_RUNS = 50
_TITLES = {
    "run": "Run now",
    "retry": "Retry",
    "resume": "Resume",
    "cancel": "Cancel",
    "enable": "Enable",
    "disable": "Disable",
    "delete": "Delete",
}
DONE = {
    "run": "A run is asked for.",
    "retry": "Scheduled for another try.",
    "resume": "It goes on from its checkpoint.",
    "cancel": "Cancelled.",
    "enable": "Enabled.",
    "disable": "Disabled: it runs no more until it is enabled.",
    "delete": "Removed.",
    "none": "Nothing changed: its state does not allow that any more.",
}
"""What a page says after an action."""


class Templates:
    """
    The templates and what they may use.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("unomi_rest.dashboard"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "duration": words.duration,
            "count": words.count,
            "moment": words.moment,
            "machine_moment": words.machine_moment,
            "pretty": _pretty,
        }
        self._environment.globals |= {"titles": _TITLES, "statuses": list(TaskStatus)}

    def show(self, resp: falcon.Response, name: str, **values: Any) -> None:
        """
        Answer with a page.
        """
        now = self._clock.now().wall
        template = self._environment.get_template(name)
        resp.content_type = falcon.MEDIA_HTML
        resp.text = template.render(now=now, ago=lambda millis: words.relative(millis, now), **values)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


class Page:
    """
    What all pages have: the scheduler and the templates.
    """

    def __init__(self, scheduler: Scheduler, templates: Templates) -> None:
        self.scheduler = scheduler
        self.templates = templates

    def show(self, req: falcon.Request, resp: falcon.Response, name: str, **values: Any) -> None:
        """
        Answer with a page for the one who is signed in.
        """
        done = DONE.get(req.get_param("done") or "")
        self.templates.show(resp, name, session=session_of(req), address=req.relative_uri, done=done, **values)


class Overview(Page):
    """
    `/`: how it all stands.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Show counts, what runs, what is due, what failed, and the nodes.
        """
        find = self.scheduler.find_tasks
        running = find(status=TaskStatus.RUNNING, limit=_LATEST, sort_by="last_execution_date:desc")
        due = find(status=TaskStatus.SCHEDULED, limit=_LATEST, sort_by="next_scheduled_execution")
        failed = find(status=TaskStatus.FAILED, limit=_FAILED, sort_by="last_execution_date:desc")
        types = self.scheduler.task_types()
        self.show(
            req,
            resp,
            "overview.html",
            activity=[asdict(one) for one in self.scheduler.activity()],
            counts=views.counts_of(types),
            runs=sum(one.runs for one in types),
            failures=sum(one.failures for one in types),
            running=running,
            due=due,
            failed=failed,
            groups=views.grouped(failed.list),
            nodes=sorted(self.scheduler.nodes(), key=lambda node: node.node_id),
            progress_of=views.progress_of,
        )


class Tasks(Page):
    """
    `/tasks`: the list.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Show a page of the tasks that pass the filters.
        """
        query = views.Query(
            status=req.get_param("status") or "",
            type=req.get_param("type") or "",
            sort=req.get_param("sort") or views.LATEST_FIRST,
            offset=parameters.OFFSET.of(req),
        )
        page = self.scheduler.find_tasks(
            status=query.status or None,
            task_type=query.type or None,
            offset=query.offset,
            limit=query.limit,
            sort_by=query.sort,
        )
        names = sorted(one.task_type for one in self.scheduler.task_types())
        self.show(req, resp, "tasks.html", query=query, page=page, types=names, progress_of=views.progress_of)


class Task(Page):
    """
    `/tasks/{id}`: one task.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response, task_id: str) -> None:
        """
        Show the task, why it does not run, and its runs.
        """
        task = self.scheduler.get_task(task_id)
        self.show(
            req,
            resp,
            "task.html",
            task=task,
            document=task_document(task),
            details=views.details_of(task),
            progress=views.progress_of(task),
            next_runs=views.next_runs(task),
            reasons=self.scheduler.explain(task_id),
            history=self.scheduler.history(task_id, 0, _RUNS),
            actions=views.actions_of(task),
        )


class Nodes(Page):
    """
    `/nodes`.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Show the nodes of the cluster.
        """
        nodes = sorted(self.scheduler.nodes(), key=lambda node: (node.node_id, node.started_at))
        self.show(req, resp, "nodes.html", nodes=nodes)


class Types(Page):
    """
    `/types`.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Show the task types and how their runs of the last hour went.
        """
        rows = views.type_rows(self.scheduler.task_types(), self.scheduler.nodes())
        self.show(req, resp, "types.html", rows=rows)


class AuditPage(Page):
    """
    `/audit`, for administrators: it shows addresses.
    """

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Show who changed what, the newest first.
        """
        if not session_of(req).may_change:
            raise falcon.HTTPForbidden(
                title="Not allowed", description="The audit shows addresses: it is for the role ADMINISTRATOR alone"
            )
        offset, who = parameters.OFFSET.of(req), req.get_param("who") or ""
        page = self.scheduler.audit.page(who=who or None, offset=offset, limit=_RUNS)
        self.show(req, resp, "audit.html", page=page, offset=offset, size=_RUNS, who=who)


PAGES: tuple[tuple[str, Callable[[Scheduler, Templates], Page]], ...] = (
    ("/", Overview),
    ("/tasks", Tasks),
    ("/tasks/{task_id}", Task),
    ("/nodes", Nodes),
    ("/types", Types),
    ("/audit", AuditPage),
)
