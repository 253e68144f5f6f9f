"""
Where the commands get their tasks: from REST, or straight from a store. Both answer the same JSON documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Document = dict[str, Any]


class Tasks(Protocol):
    """
    What the commands need. Every verb may raise `Failure`.
    """

    def page(self, **query: Any) -> Document:
        """
        Return a page as `GET /cxs/tasks` answers it, for the same parameters.
        """
        ...

    def task(self, task_id: str) -> Document:
        """
        Return a task.
        """
        ...

    def cancel(self, task_id: str) -> None:
        """
        Cancel a task; one that cannot be cancelled any more is a failure.
        """
        ...

    def delete(self, task_id: str) -> None:
        """
        Cancel a task and remove it.
        """
        ...

    def retry(self, task_id: str, *, reset: bool) -> Document:
        """
        Retry a task and return it; one that has not failed is a failure.
        """
        ...

    def resume(self, task_id: str) -> Document:
        """
        Let a task go on and return it; one that has not crashed is a failure.
        """
        ...

    def run(self, task_id: str) -> Document:
        """
        Ask for a run now and return the task.
        """
        ...

    def configure(self, task_id: str, **changes: Any) -> Document:
        """
        Change a definition, by the names of its document (`retryDelay` in ms), and return the task.
        """
        ...

    def purge(self, days: int) -> int:
        """
        Remove what completed so many days ago, and return how many.
        """
        ...

    def explain(self, task_id: str) -> list[str]:
        """
        Return why a task does not run, or when it will.
        """
        ...

    def history(self, task_id: str, *, offset: int, limit: int) -> Document:
        """
        Return a page of runs as `GET /cxs/tasks/{id}/history` answers it, with `changes` on the first.
        """
        ...

    def nodes(self) -> list[Document]:
        """
        Return the nodes that nobody declared dead, by id.
        """
        ...

    def types(self) -> list[Document]:
        """
        Return the task types as `GET /cxs/types` answers them, by name.
        """
        ...

    def set_executor(self, node_id: str, *, enabled: bool) -> None:
        """
        Let a node run tasks, or no longer.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """
        Return the counters of the node that answers, by name.
        """
        ...

    def audit(self, *, task_id: str | None, who: str | None, offset: int, limit: int) -> Document:
        """
        Return a page as `GET /cxs/audit` answers it.
        """
        ...

    def tokens(self) -> list[Document]:
        """
        Return the tokens, the newest first, without their secrets.
        """
        ...

    def make_token(self, name: str, roles: Sequence[str], *, days: int) -> Document:
        """
        Make a token and return it, with its secret as `token`.
        """
        ...

    def revoke_token(self, token_id: str) -> None:
        """
        Revoke a token; one that is not there is a failure.
        """
        ...
