"""
What answers look like: the models that the interface is described by. The answers themselves are made without them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from unomi_scheduler import BulkAction, DependencyPolicy, TaskStatus, TimeUnit, TotalRelation

from .schemas import JsonObject, absent

Date = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Code = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[1-5][0-9]{2}$"})]
Number = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """
    An answer: camelCase, and nothing that is not named here.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class TaskDocument(BaseModel):
    """
    A task. Fields that another program put into its document come too.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    item_id: str
    item_type: str
    task_type: str
    creation_date: Date
    parameters: JsonObject
    initial_delay: int
    initial_delay_unit: TimeUnit = absent(description="Absent where it is timeUnit.")
    period: int
    time_unit: TimeUnit
    fixed_rate: bool
    one_shot: bool
    allow_parallel_execution: bool
    persistent: bool
    run_on_all_nodes: bool
    system_task: bool
    enabled: bool
    max_retries: int
    retry_delay: int = Field(description="Milliseconds.")
    max_crashes: int = absent(description="Absent where it is 5.")
    keep_checkpoint: bool = absent(description="Absent where it is false.")
    depends_on: list[str]
    dependency_policy: DependencyPolicy = absent(description="Absent where it is FAIL.")
    on_nodes: list[str] = absent()
    on_tags: list[str] = absent()
    status: TaskStatus
    status_details: JsonObject = Field(description="With the last ten entries of the history in executionHistory.")
    current_step: str = absent()
    checkpoint_data: JsonObject = absent()
    next_scheduled_execution: Date = absent()
    last_execution_date: Date = absent()
    last_executed_by: str = absent()
    last_error: str = absent()
    failure_count: int
    success_count: int
    crash_count: int = absent()
    waiting_for_task_type: str = absent()
    waiting_on_tasks: list[str]
    dependents: list[str] = absent()
    run_requests: int = absent()
    run_requested_at: Date = absent()
    resume_requested: bool = absent()
    delete_requested: bool = absent()
    history_flushed: int = absent()
    all_nodes_of: str = absent()
    all_nodes_period: Date = absent()
    lock_owner: str = absent()
    lock_date: Date = absent()
    lock_lease_millis: int
    executing_node_id: str = absent()
    owner_incarnation: str = absent()
    claim_id: str = absent()
    fence: int


class HistoryRow(Answer):
    """
    One entry of a history. Without a duration nothing ran.
    """

    id: str
    task_id: str
    task_type: str
    status: str
    end: Date
    claim_id: str = absent()
    fence: int = absent()
    node_id: str = absent()
    start: Date = absent()
    duration: Number = absent(description="Milliseconds.")
    attempt: int = absent()
    error: str = absent()
    previous_owner: str = absent()
    recovery_node: str = absent()
    all_nodes_of: str = absent()
    period: Date = absent()


class _Page(Answer):
    offset: Number
    page_size: Annotated[int, Field(ge=-1, description="The limit that was asked for.")]
    total_size: Number
    total_size_relation: TotalRelation


class TaskPage(_Page):
    """
    A page of tasks.
    """

    list: list[TaskDocument]


class Change(Answer):
    """
    Somebody's change of a task, or an attempt that was refused: what was asked for, and the status of the answer.
    """

    at: Date
    who: str
    action: str
    status: int
    via: Literal["REST", "SHELL"]
    node_id: str = absent()
    token_id: str = absent()
    parameters: JsonObject = absent(description="Cut where they are long, and without secrets.")
    counts: JsonObject = absent(description="What became of many tasks.")


class AuditRow(Change):
    """
    One row of the audit. A task's own page shows it without where it came from.
    """

    id: str
    by_token: str = absent(description="The id of the token that signed in.")
    address: str = absent()
    task_id: str = absent()
    left_out: Number = absent(description="So many rows of such refusals were not written before this one.")


class AuditPage(_Page):
    """
    A page of the audit, the newest first.
    """

    list: list[AuditRow]


class HistoryPage(_Page):
    """
    A page of a history, the newest first. The first page has the newest changes by people beside the runs, up to 50;
    all are in the audit.
    """

    changes: list[Change]
    list: list[HistoryRow]


class Token(Answer):
    """
    A token.
    """

    id: str
    name: str
    roles: list[str]
    created_by: str
    created_at: Date
    expires_at: Date
    last_used_at: Date = absent(description="To the minute.")


class NewToken(Token):
    """
    A token that was just made, with its secret.
    """

    token: Annotated[str, Field(description="Shown this once.", pattern="^us_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$")]


class TokenList(Answer):
    """
    The tokens, the newest first.
    """

    list: list[Token]
    total_size: Number


class Explanation(Answer):
    """
    Why a task does not run, or when it will.
    """

    item_id: str
    reasons: list[str]


class BulkFailure(Answer):
    """
    A task that could not be changed, and why.
    """

    item_id: str
    message: str


class BulkReport(Answer):
    """
    What became of many tasks: matched = changed + unchanged + failed + remaining. One call takes up to 10,000.
    """

    action: BulkAction
    dry_run: bool
    matched: Number
    changed: Number
    unchanged: Number
    failed: Number
    remaining: Number
    ids: Annotated[list[str], Field(max_length=100)]
    errors: Annotated[list[BulkFailure], Field(max_length=100)]


class Count(Answer):
    """
    How many were removed.
    """

    count: Number


class Node(Answer):
    """
    One node of the cluster, as its last heartbeat shows it.
    """

    node_id: str
    incarnation: str
    executor_node: bool
    tags: list[str]
    task_types: list[str]
    running: Number
    busy: bool
    lease_millis: Number
    clock_offset: int = Field(description="Milliseconds that its clock is before the store's.")
    started_at: Date
    beat_at: Date
    address: str = absent()
    host: str = absent()
    pid: int = absent()
    version: str = absent()


class NodeList(Answer):
    """
    The nodes that no peer declared dead.
    """

    list: list[Node]
    total_size: Number


class NodeExecutor(Answer):
    """
    Whether a node runs tasks from now on.
    """

    node_id: str
    executor_node: bool


class TaskType(Answer):
    """
    One task type. Runs, failures and durations (ms) are of the last hour.
    """

    task_type: str
    total: Number
    counts: dict[TaskStatus, Number]
    nodes: list[str]
    runs: Number
    failures: Number
    runs_per_minute: Annotated[float, Field(ge=0)]
    mean_duration: Annotated[float, Field(ge=0)]
    longest_duration: Number


class TypeList(Answer):
    """
    The task types.
    """

    list: list[TaskType]
    total_size: Number


class Health(Answer):
    """
    All is well.
    """

    status: Literal["UP"]
    checks: dict[str, bool] = absent()


class Error(Answer):
    """
    What went wrong: a short text, the status as a text, and the detail.
    """

    error: str
    code: Code
    message: str
    checks: dict[str, bool] = absent(description="Of /readyz alone.")
    problems: dict[str, str] = absent(description="Of /readyz alone: for each check that fails, what to do.")


class Interface(BaseModel):
    """
    This document.
    """

    model_config = ConfigDict(extra="allow")

    openapi: Literal["3.1.0"]
    info: JsonObject
    paths: JsonObject
    components: JsonObject


ANSWERS: tuple[type[BaseModel], ...] = (
    TaskDocument, TaskPage, HistoryPage, Explanation, BulkReport, Count, NodeList, NodeExecutor, TypeList, AuditPage,
    TokenList, NewToken, Health, Error, Interface,
)  # fmt: skip
