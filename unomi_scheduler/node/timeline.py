"""
The timeline: what is due when, as far as this node knows (P12). Every entry is a hint; the claim decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from heapq import heapify, heappop, heappush, nsmallest
from typing import Any, NamedTuple

from ..model import Stored, Task, Version

FORGET_AFTER = 3_000
"""Milliseconds after which an own write is surely visible to searches; the overlay keeps one to two of these."""


class LaneKey(NamedTuple):
    """
    The queue of one exclusive type, which feeds its lane; the other queues are the pools.
    """

    task_type: str


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
        self._sizes: Counter[Hashable] = Counter()
        self._types: Counter[tuple[Hashable, str]] = Counter()
        self._order = 0
        self._recent: dict[str, Version] = {}
        self._older: dict[str, Version] = {}
        self._turned = 0

    def __len__(self) -> int:
        return len(self._entries)

    def size(self, queue: Hashable) -> int:
        """
        Return how many entries a queue has.
        """
        return self._sizes[queue]

    def queues(self) -> Iterable[Hashable]:
        """
        Return the queues that have entries.
        """
        return list(self._sizes)

    def types(self, queue: Hashable) -> frozenset[str]:
        """
        Return the task types that have entries in a queue.
        """
        return frozenset(task_type for where, task_type in self._types if where == queue)

    def wrote(self, task_id: str, version: Version) -> None:
        """
        Note that this node knows the task at `version`: older search results are ignored from now on.
        """
        self._recent[task_id] = version

    def known(self, task_id: str) -> Version | None:
        """
        Return the version of a task that this node has lately written or waits for its due time with.
        """
        entry = self._entries.get(task_id)
        written = self._recent.get(task_id) or self._older.get(task_id)
        return entry.stored.version if entry is not None and written is None else written

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
        if held is not None and held.at <= at and held.queue == queue and held.stored.version == stored.version:
            # Who scheduled it here may claim it at once; a sweep that meets it later does not take that back.
            return
        self.forget(task_id)
        self._order += 1
        self._entries[task_id] = Entry(at, self._order, queue, stored)
        self._sizes[queue] += 1
        self._types[queue, stored.record.task_type] += 1
        heap = self._heaps.setdefault(queue, [])
        heappush(heap, (at, self._order, task_id))
        if len(heap) > 64 + 4 * len(self._entries):
            self._compact()

    def forget(self, task_id: str) -> None:
        """
        Take a task off the timeline.
        """
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            _decrease(self._sizes, entry.queue)
            _decrease(self._types, (entry.queue, entry.stored.record.task_type))

    def tasks(self) -> list[Stored[Task]]:
        """
        Return the tasks of all entries.
        """
        return [entry.stored for entry in self._entries.values()]

    def due(self, queue: Hashable, now: int, *, most: int) -> Iterator[Entry]:
        """
        Take off and yield up to `most` entries of a queue that are due, the earliest first.
        """
        heap = self._heaps.get(queue)
        while most > 0 and heap and heap[0][0] <= now:
            _, order, task_id = heappop(heap)
            entry = self._entries.get(task_id)
            if entry is not None and entry.order == order:
                self.forget(task_id)
                most -= 1
                yield entry

    def first(self, queue: Hashable, most: int) -> list[Entry]:
        """
        Return the earliest entries of a queue, due or not, and leave them where they are.
        """
        return [self._entries[task_id] for _, _, task_id in nsmallest(most, self._live(queue))]

    def _live(self, queue: Hashable) -> Iterator[tuple[int, int, str]]:
        for item in self._heaps.get(queue, ()):
            entry = self._entries.get(item[2])
            if entry is not None and entry.order == item[1]:
                yield item

    def get(self, task_id: str) -> Entry | None:
        """
        Return the entry of a task.
        """
        return self._entries.get(task_id)

    def head(self, queue: Hashable) -> Entry | None:
        """
        Return the earliest entry of a queue, due or not, and leave it where it is.
        """
        heap = self._heaps.get(queue)
        while heap:
            _, order, task_id = heap[0]
            entry = self._entries.get(task_id)
            if entry is not None and entry.order == order:
                return entry
            heappop(heap)
        return None

    def next_at(self, queue: Hashable) -> int | None:
        """
        Return when the earliest entry of a queue is due.
        """
        head = self.head(queue)
        return None if head is None else head.at

    def overdue(self, wall: int) -> tuple[int, int | None]:
        """
        Return how many entries are due at a moment, and since when (epoch ms) the one is that waits longest, of those
        that have a moment. Unlike all else here, any thread may ask.
        """
        dues = [entry.at for entry in list(self._entries.values()) if entry.at <= wall]
        return len(dues), min((at for at in dues if at > 0), default=None)

    def turn(self, boot: int) -> None:
        """
        Let go of own writes that every search shows by now.
        """
        if boot - self._turned >= FORGET_AFTER:
            self._turned = boot
            self._older, self._recent = self._recent, {}

    def trim(self, queue: Hashable, most: int) -> frozenset[str]:
        """
        Keep the earliest `most` entries of a queue, and return the task types that lost some; a search finds them
        again.
        """
        if self._sizes[queue] <= most:
            return frozenset()
        dropped = [self._entries[task_id] for _, _, task_id in sorted(self._live(queue))[most:]]
        for entry in dropped:
            self.forget(entry.stored.record.id)
        self._compact()
        return frozenset(entry.stored.record.task_type for entry in dropped)

    def _compact(self) -> None:
        self._heaps = {}
        for task_id, entry in self._entries.items():
            self._heaps.setdefault(entry.queue, []).append((entry.at, entry.order, task_id))
        for heap in self._heaps.values():
            heapify(heap)


def _decrease(counter: Counter[Any], key: Hashable) -> None:
    # Empty ones go: there may be as many queues as there are exclusive types.
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
