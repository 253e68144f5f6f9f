"""
Leaving a store while the process goes on: what a core does between the wish and the end of its heartbeat (P10, P18).
"""

from __future__ import annotations

from ..clock import Instant
from .board import Board
from .messages import LeaveStore, Left, LeftBehind, Recall
from .outbox import LAST_ROWS
from .running import Phase, Running
from .runs import Signal

GIVE_UP = 10_000
"""Milliseconds after the last body's return for which the store may take to acknowledge what is written."""


class Leaving:
    """
    Where a core stands with leaving its store.

    Nothing more is claimed, what no worker began is given back (P10), and the runs hear that the lease is lost. A body
    that gives up leaves its task CRASHED, unlocked and not counted, to go on elsewhere; one that ends all the same is
    written as it ended: the lease is in fact held until the last write.

    A body that has not returned in time may still write to the world, and nobody can stop it. Its task is not marked as
    crashed: a peer would begin it beside the body, in an exclusive type even another task. As P18 has it for a host
    program, it keeps its document, its slot and its heartbeat until it returns, or the process ends and the lease runs
    out. The core lives on for that, and asks the store for nothing else but those who wait for that task.

    What the store does not take when every body has returned is left to the peers: the heartbeat ends without removing
    its document, so that they declare it dead after the lease and recover its runs (P8, P11). So are rows of the
    history that it does not take within `LAST_ROWS`: they belong to this store alone (P20).
    """

    def __init__(self, board: Board, running: Running) -> None:
        self.board = board
        self.running = running
        self.begun = False
        self.over = False
        self._deadline = 0
        self._told = False
        self._quiet_since: int | None = None
        self._idle_since: int | None = None

    def request(self, event: LeaveStore, _now: Instant) -> None:
        """
        Begin to leave.
        """
        self.begun = True
        self._deadline = event.deadline
        self.board.stopping = True
        self.running.tell_all(Signal.LEASE_LOST)
        self.board.commands.append(Recall(memory=False))

    def next_at(self) -> int | None:
        """
        Return when the leaving goes on by itself (boot clock).
        """
        if not self.begun or self.over:
            return None
        times = [] if self._told else [self._deadline]
        if self._quiet_since is not None:
            times.append(self._quiet_since + GIVE_UP)
        if self._idle_since is not None:
            times.append(self._idle_since + LAST_ROWS)
        return min(times, default=None)

    def advance(self, now: Instant, *, calling: bool) -> None:
        """
        Say what has become of it: left, or left behind what still runs.

        Args:
            calling: those who wait for runs that ended here are still to be looked at.
        """
        if not self.begun or self.over:
            return
        busy = [run.claim_id for run in self.running if run.phase is Phase.STARTED]
        if self._quiet_since is None and not busy:
            self._quiet_since = now.boot
        written = self.board.commits.empty and self.board.holds.empty
        settled = not len(self.running) and written and not calling
        late = self._quiet_since is not None and now.boot >= self._quiet_since + GIVE_UP
        if late or (settled and self._flushed(now)):
            self.over = True
            self.board.commands.append(Left(settled and self.board.outbox.clean))
        elif not self._told and now.boot >= self._deadline:
            self._told = True
            self.board.commands.append(LeftBehind(tuple(busy)))

    def _flushed(self, now: Instant) -> bool:
        if self._idle_since is None:
            self._idle_since = now.boot
        return self.board.outbox.finished(self._idle_since, now)
