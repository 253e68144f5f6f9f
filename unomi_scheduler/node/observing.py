"""
Observing: how a node stands at this moment, read beside its core, which is not held up by it.

Each number is right by itself; two of them may be a step of the core apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..clock import Instant
from .binding import Binding
from .cores import Cores
from .runs import Pool
from .workers import Workers


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolLoad:
    """
    A pool of a node: how many bodies it may run at once, how many it does, and how many claimed runs wait for it.
    """

    slots: int
    busy: int
    waiting: int


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeState:
    """
    How a node stands. Moments are epoch ms, ages and offsets ms.

    Args:
        draining: it claims nothing more, and stops when its runs have ended.
        stuck_for: how long ago the core last moved.
        planned: tasks that it holds in memory for when they are due.
        due: those of them that are due and not claimed yet, as its pools are full or it may not claim.
        overdue_for: how long the one of these is due that waits longest.
        under_way: runs from the claim to the acknowledged end, memory tasks too.
        lease_age: how long ago the last acknowledged heartbeat was sent; None without a store.
        clock_offset: how far its clock is ahead of the store's; None while that is not known.
        rows_waiting: rows of the history that the store has not acknowledged.
        peers: nodes beside it that are not declared dead.
    """

    running: bool
    draining: bool = False
    bound: bool = False
    started_at: int = 0
    stuck_for: int = 0
    planned: int = 0
    due: int = 0
    overdue_for: int = 0
    under_way: int = 0
    pools: Mapping[str, PoolLoad] = field(default_factory=dict)
    lease_millis: int = 0
    lease_age: int | None = None
    lease_held: bool = False
    clock_offset: int | None = None
    clock_trusted: bool = False
    rows_waiting: int = 0
    peers: int = 0


POOL_NAMES = {Pool.TASKS: "tasks", Pool.LOOP: "loop", Pool.SYSTEM: "system"}


def observe(
    cores: Cores, workers: Workers, binding: Binding | None, *, now: Instant, started_at: int, progress: int
) -> NodeState:
    """
    Return the state of a node that runs; `progress` is when its core last moved (boot clock).
    """
    core = cores.current
    due, oldest = core.board.timeline.overdue(now.wall)
    load = workers.load()
    renewed = None if binding is None else binding.renewed
    return NodeState(
        running=True,
        draining=core.board.stopping,
        bound=binding is not None,
        started_at=started_at,
        stuck_for=max(0, now.boot - progress),
        planned=len(core.board.timeline),
        due=due,
        overdue_for=0 if oldest is None else now.wall - oldest,
        under_way=sum(len(one.running) for one in (core, *list(cores.former.values()))) + len(core.locals),
        pools={
            POOL_NAMES[pool]: PoolLoad(slots=slots, busy=load[pool][0], waiting=load[pool][1])
            for pool, slots in cores.slots.items()
        },
        lease_millis=core.board.options.lease_millis,
        lease_age=None if renewed is None else max(0, now.boot - renewed),
        lease_held=binding is not None and binding.holds(now.boot),
        clock_offset=core.clock.offset if core.clock.measured else None,
        clock_trusted=binding is None or core.board.clock_trusted,
        rows_waiting=sum(len(one.board.outbox) for one in (core, *list(cores.former.values()))),
        peers=len(core.members.peers),
    )
