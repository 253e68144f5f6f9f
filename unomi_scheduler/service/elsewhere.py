"""
Elsewhere: the memory tasks of the other nodes, as they show them (`stores.memory_notes`), and the nodes that are there
to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

from ..errors import Conflict, NodeNotFound
from ..model import Heartbeat, Task, evolve
from ..ports import TaskQuery
from ..stores.memory_notes import MEMORY, Shown, beat_of, lists_of
from .obstacles import SILENT
from .wiring import Wiring

FRESH, ANEW = 1_000, 200
"""Milliseconds that a look at the other nodes' lists serves; and where a task was not found by it."""
LEARNED = 4_000
"""Milliseconds for which what a node answered beats its list: until it has written that, and searches show it."""


class _Look(NamedTuple):
    at: int
    lists: Sequence[tuple[str, Shown]]


class Elsewhere:
    """
    What other nodes have in memory. A process that asks often asks the store once a second.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._look: _Look | None = None
        self._learned: dict[tuple[str, str], tuple[Task | None, int]] = {}
        self._lock = Lock()

    def tasks(self, *, fresh: bool = False) -> list[Task]:
        """
        Return the memory tasks of the other nodes, each with its node as `executing_node_id`.

        Args:
            fresh: ask the store, unless that was a moment ago.
        """
        now = self._wiring.clock.now().boot
        listed = {
            (node_id, task.id): _of(node_id, task)
            for node_id, one in self._lists(now, fresh=fresh)
            for task in one.tasks
        }
        with self._lock:
            self._learned = {key: value for key, value in self._learned.items() if now - value[1] < LEARNED}
            learned = dict(self._learned)
        for key, (task, _) in learned.items():
            if key in listed:
                if task is None:
                    del listed[key]
                else:
                    listed[key] = _of(key[0], task)
        return list(listed.values())

    def uncounted(self, query: TaskQuery) -> int:
        """
        Return how many tasks match that nodes with very many only count.
        """
        return sum(
            count
            for _, one in self._lists(self._wiring.clock.now().boot, fresh=False)
            for task_type, status, count in one.counts
            if query.task_type in (None, task_type) and query.status in (None, status)
        )

    def find(self, task_id: str) -> list[Task]:
        """
        Return the memory tasks of this id, one for each of the nodes that have one.
        """
        return [task for task in self.tasks() if task.id == task_id] or [
            task for task in self.tasks(fresh=True) if task.id == task_id
        ]

    def holder(self, task_id: str) -> Heartbeat | None:
        """
        Return the node that alone has a memory task of this id, or None when no other node has it.

        Raises:
            Conflict: several have.
        """
        nodes = [task.executing_node_id or "" for task in self.find(task_id)]
        if len(nodes) > 1:
            raise Conflict(
                f"Task {task_id} is in the memory of the nodes {', '.join(sorted(nodes))}, another one in each: ask "
                "the node that is meant"
            )
        return self.node(nodes[0]) if nodes else None

    def learn(self, node_id: str, task_id: str, task: Task | None) -> None:
        """
        Take what a node has just answered: the task as it stands, or None when it is gone.
        """
        with self._lock:
            self._learned[node_id, task_id] = task, self._wiring.clock.now().boot

    def node(self, node_id: str) -> Heartbeat:
        """
        Return the newest start of a live node.

        Raises:
            NodeNotFound: there is none of this id.
        """
        alive = self.alive()
        own = [beat for beat in alive if beat.node_id == node_id]
        if not own:
            raise NodeNotFound(node_id, (beat.node_id for beat in alive))
        return max(own, key=lambda beat: (beat.started_at, beat.beat_at))

    def alive(self) -> list[Heartbeat]:
        """
        Return the nodes that nobody declared dead and that were heard of lately.
        """
        now = self._wiring.clock.now().wall
        return [beat for beat in self._wiring.node.nodes() if now - beat.beat_at <= SILENT * beat.lease_millis]

    def _lists(self, now: int, *, fresh: bool) -> Sequence[tuple[str, Shown]]:
        look = self._look
        if look is not None and now - look.at < (ANEW if fresh else FRESH):
            return look.lists
        store = self._wiring.store()
        notes = [one.record for one in store.notes(MEMORY)] if store is not None else []
        node = self._wiring.made_node
        own = f"{node.options.node_id}:" if node is not None and node.running else None
        others = [note for note in notes if own is None or beat_of(note).rpartition(":")[0] + ":" != own]
        lists = lists_of(others, self.alive()) if others else []
        self._look = _Look(now, lists)
        return lists


def _of(node_id: str, task: Task) -> Task:
    return evolve(task, executing_node_id=node_id)
