"""
The error tree.

    SchedulerError
    ├── InvalidTask          (ValueError)    a definition or an edit breaks a rule
    ├── TaskNotFound         (LookupError)   no task has that id
    ├── NodeNotFound         (LookupError)   no live node has that id
    ├── NodeUnavailable                      a node did not do in time what it was asked
    ├── InvalidTransition                    the task's state does not allow the step
    ├── Conflict                             the id is taken, or a race was lost
    ├── WatchRefused                         this process takes no more watches now
    ├── LeaseLost                            this run is no longer the owner of its task
    ├── ConfigurationError   (ValueError)    settings, versions, mapping or permissions are wrong: a person must act
    └── StoreUnavailable     (ConnectionError) the store did not answer; the work may or may not be done
        └── StoreRefused                     the store answered that it will not do it now; nothing was done
"""

from __future__ import annotations

from collections.abc import Iterable


class SchedulerError(Exception):
    """
    The base of every error this package raises on purpose.
    """


class InvalidTask(SchedulerError, ValueError):
    """
    A task definition or an edit breaks a rule; the message says which, what came and what was expected.
    """


class TaskNotFound(SchedulerError, LookupError):
    """
    No task has this id.
    """

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task not found: {task_id}")
        self.task_id = task_id


class NodeNotFound(SchedulerError, LookupError):
    """
    No live node has this id; the message names those there are.
    """

    def __init__(self, node_id: str, known: Iterable[str] = ()) -> None:
        super().__init__(f"Node not found: {node_id}; there are: {', '.join(sorted(set(known))) or 'none'}")
        self.node_id = node_id


class NodeUnavailable(SchedulerError):
    """
    A node did not do in time what it was asked; the message says whether it may do it yet.
    """


class InvalidTransition(SchedulerError):
    """
    The task's state does not allow this step.
    """

    def __init__(self, task_id: str, current: str, target: str) -> None:
        super().__init__(f"Task {task_id} is {current} and cannot become {target}")
        self.task_id = task_id
        self.current = current
        self.target = target


class Conflict(SchedulerError):
    """
    The id is taken already, or another writer was faster each time.
    """


class LeaseLost(SchedulerError):
    """
    This run does not own its task any more: its node's lease ended, or the task was cancelled, deleted or taken over.
    """


class WatchRefused(SchedulerError):
    """
    Too many watch this process, or it is stopping: watch another one, or try again later.
    """


class ConfigurationError(SchedulerError, ValueError):
    """
    Something a person must put right: settings, versions, mapping or permissions.
    """


class StoreUnavailable(SchedulerError, ConnectionError):
    """
    The store did not answer in time or could not be reached; whether a write was done is unknown.
    """


class StoreRefused(StoreUnavailable):
    """
    The store answered that it does not do this now (overload, write block, full disk); nothing was done.
    """
