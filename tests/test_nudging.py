"""
Nudges: who is told, what is said, and that nothing said can do harm.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest

from tests.core_bench import Bench
from tests.factories import NOW, make_due_task, make_heartbeat, make_running_task, make_task
from unomi_scheduler.model import Heartbeat, Stored, Task, TaskStatus, Version
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.hints import MOST_WANTED, PURPOSE, SHOWN_AFTER
from unomi_scheduler.node.nudging import (
    MOST_BYTES,
    MOST_TASKS,
    Allowance,
    Hint,
    InvalidNudge,
    Nudge,
    decode,
    encode,
    hint_of,
    is_signed,
    recipient,
    sign,
)
from unomi_scheduler.node.runs import Failed, Pool
from unomi_scheduler.rules.placement import owner_of, partition_of

HOST = "here"
VERSION = Version("index", 7, 1)
KEY = bytes(range(32))


def peer(name: str, **over: Any) -> Heartbeat:
    """
    Return the heartbeat of a node on this host that may be told of `sample` tasks.
    """
    values = {"address": "http://127.0.0.1:1", "host": HOST, "task_types": ("sample",), "incarnation": f"i-{name}"}
    return make_heartbeat(**{"node_id": name, **values, **over})


def told(task: Task, *beats: Heartbeat, **over: Any) -> str | None:
    """
    Return the id of the node that is told of a task.
    """
    beat = recipient(task, beats, **{"host": HOST, **over})
    return None if beat is None else beat.node_id


class TestRecipient:
    """
    Whom a node tells.
    """

    def test_it_is_the_owner_of_the_share(self) -> None:
        """
        The same one as every node computes, for each task.
        """
        peers = [peer(name) for name in "abc"]
        tasks = [make_due_task() for _ in range(50)]

        assert [told(task, *peers) for task in tasks] == [owner_of(partition_of(task), "abc") for task in tasks]
        assert {told(task, *peers) for task in tasks} == {"a", "b", "c"}

    @pytest.mark.parametrize(
        "over",
        [
            {"busy": True},
            {"dead_by": "b"},
            {"executor_node": False},
            {"task_types": ("other",)},
            {"address": None},
            {"address": "no address"},
            {"address": "http://[:1"},
            {"address": "http://host:port"},
            {"address": "https://127.0.0.1:1"},
            {"host": "there"},
            {"host": "there", "address": "http://localhost:1"},
            {"host": "there", "address": "http://[::1]:1"},
        ],
    )
    def test_who_cannot_take_it_is_not_told(self, over: dict[str, Any]) -> None:
        """
        Another one is, if there is one.
        """
        assert told(make_due_task(), peer("a", **over)) is None
        assert told(make_due_task(), peer("a", **over), peer("b")) == "b"

    def test_a_port_that_others_reach_is_used_from_another_host(self) -> None:
        """
        Only what is for its own machine is compared with this one's name.
        """
        assert told(make_due_task(), peer("a", host="there", address="http://10.0.0.7:1")) == "a"

    def test_a_targeted_task_is_told_to_its_nodes(self) -> None:
        """
        By id or by tag.
        """
        peers = peer("a"), peer("b", tags=("gpu",))

        assert {told(make_due_task(on_nodes=("a",)), *peers) for _ in range(20)} == {"a"}
        assert {told(make_due_task(on_tags=("gpu",)), *peers) for _ in range(20)} == {"b"}
        assert told(make_due_task(on_nodes=("c",)), *peers) is None

    def test_neither_oneself_nor_who_did_not_answer_is_told(self) -> None:
        """
        A process that does not take part may have the name of one that does: it is the incarnation that counts.
        """
        assert told(make_due_task(), peer("a"), own="i-a") is None
        assert told(make_due_task(), peer("a"), own="i-other") == "a"
        assert told(make_due_task(), peer("a"), shunned={"i-a"}) is None

    @pytest.mark.parametrize(
        "over",
        [{"enabled": False}, {"status": TaskStatus.COMPLETED}, {"run_on_all_nodes": True}, {"delete_requested": True}],
    )
    def test_what_nobody_may_claim_makes_no_hint(self, over: dict[str, Any]) -> None:
        """
        Nor what each node finds for itself.
        """
        assert hint_of(Stored(make_due_task(**over), VERSION)) is None
        assert hint_of(Stored(make_due_task(id="x"), VERSION)) == Hint("x", VERSION, NOW)


class TestWire:
    """
    What goes over it.
    """

    def test_a_nudge_comes_back_as_it_was(self) -> None:
        """
        Within the limit of its length, with the longest ids.
        """
        hints = tuple(Hint(f"{number:0512}", Version("i" * 22, 2**53, 9), NOW) for number in range(MOST_TASKS))
        nudge = Nudge(to="a:1", nonce="n", hints=hints, more=True)

        assert decode(encode(nudge)) == nudge
        assert len(encode(nudge)) <= MOST_BYTES

    @pytest.mark.parametrize(
        "body",
        [
            b"", b"\xff", b"[]", b"null", b"{}", b'{"to":1,"nonce":"n","more":false,"tasks":[]}',
            b'{"to":"a","nonce":"n","more":false,"tasks":[{"id":"x","version":["i",1],"due":1}]}',
            b'{"to":"a","nonce":"n","more":false,"tasks":[{"id":"x","version":["i",true,1],"due":1}]}',
            b'{"to":"a","nonce":"n","more":false,"tasks":7}',
            encode(Nudge(to="a", nonce="n", hints=(Hint("x", VERSION, 1),) * (MOST_TASKS + 1))),
        ],
    )  # fmt: skip
    def test_what_is_no_nudge_is_refused(self, body: bytes) -> None:
        """
        With the one error.
        """
        with pytest.raises(InvalidNudge):
            decode(body)

    def test_a_signature_fits_one_body_and_one_key(self) -> None:
        """
        And nothing else, whatever is in the header.
        """
        signature = sign(b"body", KEY)

        assert is_signed(b"body", signature, KEY)
        for body, given, key in (
            (b"bodz", signature, KEY), (b"body", signature, bytes(32)), (b"body", "", KEY),
            (b"body", "\u00fc\ud800", KEY),
            (b"body", signature.partition(" ")[2], KEY), (b"body", signature + "0", KEY),
        ):  # fmt: skip
            assert not is_signed(body, given, key)

    def test_a_burst_is_told_in_part_and_then_once_that_there_is_more(self) -> None:
        """
        10,000 tasks of one call cost a handful of nudges.
        """
        allowance = Allowance()
        hints = [Hint(str(number), VERSION, NOW) for number in range(1_000)]
        taken = [allowance.take(hints, 0) for _ in range(10)]

        assert sum(len(named) for named, _ in taken) == Allowance.MOST_IN_WINDOW
        assert [more for _, more in taken].count(True) == 1
        assert sum(bool(named or more) for named, more in taken) <= 4
        assert allowance.take(hints[:5], Allowance.WINDOW) == (tuple(hints[:5]), False)


def hint(task_id: str, version: Version | None) -> Hint:
    """
    Return the hint of a task that was written.
    """
    assert version is not None
    return Hint(task_id, version, NOW)


def reads(bench: Bench) -> list[str]:
    """
    Return the ids that were read because of nudges.
    """
    return [name for query in bench.asked(m.AskTasks) if query.purpose == PURPOSE for name in query.ids]


def began(bench: Bench) -> list[str]:
    """
    Return the ids of the tasks that started.
    """
    return [ticket.task.id for ticket in bench.starts()]


def tellings(bench: Bench) -> list[str]:
    """
    Return the ids of the tasks that others were to be told of.
    """
    return [stored.record.id for one in bench.given if isinstance(one, m.Tell) for stored in one.tasks]


@pytest.fixture
def quiet() -> Bench:
    """
    Return a node whose sweep was a moment ago and found nothing.
    """
    bench = Bench()
    bench.settle()
    bench.pass_time(1_100)
    return bench


class TestTold:
    """
    A node that is nudged.
    """

    def test_it_starts_what_it_was_told_of_at_once(self, quiet: Bench) -> None:
        """
        By a read of the document and a claim, no search.
        """
        searched = len(quiet.asked(m.AskDue))
        (version,) = quiet.put(make_due_task(id="one"))
        quiet.post(m.Nudged((hint("one", version),)))
        quiet.settle()

        assert began(quiet) == ["one"]
        assert len(quiet.asked(m.AskDue)) == searched

    def test_the_same_nudge_again_is_not_worth_a_read(self, quiet: Bench) -> None:
        """
        While the task runs here, and when it has ended.
        """
        (version,) = quiet.put(make_due_task(id="one"))
        for _ in range(3):
            quiet.post(m.Nudged((hint("one", version),)))
            quiet.settle()
        quiet.end(quiet.starts()[0])
        quiet.settle()
        quiet.post(m.Nudged((hint("one", version),)))
        quiet.settle()

        assert (reads(quiet), began(quiet)) == (["one"], ["one"])

    @pytest.mark.parametrize(
        "task",
        [
            make_running_task(id="one"),
            make_due_task(id="one", enabled=False),
            make_due_task(id="one", task_type="other"),
            make_due_task(id="one", on_nodes=("node-z",)),
            make_due_task(id="one", status=TaskStatus.COMPLETED),
            make_due_task(id="one", run_on_all_nodes=True, period=1_000),
            make_task(id="one"),
        ],
    )
    def test_what_is_not_to_be_claimed_here_is_left_alone(self, quiet: Bench, task: Task) -> None:
        """
        Whatever the nudge said of it.
        """
        (version,) = quiet.put(task)
        quiet.post(m.Nudged((hint("one", version),)))
        quiet.settle()
        writes = len(quiet.writes)
        quiet.pass_time(100)

        assert (began(quiet), len(quiet.writes)) == ([], writes)
        assert quiet.task("one") == task

    def test_what_was_deleted_is_left_alone(self, quiet: Bench) -> None:
        """
        There is nothing to read.
        """
        quiet.post(m.Nudged((hint("gone", VERSION),)))
        quiet.settle()

        assert (reads(quiet), began(quiet)) == (["gone"], [])

    def test_two_that_are_told_of_the_same_task_run_it_once(self, quiet: Bench) -> None:
        """
        The write decides, as always.
        """
        other = Bench("node-c", "first-c", quiet.store, clock=quiet.clock)
        other.settle()
        (version,) = quiet.put(make_due_task(id="one"))
        for bench in (quiet, other):
            bench.post(m.Nudged((hint("one", version),)))
        quiet.settle()
        other.settle()

        assert began(quiet) + began(other) == ["one"]

    def test_more_is_looked_for_when_a_search_shows_it(self, quiet: Bench) -> None:
        """
        Once, however often it is said.
        """
        searched = len(quiet.asked(m.AskDue))
        quiet.pass_time(300)
        for _ in range(5):
            quiet.post(m.Nudged((), more=True))
        quiet.settle()
        early = len(quiet.asked(m.AskDue))
        quiet.pass_time(SHOWN_AFTER)

        assert (early, len(quiet.asked(m.AskDue))) == (searched, searched + 1)

    def test_a_flood_is_not_read(self, quiet: Bench) -> None:
        """
        Beyond a bound the node looks for its work instead.
        """
        for start in range(0, 2 * MOST_WANTED, MOST_TASKS):
            quiet.post(m.Nudged(tuple(hint(str(start + n), VERSION) for n in range(MOST_TASKS))))
        quiet.settle()

        assert len(reads(quiet)) == MOST_WANTED

    def test_a_node_that_may_not_claim_reads_nothing(self, quiet: Bench) -> None:
        """
        Its lease has run out.
        """
        (version,) = quiet.put(make_due_task(id="one"))
        quiet.lease = False
        quiet.post(m.Nudged((hint("one", version),)))
        quiet.settle()

        assert reads(quiet) == []


class TestTelling:
    """
    A node that has work for others.
    """

    @staticmethod
    def _wrote(bench: Bench, task: Task) -> None:
        (version,) = bench.put(task)
        assert version is not None
        bench.post(m.Offered(Stored(task, version), created=True))
        bench.settle()

    def test_it_keeps_what_it_starts_itself(self, quiet: Bench) -> None:
        """
        What is due now it claims, whosever share it is in.
        """
        self._wrote(quiet, make_due_task(id="one"))

        assert (began(quiet), tellings(quiet)) == (["one"], [])

    @pytest.mark.parametrize(
        "over",
        [{"task_type": "other"}, {"on_nodes": ("node-z",)}, {"status": TaskStatus.CRASHED, "task_type": "other"}],
    )
    def test_it_tells_of_what_it_cannot_run(self, quiet: Bench, over: dict[str, Any]) -> None:
        """
        For want of the executor, or because the task names others.
        """
        self._wrote(quiet, make_due_task(id="one", **over))

        assert (began(quiet), tellings(quiet)) == ([], ["one"])

    @pytest.mark.parametrize(("ahead", "expected"), [(1_900, ["one"]), (2_100, [])])
    def test_what_a_sweep_finds_in_time_is_not_told(self, quiet: Bench, ahead: int, expected: list[str]) -> None:
        """
        Within a poll and the time of a search it may not be found.
        """
        due = quiet.clock.now().wall + ahead
        self._wrote(quiet, make_due_task(id="one", task_type="other", next_scheduled_execution=due))

        assert tellings(quiet) == expected

    def test_a_node_that_is_stuck_tells_others(self) -> None:
        """
        Its slots are taken by runs that do not end.
        """
        bench = Bench(types={"sample": Pool.TASKS})
        bench.settle()
        for number in range(2):
            self._wrote(bench, make_due_task(id=f"long-{number}"))
        bench.pass_time(600)
        self._wrote(bench, make_due_task(id="next"))

        assert tellings(bench) == ["next"]

    def test_it_tells_of_a_dependent_that_it_released(self, quiet: Bench) -> None:
        """
        The end of the dependency here makes it due for those who have its executor.
        """
        waiting = make_task(
            id="second", task_type="other", status=TaskStatus.WAITING, depends_on=("first",),
            waiting_on_tasks=("first",), next_scheduled_execution=NOW,
        )  # fmt: skip
        self._wrote(quiet, make_due_task(id="first", dependents=("second",)))
        self._wrote(quiet, waiting)
        before = tellings(quiet)
        quiet.end(quiet.starts()[0])
        quiet.pass_time(100)

        assert (before, tellings(quiet)) == ([], ["second"])

    def test_it_tells_the_owner_of_the_share_of_a_retry_that_is_due_soon(self, quiet: Bench) -> None:
        """
        By the time a search shows it, it is late; what is due at once is tried again here.
        """
        other = make_heartbeat(node_id="node-c", incarnation="first-c", task_types=("sample",))
        quiet.put(other)
        quiet.pass_time(3_000)
        names = [f"task-{number}" for number in range(20)]
        theirs = [name for name in names if owner_of(crc32(name.encode()) % 256, ("node-b", "node-c")) == "node-c"]
        for name in names:
            self._wrote(quiet, make_due_task(id=name, max_retries=1, retry_delay=1_500))
            quiet.end(quiet.starts()[-1], Failed("as asked"))
            quiet.settle()

        assert sorted(tellings(quiet)) == sorted(theirs)
        assert theirs

    def test_nothing_is_told_where_that_is_switched_off(self) -> None:
        """
        The setting `nudge`.
        """
        bench = Bench(nudge=False)
        bench.settle()
        self._wrote(bench, make_due_task(id="one", task_type="other"))

        assert tellings(bench) == []
