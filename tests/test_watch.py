"""
Watching tasks: what a listener is told, from where it may go on, and what becomes of a slow one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import make_task
from tests.waiting import eventually
from unomi_scheduler import Change, ChangeKind, Scheduler, Task, Watch, WatchRefused
from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.model import Stored, Version, evolve
from unomi_scheduler.ports import Action, Changes, Mark, Position, Write
from unomi_scheduler.service import feed
from unomi_scheduler.service.watch import MOST_MISSED, MOST_WAITING, Missed

SOON = 5


@pytest.fixture
def address(tmp_path: Path) -> str:
    """
    Return the address of a store that several schedulers share.
    """
    return f"sqlite:///{tmp_path}/tasks.db"


@pytest.fixture
def scheduler(address: str) -> Iterator[Scheduler]:
    """
    A scheduler that runs nothing.
    """
    made = Scheduler(store=address)
    yield made
    made.stop()


@pytest.fixture
def other(address: str) -> Iterator[Scheduler]:
    """
    Another process, as far as the first one knows.
    """
    made = Scheduler(store=address)
    yield made
    made.stop()


def make(scheduler: Scheduler, task_id: str, **over: Any) -> Task:
    """
    Schedule a task.
    """
    return scheduler.schedule_task(scheduler.create_task("sample", id=task_id, **over))


def told(watch: Watch, count: int, within: float = SOON) -> list[Change]:
    """
    Return the next changes of a watch, which must come.
    """
    changes = [watch.take(within) for _ in range(count)]
    assert None not in changes, changes
    return [one for one in changes if one is not None]


def now(scheduler: Scheduler) -> str:
    """
    Return the position of this moment.
    """
    with scheduler.watch() as watch:
        return watch.position


def ids(changes: list[Change]) -> list[tuple[str, str]]:
    """
    Return kind and task of each change.
    """
    return [(one.kind.value, one.task.id if one.task else "") for one in changes]


def test_what_this_process_writes_is_told_at_once(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without any look at the store; each write once, the removal too.
    """
    with scheduler.watch() as watch:
        monkeypatch.setattr(feed, "LOOK_EVERY", 3_600.0)
        make(scheduler, "one")
        scheduler.cancel_task("one")
        scheduler.delete_task("one")

        assert ids(told(watch, 4))[:2] == [("task", "one")] * 2
        assert watch.take(0) is None


def test_what_another_process_writes_is_told_once(scheduler: Scheduler, other: Scheduler) -> None:
    """
    As the task is then, and also to several who watch.
    """
    with scheduler.watch() as watch, scheduler.watch(task_id="two") as second:
        make(other, "one")
        make(other, "two")

        assert ids(told(watch, 2)) == [("task", "one"), ("task", "two")]
        assert ids(told(second, 1)) == [("task", "two")]
        assert watch.take(3 * feed.LOOK_EVERY) is None


def test_a_watch_goes_on_where_one_of_another_process_ended(scheduler: Scheduler, other: Scheduler) -> None:
    """
    It hears what changed in between first, and then of what changes now.
    """
    with scheduler.watch() as watch:
        make(scheduler, "seen")
        last = told(watch, 1)[0].position
    for number in range(3):
        make(scheduler, f"missed-{number}")
    with other.watch(since=last) as watch:
        make(other, "fresh")
        heard = [name for _, name in ids(told(watch, 5))]

    assert heard == ["seen", "missed-0", "missed-1", "missed-2", "fresh"]


@pytest.mark.parametrize("since", ["nonsense", "1@another-store", "999999999@{identity}", "1.2@{identity}", "@", "-"])
def test_an_unknown_position_is_answered_by_a_reset(scheduler: Scheduler, since: str) -> None:
    """
    The changes from now on follow it.
    """
    identity = now(scheduler).partition("@")[2]
    with scheduler.watch(since=since.format(identity=identity)) as watch:
        make(scheduler, "one")

        assert ids(told(watch, 2)) == [("reset", ""), ("task", "one")]


