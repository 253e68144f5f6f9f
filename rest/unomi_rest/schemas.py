"""
What requests may say in their bodies. The names are those of the task document; what is absent keeps its default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from unomi_scheduler import BulkAction, DependencyPolicy, Selection, TaskStatus, TimeUnit

LARGEST = 2**31 - 1
LONGEST_MILLIS = 200 * 366 * 24 * 3_600_000
LONGEST_ID = 512
JSON_REF = "#/components/schemas/Json"


def _whole(value: object) -> object:
    # 10.0 is an integer in JSON Schema; a text or true is none.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected a whole number")  # noqa: TRY004 - pydantic reports a ValueError
    return value


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")  # noqa: TRY004 - pydantic reports a ValueError
    return value


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("expected a text")  # noqa: TRY004 - pydantic reports a ValueError
    return value


def absent(**more: Any) -> Any:
    """
    Return the field of what may be left out and is never null; how it is described may be given.
    """
    return Field(default_factory=_nothing, **more)


def _nothing() -> Any:
    # Nobody sees it: what was not said is not asked for.
    return None


Whole = BeforeValidator(_whole)
Count = Annotated[int, Field(ge=0, le=LARGEST), Whole]
Amount = Annotated[int, Field(ge=0, le=2**63 - 1), Whole]
Millis = Annotated[int, Field(ge=0, le=LONGEST_MILLIS), Whole]
Flag = Annotated[bool, BeforeValidator(_flag)]
Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=r"\S")]
Ids = Annotated[list[Id], Field(max_length=1_000)]
Json = Annotated[Any, WithJsonSchema({"$ref": JSON_REF})]
JsonObject = dict[str, Json]
Moment = Annotated[AwareDatetime, BeforeValidator(_text)]


class Body(BaseModel):
    """
    A body: camelCase, and nothing that is not named here.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    def said(self) -> dict[str, Any]:
        """
        Return what was said, by the names of Python; what was left out is not in it.
        """
        return {name: getattr(self, name) for name in self.model_fields_set}


class ConfigChange(Body):
    """
    What changes in a task's definition; what is absent stays.

    Numbers of `initialDelay` and `period` count in `initialDelayUnit` and `timeUnit`, or else in the task's units.
    """

    enabled: Flag = absent()
    parameters: JsonObject = absent()
    initial_delay: Amount = absent()
    initial_delay_unit: TimeUnit = absent()
    period: Amount = absent()
    time_unit: TimeUnit = absent()
    fixed_rate: Flag = absent()
    one_shot: Flag = absent()
    allow_parallel_execution: Flag = absent()
    max_retries: Count = absent()
    retry_delay: Millis = absent()
    max_crashes: Count = absent()
    keep_checkpoint: Flag = absent()
    on_nodes: Ids = absent()
    on_tags: Ids = absent()
    next_scheduled_execution: Moment = absent()

    def changes(self) -> dict[str, Any]:
        """
        Return what changes, as `update_task_config` takes it.
        """
        return _in_millis(self.said())


class TaskDefinition(Body):
    """
    A new task; what is absent takes the builder's default.

    `initialDelay` counts in `initialDelayUnit`, or else in `timeUnit`. A memory task (`persistent` false) lives in the
    process that is asked, which must run a node.
    """

    item_id: Id = absent(description="By default a random one; a system task's is its type.")
    task_type: Id
    parameters: JsonObject = Field(default_factory=dict)
    initial_delay: Amount = 0
    initial_delay_unit: TimeUnit = TimeUnit.MILLISECONDS
    period: Amount = 0
    time_unit: TimeUnit = TimeUnit.MILLISECONDS
    fixed_rate: Flag = True
    one_shot: Flag = False
    allow_parallel_execution: Flag = True
    persistent: Flag = True
    run_on_all_nodes: Flag = False
    system_task: Flag = False
    enabled: Flag = True
    max_retries: Count = 3
    retry_delay: Millis = 60_000
    max_crashes: Count = 5
    keep_checkpoint: Flag = False
    depends_on: Ids = Field(default_factory=list)
    dependency_policy: DependencyPolicy = DependencyPolicy.FAIL
    on_nodes: Ids = Field(default_factory=list)
    on_tags: Ids = Field(default_factory=list)
    next_scheduled_execution: Moment = Field(
        default_factory=_nothing, description="By default from the creation and the delay."
    )

    def definition(self) -> dict[str, Any]:
        """
        Return the definition as `create_task` takes it.
        """
        values = _in_millis(self.said())
        if "item_id" in values:
            values["id"] = values.pop("item_id")
        if "time_unit" in values:
            values["unit"] = values.pop("time_unit")
        if "depends_on" in values:
            values["depends_on"] = tuple(dict.fromkeys(values["depends_on"]))
        return values


class BulkFilter(Body):
    """
    Which tasks: what is given must all hold. Without anything else, `all` takes every task.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["all"], "maxProperties": 1},
                {"not": {"required": ["all"]}, "minProperties": 1},
            ]
        }
    )

    status: TaskStatus = absent()
    type: str = absent()
    ids: Annotated[list[Id], Field(max_length=10_000)] = absent()
    all: Literal[True] = absent()

    def selection(self) -> Selection:
        """
        Return the tasks as `bulk` takes them.
        """
        said = self.said()
        return Selection(
            status=said.get("status"),
            task_type=said.get("type"),
            ids=tuple(said["ids"]) if "ids" in said else None,
            everything="all" in said,
        )


class BulkOrder(Body):
    """
    One action for many tasks. With `dryRun` nothing is changed.
    """

    action: BulkAction
    filter: BulkFilter
    dry_run: Flag = False
    reset_failure_count: Flag = Field(default=False, description="With `retry`: give all retries again.")


class TokenRequest(Body):
    """
    A token to be made. Without `days` and `expiresAt` it lasts 90 days.
    """

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
    roles: Annotated[list[Literal["ADMINISTRATOR", "VIEWER"]], Field(min_length=1, max_length=2)] = ["VIEWER"]
    days: Annotated[int, Field(ge=1, le=366), Whole] = absent(description="How long it lasts.")
    expires_at: Moment = absent(description="In place of `days`; within 366 days.")

    def time(self) -> dict[str, Any]:
        """
        Return how long it lasts, as `Tokens.make` takes it.
        """
        said = self.said()
        moment = said.get("expires_at")
        end = None if moment is None else int(moment.timestamp() * 1_000)
        return {"days": said.get("days"), "expires_at": end}


def _in_millis(values: dict[str, Any]) -> dict[str, Any]:
    moment = values.get("next_scheduled_execution")
    if moment is None:
        return values
    return values | {"next_scheduled_execution": int(moment.timestamp() * 1_000)}
