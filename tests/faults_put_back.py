"""
`python -m tests.faults_put_back [NUMBER ...]`: put the original's faults back, one after the other, into a copy of the
code, and see that the tests which docs/faults.md names for it fail.

Each fault is a change of a few words. `tests/test_scenarios.py` demands that they still fit the code; running them all
takes some minutes and is for whoever changes a test of this list.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COPIED = ("unomi_scheduler", "rest", "shell", "tests", "integration_tests", "examples", "config", "pyproject.toml")
SUITE = "tests/test_scheduler_service.py"
FAILED = 1
"""What pytest ends with when tests ran and some failed; all else is no proof."""
LIMIT = 600


class Fault(NamedTuple):
    """
    One fault of the original: `wrong` in the place of `right` brings it back, with what else must change; `tests` of
    `where` fail then.
    """

    number: int
    file: str
    right: str
    wrong: str
    tests: str
    where: str = SUITE
    also: tuple[tuple[str, str, str], ...] = ()

    @property
    def edits(self) -> tuple[tuple[str, str, str], ...]:
        """
        The files, what stands there, and what would.
        """
        return ((self.file, self.right, self.wrong), *self.also)


_HELD = "        if current is None or not self._held(current):\n"
_OUTCOME_DROPPED = '        Edits by users are kept; with the claim gone the outcome is dropped (P4).\n        """\n'
_CLAIM_LOST = '        Somebody else was first.\n        """\n        self._table.'
_CALLED = "Context().run(executor.function)\n    except "
_COMPLETED = "        board.count(Metric.COMPLETED)\n"
_BY_AGE = """        for old in [*self._runs.values()]:
            if now.boot - old.since > 500:
                crashed = outcomes.crash(old.claimed, now=now.wall, found_by="", reason="")
                self.table.try_change(old.claimed.id, lambda _, crashed=crashed: crashed)
"""
_CORE, _STORES, _LIFE = "tests/test_scheduler_core.py", "tests/test_stores.py", "tests/test_scenarios_life.py"

