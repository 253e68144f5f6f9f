"""
What nodes show each other of their memory tasks.
"""

from __future__ import annotations

import orjson
import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import NOW, SetClock, make_heartbeat, make_task
from tests.lossy_store import Fault, LossyStore
from unomi_scheduler.errors import SchedulerError
from unomi_scheduler.model import Note, TaskStatus, evolve
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.showing import AT_MOST_EVERY
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.rules import orders
from unomi_scheduler.stores import memory_notes
from unomi_scheduler.stores.memory import MemoryStore
from unomi_scheduler.stores.memory_notes import MOST_BYTES, MOST_PAGES, MOST_TASKS, lists_of, pages, show, shown

MINE = "node-b:first-b"


class TestPages:
    """
    The notes themselves.
    """

    def test_what_is_shown_is_read_again(self) -> None:
        """
        With the id of the node, of live ones alone.
        """
        tasks = [make_task(id="a", persistent=False, parameters={"n": [1]}), make_task(id="b", persistent=False)]
        beat = make_heartbeat()

        (note,) = pages(beat.id, tasks)
        assert f"{beat.id}:0" == note.name
        ((node_id, one),) = lists_of([note, Note(kind="memory", name="other:gone:0", body={"tasks": []})], [beat])
        assert ("node-a", tuple(tasks)) == (node_id, one.tasks)
        assert pages(beat.id, []) == []

    def test_a_list_is_cut_into_notes_of_a_size(self) -> None:
        """
        None above 256 kB, and no task is left out; the parameters of one that is too large for any are.
        """
        tasks = [make_task(id=str(n), persistent=False, parameters={"text": "x" * 100_000}) for n in range(5)]
        tasks.append(make_task(id="huge", persistent=False, parameters={"text": "x" * MOST_BYTES}))

        made = pages("a:b", tasks)
        assert [2, 2, 2] == [len(shown(note).tasks) for note in made]
        assert max(len(orjson.dumps(note.body)) for note in made) <= MOST_BYTES
        assert shown(made[-1]).tasks[-1] == evolve(tasks[-1], parameters={})

    @pytest.mark.parametrize(("number", "size"), [(MOST_TASKS + 1, 1), (MOST_PAGES * 2 + 1, 100_000)])
    def test_too_many_are_counted(self, number: int, size: int) -> None:
        """
        By type and status; a task more or less decides.
        """
        tasks = [make_task(id=str(n), persistent=False, parameters={"text": "x" * size}) for n in range(number)]

        (note,) = pages("a:b", [evolve(tasks[0], status=TaskStatus.RUNNING), *tasks[1:]])
        assert shown(note).tasks == ()
        assert (("sample", "RUNNING", 1), ("sample", "SCHEDULED", number - 1)) == shown(note).counts
        assert number - 1 == sum(len(shown(one).tasks) for one in pages("a:b", tasks[1:]))

    def test_parameters_that_are_no_json_are_shown_as_they_print(self) -> None:
        """
        A memory task may carry anything; what cannot be shown at all is left out.
        """
        endless: list[object] = []
        endless.append(endless)
        tasks = [make_task(id="a", persistent=False, parameters={"call": {1}, 2: "key"}),
                 make_task(id="b", persistent=False, parameters={"endless": endless})]  # fmt: skip

        assert [{"call": "{1}", "2": "key"}, {}] == [task.parameters for task in shown(pages("a:b", tasks)[0]).tasks]

    def test_what_is_no_list_is_nothing(self) -> None:
        """
        Of a later version, or of a mistaken hand.
        """
        body = {"tasks": [{"itemId": 7}, "text", None], "counts": [["a"], 1, ["a", "RUNNING", "x"]]}
        assert ((), ()) == tuple(shown(Note(kind="memory", name="a", body=body)).__dict__.values())
        assert ((), ()) == tuple(shown(Note(kind="memory", name="a", body={"tasks": 1})).__dict__.values())

    @pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.LOST_REQUEST, Fault.REFUSED])
    def test_a_list_that_was_not_written_for_sure_is_read_before_the_next(self, fault: Fault) -> None:
        """
        Then it is as it should be.
        """
        store = LossyStore(MemoryStore(SetClock()), fault)
        task = make_task(id="a", persistent=False)
        with pytest.raises(SchedulerError):
            show(store, "a:b", [task], ())
        (stored,) = show(store, "a:b", [task], None)
        assert [stored] == store.notes("memory")
        assert (stored,) == show(store, "a:b", [task], (stored,))
        assert show(store, "a:b", [], (stored,)) == ()
        assert store.notes("memory") == []


