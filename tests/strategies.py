"""
Hypothesis strategies: any task that could stand in a store.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.factories import NOW
from unomi_scheduler.model import HISTORY_LIMIT, DependencyPolicy, Task, TaskStatus, TimeUnit

_words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
_moments = st.integers(NOW - 10**9, NOW + 10**9)
_numbers = st.integers(0, 10**9)
_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
# Two levels, written out: `st.recursive` takes so long that a busy machine fails the health check of the input.
_flat = _leaves | st.lists(_leaves, max_size=2) | st.dictionaries(st.text(max_size=12), _leaves, max_size=2)
_json = _leaves | st.lists(_flat, max_size=2) | st.dictionaries(st.text(max_size=12), _flat, max_size=2)
objects = st.dictionaries(_words, _json, max_size=3)
_entries = st.dictionaries(_words, _leaves, max_size=2) | objects
_names = st.lists(_words, max_size=3, unique=True).map(tuple)
units = st.sampled_from(TimeUnit)

_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": _words,
    "task_type": _words,
    "creation_date": _moments,
    "parameters": objects,
    "initial_delay": _numbers,
    "initial_delay_unit": units,
    "period": _numbers,
    "time_unit": units,
    "fixed_rate": st.booleans(),
    "one_shot": st.booleans(),
    "allow_parallel_execution": st.booleans(),
    "persistent": st.booleans(),
    "run_on_all_nodes": st.booleans(),
    "system_task": st.booleans(),
    "max_retries": st.integers(0, 10),
    "retry_delay": _numbers,
    "max_crashes": st.integers(0, 10),
    "keep_checkpoint": st.booleans(),
    "depends_on": _names,
    "dependency_policy": st.sampled_from(DependencyPolicy),
    "on_nodes": _names,
    "on_tags": _names,
    "enabled": st.booleans(),
    "all_nodes_of": st.none() | _words,
    "all_nodes_period": st.none() | _moments,
    "status": st.sampled_from(TaskStatus),
    "status_details": objects.filter(lambda details: "executionHistory" not in details),
    "history": st.lists(_entries, max_size=HISTORY_LIMIT).map(tuple),
    "history_flushed": st.integers(0, HISTORY_LIMIT),
    "current_step": st.none() | _words,
    "checkpoint_data": st.none() | objects,
    "next_scheduled_execution": st.none() | _moments,
    "last_execution_date": st.none() | _moments,
    "last_executed_by": st.none() | _words,
    "last_error": st.none() | _words,
    "failure_count": st.integers(0, 20),
    "success_count": st.integers(0, 20),
    "crash_count": st.integers(0, 20),
    "waiting_for_task_type": st.none() | _words,
    "waiting_on_tasks": _names,
    "run_requests": st.integers(0, 3),
    "run_requested_at": st.none() | _moments,
    "resume_requested": st.booleans(),
    "delete_requested": st.booleans(),
    "lock_owner": st.none() | _words,
    "lock_date": st.none() | _moments,
    "lock_lease_millis": _numbers,
    "executing_node_id": st.none() | _words,
    "owner_incarnation": st.none() | _words,
    "claim_id": st.none() | _words,
    "fence": st.integers(0, 2**53),
    "extra": st.dictionaries(_words.map("x-{}".format), _json, max_size=2),
}


@st.composite
def tasks(draw: st.DrawFn, /, **fixed: Any) -> Task:
    """
    Draw a task, with these fields as they are given.
    """
    return Task(**{name: draw(kind) for name, kind in _FIELDS.items() if name not in fixed}, **fixed)
