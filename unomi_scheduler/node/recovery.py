"""
Recovery and self-audit: runs that nobody executes any more, of dead nodes (P11) and of this one (P10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..clock import Instant
from ..model import Heartbeat, Slot, Stored, Task, TaskStatus
from ..ports import Found, OwnedQuery, Write
from ..rules import outcomes
from .board import Board
from .commits import Change, replace_write
from .deaths import Bury, DeclareUnknown
from .membership import Membership
from .messages import AskHeartbeats, AskOwned, AskSlots
from .repairs import Repairs
from .running import Running
from .settling import release

PAGE = 500


class Recovery:
    """
    One scan a lease through the tasks that name an owner, except those of live peers.
    """

    def __init__(self, board: Board, members: Membership, running: Running, repairs: Repairs) -> None:
        self.board = board
        self.members = members
        self.running = running
        self.repairs = repairs
        self.forget: Callable[[str], object] = lambda _: None
        """Removes the notes of a dead incarnation, given its heartbeat's id."""
        self._asked = False
        self._after: str | None = None
        self._began: int | None = None
        self._next = 0
        self._met: set[str] = set()
        self._buriable: frozenset[str] = frozenset()
        self._slots_seen = False
        self._tasks_seen = False

    def hurry(self) -> None:
        """
        Scan at once: a node was declared dead, or a person asks.
        """
        self._next = 0

    def next_at(self) -> int | None:
        """
        Return when the next scan begins (boot clock).
        """
        return None if self._asked else self._next

    def ask(self, now: Instant) -> list[AskOwned | AskSlots]:
        """
        Return the searches to make now, if any.
        """
        if self._asked or self.board.stopping or not self.board.lease_held(now.boot):
            return []
        questions: list[AskOwned | AskSlots] = []
        if self._after is None:
            if now.boot < self._next:
                return []
            self._next = now.boot + self.board.options.lease_millis
            self._met = set()
            # Only a scan that begins after an acknowledged death may find that nothing is left of it.
            self._buriable = frozenset(self.members.dead)
            # Without exclusive tasks here only the dead can have left a slot.
            wants_slots = bool(self._buriable) or self.board.exclusive_seen
            self._slots_seen, self._tasks_seen = not wants_slots, False
            if wants_slots:
                questions.append(AskSlots(None, fresh=bool(self._buriable)))
        self._asked = True
        live = frozenset(beat.incarnation for beat in self.members.alive())
        query = OwnedQuery(except_incarnations=live, limit=PAGE, after=self._after)
        return [*questions, AskOwned(query, fresh=bool(self._buriable))]

    def found(self, found: Found, *, sent: Instant, now: Instant) -> list[AskHeartbeats]:
        """
        Take a page of owned tasks; return the heartbeats to read of owners that are not known.
        """
        self._asked = False
        self._after = found.after if isinstance(found.after, str) else None
        strangers: set[str] = set()
        for stored in found.tasks:
            if not self.board.timeline.outdated(stored):
                self._judge(stored, sent, now, strangers)
            elif stored.record.owner_incarnation in self.members.dead:
                # Changed here since: it may still be the dead node's, so that must not be buried yet.
                self._met.add(stored.record.owner_incarnation)
        self._tasks_seen = self._after is None
        self._bury(now)
        return [AskHeartbeats(tuple(sorted(strangers)), purpose="strangers")] if strangers else []

    def slots(self, slots: Iterable[Stored[Slot]], *, sent: Instant, now: Instant) -> list[AskHeartbeats]:
        """
        Take the slots that are taken; return the heartbeats to read of owners that are not known.
        """
        self._slots_seen = True
        strangers: set[str] = set()
        for stored in slots:
            owner = stored.record.incarnation
            if owner and owner != self.board.incarnation and owner not in self.members.dead | self.members.peers:
                self._stranger(stored.record.owner, owner, sent, strangers)
            elif owner in self.members.dead:
                self._met.add(owner)
        self._bury(now)
        return [AskHeartbeats(tuple(sorted(strangers)), purpose="strangers")] if strangers else []

    def failed(self) -> None:
        """
        Take a search that failed: begin again at the next lease.
        """
        self._asked = False
        self._after = None

    def _judge(self, stored: Stored[Task], sent: Instant, now: Instant, strangers: set[str]) -> None:
        task = stored.record
        owner = task.owner_incarnation
        if owner is None:
            self._foreign(stored, now)
        elif owner == self.board.incarnation:
            if not self.running.knows(task.claim_id) and self.running.of_task(task.id) is None:
                self._recover(stored, "the node does not know this run", now, counted=False)
        elif owner in self.members.dead:
            self._met.add(owner)
            self._recover(stored, f"node failure: {task.lock_owner} ({owner}) is dead", now, counted=True)
        elif owner not in self.members.peers:
            self._stranger(task.lock_owner, owner, sent, strangers)

    def _stranger(self, node_id: str | None, incarnation: str, sent: Instant, strangers: set[str]) -> None:
        self.members.stranger(node_id or "unknown", incarnation, sent=sent)
        strangers.add(f"{node_id or 'unknown'}:{incarnation}")
        self._next = min(self._next, sent.boot + self.board.options.lease_millis // 3)

    def _foreign(self, stored: Stored[Task], now: Instant) -> None:
        # No incarnation: written by others, so only their lock's date can tell (P9).
        task = stored.record
        lease = task.lock_lease_millis if task.lock_lease_millis > 0 else self.board.options.lease_millis
        if task.status is TaskStatus.RUNNING and (task.lock_date is None or now.wall - task.lock_date > lease):
            self._recover(stored, f"node failure: the lock of {task.lock_owner} has expired", now, counted=True)

    def _recover(self, stored: Stored[Task], reason: str, now: Instant, *, counted: bool) -> None:
        if self.board.busy(stored.record.id):
            return
        if stored.record.status is TaskStatus.RUNNING:
            self.board.count("tasks.recovery.attempts")
            crash = Crash(self.board, stored, reason, counted=counted)
            self.board.holds.before_eviction(stored.record, now, crash)
        elif stored.record.owner_incarnation is not None:
            release(self.board, stored, now)

    def unknown(self, asked: tuple[str, ...], known: set[str], now: Instant) -> None:
        """
        Take the heartbeats read of strangers: those that do not exist are declared dead by a marked document.
        """
        for document_id in asked:
            node_id, _, incarnation = document_id.rpartition(":")
            if document_id not in known and self.members.long_missing(incarnation):
                beat = Heartbeat(
                    node_id=node_id,
                    incarnation=incarnation,
                    counter=0,
                    lease_millis=self.board.options.lease_millis,
                    started_at=now.wall,
                    beat_at=now.wall,
                    executor_node=False,
                    dead_by=self.board.options.node_id,
                )
                self.board.commits.submit(DeclareUnknown(self.members, beat, self.on_death))

    def on_death(self, beat: Heartbeat) -> None:
        """
        Take an acknowledged death: look for what it left.
        """
        self.board.count("nodes.declared.dead")
        self.board.news.died(beat)
        self.hurry()

    def _bury(self, now: Instant) -> None:
        if not (self._slots_seen and self._tasks_seen):
            return
        for incarnation in self._buriable - self._met:
            stored = self.members.dead.get(incarnation)
            if stored is None or incarnation == self.board.incarnation:
                continue
            # Nothing of it can end any more; what it ended may still lack its rows.
            if self.repairs.repaired(stored.record, now):
                self.forget(stored.record.id)
                self.board.commits.submit(Bury(self.members, stored))
        self._buriable = frozenset()


class Crash(Change):
    """
    RUNNING to CRASHED for a run that nobody executes any more (P11).
    """

    __slots__ = ("_board", "_counted", "_reason", "_stored")

    def __init__(self, board: Board, stored: Stored[Task], reason: str, *, counted: bool) -> None:
        super().__init__(Task, stored.record.id)
        self._board = board
        self._stored = stored
        self._reason = reason
        self._counted = counted

    def prepare(self, now: Instant) -> Write:
        """
        Crash what was found.
        """
        return self._crash(self._stored, now)

    def _crash(self, stored: Stored[Task], now: Instant) -> Write:
        made = outcomes.crash(
            stored.record,
            now=now.wall,
            found_by=self._board.options.node_id,
            reason=self._reason,
            counted=self._counted,
        )
        return replace_write(made, stored)

    def reconsider(self, current: Stored[Task] | None, now: Instant) -> Write | None:
        """
        Only while it is the same run that nobody ended.
        """
        found = self._stored.record
        if current is None or current.record.status is not TaskStatus.RUNNING:
            return None
        if (current.record.claim_id, current.record.fence) != (found.claim_id, found.fence):
            return None
        return self._crash(current, now)

    def done(self, stored: Stored[Task], now: Instant) -> None:
        """
        Crashed and free: whoever has the executor goes on.
        """
        self._board.count("tasks.crashed")
        self._board.outbox.take(stored.record, now)
        self._board.count("tasks.recovery.successes")
        if self._counted:
            # Its owner was lost with its lease, or its lock had expired.
            self._board.count("tasks.lock.timeouts")
        if stored.record.status is TaskStatus.FAILED:
            self._board.count("tasks.failed")
        self._board.news.recovered(self._stored.record, stored.record, self._reason)
        self._board.timeline.wrote(stored.record.id, stored.version)
        self._board.offer(stored, now.wall)

    def lost(self, current: Stored[Task] | None, now: Instant) -> None:
        """
        It ended, or another node recovered it.
        """
        if current is not None:
            self._board.offer(current, now.wall)