class TestShowing:
    """
    When a node writes its list.
    """

    def put(self, bench: Bench, task_id: str) -> None:
        """
        Make a memory task that is not due.
        """
        bench.core.locals.table.put(make_task(id=task_id, persistent=False, next_scheduled_execution=NOW + 10_000_000))
        bench.post(m.MemoryChanged(task_id))
        bench.settle()

    def ids(self, bench: Bench, name: str = MINE) -> list[str]:
        """
        Return the tasks that the store shows of an incarnation.
        """
        notes = [one.record for one in bench.store.notes("memory") if one.record.name.startswith(name)]
        return [task.id for note in notes for task in shown(note).tasks]

    def test_a_list_is_written_soon_and_then_at_most_every_five_seconds(self) -> None:
        """
        And only when something has changed.
        """
        bench = Bench()
        bench.pass_time(10_000)
        assert bench.asked(m.ShowMemory) == []
        self.put(bench, "a")
        bench.pass_time(400)
        assert self.ids(bench) == ["a"]
        for number in range(5):
            self.put(bench, f"b{number}")
            bench.pass_time(200)
        assert len(bench.asked(m.ShowMemory)) == 1
        bench.pass_time(AT_MOST_EVERY)
        assert len(self.ids(bench)) == 6
        bench.pass_time(3 * AT_MOST_EVERY)
        assert len(bench.asked(m.ShowMemory)) == 2

    def test_a_change_that_another_process_asked_for_is_written_at_once(self) -> None:
        """
        Who asked for it looks at the list next.
        """
        bench = Bench()
        self.put(bench, "a")
        bench.pass_time(400)
        bench.put(orders.inbox(MINE, [orders.Order(id="o", action="delete", arguments={}, by="x", at=NOW)]))
        bench.pass_time(LEASE // 3 + 100)
        self.put(bench, "b")
        bench.post(m.Obeyed("o", {"changed": True}))
        bench.pass_time(100)
        assert self.ids(bench) == ["a", "b"]

    def test_nothing_is_written_without_a_lease(self) -> None:
        """
        Its peers may have buried it, and its notes with it.
        """
        bench = Bench()
        bench.lease = False
        self.put(bench, "a")
        bench.pass_time(10_000)
        assert bench.store.notes("memory") == []

    def test_another_incarnation_shows_its_own_list(self) -> None:
        """
        In notes of its own.
        """
        bench = Bench()
        self.put(bench, "a")
        bench.pass_time(400)
        bench.post(m.Rejoined("second-b"))
        bench.pass_time(AT_MOST_EVERY)
        assert self.ids(bench, "node-b:second-b") == ["a"]

    def test_the_notes_of_a_dead_node_go_with_its_heartbeat(self) -> None:
        """
        Its list, and the orders that it has not obeyed; those of a later start stay.
        """
        bench = Bench()
        beat = make_heartbeat(lease_millis=LEASE)
        order = orders.Order(id="o", action="executor", arguments={"enabled": False}, by="x", at=NOW)
        late = Note(kind="memory", name="node-a:second:0", body={"tasks": []})
        (note,) = pages(beat.id, [make_task(id="a", persistent=False)])
        bench.put(beat, note, orders.inbox(beat.id, [order]), late)
        bench.pass_time(6 * LEASE)
        assert bench.store.heartbeats([beat.id]) == []
        assert [late] == [one.record for kind in ("memory", "inbox") for one in bench.store.notes(kind)]

    def test_notes_that_cannot_be_removed_are_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        After a lease.
        """
        bench = Bench()
        beat = make_heartbeat(lease_millis=LEASE)
        (note,) = pages(beat.id, [make_task(id="a", persistent=False)])
        bench.put(beat, note)
        failures: list[str] = []
        real = memory_notes.forget

        def fail(store: MemoryStore, beat_id: str) -> None:
            if not failures:
                failures.append(beat_id)
                raise SchedulerError("not now")
            real(store, beat_id)

        monkeypatch.setattr(memory_notes, "forget", fail)
        bench.pass_time(8 * LEASE)
        assert failures == [beat.id]
        assert bench.store.notes("memory") == []

    def test_a_node_that_stops_waits_for_its_list(self) -> None:
        """
        So that nothing of it is written when its notes are removed.
        """
        bench = Bench()
        bench.settle()
        bench.hold = lambda command: isinstance(command, m.Ask) and isinstance(command.query, m.ShowMemory)
        self.put(bench, "a")
        bench.pass_time(400)
        bench.post(m.StopRequested(deadline=bench.clock.now().boot + 60_000, exiting=False))
        bench.pass_time(1_000)
        assert [one for one in bench.given if isinstance(one, m.Stopped)] == []
        bench.hold = lambda _: False
        bench.release()
        bench.pass_time(1_000)
        assert len([one for one in bench.given if isinstance(one, m.Stopped)]) == 1


def test_removing_what_is_gone_is_done() -> None:
    """
    By another node that was faster, between the look and the removal.
    """
    inner = MemoryStore(SetClock())
    store = LossyStore(inner)
    (note,) = pages("a:b", [make_task(id="a", persistent=False)])
    (outcome,) = inner.write([Write(Action.CREATE, note)])
    store.before.append(lambda: inner.write([Write(Action.DELETE, note, outcome.version)]))
    memory_notes.forget(store, "a:b")
    assert inner.notes("memory") == []
