"""
The timeline: what is due when, as far as this node knows (P12). Every entry is a hint; the claim decides.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from ..model import Stored, Task, Version

FORGET_AFTER = 3_000
"""Milliseconds after which an own write is surely visible to searches; the overlay keeps one to two of these."""


class Entry(NamedTuple):
    """
    A task, the moment (epoch ms) from which this node would claim it, and the queue it stands in.
    """

    at: int
    order: int
    queue: Hashable
    stored: Stored[Task]


class Timeline:
    """
    One heap of entries a queue (so that a full pool holds up no other), with lazy deletion and one entry an id; and the
    overlay of own writes that outdates search results.
    """

    def __init__(self) -> None:
        self._heaps: dict[Hashable, list[tuple[int, int, str]]] = {}
        self._entries: dict[str, Entry] = {}
        self._order = 0
        self._recent: dict[str, Version] = {}
        self._older: dict[str, Version] = {}
        self._turned = 0

    def __len__(self) -> int:
        return len(self._entries)

    def wrote(self, task_id: str, version: Version) -> None:
        """
        Note that this node knows the task at `version`: older search results are ignored from now on.
        """
        self._recent[task_id] = version

    def outdated(self, stored: Stored[Task]) -> bool:
        """
        Tell whether this node knows a newer version of the task.
        """
        known = self._recent.get(stored.record.id) or self._older.get(stored.record.id)
        return known is not None and known.newer_than(stored.version)

    def recent(self, task_id: str) -> bool:
        """
        Tell whether this node wrote the task so lately that a search may not show it.
        """
        return task_id in self._recent or task_id in self._older

    def put(self, stored: Stored[Task], *, at: int, queue: Hashable) -> None:
        """
        Put a task on the timeline, in place of any entry of its own.
        """
        task_id = stored.record.id
        held = self._entries.get(task_id)
        if held is not None and held.at == at and held.queue == queue and held.stored.version == stored.version:
            return
        self._order += 1
        self._entries[task_id] = Entry(at, self._order, queue, stored)
        heap = self._heaps.setdefault(queue, [])
        heappush(heap, (at, self._order, task_id))
        if len(heap) > 64 + 4 * len(self._entries):
            self._compact()

    def forget(self, task_id: str) -> None:
        """
        Take a task off the timeline.
        """
        self._entries.pop(task_id, None)

    def due(self, queue: Hashable, now: int, *, most: int) -> Iterator[Entry]:
        """
        Take off and yield up to `most` entries of a queue that are due, the earliest first.
        """
        heap = self._heaps.get(queue)
        while most > 0 and heap and heap[0][0] <= now:
            _, order, task_id = heappop(heap)
            entry = self._entries.get(task_id)
            if entry is not None and entry.order == order:
                del self._entries[task_id]
                most -= 1
                yield entry

    def next_at(self, queue: Hashable) -> int | None:
        """
        Return when the earliest entry of a queue is due.
        """
        heap = self._heaps.get(queue)
        while heap:
            at, order, task_id = heap[0]
            entry = self._entries.get(task_id)
            if entry is not None and entry.order == order:
                return at
            heappop(heap)
        return None

    def turn(self, boot: int) -> None:
        """
        Let go of own writes that every search shows by now.
        """
        if boot - self._turned >= FORGET_AFTER:
            self._turned = boot
            self._older, self._recent = self._recent, {}

    def trim(self, most: int) -> None:
        """
        Keep the earliest `most` entries; a search finds the others again.
        """
        if len(self._entries) > most:
            kept = sorted(self._entries.values(), key=lambda entry: (entry.at, entry.order))[:most]
            self._entries = {entry.stored.record.id: entry for entry in kept}
            self._compact()

    def _compact(self) -> None:
        self._heaps = {}
        for task_id, entry in self._entries.items():
            self._heaps.setdefault(entry.queue, []).append((entry.at, entry.order, task_id))
        for heap in self._heaps.values():
            heapify(heap)
