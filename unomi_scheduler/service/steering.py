"""
Steering: what is asked of another node, and what this one does when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from ..errors import NodeNotFound, SchedulerError, TaskNotFound
from ..model import Heartbeat, Json, JsonObject, Task, evolve
from ..rules.orders import EXECUTOR, Order
from ..stores.documents import decode_task
from ..stores.memory_notes import plain_document
from .changing import Changing, Edited
from .definitions import edit_values
from .ordering import failure_document, give, raise_outcome
from .wiring import Wiring


class Steering(Changing):
    """
    The part of a scheduler that reaches the nodes of other processes: by an order in the node's inbox.

    A request for a memory task of another node waits for the node's answer: mostly a heartbeat interval (a third of the
    lease) at most. A node that does not answer gives `NodeUnavailable`, and the order is withdrawn.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._actions: dict[str, Callable[[str, JsonObject], JsonObject]] = {
            "cancel": lambda task_id, given: _edited(Changing.cancelled(self, task_id, strict=_strict(given))),
            "retry": lambda task_id, given: _edited(
                Changing.retried(
                    self, task_id, reset_failure_count=bool(given.get("resetFailureCount")), strict=_strict(given)
                )
            ),
            "resume": lambda task_id, given: _edited(Changing.resumed(self, task_id, strict=_strict(given))),
            "run": lambda task_id, _: _edited(Edited(Changing.run_now(self, task_id), changed=True)),
            "change": lambda task_id, given: _edited(
                Edited(Changing.update_task_config(self, task_id, **_changes(given)), changed=True)
            ),
            "delete": self._delete_here,
        }
        wiring.obey = self._obey

    def set_executor_node(self, node_id: str, enabled: bool) -> None:  # noqa: FBT001 - reads well: set_executor_node("a", False)
        """
        Let a node of the cluster run tasks, or nothing but what is for all nodes; what runs goes on to its end.

        It lasts until the node restarts: its setting `executor_node` decides then. The node of this process does it at
        once, another one mostly within a third of its lease; `nodes()` shows it.

        Raises:
            NodeNotFound: no live node has this id.
            NodeUnavailable: the node did not answer.
            StoreUnavailable: the store did not answer.
        """
        node = self._wiring.node
        if node.running and node_id == self.node_id:
            node.set_executor_node(enabled=enabled)
        elif self._wiring.store() is None:
            raise NodeNotFound(node_id, [self.node_id] if node.running else [])
        else:
            self._order(self._elsewhere.node(node_id), EXECUTOR, {"enabled": enabled})

    # --- what is asked

    def cancelled(self, task_id: str, *, strict: bool = False) -> Edited:
        """
        Cancel as `cancel_task` does, and return the task.
        """
        here = partial(super().cancelled, task_id, strict=strict)
        return self._wherever(here, task_id, "cancel", {"strict": strict})

    def retried(self, task_id: str, *, reset_failure_count: bool = False, strict: bool = False) -> Edited:
        """
        Retry as `retry_task` does, and return the task.
        """
        here = partial(super().retried, task_id, reset_failure_count=reset_failure_count, strict=strict)
        return self._wherever(here, task_id, "retry", {"resetFailureCount": reset_failure_count, "strict": strict})

    def resumed(self, task_id: str, *, strict: bool = False) -> Edited:
        """
        Resume as `resume_task` does, and return the task.
        """
        here = partial(super().resumed, task_id, strict=strict)
        return self._wherever(here, task_id, "resume", {"strict": strict})

    def run_now(self, task_id: str) -> Task:
        """
        Ask for one run at once, beside the schedule, and return the task; a running task runs once more afterwards.

        Raises:
            TaskNotFound: no task has this id.
            InvalidTransition: it is cancelled, or waits for other tasks.
            NodeUnavailable: it is in the memory of another node, which did not answer.
        """
        run = super().run_now
        return self._wherever(lambda: Edited(run(task_id), changed=True), task_id, "run", {}).task

    def update_task_config(self, task_id: str, **changes: Any) -> Task:
        """
        Change parts of a task's definition and return the task; None means unchanged.

        Args:
            changes: `max_retries`, `retry_delay` (ms or a timedelta), `enabled`, `parameters`, `period` (a timedelta,
                `(number, unit)` or a number in the task's unit), and the others of `rules.requests.EDITABLE`.

        Raises:
            TaskNotFound: no task has this id.
            InvalidTask: a field cannot be edited, or a value breaks a rule.
            NodeUnavailable: it is in the memory of another node, which did not answer.
        """
        change = super().update_task_config
        return self._wherever(
            lambda: Edited(change(task_id, **changes), changed=True),
            task_id,
            "change",
            {"changes": edit_values(changes)},
        ).task

    def delete_task(self, task_id: str) -> None:
        """
        Cancel a task and remove it: now, or by its node when the run in flight has returned.

        Raises:
            TaskNotFound: no task has this id.
            Conflict, StoreUnavailable: the request was not written, or it is not known.
            NodeUnavailable: it is in the memory of another node, which did not answer.
        """
        try:
            super().delete_task(task_id)
        except TaskNotFound:
            beat = self._holder(task_id)
            self._order(beat, "delete", {"taskId": task_id})
            self._elsewhere.learn(beat.node_id, task_id, None)

    def _wherever(self, here: Callable[[], Edited], task_id: str, action: str, given: JsonObject) -> Edited:
        # Here and in the store first: only what is in neither costs a look at the other nodes.
        try:
            return here()
        except TaskNotFound:
            beat = self._holder(task_id)
        outcome = self._order(beat, action, {"taskId": task_id, **given})
        task = decode_task(_document(outcome))
        self._elsewhere.learn(beat.node_id, task_id, task)
        return Edited(evolve(task, executing_node_id=beat.node_id), changed=outcome.get("changed") is True)

    def _holder(self, task_id: str) -> Heartbeat:
        beat = self._elsewhere.holder(task_id)
        if beat is None:
            raise TaskNotFound(task_id)
        return beat

    def _order(self, beat: Heartbeat, action: str, arguments: JsonObject) -> JsonObject:
        order = Order(id=uuid4().hex, action=action, arguments=arguments, by=self.node_id, at=self._now())
        outcome = give(self._wiring.required_store(), beat, order, clock=self._wiring.clock)
        raise_outcome(outcome)
        return outcome

    # --- what this node is asked

    def _obey(self, order: Order) -> JsonObject:
        task_id, action = str(order.arguments.get("taskId")), self._actions.get(order.action)
        if action is None:
            unknown = f"Node {self.node_id} does not know the order {order.action!r}: another version runs there"
            return failure_document(SchedulerError(unknown))
        if self._wiring.memory_get(task_id) is None:
            return failure_document(TaskNotFound(task_id))
        try:
            return action(task_id, order.arguments)
        except SchedulerError as error:
            return failure_document(error)

    def _delete_here(self, task_id: str, _given: JsonObject) -> JsonObject:
        Changing.delete_task(self, task_id)
        return {"changed": True}


def _strict(given: JsonObject) -> bool:
    return given.get("strict") is True


def _changes(given: JsonObject) -> dict[str, Any]:
    changes = given.get("changes")
    return dict(changes) if isinstance(changes, dict) else {}


def _edited(edited: Edited) -> JsonObject:
    return {"task": plain_document(edited.task), "changed": edited.changed}


def _document(outcome: JsonObject) -> dict[str, Json]:
    document = outcome.get("task")
    return document if isinstance(document, dict) else {}
