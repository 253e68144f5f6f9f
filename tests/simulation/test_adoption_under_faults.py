"""
Documents of Apache Unomi among faults: pauses, kills, and answers that are late or lost, while three nodes move them.
"""

from __future__ import annotations

import pytest

from tests.originals import Document, document_id, original
from tests.simulation.test_simulation import DONE, Story
from tests.simulation.world import EPOCH
from unomi_scheduler.model import Task
from unomi_scheduler.ports import TaskQuery

SEEDS = 10


def _documents() -> list[Document]:
    settings: Document = {"fence": EPOCH, "maxCrashes": 50, "retryDelay": 300}
    own = [original(f"theirs-{number}", "plain", **settings) for number in range(12)]
    tenants = ("system", "acme", "zoo")
    return own + [original("shared", "plain", **{**settings, "tenantId": tenant}) for tenant in tenants]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_document_becomes_one_task_and_runs(seed: int) -> None:
    """
    None is lost, none is there twice, and the promises hold at every write (they are checked in `World.apply`).
    """
    story = Story(10_000 + seed)
    store = story.world.store
    for number, document in enumerate(_documents()):
        story.world.after(2_500 * number, lambda one=document: store.plant(document_id(one), one))  # type: ignore[misc]
    story.storm()
    story.calm()
    story.check_settled()
    store.refresh()
    theirs = [task for task in store.find(TaskQuery(limit=-1)).list if task.extra.get("tenantId")]
    names = sorted(f"{task.extra['tenantId']}_{task.id.rpartition('_')[2]}" for task in theirs)

    assert sorted(map(document_id, _documents())) == names
    assert store.find_unplaced(limit=10).malformed == ()
    assert [task for task in theirs if task.status not in DONE] == []
    assert all(isinstance(found.record, Task) for task in theirs for found in store.tasks([task.id]) if found)
