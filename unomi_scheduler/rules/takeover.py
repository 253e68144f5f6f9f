"""
Takeover: how the documents of an index of Apache Unomi become tasks of ours, decided before anything is written.

- The id of a task is its `itemId`, that of a system task its type.
- Of several documents of one system type one goes on: an enabled one before a cancelled or disabled one, then the one
  with the newest last execution, then the one with the most successes, then the oldest. The others are folded into it.
- Of several documents with one `itemId` (of several tenants) the one whose document has just that id keeps it, else
  that of the tenant `system`; the others get the id of their document, `<tenant>_<itemId>`. Dependencies follow.
- A document that is RUNNING, SCHEDULED or WAITING and whose lock is fresh means that the original is alive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..model import Task, TaskStatus, evolve
from .adoption import broken_off, home_of, landed, moved

SYSTEM_TENANT = "system"
ORIGINAL_LEASE = 10_000
"""Milliseconds of the original's `scheduler.lockTimeout`, for locks that name no lease."""
CUT_OFF = 1_000
"""The original cuts its dates to whole seconds."""
FOUND_BY = "import"
_HELD = frozenset({TaskStatus.RUNNING, TaskStatus.SCHEDULED, TaskStatus.WAITING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """
    What the decisions need of one document; `document_id` is its `_id`.
    """

    document_id: str
    tenant: str
    item_id: str
    home: str
    system: bool
    merit: tuple[bool, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """
    The documents that do not simply keep their `itemId`: their new ids, and those folded into another task.

    `references` gives the new id of what a tenant's tasks know by an `itemId`, where it is another.
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    folded: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[tuple[str, str], str] = field(default_factory=dict)


def entry_of(document_id: str, task: Task) -> Entry:
    """
    Return the entry of a document and its task.
    """
    return Entry(
        document_id=document_id,
        tenant=tenant_of(task),
        item_id=task.id,
        home=home_of(task),
        system=task.system_task,
        merit=(
            task.enabled and task.status is not TaskStatus.CANCELLED,
            task.last_execution_date or 0,
            task.success_count,
            -task.creation_date,
        ),
    )


def tenant_of(task: Task) -> str:
    """
    Return the tenant that a document of the original names, or an empty text.
    """
    return str(task.extra.get("tenantId") or "")


def plan(entries: Iterable[Entry]) -> Plan:
    """
    Decide which document becomes which task; the order of the entries does not matter.
    """
    homes: dict[str, list[Entry]] = defaultdict(list)
    for one in entries:
        homes[one.home].append(one)
    ids: dict[str, str] = {}
    folded: dict[str, str] = {}
    references: dict[tuple[str, str], str] = {}
    for home, several in homes.items():
        keeper = _keeper(home, several)
        for one in several:
            if one.system and one is not keeper:
                folded[one.document_id] = home
            task_id = home if one is keeper or one.system else one.document_id
            if task_id != one.item_id:
                ids[one.document_id] = references[one.tenant, one.item_id] = task_id
    return Plan(ids=ids, folded=folded, references=references)


def _keeper(home: str, several: list[Entry]) -> Entry | None:
    if len(several) == 1:
        return several[0]
    ordered = sorted(several, key=lambda one: one.document_id)
    if any(one.system for one in several):
        return max((one for one in ordered if one.system), key=lambda one: one.merit)
    exact = [one for one in ordered if one.document_id == home]
    return next(iter(exact or [one for one in ordered if one.tenant == SYSTEM_TENANT]), None)


def shows_life(task: Task, *, now: int) -> bool:
    """
    Tell whether a document says that its owner was alive just now.

    After a stop the original leaves fresh locks on tasks that it marked CRASHED; these say nothing.
    """
    if task.lock_owner is None or task.lock_date is None or task.status not in _HELD:
        return False
    lease = task.lock_lease_millis if task.lock_lease_millis > 0 else ORIGINAL_LEASE
    return now - task.lock_date <= lease + CUT_OFF


def taken_over(document_id: str, task: Task, decided: Plan, *, origin: str, now: int) -> Task:
    """
    Return the task that a document becomes with us; a run of the original is over, so it is CRASHED.
    """
    mine = _with_dependencies(task, decided)
    mine = broken_off(mine, now=now, found_by=FOUND_BY) if mine.status is TaskStatus.RUNNING else mine
    return moved(landed(mine, now=now, found_by=FOUND_BY), decided.ids.get(document_id, task.id), origin)


def _with_dependencies(task: Task, decided: Plan) -> Task:
    tenant = tenant_of(task)

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(decided.references.get((tenant, name), name) for name in names)

    return evolve(task, depends_on=renamed(task.depends_on), waiting_on_tasks=renamed(task.waiting_on_tasks))
