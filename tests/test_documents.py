"""
The codec between records and their documents.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from tests.factories import NOW, make_due_task, make_heartbeat, make_running_task, make_slot, make_task
from tests.strategies import tasks
from unomi_scheduler.errors import InvalidTask
from unomi_scheduler.model import Malformed, Task, TaskStatus, TimeUnit
from unomi_scheduler.rules.placement import partition_of
from unomi_scheduler.stores import reading
from unomi_scheduler.stores.documents import (
    decode_heartbeat,
    decode_slot,
    decode_task,
    encode,
    task_document,
)


def _stored(task: Task) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(encode(task))
    return document


@given(tasks())
def test_any_task_survives_the_round_trip(task: Task) -> None:
    """
    With the fields that we do not know, and without the derived ones.
    """
    assert task == decode_task(_stored(task))


def test_names_are_the_contracts() -> None:
    """
    camelCase, dates as ISO 8601 with milliseconds, nothing null.
    """
    document = _stored(make_running_task(id="one", history=({"status": "FAILED"},), status_details={"a": 1}))

    assert {
        "itemType": "scheduledTask",
        "itemId": "one",
        "taskType": "sample",
        "creationDate": "2025-06-15T15:06:40.000Z",
        "timeUnit": "MILLISECONDS",
        "status": "RUNNING",
        "lockOwner": "node-a",
        "lockDate": "2025-06-15T15:06:40.000Z",
        "retryDelay": 60_000,
        "statusDetails": {"a": 1, "executionHistory": [{"status": "FAILED"}]},
    }.items() <= document.items()
    assert None not in document.values()


def test_search_fields_are_derived() -> None:
    """
    The due date is there only while the task may be claimed; people see neither.
    """
    due, idle = make_due_task(), make_task()

    assert (NOW, partition_of(due)) == (_stored(due)["dueDate"], _stored(due)["partition"])
    assert "dueDate" not in _stored(idle)
    assert not {"dueDate", "partition"} & task_document(due).keys()


# As the original writes it: the delay in the period's unit, sets as arrays, seconds only, audit fields of its items.
_ORIGINAL: dict[str, Any] = {
    "itemId": "purge-1",
    "itemType": "scheduledTask",
    "scope": None,
    "version": 3,
    "tenantId": "system",
    "creationDate": "2024-03-20T15:00:00Z",
    "lastModificationDate": "2024-03-20T15:00:00Z",
    "taskType": "task-purge",
    "parameters": {"keep": None},
    "initialDelay": 2,
    "period": 1,
    "timeUnit": "DAYS",
    "fixedRate": True,
    "oneShot": False,
    "allowParallelExecution": True,
    "persistent": True,
    "runOnAllNodes": False,
    "systemTask": True,
    "enabled": True,
    "status": "SCHEDULED",
    "statusDetails": {"executionHistory": [{"timestamp": 1, "status": "SUCCESS"}], "startTime": "x"},
    "nextScheduledExecution": "2024-03-21T15:00:00Z",
    "failureCount": 1,
    "maxRetries": 3,
    "retryDelay": 60000,
    "lockOwner": "node-1",
    "lockDate": "2024-03-20T15:00:00Z",
    "lockLeaseMillis": 10000,
    "dependsOn": ["a", "b"],
    "waitingOnTasks": None,
}


def test_a_document_of_the_original_is_read() -> None:
    """
    And what we do not know in it is written back.
    """
    task = decode_task(_ORIGINAL)

    assert ("purge-1", "task-purge", TaskStatus.SCHEDULED) == (task.id, task.task_type, task.status)
    assert (2, TimeUnit.DAYS, 86_400_000) == (task.initial_delay, task.initial_delay_unit, task.period_millis)
    assert (("a", "b"), ()) == (task.depends_on, task.waiting_on_tasks)
    assert ({"startTime": "x"}, "SUCCESS") == (task.status_details, task.history[0]["status"])
    assert task.next_scheduled_execution == 1_711_033_200_000
    assert {"tenantId": "system", "version": 3}.items() <= _stored(task).items()


def test_the_smallest_document_takes_the_defaults() -> None:
    """
    An id and a type are enough.
    """
    assert Task(id="a", task_type="b", creation_date=0) == decode_task({"itemId": "a", "taskType": "b"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"itemId": None}, "itemId"),
        ({"itemId": ""}, "itemId"),
        ({"taskType": 5}, "taskType"),
        ({"status": "ASLEEP"}, "status"),
        ({"period": "often"}, "period"),
        ({"creationDate": "yesterday"}, "creationDate"),
        ({"timeUnit": "WEEKS"}, "timeUnit"),
        ({"dependsOn": "a"}, "dependsOn"),
        ({"parameters": [1]}, "parameters"),
        ({"statusDetails": {"executionHistory": "none"}}, "executionHistory"),
        ({"statusDetails": {"executionHistory": ["x"]}}, "executionHistory"),
    ],
)
def test_what_is_no_task_says_why(change: dict[str, Any], message: str) -> None:
    """
    The message names the field.
    """
    with pytest.raises(InvalidTask, match=message):
        decode_task({"itemId": "a", "taskType": "b", **change})


def test_an_unknown_field_with_a_python_name_does_no_harm() -> None:
    """
    It is a field that we do not know, not the one of ours that sounds like it.
    """
    task = decode_task({"itemId": "a", "taskType": "b", "id": "x", "task_type": "y"})

    assert ("a", "b") == (task.id, task.task_type)


def test_only_json_is_stored() -> None:
    """
    The message names the task.
    """
    with pytest.raises(InvalidTask, match=r"^one: only JSON"):
        encode(make_task(id="one", parameters={"a": object()}))


def test_a_malformed_document_is_written_back_in_quarantine() -> None:
    """
    As it stands, with the reason and out of the searches for due work.
    """
    document = {"itemId": "a", "dueDate": 5, "odd": True}
    written = orjson.loads(encode(Malformed(id="a", reason="taskType: missing", document=document)))

    assert {"itemId": "a", "odd": True, "quarantineReason": "taskType: missing"} == written


def test_heartbeats_and_slots_survive_the_round_trip() -> None:
    """
    And fields of a newer version do not stop us.
    """
    beat = make_heartbeat(tags=("a",), task_types=("b",), dead_by="node-b", clock_offset=-3)
    slot = make_slot(task_id="one", claim_id="c", owner="node-a", incarnation="first", since=NOW)

    assert beat == decode_heartbeat({**orjson.loads(encode(beat)), "newer": 1})
    assert slot == decode_slot({**orjson.loads(encode(slot)), "newer": 1})


@given(tasks())
def test_both_ways_of_reading_agree(task: Task) -> None:
    """
    What we wrote ourselves is read by the quick way, and it says what the checked way says.
    """
    document = orjson.loads(encode(task))

    assert reading.checked(document) == reading.decode_task(document) == task
    if task.id and task.task_type and task.creation_date:
        assert reading.quick(document) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"maxRetries": "3"},
        {"period": True},
        {"enabled": 1},
        {"status": "BOGUS"},
        {"creationDate": "soon"},
        {"dependsOn": ["a", 1]},
        {"statusDetails": {"executionHistory": ["x"]}},
        {"itemId": ""},
    ],
)
def test_what_is_not_just_right_is_left_to_the_checked_way(change: dict[str, object]) -> None:
    """
    The quick way never decides that something is wrong.
    """
    document = orjson.loads(encode(make_task())) | change

    assert reading.quick(document) is None
