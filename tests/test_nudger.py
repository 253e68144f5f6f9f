"""
Nudges from process to process: the secret, who is let in, and what becomes of those that do not arrive.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from threading import Barrier, Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

import pytest

from integration_tests.faults.proxy import FaultProxy
from tests.factories import SetClock, make_due_task, make_heartbeat
from tests.waiting import eventually
from unomi_rest.health_server import health_server
from unomi_scheduler import Scheduler, TaskStore
from unomi_scheduler.clock import SystemClock
from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.model import Heartbeat, Note, Stored, Task, Version
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.courier import HttpCourier
from unomi_scheduler.node.nudger import AGAIN, Nudger
from unomi_scheduler.node.nudging import MOST_BYTES, Hint, Nudge, decode, encode, is_signed, sign
from unomi_scheduler.node.reception import READ_AGAIN, Reception
from unomi_scheduler.node.secret import KIND, NAME, ClusterSecret, renew
from unomi_scheduler.ports import Action, Write
from unomi_scheduler.stores.memory import MemoryStore

HOST = "here"
VERSION = Version("index", 7, 1)


@pytest.fixture
def store() -> MemoryStore:
    """
    Return an empty store.
    """
    return MemoryStore(SystemClock())


class TestSecret:
    """
    The secret in the store.
    """

    def test_of_many_nodes_that_start_together_one_makes_it(self, store: MemoryStore) -> None:
        """
        All have the same one, of 256 bits.
        """
        secrets = [ClusterSecret(store) for _ in range(16)]
        gate = Barrier(len(secrets))

        def start(secret: ClusterSecret) -> None:
            gate.wait()
            secret.ensure()

        threads = [Thread(target=start, args=(secret,)) for secret in secrets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len({secret.key for secret in secrets}) == 1
        assert len(secrets[0].key or b"") == 32
        assert [(one.record.kind, one.record.name) for one in store.notes(KIND)] == [(KIND, NAME)]

    def test_it_is_replaced(self, store: MemoryStore) -> None:
        """
        Also where there was none.
        """
        secret = ClusterSecret(store)
        renew(store)
        first = secret.read()
        renew(store)

        assert None is not first != secret.read()

    @pytest.mark.parametrize("body", [{}, {"key": 7}, {"key": "zz"}, {"key": "00"}])
    def test_what_is_no_secret_is_not_used(self, store: MemoryStore, body: Any) -> None:
        """
        Neither a broken one nor a short one; replacing it helps.
        """
        store.write([Write(Action.CREATE, Note(kind=KIND, name=NAME, body=body))])
        secret = ClusterSecret(store)
        with pytest.raises(StoreUnavailable, match=f"delete the note {KIND}:{NAME}"):
            secret.ensure()
        renew(store)

        assert secret.read() is not None

    def test_nothing_shows_it(self, store: MemoryStore) -> None:
        """
        As it might stand in a log.
        """
        secret = ClusterSecret(store)
        secret.ensure()
        assert secret.key is not None

        assert secret.key.hex() not in f"{secret!r}{secret}{vars(Nudge)}"


class _Binding:
    """
    What a reception asks of a binding.
    """

    number, node_id, incarnation = 3, "a", "i-a"

    def __init__(self, store: TaskStore) -> None:
        self.store = store


class Desk:
    """
    A reception, its clock, and what it let in.
    """

    def __init__(self, store: MemoryStore) -> None:
        self.clock = SetClock()
        self.events: list[m.Event] = []
        self.reception = Reception(self.events.append, self.clock)
        self.reception.enter(_Binding(store))  # type: ignore[arg-type]
        self.secret = ClusterSecret(store)
        self.secret.ensure()

    @property
    def key(self) -> bytes:
        """
        The secret as the sender knows it.
        """
        assert self.secret.key is not None
        return self.secret.key

    def body(self, **over: Any) -> bytes:
        """
        Return the body of a nudge for this node.
        """
        return encode(Nudge(**{"to": "a:i-a", "nonce": "n", "hints": (Hint("x", VERSION, 1),), **over}))

    def take(self, body: bytes, key: bytes | None = None) -> bool:
        """
        Hand over a body signed with this key, or the right one.
        """
        return self.reception.take(body, sign(body, key or self.key))


@pytest.fixture
def desk(store: MemoryStore) -> Desk:
    """
    Return the reception of a node that has joined.
    """
    return Desk(store)


class TestReception:
    """
    Who is let in.
    """

    def test_a_nudge_of_this_cluster_reaches_the_core(self, desk: Desk) -> None:
        """
        The one that works in that store.
        """
        assert desk.take(desk.body(more=True))
        assert desk.events == [m.Nudged((Hint("x", VERSION, 1),), more=True, binding=3)]

    def test_a_forged_one_does_not(self, desk: Desk) -> None:
        """
        With another key, another body, or no signature at all.
        """
        body = desk.body()

        assert not desk.take(body, bytes(32))
        assert not desk.reception.take(desk.body(nonce="o"), sign(body, desk.key))
        assert not desk.reception.take(body, "")
        assert desk.events == []

    def test_one_that_comes_again_does_not(self, desk: Desk) -> None:
        """
        Somebody may have recorded it.
        """
        assert [desk.take(desk.body()) for _ in range(3)] == [True, False, False]
        assert len(desk.events) == 1

    @pytest.mark.parametrize("to", ["a:i-former", "b:i-a", "", "a:"])
    def test_one_for_another_node_or_an_earlier_start_does_not(self, desk: Desk, to: str) -> None:
        """
        The recipient is signed too.
        """
        assert not desk.take(desk.body(to=to))
        assert desk.events == []

    def test_signed_nonsense_and_too_much_do_not(self, desk: Desk) -> None:
        """
        It is no nudge.
        """
        assert not desk.take(b"nonsense")
        assert not desk.take(b" " * (MOST_BYTES + 1))
        assert desk.events == []

    def test_a_new_secret_is_read_when_it_is_met(self, desk: Desk, store: MemoryStore) -> None:
        """
        And the former one opens nothing any more.
        """
        former = desk.key
        renew(store)
        desk.secret.read()

        assert desk.take(desk.body())
        desk.clock.boot += READ_AGAIN
        assert not desk.take(desk.body(nonce="o"), former)

    def test_forgers_do_not_make_it_read_each_time(self, desk: Desk, store: MemoryStore) -> None:
        """
        Once a second is enough.
        """
        reads: list[str] = []
        notes = store.notes

        def counted(kind: str, names: Any = None) -> Any:
            reads.append(kind)
            return notes(kind, names)

        store.notes = counted  # type: ignore[method-assign]
        for _ in range(100):
            desk.take(desk.body(), bytes(32))

        assert reads == [KIND]

    def test_after_the_node_has_left_nobody_is_let_in(self, desk: Desk) -> None:
        """
        There is nobody to tell.
        """
        desk.reception.leave()

        assert not desk.take(desk.body())


class _Courier:
    """
    Keeps what it is given, and answers by address.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.carried: list[tuple[str, Nudge]] = []
        self.signed: list[tuple[bytes, str]] = []

    def carry(self, address: str, body: bytes, authorization: str) -> int:
        name = address.rpartition("/")[2].partition(":")[0]
        self.carried.append((name, decode(body)))
        self.signed.append((body, authorization))
        answer = self.answers.get(name, 204)
        if isinstance(answer, Exception):
            raise answer
        return int(answer() if callable(answer) else answer)

    def close(self) -> None:
        pass

    def told(self) -> list[tuple[str, str]]:
        """
        Return who was told of what.
        """
        return [(name, hint.task_id) for name, nudge in self.carried for hint in nudge.hints]


