"""
Tasks straight from a store, without a server: through a scheduler that is never started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from unomi_scheduler import (
    Conflict,
    InvalidTask,
    InvalidTransition,
    NodeNotFound,
    NodeUnavailable,
    Page,
    Scheduler,
    SchedulerError,
    Settings,
    StoreUnavailable,
    TaskNotFound,
    audit_document,
    history_document,
    node_document,
    task_document,
    token_document,
    type_document,
)

from .account import NO_CONTENT, audited, user
from .failures import Exit, Failure
from .tasks import Document

_EXITS: dict[type[SchedulerError], Exit] = {
    InvalidTask: Exit.USAGE,
    TaskNotFound: Exit.NOT_FOUND,
    InvalidTransition: Exit.WRONG_STATE,
    Conflict: Exit.WRONG_STATE,
    NodeNotFound: Exit.NOT_FOUND,
    NodeUnavailable: Exit.OUT_OF_REACH,
    StoreUnavailable: Exit.OUT_OF_REACH,
}


_MOST_CHANGES = 50
_CREATED, _NOT_FOUND = 201, 404


class StoreTasks:
    """
    The tasks of one store, and those in the memory of its nodes.
    """

    def __init__(self, store: str) -> None:
        with _failures():
            settings = Settings(store=store)
            file = settings.store_file
            if file is not None and not file.exists():
                # Opening it would make it, and a word mistyped would be an empty cluster.
                raise Failure(
                    f"{file} does not exist: expected the file that a node uses (its setting store); "
                    "the first node makes it",
                    Exit.OUT_OF_REACH,
                )
            self._scheduler = Scheduler(settings)

    def page(self, **query: Any) -> Document:
        """
        Return a page of tasks.
        """
        names = {"type": "task_type", "sortBy": "sort_by"}
        with _failures():
            page = self._scheduler.find_tasks(**{names.get(name, name): value for name, value in query.items()})
            return _page(page, task_document)

    def task(self, task_id: str) -> Document:
        """
        Return a task.
        """
        with _failures():
            return task_document(self._scheduler.get_task(task_id))

    def cancel(self, task_id: str) -> None:
        """
        Cancel a task.
        """
        with _failures(), audited(self._scheduler, "cancel", status=NO_CONTENT, task_id=task_id):
            self._scheduler.cancel_task(task_id, strict=True)

    def delete(self, task_id: str) -> None:
        """
        Remove a task.
        """
        with _failures(), audited(self._scheduler, "delete", status=NO_CONTENT, task_id=task_id):
            self._scheduler.delete_task(task_id)

    def retry(self, task_id: str, *, reset: bool) -> Document:
        """
        Retry a task.
        """
        asked = {"resetFailureCount": reset}
        with _failures(), audited(self._scheduler, "retry", task_id=task_id, asked=asked):
            return task_document(self._scheduler.retried(task_id, reset_failure_count=reset, strict=True).task)

    def resume(self, task_id: str) -> Document:
        """
        Let a task go on.
        """
        with _failures(), audited(self._scheduler, "resume", task_id=task_id):
            return task_document(self._scheduler.resumed(task_id, strict=True).task)

    def run(self, task_id: str) -> Document:
        """
        Ask for a run now.
        """
        with _failures(), audited(self._scheduler, "run", task_id=task_id):
            return task_document(self._scheduler.run_now(task_id))

    def configure(self, task_id: str, **changes: Any) -> Document:
        """
        Change a definition.
        """
        values = {_in_python(name): value for name, value in changes.items()}
        with _failures(), audited(self._scheduler, "config", task_id=task_id, asked=changes):
            return task_document(self._scheduler.update_task_config(task_id, **values))

    def purge(self, days: int) -> int:
        """
        Remove what completed so many days ago.
        """
        with _failures(), audited(self._scheduler, "purge", asked={"days": days}) as row:
            removed = self._scheduler.purge_old_tasks(days)
            row["counts"] = {"count": removed}
            return removed

    def explain(self, task_id: str) -> list[str]:
        """
        Return why a task does not run.
        """
        with _failures():
            return list(self._scheduler.explain(task_id))

    def history(self, task_id: str, *, offset: int, limit: int) -> Document:
        """
        Return a page of runs.
        """
        with _failures():
            runs = _page(self._scheduler.history(task_id, offset, limit), history_document)
            changes = () if offset else self._scheduler.audit.page(task_id=task_id, limit=_MOST_CHANGES).list
            return {**runs, "changes": [audit_document(row) for row in changes]}

    def nodes(self) -> list[Document]:
        """
        Return the nodes.
        """
        with _failures():
            return [node_document(one) for one in sorted(self._scheduler.nodes(), key=lambda node: node.node_id)]

    def types(self) -> list[Document]:
        """
        Return the types.
        """
        with _failures():
            nodes = self._scheduler.nodes()
            return [type_document(one, nodes) for one in self._scheduler.task_types()]

    def set_executor(self, node_id: str, *, enabled: bool) -> None:
        """
        Tell a node.
        """
        with _failures():
            self._scheduler.set_executor_node(node_id, enabled=enabled)

    def metrics(self) -> dict[str, float]:
        """
        Refuse: each node counts for itself.
        """
        raise Failure(
            "the counters are in the memory of each node, not in the store: ask a server, unomi-task --url URL metrics",
            Exit.USAGE,
        )

    def audit(self, *, task_id: str | None, who: str | None, offset: int, limit: int) -> Document:
        """
        Return a page of the audit.
        """
        with _failures():
            page = self._scheduler.audit.page(task_id=task_id, who=who, offset=offset, limit=limit)
            return _page(page, audit_document)

    def tokens(self) -> list[Document]:
        """
        Return the tokens.
        """
        with _failures():
            return [token_document(token) for token in self._scheduler.tokens.all()]

    def make_token(self, name: str, roles: Sequence[str], *, days: int) -> Document:
        """
        Make a token.
        """
        asked = {"name": name, "roles": roles, "days": days}
        with _failures(), audited(self._scheduler, "create token", status=_CREATED, asked=asked) as row:
            token, text = self._scheduler.tokens.make(name, roles, created_by=user(), days=days)
            row["token_id"] = token.id
            return {**token_document(token), "token": text}

    def revoke_token(self, token_id: str) -> None:
        """
        Revoke a token.
        """
        with _failures():
            with audited(self._scheduler, "revoke token", status=NO_CONTENT, token_id=token_id) as row:
                if self._scheduler.tokens.revoke(token_id) is not None:
                    return
                row["status"] = _NOT_FOUND
            raise Failure(f"Token not found: {token_id}", Exit.NOT_FOUND)


def _page(page: Page[Any], document: Callable[[Any], Document]) -> Document:
    return {
        "list": [document(one) for one in page.list],
        "offset": page.offset,
        "pageSize": page.page_size,
        "totalSize": page.total_size,
        "totalSizeRelation": page.total_size_relation,
    }


def _in_python(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except SchedulerError as error:
        code = next((_EXITS[kind] for kind in type(error).__mro__ if kind in _EXITS), Exit.FAILED)
        raise Failure(str(error), code) from error
