"""
Offers: what this process tells its own node of stored tasks, so that it need not wait for a search.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ..model import Stored, Task
from ..ports import TaskStore
from . import messages as m
from .binding import Binding
from .bindings import Bindings


class Offers:
    """
    Takes each hint to the core that works in the task's own store, never to another's. Safe from any thread.

    Of a definition for all nodes the process that scheduled it takes part from the first period, also when its node
    works in that store only later: so the id of such a one is kept until then. All else a search finds.
    """

    def __init__(self, bindings: Bindings, post: Callable[[m.Event], object]) -> None:
        self._bindings = bindings
        self._post = post
        self._lock = Lock()
        self._entered: int | None = None
        # By id and store: one process may schedule a definition of the same id in several.
        self._kept: dict[tuple[str, int], TaskStore] = {}

    def offer(self, stored: Stored[Task], store: TaskStore, *, created: bool = False) -> bool:
        """
        Take a task of a store as this process has just written it; `created` when it is new. False: no core takes it.
        """
        with self._lock:
            numbers = self._bindings.of_store(store)
            for number in numbers:
                self._post(m.Offered(stored, created=created, binding=number))
            if created and stored.record.everywhere and self._entered not in numbers:
                self._kept[stored.record.id, id(store)] = store
            return bool(numbers)

    def entered(self, binding: Binding) -> None:
        """
        Tell the core that works in a store from now on what was kept for it.
        """
        with self._lock:
            self._entered = binding.number
            ids = tuple(name for (name, _), store in self._kept.items() if store is binding.store)
            for name in ids:
                del self._kept[name, id(binding.store)]
            if ids:
                self._post(m.ScheduledBefore(ids, binding=binding.number))

    def left(self) -> None:
        """
        Keep from now on: the node works in no store, or is about to stop.
        """
        with self._lock:
            self._entered = None

    def pass_on(self, successor: Offers) -> None:
        """
        Give what was kept to the node that takes the place of this one.
        """
        with self._lock:
            kept, self._kept = self._kept, {}
        with successor._lock:
            successor._kept |= kept
