"""
The feed: one reader in a process for all who watch tasks, and none while nobody does.

What this process writes itself is told when the store has acknowledged it; the rest is found by searching behind a
position, again and again. Where a store shows changes out of order, the reader goes back by `OVERLAP` and skips what it
has; so the position that it hands out is that old, and who goes on from there hears of a change twice, never not at
all.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from threading import Event, Lock, RLock, Thread
from typing import NamedTuple

from ..clock import Clock
from ..errors import SchedulerError, WatchRefused
from ..model import Stored, Task, Version
from ..ports import Action, Changes, Mark, Outcome, Position, Result, TaskStore, Write
from .everywhere import as_shown
from .watch import Change, ChangeKind, Missed, Wanted, Watch, cursor_of, position_of

LOG = logging.getLogger("unomi_scheduler.service")
MOST_WATCHES = 64
LOOK_EVERY = 0.5
"""Seconds between two looks, while anybody watches."""
OVERLAP = 5_000
"""Milliseconds for which a change may become visible after one with a higher number."""
MOST_SKIPPED = 10_000
"""Marks that are kept for that; more is a time so busy that the reader goes back less."""
_PAGE = 1_000
_PATIENCE_SECONDS = 10
_REMEMBERED = 20_000


class _Look(NamedTuple):
    boot: int
    position: Position
    marks: frozenset[Mark]


class _Reading:
    """
    How far one store was read: the position to search behind, and the marks of what was found since.
    """

    def __init__(self, store: TaskStore) -> None:
        self.store = store
        self.position = store.position()
        self._looks: deque[_Look] = deque()

    def look(self, clock: Clock, tell: Callable[[Stored[Task]], object]) -> bool:
        """
        Tell what has changed; False when the position is not one of the store any more.
        """
        boot, place = clock.now().boot, self.position
        skip: frozenset[Mark] = frozenset().union(*(one.marks for one in self._looks))
        fresh: set[Mark] = set()
        while (found := self.store.changes(place, skip=skip, limit=_PAGE)) is not None:
            for stored in found.tasks:
                tell(stored)
            place = found.position
            fresh |= found.marks
            if not found.more:
                self._advance(_Look(boot, place, frozenset(fresh)), found)
                return True
        return False

    def _advance(self, look: _Look, found: Changes) -> None:
        if found.in_order:
            self.position = look.position
            return
        self._looks.append(look)
        waiting = sum(len(one.marks) for one in self._looks)
        while self._looks and (self._looks[0].boot <= look.boot - OVERLAP or waiting > MOST_SKIPPED):
            oldest = self._looks.popleft()
            waiting -= len(oldest.marks)
            self.position = oldest.position


class Feed:
    """
    The watches of one process and their reader. Safe from any thread.
    """

    def __init__(self, store: Callable[[], TaskStore | None], clock: Clock) -> None:
        self._store = store
        self._clock = clock
        # One for what is told, which the store's threads wait for; one for what asks the store.
        self._lock = RLock()
        self._starting = Lock()
        self._watches: list[Watch] = []
        self._latest: OrderedDict[str, Version] = OrderedDict()
        self._reading: _Reading | None = None
        self._thread: Thread | None = None
        self._closed = False
        self._wake = Event()

    @property
    def watches(self) -> int:
        """
        How many watch.
        """
        with self._lock:
            return len(self._watches)

    def watch(self, wanted: Wanted, since: str | None = None) -> Watch:
        """
        Return a new watch: of what changes from now on, or first of what has changed since a position.

        Raises:
            WatchRefused: there are too many, or this process is stopping.
            StoreUnavailable, ConfigurationError: the store cannot be read.
        """
        watch = Watch(wanted, now=self._position, leave=self._leave, shown=self._shown)
        with self._lock:
            if self._closed:
                raise WatchRefused("This process is stopping; watch another one")
            if len(self._watches) >= MOST_WATCHES:
                raise WatchRefused(f"{MOST_WATCHES} watch this process already; watch another one, or try again later")
            self._watches.append(watch)
        try:
            self._read_for(watch, since)
        except BaseException:
            watch.close()
            raise
        return watch

    def _read_for(self, watch: Watch, since: str | None) -> None:
        with self._starting:
            store = self._store()
            if store is None:
                return
            if self._thread is None:
                self._begin(store)
        if since is None:
            return
        place = position_of(since)
        if place is None or not store.knows(place):
            with self._lock:
                watch.offer(self._event(ChangeKind.RESET))
        else:
            watch.catch_up(Missed(since=place, read=lambda behind, most: store.changes(behind, limit=most)))

    def _begin(self, store: TaskStore) -> None:
        reading = _Reading(store)
        thread = Thread(target=self._loop, name="unomi-feed", daemon=True)
        with self._lock:
            self._latest.clear()
            self._reading, self._thread = reading, thread
        thread.start()

    def _shown(self, task: Task) -> Task:
        return as_shown(task, now=self._clock.now().wall)

    def _leave(self, watch: Watch) -> None:
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)

    def close(self) -> None:
        """
        Tell all who watch that this process stops, and take no new ones; harmless when repeated. Waits for nobody.
        """
        with self._lock:
            self._closed = True
            for watch in self._watches:
                watch.end(ChangeKind.BYE, self._event(ChangeKind.BYE).position)
            self._watches.clear()
            self._wake.set()

    def settle(self) -> None:
        """
        Return when nothing of a closed feed uses the store any more, or the store did not answer for long.
        """
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(_PATIENCE_SECONDS)

    def reopen(self) -> None:
        """
        Take watches again.
        """
        with self._lock:
            self._closed = False
            self._wake.clear()

    # --- what is told

    def wrote(self, store: TaskStore, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> None:
        """
        Tell what this process has written itself.
        """
        reading = self._reading
        if reading is None or reading.store is not store:
            return
        for write, outcome in zip(writes, outcomes, strict=True):
            if outcome.result is Result.WRITTEN and outcome.version is not None and isinstance(write.record, Task):
                kind = ChangeKind.REMOVED if write.action is Action.DELETE else ChangeKind.TASK
                self._tell(kind, write.record, outcome.version)

    def _tell(self, kind: ChangeKind, task: Task, version: Version) -> None:
        with self._lock:
            known = self._latest.get(task.id)
            if known is not None and not version.newer_than(known):
                return
            self._latest[task.id] = version
            self._latest.move_to_end(task.id)
            if len(self._latest) > _REMEMBERED:
                self._latest.popitem(last=False)
            change = Change(kind=kind, position=cursor_of(self._position()), task=task)
            for watch in self._watches:
                watch.offer(change, version)

    def _event(self, kind: ChangeKind) -> Change:
        return Change(kind=kind, position=cursor_of(self._position()))

    def _position(self) -> Position | None:
        reading = self._reading
        return None if reading is None else reading.position

    # --- the reader's thread

    def _loop(self) -> None:
        failing = False
        while self._goes_on():
            try:
                self._look()
                failing = False
            except SchedulerError as error:
                # Who watches is told when the store is back: nothing is lost behind a position.
                if not failing:
                    LOG.warning("Changes of tasks cannot be read: %s", error, extra={"action": "feed_failed"})
                failing = True
            except Exception:
                LOG.exception("The reader of changes failed", extra={"action": "feed_broken"})
            self._wake.wait(LOOK_EVERY)

    def _goes_on(self) -> bool:
        with self._lock:
            if self._watches and not self._closed:
                return True
            self._thread = self._reading = None
            return False

    def _look(self) -> None:
        reading, store = self._reading, self._store()
        if reading is None or store is None:
            return
        if reading.store is not store or not reading.look(
            self._clock, lambda stored: self._tell(ChangeKind.TASK, stored.record, stored.version)
        ):
            fresh = _Reading(store)
            with self._lock:
                self._latest.clear()
                self._reading = fresh
                for watch in self._watches:
                    watch.offer(self._event(ChangeKind.RESET))
