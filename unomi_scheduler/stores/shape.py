"""
The shape of a task document: wire names and types (contract section 1).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, with_config
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from ..model import DependencyPolicy, TaskStatus, TimeUnit
from ..timestamps import from_iso

ITEM_TYPE = "scheduledTask"
HISTORY_KEY = "executionHistory"
DERIVED = frozenset({"itemType", "partition", "dueDate", "statusOrder", "totalExecutionCount", "quarantineReason"})
"""What is derived at each write, for searches alone, and never read back."""


def _to_millis(value: object) -> object:
    return from_iso(value) if isinstance(value, str) else value


def _to_tuple(value: object) -> object:
    # The original writes sets as arrays; a null set is an empty one.
    return () if value is None else value


Date = Annotated[int, BeforeValidator(_to_millis)]
Names = Annotated[tuple[str, ...], BeforeValidator(_to_tuple)]
_SPECIAL = {"id": "itemId", "history": HISTORY_KEY}


def wire_name(name: str) -> str:
    """
    Return how a field of `Task` is called in a document.
    """
    return _SPECIAL.get(name) or to_camel(name)


@with_config(ConfigDict(alias_generator=wire_name, extra="allow"))
class TaskDocument(TypedDict, total=False):
    """
    The shape of a task document; a missing field takes the default of `Task`.
    """

    id: str
    task_type: str
    creation_date: Date
    parameters: dict[str, Any] | None
    initial_delay: int
    initial_delay_unit: TimeUnit
    period: int
    time_unit: TimeUnit
    fixed_rate: bool
    one_shot: bool
    allow_parallel_execution: bool
    persistent: bool
    run_on_all_nodes: bool
    system_task: bool
    max_retries: int
    retry_delay: int
    max_crashes: int
    keep_checkpoint: bool
    depends_on: Names
    dependency_policy: DependencyPolicy
    on_nodes: Names
    on_tags: Names
    enabled: bool
    all_nodes_of: str | None
    all_nodes_period: Date | None
    status: TaskStatus
    status_details: dict[str, Any] | None
    current_step: str | None
    checkpoint_data: dict[str, Any] | None
    next_scheduled_execution: Date | None
    last_execution_date: Date | None
    last_executed_by: str | None
    last_error: str | None
    failure_count: int
    success_count: int
    crash_count: int
    waiting_for_task_type: str | None
    waiting_on_tasks: Names
    dependents: Names
    run_requests: int
    run_requested_at: Date | None
    resume_requested: bool
    delete_requested: bool
    history_flushed: int
    lock_owner: str | None
    lock_date: Date | None
    lock_lease_millis: int
    executing_node_id: str | None
    owner_incarnation: str | None
    claim_id: str | None
    fence: int


DATES = frozenset(name for name, kind in TaskDocument.__annotations__.items() if "Date" in str(kind))
"""The fields of `Task` that are dates in a document and epoch milliseconds inside."""
