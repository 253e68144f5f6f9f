"""
The inbox of a node: orders that are taken before they are obeyed, obeyed once, and answered.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core_bench import LEASE, Bench
from tests.factories import NOW, make_due_task, make_heartbeat
from unomi_scheduler.errors import StoreUnavailable
from unomi_scheduler.model import Note, Stored, TaskStatus
from unomi_scheduler.node import messages as m
from unomi_scheduler.node.runs import Pool, TellRun
from unomi_scheduler.ports import Action, Outcome, Result, Write
from unomi_scheduler.rules import orders as rules
from unomi_scheduler.rules.orders import Order

MINE = "node-b:first-b"
ROUND = LEASE // 3 + 100
"""Milliseconds in which a node reads its inbox once."""


def make_order(order_id: str = "order-1", action: str = "executor", **arguments: object) -> Order:
    """
    Return an order, by default one that ends the node's part in the work.
    """
    return Order(id=order_id, action=action, arguments=arguments or {"enabled": False}, by="other", at=NOW)


def stored_inbox(bench: Bench) -> Stored[Note] | None:
    """
    Return the inbox as it stands in the store.
    """
    return next(iter(bench.store.notes("inbox", [MINE])), None)


def orders(bench: Bench) -> tuple[Order, ...]:
    """
    Return the orders in the store.
    """
    stored = stored_inbox(bench)
    return rules.orders_of(stored.record if stored else None)


def write(bench: Bench, *wanted: Order) -> None:
    """
    Put the inbox into the store, in the place of any.
    """
    stored, note = stored_inbox(bench), rules.inbox(MINE, wanted)
    (outcome,) = bench.store.write(
        [Write(Action.CREATE, note) if stored is None else Write(Action.REPLACE, note, stored.version)]
    )
    assert outcome.result is Result.WRITTEN


def is_take(command: m.Command) -> bool:
    """
    Tell whether a command writes the inbox.
    """
    return isinstance(command, m.Batch) and any(isinstance(one.record, Note) for one in command.writes)


def obeyed(bench: Bench) -> list[str]:
    """
    Return the orders given out to be done.
    """
    return [command.order.id for command in bench.given if isinstance(command, m.Obey)]


class TestExecutor:
    """
    An order that makes a node run tasks, or none.
    """

    def test_a_node_that_is_told_so_claims_nothing_more_until_it_is_told_again(self) -> None:
        """
        Not what it knows of, not what it finds; and both once it takes part again.
        """
        bench = Bench()
        bench.settle()
        bench.put(make_due_task(id="known", next_scheduled_execution=NOW + ROUND + 1_000))
        write(bench, make_order())
        bench.pass_time(ROUND)
        assert [{"executorNode": False}] == [order.outcome for order in orders(bench)]
        bench.put(make_due_task(id="new"))
        bench.pass_time(5_000)
        assert bench.starts() == []

        write(bench, make_order("order-2", enabled=True))
        bench.pass_time(ROUND + 2_000)
        assert {"known", "new"} == {ticket.task.id for ticket in bench.starts()}

    def test_what_runs_goes_on_to_its_end(self) -> None:
        """
        And is written as it ended.
        """
        bench = Bench()
        bench.put(make_due_task(id="long"))
        bench.settle()
        (ticket,) = bench.starts()
        write(bench, make_order())
        bench.pass_time(ROUND)
        assert bench.core.board.executor_node is False
        assert [one for one in bench.given if isinstance(one, TellRun)] == []
        bench.end(ticket)
        bench.settle()
        assert bench.task("long").status is TaskStatus.COMPLETED

    def test_what_is_for_all_nodes_runs_on(self) -> None:
        """
        Of stored tasks and of those in memory (contract section 13).
        """
        bench = Bench()
        bench.post(m.ExecutorSet(enabled=False))
        bench.settle()
        bench.put(make_due_task(id="all", run_on_all_nodes=True, period=200), make_due_task(id="one"))
        for name, everywhere in (("near", False), ("near-all", True)):
            bench.core.locals.table.put(make_due_task(id=name, persistent=False, run_on_all_nodes=everywhere))
            bench.post(m.MemoryChanged(name))
            bench.settle()
            bench.post(m.TimerFired(name))
        bench.pass_time(5_000)

        assert {"all", "near-all"} == {ticket.task.all_nodes_of or ticket.task.id for ticket in bench.starts()}

    def test_its_share_goes_to_the_others(self) -> None:
        """
        As soon as its heartbeat says so.
        """
        bench = Bench()
        peer = make_heartbeat(node_id="node-a", task_types=("sample",), lease_millis=LEASE)
        (version,) = bench.put(peer)
        bench.pass_time(1_500)
        assert {"node-a", "node-b"} == bench.core.discovery.candidates("sample")
        bench.store.write([Write(Action.REPLACE, replace(peer, counter=2, executor_node=False), version)])
        bench.pass_time(ROUND)
        assert {"node-b"} == bench.core.discovery.candidates("sample")

    def test_the_core_that_takes_the_place_of_another_goes_on_as_it_was(self) -> None:
        """
        A node that leaves a store keeps what it was told.
        """
        bench, other = Bench(), Bench()
        bench.post(m.ExecutorSet(enabled=False))
        bench.settle()
        bench.core.hand_over_to(other.core, bench.clock.now())
        assert other.core.board.executor_node is False


class TestTaking:
    """
    Between the order and its outcome.
    """

    def test_an_order_is_given_out_when_its_taking_is_acknowledged_and_answered_when_it_is_done(self) -> None:
        """
        Never before, so that one that was withdrawn is not obeyed.
        """
        bench = Bench()
        bench.settle()
        write(bench, make_order(action="cancel", taskId="near"))
        bench.hold = is_take
        bench.pass_time(ROUND)
        assert len(bench.held) == 1
        assert obeyed(bench) == []
        bench.hold = lambda _: False
        bench.release()
        bench.settle()
        assert obeyed(bench) == ["order-1"]
        assert [(True, None)] == [(order.taken, order.outcome) for order in orders(bench)]
        bench.post(m.Obeyed("order-1", {"changed": True}))
        bench.settle()
        assert [{"changed": True}] == [order.outcome for order in orders(bench)]

    def test_an_order_that_was_withdrawn_meanwhile_is_not_obeyed(self) -> None:
        """
        Whoever gave it was faster than the write that takes it.
        """
        bench = Bench()
        bench.settle()
        write(bench, make_order())
        bench.hold = is_take
        bench.pass_time(ROUND)
        write(bench)
        bench.hold = lambda _: False
        bench.release()
        bench.pass_time(ROUND)
        assert bench.core.board.executor_node is True
        assert orders(bench) == ()

    def test_two_orders_at_once_are_both_obeyed_in_order(self) -> None:
        """
        Also where the second comes while the first is being taken.
        """
        bench = Bench()
        bench.settle()
        first, second = make_order("order-1"), make_order("order-2", enabled=True)
        write(bench, first)
        bench.hold = is_take
        bench.pass_time(ROUND)
        write(bench, first, second)
        bench.hold = lambda _: False
        bench.release()
        bench.pass_time(ROUND)
        assert [{"executorNode": False}, {"executorNode": True}] == [order.outcome for order in orders(bench)]
        assert bench.core.board.executor_node is True

    @pytest.mark.parametrize("done", [True, False])
    def test_an_order_is_obeyed_once_whatever_becomes_of_the_answer(self, done: bool) -> None:  # noqa: FBT001
        """
        The answer to the write that takes it is lost, and the write was done or not (P3).
        """
        bench = Bench()
        bench.settle()
        write(bench, make_order(action="cancel", taskId="near"))
        lost: list[m.Batch] = []

        def lose(batch: m.Batch) -> list[Outcome] | None:
            if not is_take(batch) or len(lost) == 2:
                return None
            lost.append(batch)
            if done:
                bench.store.write(batch.writes)
            return [Outcome(Result.UNKNOWN, error=StoreUnavailable("no answer"))] * len(batch.writes)

        bench.fault = lose
        bench.pass_time(2 * ROUND)
        assert obeyed(bench) == ["order-1"]
        bench.post(m.Obeyed("order-1", {"changed": True}))
        bench.pass_time(2 * ROUND)
        assert [{"changed": True}] == [order.outcome for order in orders(bench)]
        assert len(lost) == 2
        assert obeyed(bench) == ["order-1"]

    def test_an_order_for_an_earlier_start_of_the_node_is_left_alone(self) -> None:
        """
        The inbox is that of one incarnation.
        """
        bench = Bench()
        bench.put(rules.inbox("node-b:earlier", [make_order()]))
        bench.pass_time(3 * ROUND)
        assert bench.core.board.executor_node is True

    def test_a_node_that_joins_again_reads_the_inbox_of_its_new_incarnation(self) -> None:
        """
        And answers there.
        """
        bench = Bench()
        bench.settle()
        write(bench, make_order())
        bench.pass_time(ROUND)
        bench.post(m.Rejoined("second-b"))
        bench.settle()
        bench.put(rules.inbox("node-b:second-b", [make_order("order-2", enabled=True)]))
        bench.pass_time(ROUND)
        (stored,) = bench.store.notes("inbox", ["node-b:second-b"])
        assert [{"executorNode": True}] == [order.outcome for order in rules.orders_of(stored.record)]

    def test_what_is_no_order_keeps_nobody_up(self) -> None:
        """
        Of a later version, or of a mistaken hand.
        """
        bench = Bench()
        bench.settle()
        note = Note(kind="inbox", name=MINE, body={"orders": [{"later": 1}, "text", None]})
        bench.put(note)
        bench.pass_time(ROUND)
        assert stored_inbox(bench) is not None
        write(bench, make_order())
        bench.pass_time(ROUND)
        assert bench.core.board.executor_node is False

    def test_orders_that_come_in_a_row_are_taken_quickly(self) -> None:
        """
        After one the node looks again soon, for a while, and then only with its peers' heartbeats.
        """
        bench = Bench()
        bench.settle()
        write(bench, make_order())
        bench.pass_time(ROUND)
        before = bench.clock.now().boot
        write(bench, *orders(bench), make_order("order-2", enabled=True))
        while bench.core.board.executor_node is False:
            bench.pass_time(20)
        assert bench.clock.now().boot - before <= 300
        bench.pass_time(5_000)
        asked = len(bench.asked(m.AskInbox))
        bench.pass_time(5_000)
        assert len(bench.asked(m.AskInbox)) == asked

    def test_waiting_for_orders_costs_no_request_beside_those_for_the_peers(self) -> None:
        """
        The inbox is read with their heartbeats.
        """
        bench = Bench(types={"sample": Pool.TASKS})
        bench.put(make_heartbeat(node_id="node-a", lease_millis=LEASE))
        bench.pass_time(LEASE)
        assert bench.asked(m.AskInbox) == []
        read = [one for one in bench.asked(m.AskHeartbeats) if one.ids is not None and one.purpose == "watch"]
        assert {MINE} == {one.inbox for one in read}
