"""
The end of a node: claim nothing, let runs end, tell those that do not, and account for what is left (P18).
"""

from __future__ import annotations

from ..clock import Instant
from ..rules import outcomes
from .board import Board
from .local import Locals
from .messages import Recall, Stopped, StopRequested
from .running import Phase, Running
from .runs import Interrupted, RunEnded, Signal

LAST_WORDS = 1_000
"""Milliseconds that a body has to return after it was told that the node stops."""
GIVE_UP = 10_000
"""Milliseconds after which an exiting process does not wait for the store any longer; peers recover what is left."""


class Stopping:
    """
    Where a node stands with its stop.
    """

    def __init__(self, board: Board, running: Running, local: Locals) -> None:
        self.board = board
        self.running = running
        self.local = local
        self._request: StopRequested | None = None
        self._told_at: int | None = None
        self._abandoned: tuple[str, ...] = ()
        self._done = False
        self._idle_since: int | None = None

    def request(self, event: StopRequested, _now: Instant) -> None:
        """
        Stop claiming; tickets that no worker began are taken back. A second, sharper request moves the deadline ahead.
        """
        former = self._request or event
        self._request = StopRequested(
            deadline=min(former.deadline, event.deadline), exiting=former.exiting or event.exiting
        )
        self.board.stopping = True
        self.board.commands.append(Recall())
        self._tell_resumable()

    def _tell_resumable(self) -> None:
        # What goes on from its checkpoint elsewhere loses nothing by giving up now; the others get the time they need.
        for run in self.running:
            info = self.board.executors.get(run.before.record.task_type)
            if info is not None and info.resumable:
                self.running.tell(run, Signal.STOPPING)

    def next_at(self) -> int | None:
        """
        Return when the stop goes on by itself (boot clock).
        """
        if self._request is None or self._done:
            return None
        if self._told_at is None:
            return self._request.deadline
        return self._told_at + (GIVE_UP if self._abandoned else LAST_WORDS)

    def advance(self, now: Instant) -> None:
        """
        Tell the runs that are left at the deadline; a moment later account for those that still go on.
        """
        request = self._request
        if request is None or self._done:
            return
        if self._told_at is None:
            if now.boot >= request.deadline:
                self._told_at = now.boot
                self.running.tell_all(Signal.STOPPING)
                self.local.tell_all(Signal.STOPPING)
        elif request.exiting and not self._abandoned and now.boot >= self._told_at + LAST_WORDS:
            self._abandon(now)

    def _abandon(self, now: Instant) -> None:
        # The process ends at once, so nothing overlaps what a peer starts from here.
        left = [run for run in self.running if run.phase is Phase.STARTED]
        for run in left:
            event = RunEnded(
                claim_id=run.claim_id, verdict=Interrupted(outcomes.SHUTDOWN), duration=now.boot - run.started
            )
            self.running.ended(event, now)
        self._abandoned = (*(run.claim_id for run in left), *self.local.abandon(now))

    def finish(self, now: Instant, *, calling: bool) -> None:
        """
        Say that the stop is done, once nothing is left to write.

        Args:
            calling: as with `leaving`.
        """
        if self._request is None or self._done:
            return
        idle = not len(self.running) and not len(self.local) and self.board.commits.empty
        idle = idle and self.board.holds.empty and not calling and self._flushed(now)
        late = self._request.exiting and self._told_at is not None and now.boot >= self._told_at + GIVE_UP
        if idle or late:
            self._done = True
            self.board.news.end()
            self.board.commands.append(Stopped(self._abandoned))

    def _flushed(self, now: Instant) -> bool:
        if self._idle_since is None:
            self._idle_since = now.boot
        return self.board.outbox.finished(self._idle_since, now)