Tell = Callable[..., None]


@pytest.fixture
def clock() -> SetClock:
    """
    Return a clock that stands.
    """
    return SetClock()


@pytest.fixture
def nudger(clock: SetClock) -> Iterator[Callable[[_Courier], Nudger]]:
    """
    Return a function that makes a nudger, which is ended behind the test.
    """
    made: list[Nudger] = []

    def make(courier: _Courier) -> Nudger:
        made.append(Nudger(clock=clock, host=HOST, courier=lambda: courier, own=lambda: None))
        return made[-1]

    yield make
    for one in made:
        one.close()


def beats(*names: str) -> list[Heartbeat]:
    """
    Return heartbeats of nodes that can be told.
    """
    return [
        make_heartbeat(
            node_id=name, incarnation=f"i-{name}", host=HOST, address=f"http://{name}:1", task_types=("sample",)
        )
        for name in names
    ]


def stored(*tasks: Task) -> list[Stored[Task]]:
    """
    Return tasks as they were written.
    """
    return [Stored(task, VERSION) for task in tasks or (make_due_task(id="x"),)]


class TestNudger:
    """
    What is sent, and what is done where nobody answers.
    """

    @pytest.fixture(autouse=True)
    def _peers(self, store: MemoryStore) -> None:
        store.write([Write(Action.CREATE, beat) for beat in beats("a")])
        ClusterSecret(store).ensure()

    def test_a_peer_is_told_with_the_secret(self, nudger: Any, store: MemoryStore) -> None:
        """
        Its incarnation, the task, its version, and something that is new each time.
        """
        courier = _Courier()
        one = nudger(courier)
        for _ in range(2):
            one.tell(stored(), store)
            one.close()
        key = ClusterSecret(store).read()
        assert key is not None

        assert courier.told() == [("a", "x"), ("a", "x")]
        assert {nudge.to for _, nudge in courier.carried} == {"a:i-a"}
        assert len({nudge.nonce for _, nudge in courier.carried}) == 2
        assert all(is_signed(body, header, key) for body, header in courier.signed)

    def test_many_tasks_cost_few_nudges(self, nudger: Any, store: MemoryStore) -> None:
        """
        Of 4,000 the peer is told by name of some hundreds, and that there are more.
        """
        courier = _Courier()
        one = nudger(courier)
        one.tell(stored(*(make_due_task() for _ in range(4_000))), store)
        one.close()

        assert 1 <= len(courier.carried) <= 10
        assert any(nudge.more for _, nudge in courier.carried)

    def test_another_node_is_told_where_one_does_not_answer(
        self, nudger: Any, store: MemoryStore, clock: SetClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Then that one is left alone for a while; one line says so, without the secret.
        """
        caplog.set_level(logging.DEBUG)
        store.write([Write(Action.CREATE, beat) for beat in beats("b")])
        courier = _Courier(a=ConnectionRefusedError("refused"), b=204)
        one = nudger(courier)
        tasks = [make_due_task() for _ in range(30)]
        one.tell(stored(*tasks), store)
        one.close()
        at_a = sum(name == "a" for name, _ in courier.carried)
        one.tell(stored(*(make_due_task() for _ in range(30))), store)
        one.close()
        key = ClusterSecret(store).read()
        assert key is not None

        assert {name for who, name in courier.told() if who == "b"} >= {task.id for task in tasks}
        assert at_a == sum(name == "a" for name, _ in courier.carried) >= 1
        lines = [one.levelname for one in caplog.records if getattr(one, "action", "") == "nudge_refused"]
        assert lines == ["INFO"]
        assert key.hex() not in caplog.text

    def test_a_secret_that_was_replaced_is_read_again(self, nudger: Any, store: MemoryStore) -> None:
        """
        The peer refuses the former one, and the nudge is sent once more.
        """
        courier = _Courier()
        one = nudger(courier)
        one.tell(stored(), store)
        one.close()
        renew(store)
        key = ClusterSecret(store).read()
        assert key is not None
        courier.answers["a"] = lambda: 204 if is_signed(*courier.signed[-1], key) else 401
        one.tell(stored(), store)
        one.close()

        assert len(courier.carried) == 3
        assert is_signed(*courier.signed[-1], key)

    def test_a_store_that_does_not_answer_ends_nothing(self, nudger: Any, store: MemoryStore) -> None:
        """
        What comes later is told.
        """
        courier = _Courier()
        one = nudger(courier)
        heartbeats = store.heartbeats

        def fail(ids: Any = None) -> Any:
            raise StoreUnavailable("down")

        store.heartbeats = fail  # type: ignore[method-assign]
        one.tell(stored(), store)
        one.close()
        store.heartbeats = heartbeats  # type: ignore[method-assign]
        one.tell(stored(), store)
        one.close()

        assert courier.told() == [("a", "x")]

    def test_a_node_that_has_just_come_is_told(self, nudger: Any, store: MemoryStore, clock: SetClock) -> None:
        """
        Where nobody known could take a task, the nodes are searched for again.
        """
        courier = _Courier()
        one = nudger(courier)
        one.tell(stored(make_due_task(on_nodes=("b",))), store)
        one.close()
        store.write([Write(Action.CREATE, beat) for beat in beats("b")])
        clock.boot += AGAIN
        one.tell(stored(make_due_task(id="late", on_nodes=("b",))), store)
        one.close()

        assert courier.told() == [("b", "late")]

    def test_without_peers_nothing_is_sent(self, nudger: Any, store: MemoryStore) -> None:
        """
        Nobody has the executor.
        """
        courier = _Courier()
        one = nudger(courier)
        one.tell(stored(make_due_task(task_type="other")), store)
        one.close()

        assert courier.carried == []


@pytest.fixture
def worker(tmp_path: Any) -> Iterator[tuple[Scheduler, list[str]]]:
    """
    Return a node that works, and looks for work every ten seconds only, and the ids of what it ran.
    """
    ran: list[str] = []
    scheduler = Scheduler(store=f"sqlite:///{tmp_path}/tasks.db", node_id="worker", poll_interval="10s")
    scheduler.executor("sample")(lambda context: ran.append(context.task.id))
    yield scheduler, ran
    scheduler.stop()


def serving(scheduler: Scheduler) -> Any:
    """
    Return the small server of a node, which serves.
    """
    server = health_server(scheduler, "127.0.0.1", 0)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def closed(server: WSGIServer) -> None:
    """
    End it.
    """
    server.shutdown()
    server.server_close()


class TestBetweenSchedulers:
    """
    Two processes' worth of it, over real HTTP.
    """

    def test_a_task_scheduled_elsewhere_starts_without_a_poll(self, worker: Any) -> None:
        """
        By a process that runs no node.
        """
        scheduler, ran = worker
        server = serving(scheduler)
        scheduler.advertise(f"http://127.0.0.1:{server.server_port}")
        scheduler.start()
        other = Scheduler(store=scheduler.settings.store)
        eventually(lambda: any("sample" in node.task_types for node in other.nodes()), "the node does not show")
        task = other.new_task("sample").as_one_shot().schedule()
        eventually(lambda: ran, "the task does not start", within=5)
        other.stop()
        closed(server)

        assert ran == [task.id]

    def test_a_program_that_ends_at_once_has_told_others(self, worker: Any) -> None:
        """
        It schedules one task and says goodbye to nobody.
        """
        scheduler, ran = worker
        server = serving(scheduler)
        scheduler.advertise(f"http://127.0.0.1:{server.server_port}")
        scheduler.start()
        eventually(lambda: any("sample" in node.task_types for node in scheduler.nodes()), "the node does not show")
        code = (
            "import sys; from unomi_scheduler import Scheduler\n"
            "Scheduler(store=sys.argv[1]).new_task('sample').as_one_shot().schedule()"
        )
        subprocess.run([sys.executable, "-c", code, scheduler.settings.store], check=True, timeout=30)
        eventually(lambda: ran, "the task does not start", within=5)
        closed(server)

        assert len(ran) == 1

    def test_a_nudge_that_is_lost_costs_the_latency_of_a_poll(self, tmp_path: Any) -> None:
        """
        The network between the nodes swallows everything.
        """
        ran: list[str] = []
        scheduler = Scheduler(store=f"sqlite:///{tmp_path}/tasks.db", node_id="worker", poll_interval="500ms")
        scheduler.executor("sample")(lambda context: ran.append(context.task.id))
        server = serving(scheduler)
        with FaultProxy("127.0.0.1", server.server_port) as proxy, scheduler:
            proxy.black_hole()
            scheduler.advertise(proxy.url)
            other = Scheduler(store=scheduler.settings.store)
            eventually(lambda: any("sample" in node.task_types for node in other.nodes()), "the node does not show")
            ids = [other.new_task("sample").as_one_shot().schedule().id for _ in range(3)]
            eventually(lambda: len(ran) >= 3, "the tasks do not start")
            held = proxy.wait_until_held()
            other.stop()
        closed(server)

        assert (sorted(ran), held) == (sorted(ids), True)

    def test_an_address_that_comes_later_is_used(self, worker: Any) -> None:
        """
        A program of its own may serve the nudge too.
        """
        scheduler, _ = worker
        scheduler.start()
        body = b"{}"

        assert not scheduler.nudged(body, "")
        scheduler.advertise("http://127.0.0.1:1")
        store = scheduler._wiring.required_store()
        (note,) = store.notes(KIND, [NAME])
        key = bytes.fromhex(str(note.record.body["key"]))
        (node,) = [beat.record for beat in store.heartbeats()]
        body = encode(Nudge(to=node.id, nonce="n", hints=()))
        assert scheduler.nudged(body, sign(body, key))


class TestCourier:
    """
    HTTP itself.
    """

    def test_who_does_not_listen_is_an_error(self) -> None:
        """
        At once.
        """
        with FaultProxy("127.0.0.1", 1) as proxy:
            url = proxy.url
        courier = HttpCourier()
        with pytest.raises(OSError, match="refused"):
            courier.carry(url, b"{}", "")

    def test_who_does_not_answer_is_given_up(self) -> None:
        """
        After a second.
        """
        server = health_server(Scheduler(store=None), "127.0.0.1", 0)
        with FaultProxy("127.0.0.1", server.server_port) as proxy:
            proxy.black_hole()
            with pytest.raises(TimeoutError):
                HttpCourier().carry(proxy.url, b"{}", "")
        server.server_close()
