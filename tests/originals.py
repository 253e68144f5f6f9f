"""
Documents just as Apache Unomi writes them, and the mapping of its index.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

CREATED = "2024-03-20T15:00:00Z"


def original(item_id: str, task_type: str = "sample", **over: Any) -> Document:
    """
    Return the document of a task that is due: dates in whole seconds, `oneShot` before `period`, nothing null.
    """
    document = {
        "itemId": item_id,
        "itemType": "scheduledTask",
        "tenantId": "system",
        "createdBy": "karaf",
        "lastModifiedBy": "karaf",
        "creationDate": CREATED,
        "lastModificationDate": CREATED,
        "taskType": task_type,
        "parameters": {},
        "initialDelay": 0,
        "oneShot": False,
        "period": 0,
        "timeUnit": "MILLISECONDS",
        "fixedRate": True,
        "allowParallelExecution": True,
        "persistent": True,
        "runOnAllNodes": False,
        "systemTask": False,
        "enabled": True,
        "status": "SCHEDULED",
        "statusDetails": {"executionHistory": []},
        "nextScheduledExecution": CREATED,
        "failureCount": 0,
        "successCount": 0,
        "maxRetries": 3,
        "retryDelay": 60000,
        "lockLeaseMillis": 0,
        "dependsOn": [],
        "waitingOnTasks": [],
        **over,
    }
    return {name: value for name, value in document.items() if value is not None}


def purge_duplicate(item_id: str, **over: Any) -> Document:
    """
    Return one of the several `task-purge` of a cluster whose nodes started together: RUNNING, with no last run.
    """
    return original(
        item_id,
        "task-purge",
        **{
            "systemTask": True,
            "period": 1,
            "timeUnit": "DAYS",
            "status": "RUNNING",
            "statusDetails": {"executionHistory": [], "startTime": CREATED, "executingNode": "test-scheduler-node"},
            "lockOwner": "test-scheduler-node",
            "lockDate": CREATED,
            "executingNodeId": "test-scheduler-node",
            **over,
        },
    )


def document_id(document: Document) -> str:
    """
    Return the `_id` of a document with the original.
    """
    return f"{document['tenantId']}_{document['itemId']}"


_DATES = ("creationDate", "lastModificationDate", "lastSyncDate", "lockDate", "lastExecutionDate")

# The original's analyzer needs a module that the tests' server lacks; the types of the fields are the original's.
MAPPINGS: Document = {
    "dynamic_templates": [
        {
            "all": {
                "match": "*",
                "match_mapping_type": "string",
                "mapping": {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}},
            }
        }
    ],
    "properties": {
        **{name: {"type": "date"} for name in (*_DATES, "nextScheduledExecution")},
        **{name: {"type": "boolean"} for name in ("enabled", "persistent", "fixedRate", "oneShot", "runOnAllNodes")},
        **{name: {"type": "long"} for name in ("initialDelay", "period", "retryDelay", "lockLeaseMillis")},
        **{name: {"type": "integer"} for name in ("maxRetries", "failureCount")},
        **{name: {"type": "object", "enabled": False} for name in ("statusDetails", "checkpointData", "parameters")},
        "allowParallelExecution": {"type": "boolean"},
    },
}