def test_filters_hold_for_the_task_as_it_is_after_the_change(scheduler: Scheduler, other: Scheduler) -> None:
    """
    By status, type and id, for what this process writes, what others write, and what was missed.
    """
    start = now(scheduler)
    with scheduler.watch(status="cancelled") as cancelled, scheduler.watch(task_type="else") as typed:
        make(scheduler, "one")
        scheduler.cancel_task("one")
        make(other, "two")
        other.cancel_task("two")

        assert ids(told(cancelled, 2)) == [("task", "one"), ("task", "two")]
        assert typed.take(2 * feed.LOOK_EVERY) is None
    with other.watch(task_id="two", since=start) as missed:
        assert ids(told(missed, 1)) == [("task", "two")]


def test_nobody_reads_while_nobody_watches(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One reader for all, which ends with the last.
    """
    store, looks = scheduler._wiring.required_store(), deque[int]()
    found = store.changes

    def counted(*arguments: Any, **named: Any) -> Changes | None:
        looks.append(1)
        return found(*arguments, **named)

    monkeypatch.setattr(store, "changes", counted, raising=False)
    several = [scheduler.watch() for _ in range(10)]
    make(scheduler, "one")
    for watch in several:
        told(watch, 1)
    eventually(lambda: len(looks) >= 2, "nobody reads", SOON)
    for watch in several:
        watch.close()
    eventually(lambda: scheduler._wiring.feed._thread is None, "the reader goes on", SOON)
    number = len(looks)
    make(scheduler, "two")

    assert len(looks) == number


def test_what_was_told_as_missed_is_not_told_again(scheduler: Scheduler) -> None:
    """
    However much of it waits by the time that the missed changes were taken.
    """
    task = make(scheduler, "a")
    newer, older = Version("index", 2, 1), Version("index", 1, 1)
    place = Position("index", (2,))
    page = Changes(tasks=(Stored(task, newer),), position=place)
    with scheduler.watch() as watch:
        watch.catch_up(Missed(since=place, read=lambda _since, _limit: page))
        for _ in range(MOST_WAITING):
            watch.offer(Change(kind=ChangeKind.TASK, position="", task=task), older)

        assert [one.task and one.task.id for one in told(watch, 1)] == ["a"]
        assert watch.take(0) is None


def test_there_is_a_limit_and_a_place_comes_free(scheduler: Scheduler) -> None:
    """
    One too many is refused; who leaves makes room.
    """
    several = [scheduler.watch() for _ in range(feed.MOST_WATCHES)]
    with pytest.raises(WatchRefused, match="64 watch this process already"):
        scheduler.watch()
    several[0].close()
    scheduler.watch().close()
    for watch in several:
        watch.close()

    assert scheduler._wiring.feed.watches == 0


def test_a_slow_listener_has_a_gap_and_misses_nothing(scheduler: Scheduler) -> None:
    """
    The gap is the last; from its position on everything is told again. Nobody waits for the slow one.
    """
    with scheduler.watch() as slow, scheduler.watch(task_id="last") as quick:
        store = scheduler._wiring.required_store()
        store.write([Write(Action.CREATE, make_task(id=f"task-{number:04}")) for number in range(MOST_WAITING + 50)])
        make(scheduler, "last")

        assert ids(told(quick, 1)) == [("task", "last")]
        heard = told(slow, MOST_WAITING)
        assert [one.kind for one in heard].count(ChangeKind.GAP) == 1
        assert heard[-1].kind is ChangeKind.GAP
        assert slow.over
        assert slow.take(0) is None
    with scheduler.watch(since=heard[-1].position) as again:
        names = {one.task.id for one in told(again, MOST_WAITING + 51) if one.task}

    assert len(names | {one.task.id for one in heard if one.task}) == MOST_WAITING + 51


def test_who_missed_too_much_lists_again(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A reset in place of ten thousand changes.
    """
    start = now(scheduler)
    store = scheduler._wiring.required_store()
    for page in range(MOST_MISSED // 1_000 + 1):
        store.write([Write(Action.CREATE, make_task(id=f"task-{page}-{one}")) for one in range(1_000)])
    with scheduler.watch(since=start) as watch:
        kinds = [one.kind for one in told(watch, MOST_MISSED + 1)]

    assert kinds[:-1] == [ChangeKind.TASK] * MOST_MISSED
    assert kinds[-1] is ChangeKind.RESET


def test_watches_end_when_the_process_stops(scheduler: Scheduler) -> None:
    """
    Before the runs do, after what waits was told; none begins then, until it starts again.
    """
    watch = scheduler.watch()
    make(scheduler, "one")
    scheduler.stop()

    assert ids(told(watch, 2)) == [("task", "one"), ("bye", "")]
    assert watch.over
    with pytest.raises(WatchRefused, match="stopping"):
        scheduler.watch()
    scheduler.start()
    scheduler.watch().close()


def test_another_store_is_a_reset(scheduler: Scheduler, tmp_path: Path) -> None:
    """
    What changes there is told, what changes in the former store is not.
    """
    with scheduler.watch() as watch:
        scheduler.bind_store(f"sqlite:///{tmp_path}/second.db")
        assert ids(told(watch, 1)) == [("reset", "")]
        make(scheduler, "there")

        assert ids(told(watch, 1)) == [("task", "there")]


def test_without_a_store_nothing_is_told() -> None:
    """
    A watch is possible, and there is no place to go on from.
    """
    scheduler = Scheduler(store=None)
    with scheduler.watch() as watch:
        assert watch.position == ""
        assert watch.take(0) is None
    scheduler.stop()


class _Disorderly:
    """
    A store in which a change becomes visible after later ones.
    """

    def __init__(self) -> None:
        self.hidden: set[int] = set()
        self.tasks: dict[int, Task] = {}
        self.fails = False

    def position(self) -> Position:
        """
        Return a place before everything.
        """
        return Position("one", (0,))

    def changes(self, since: Position, *, skip: frozenset[Mark] = frozenset(), limit: int) -> Changes:
        """
        Return what is visible.
        """
        if self.fails:
            raise StoreUnavailable("away")
        shown = [n for n in sorted(self.tasks) if n > since.numbers[0] and n not in self.hidden and (0, n) not in skip]
        return Changes(
            tasks=tuple(Stored(self.tasks[n], Version("one", n, 1)) for n in shown[:limit]),
            position=Position("one", (max([since.numbers[0], *shown[:limit]]),)),
            marks=frozenset((0, n) for n in shown[:limit]),
            more=len(shown) > limit,
            in_order=False,
        )


class _Clock:
    def __init__(self) -> None:
        self.boot = 0

    def now(self) -> Any:
        return self

    wall = 0


def test_what_becomes_visible_late_is_not_missed() -> None:
    """
    Within the overlap it is told, and nothing twice; the position to go on from waits for it.
    """
    store, clock = _Disorderly(), _Clock()
    heard: list[str] = []
    reading = feed._Reading(store)  # type: ignore[arg-type]

    def look() -> list[str]:
        heard.clear()
        assert reading.look(clock, lambda stored: heard.append(stored.record.id))
        return list(heard)

    store.tasks = {n: make_task(id=f"task-{n}") for n in (1, 2, 3)}
    store.hidden = {2}
    assert look() == ["task-1", "task-3"]
    assert reading.position.numbers == (0,)
    clock.boot += feed.OVERLAP - 1
    assert look() == []
    store.hidden = set()
    assert look() == ["task-2"]
    clock.boot += 1
    assert look() == []
    assert reading.position.numbers == (3,)
    store.tasks[4] = evolve(store.tasks[1], current_step="on")
    assert look() == ["task-1"]
    assert look() == []


def test_the_reader_goes_on_after_a_failure(
    scheduler: Scheduler, other: Scheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    It is said once, and what changed meanwhile is told then.
    """
    store = scheduler._wiring.required_store()
    found, failures = store.changes, list[int]()

    def away(*arguments: Any, **named: Any) -> Changes | None:
        if len(failures) < 3:
            failures.append(1)
            raise StoreUnavailable("away")
        return found(*arguments, **named)

    with scheduler.watch() as watch:
        monkeypatch.setattr(store, "changes", away, raising=False)
        make(other, "one")

        assert ids(told(watch, 1)) == [("task", "one")]
    assert [one.getMessage() for one in caplog.records if getattr(one, "action", "") == "feed_failed"] == [
        "Changes of tasks cannot be read: away"
    ]