FAULTS = (
    Fault(
        1,
        "stores/memory.py",
        "return None if write.condition == present.version else Result.CONFLICT",
        "return None",
        "test_a_replacement_needs_the_present_version",
        _STORES,
    ),
    Fault(2, "stores/documents.py", '        "claim_id",\n', "", "", "tests/simulation/test_simulation.py"),
    Fault(
        3,
        "node/settling.py",
        _CLAIM_LOST + "unclaimed(self._run, current, now)",
        _CLAIM_LOST + "claimed(self._run, now)",
        "test_lock4 or test_x16",
    ),
    Fault(
        4,
        "node/lease.py",
        "    interval = beat_interval(lease_millis)\n",
        "    return 10**9\n",
        "test_a_run_is_never_taken",
        "integration_tests/cluster/test_ownership.py",
    ),
    Fault(
        5,
        "node/settling.py",
        _OUTCOME_DROPPED + _HELD,
        _OUTCOME_DROPPED + "        if current is None:\n",
        "test_lock8",
        _CORE,
    ),
    Fault(
        5,
        "node/settling.py",
        "self._ended(current.record, now), current",
        "self._ended(self._run.stored.record, now), current",
        "test_changes_during_a_run_are_kept",
    ),
    Fault(
        6,
        "rules/claims.py",
        "task.claim_id == claim_id and task.status is TaskStatus.RUNNING",
        "task.claim_id == claim_id",
        "test_run13",
        SUITE,
        (
            ("rules/requests.py", "        claim_id=None,\n        enabled=False,\n", "        enabled=False,\n"),
            ("rules/lifecycle.py", "_S.CANCELLED: frozenset()", "_S.CANCELLED: frozenset(TaskStatus)"),
        ),
    ),
    Fault(
        7,
        "rules/claims.py",
        "return task.status is TaskStatus.CRASHED or task.resume_requested",
        "return False",
        "test_x7_ or test_s8_",
    ),
    Fault(
        8,
        "rules/readiness.py",
        "        return ALWAYS_DUE\n",
        "        return None\n",
        "test_a_recurring_task_goes_on_after_a_stop",
    ),
    Fault(9, "rules/outcomes.py", "over = crashes > task.max_crashes", "over = False", "test_rec4_"),
    Fault(
        10,
        "rules/outcomes.py",
        "again if again is not None else next_run(task, now=now)",
        "next_run(task, now=now)",
        "test_a_retry_outlives",
    ),
    Fault(
        11,
        "node/discovery.py",
        "if beat.executor_node and task_type in beat.task_types]",
        "]",
        "test_nodes_without_the_executor",
    ),
    Fault(11, "node/discovery.py", "        return due + GRACE\n", "        return None\n", "test_x5_"),
    Fault(
        12,
        "node/identity.py",
        "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "test_nodes_of_one_host",
        "tests/test_service_life.py",
    ),
    Fault(13, "timestamps.py", "{rest:03d}Z", "000Z", "test_milliseconds_are_kept", _STORES),
    Fault(
        14,
        "rules/outcomes.py",
        "        **UNOWNED,\n        claim_id=None,\n",
        "        claim_id=None,\n",
        "test_rec2_ or test_rec5_",
    ),
    Fault(
        15,
        "rules/everywhere.py",
        'plain = f"{definition_id}@{node_id}"',
        'plain = f"{definition_id}@all"',
        "test_x14_",
        "tests/test_everywhere.py",
    ),
    Fault(
        16,
        "builder.py",
        "time_unit=period.unit)",
        "time_unit=period.unit, initial_delay_unit=period.unit)",
        "test_delay_and_period",
        "tests/test_builder.py",
    ),
    Fault(
        17,
        "service/making.py",
        "(builder if persistent else builder.non_persistent())",
        "builder",
        "test_recurring_tasks",
        "tests/test_service.py",
    ),
    Fault(
        18,
        "rules/dependencies.py",
        "    if dependency.status is TaskStatus.FAILED:\n",
        "    if False:\n",
        "test_judge",
        "tests/rules/test_dependencies.py",
    ),
    Fault(
        18,
        "rules/dependencies.py",
        "    return dependency.periodic and any(\n",
        "    return False and any(\n",
        "test_satisfied",
        "tests/rules/test_dependencies.py",
    ),
    Fault(
        19,
        "rules/validation.py",
        "pending.extend(known[current].depends_on if current in known else ())",
        "pass",
        "test_x11_",
        "tests/test_scenarios_dependencies.py",
    ),
    Fault(
        20,
        "stores/sqlite_queries.py",
        'due FROM tasks INDEXED BY tasks_due"\n',
        'due FROM tasks NOT INDEXED"\n',
        "test_due_work_costs",
        "tests/test_sqlite_store.py",
    ),
    Fault(
        21,
        "stores/elasticsearch/connection.py",
        '_bulk_params = {"require',
        '_bulk_params = {"refresh": "wait_for", "require',
        "test_a_run_costs_two_writes",
        "integration_tests/cluster/test_costs.py",
    ),
    Fault(
        22,
        "node/workers.py",
        "return self._system if ticket.pool is Pool.SYSTEM else self._tasks",
        "return self._tasks",
        "test_a_system_task_runs_in",
        "tests/test_workers.py",
    ),
    Fault(23, "node/counting.py", _COMPLETED, _COMPLETED * 2, "test_s10_", _LIFE),
    Fault(
        24,
        "rules/progress.py",
        "{**task.status_details, **progress.details}",
        "dict(progress.details)",
        "test_details_are_merged",
        "tests/rules/test_progress.py",
    ),
    Fault(
        25,
        "rules/outcomes.py",
        "failure_count=0 if exhausted_period else failures",
        "failure_count=failures",
        "test_x9_",
    ),
    Fault(
        26,
        "node/local.py",
        "self.table.purge(before=now.wall - ttl, cancelled=True)",
        "pass",
        "test_each_process_forgets",
        "tests/test_memory_tasks.py",
    ),
    Fault(
        27,
        "stores/reading.py",
        "                extra[wire] = value\n",
        "                pass\n",
        "test_what_others_wrote",
    ),
    Fault(
        28,
        "rules/readiness.py",
        "    return task.next_scheduled_execution\n",
        "    return ALWAYS_DUE if task.lock_owner else task.next_scheduled_execution\n",
        "test_an_old_lock",
    ),
    Fault(
        29,
        "builder.py",
        'self._task_type if self._set.get("system_task") else str(uuid4()),',
        "str(uuid4()),",
        "test_starts_at_once",
    ),
    Fault(
        30,
        "node/bodies.py",
        _CALLED + "BaseException",
        _CALLED + "Exception",
        "test_whatever_a_body",
        "tests/test_bad_situations.py",
        (
            (
                "node/pools.py",
                "                perform(run)\n            except BaseException",
                "                perform(run)\n            except Exception",
            ),
        ),
    ),
    Fault(
        31,
        "node/registry.py",
        "if entry.given is not executor}",
        'if name != getattr(executor, "task_type", None)}',
        "test_unregister_leaves",
        "tests/test_registry.py",
    ),
    Fault(
        32,
        "service/edits.py",
        "            return before\n        written = replace_task(store, before, after)\n",
        "            return before\n        written = Stored(after, before.version)\n",
        "test_",
        "tests/test_service_changes.py",
    ),
    Fault(
        32,
        "node/settling.py",
        "        if not board.may_act(now.boot):\n",
        "        if False:\n",
        "test_lock15",
        _CORE,
        (("node/core.py", "        if not board.may_act(now.boot):\n", "        if False:\n"),),
    ),
    Fault(
        33,
        "node/local.py",
        "        self._purge(now)\n",
        _BY_AGE + "        self._purge(now)\n",
        "test_a_memory_run_may_outlast",
    ),
)


def put_back(fault: Fault, folder: Path) -> None:
    """
    Bring a fault back into the copy in `folder`.
    """
    for file, right, wrong in fault.edits:
        path = folder / "unomi_scheduler" / file
        path.write_text(path.read_text().replace(right, wrong))


def fits(fault: Fault) -> bool:
    """
    Tell whether each place of a fault is in the code, once.
    """
    return all((ROOT / "unomi_scheduler" / file).read_text().count(right) == 1 for file, right, _ in fault.edits)


def run(fault: Fault) -> bool:
    """
    Tell whether the tests of a fault fail with it in the code.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
        put_back(fault, folder)
        paths = os.pathsep.join(str(folder / part) for part in ("", "rest", "shell"))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", fault.where, "-k", fault.tests]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
            timeout=LIMIT, check=False,
        )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(f"fault {fault.number} in {fault.file}:", *(lines or done.stdout.splitlines()[-3:]), sep="\n    ", flush=True)
    return done.returncode == FAILED and any(line.startswith("FAILED") for line in lines)


def main(numbers: list[str]) -> int:
    """
    Put back the faults of these numbers, or all, and return how many no test noticed.
    """
    wanted = [fault for fault in FAULTS if not numbers or str(fault.number) in numbers]
    unnoticed = [fault.number for fault in wanted if not run(fault)]
    print(f"{len(wanted)} put back, not noticed: {unnoticed or 'none'}")
    return len(unnoticed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
