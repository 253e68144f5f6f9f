"""
A pipeline: a task that waits for others, and one that goes on when what it waited for has failed.

    unomi-scheduler node --app examples.pipeline:scheduler
    unomi-task --store sqlite:///unomi-scheduler.db list      # `summary` is WAITING until both counts are COMPLETED

Two tasks count the words of texts, each into a file of its own; `summary` adds them up once both have succeeded. The
text of `count-missing` does not exist, so it fails; `report-anyway` has the policy RUN and tells of it all the same.
A dependent that sets no policy would end FAILED, with the reason, instead of waiting for ever; one with WAIT waits
until somebody has put the matter right and retried the dependency.
"""

from __future__ import annotations

import json
from pathlib import Path

from unomi_scheduler import Scheduler, TaskContext

TEXTS = {
    "count-hamlet": "To be, or not to be, that is the question",
    "count-faust": "Habe nun, ach! Philosophie, Juristerei und Medizin",
}
RESULTS = Path("results")

scheduler = Scheduler()


@scheduler.executor("countWords")
def count_words(context: TaskContext) -> None:
    """
    Count the words of the text in a file.
    """
    text = Path(str(context.parameters["file"])).read_text(encoding="utf-8")
    _save(context.task.id, {"words": len(text.split())})


@scheduler.executor("summarize")
def summarize(context: TaskContext) -> None:
    """
    Add up what the tasks counted that this one depended on; one without a result counts nothing.
    """
    counts = {name: _load(name) for name in context.task.depends_on}
    _save(context.task.id, {"words": sum(counts.values()), "missing": [one for one in counts if not counts[one]]})


def _save(name: str, result: dict[str, object]) -> None:
    # The whole file at once: a run that is repeated writes the same again.
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")


def _load(name: str) -> int:
    found = RESULTS / f"{name}.json"
    return int(json.loads(found.read_text(encoding="utf-8"))["words"]) if found.exists() else 0


def schedule() -> None:
    """
    Schedule the pipeline; what exists from an earlier start is kept.
    """
    for name, text in TEXTS.items():
        source = Path(f"{name}.txt")
        source.write_text(text, encoding="utf-8")
        scheduler.new_task("countWords").with_id(name).with_parameters({"file": str(source)}).schedule(if_exists="keep")
    missing = scheduler.new_task("countWords").with_id("count-missing").with_parameters({"file": "no-such-file.txt"})
    missing.with_max_retries(0).schedule(if_exists="keep")

    scheduler.new_task("summarize").with_id("summary").with_dependencies(*TEXTS).schedule(if_exists="keep")
    anyway = scheduler.new_task("summarize").with_id("report-anyway").with_dependencies(*TEXTS, "count-missing")
    anyway.with_dependency_policy("RUN").schedule(if_exists="keep")


schedule()
