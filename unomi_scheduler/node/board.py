"""
The board: what the modules of one core share. It belongs to the core thread, so nothing in it needs a lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from ..metrics import Metrics, Outcome
from ..model import Stored, Task
from ..rules.claims import Claimant
from .commits import Commits
from .complaints import Complaints
from .holds import Holds
from .messages import Command
from .news import News
from .options import NodeOptions
from .outbox import Outbox
from .runs import ExecutorInfo, Pool
from .timeline import Timeline


class Offer(Protocol):
    """
    Takes a task as it stands: on the timeline or off it. `own` tells that nobody else can know it yet.
    """

    def __call__(self, stored: Stored[Task], now: int, *, own: bool = False) -> None:
        """
        Take it; `now` is the wall clock.
        """
        ...


def _nowhere(stored: Stored[Task], now: int, *, own: bool = False) -> None:
    pass


class Board:
    """
    Identity, executors, the timeline, the writer and the commands to give out.
    """

    def __init__(
        self,
        options: NodeOptions,
        *,
        incarnation: str,
        rng: Random,
        metrics: Metrics,
        commits: Commits,
        lease_held: Callable[[int], bool],
    ) -> None:
        self.options = options
        self.become(incarnation)
        self.rng = rng
        self._metrics = metrics
        self._counts: Counter[str] = Counter()
        self._ran: list[tuple[str, Outcome, int]] = []
        self.commits = commits
        self.complaints = Complaints()
        self.news = News(options.node_id)
        self.lease_held = lease_held
        self.timeline = Timeline()
        self.executors: Mapping[str, ExecutorInfo] = {}
        self.commands: list[Command] = []
        self.outbox = Outbox(self)
        self.holds = Holds(self.outbox, commits)
        self.executor_node = options.executor_node
        self.stopping = False
        self.exclusive_seen = False
        self.claims_lost = False
        self.clock_trusted = False
        self.slots: Mapping[Pool, int] = {
            Pool.TASKS: options.threads,
            Pool.LOOP: options.async_slots,
            Pool.SYSTEM: options.system_threads,
        }
        self.offer: Offer = _nowhere
        self.wake: Callable[[Task, tuple[str, ...]], None] = lambda _task, _dependents: None

    def count(self, name: str, n: int = 1) -> None:
        """
        Count an event; the node's metrics take it with the others of this step.
        """
        self._counts[name] += n

    def ran(self, task_type: str, outcome: Outcome, duration: int) -> None:
        """
        Count a run that was committed, with how long its body took in ms; handed on as the events are.
        """
        self._ran.append((task_type, outcome, duration))

    def flush_counts(self) -> None:
        """
        Hand what was counted to the metrics.
        """
        if self._counts:
            for name, n in self._counts.items():
                self._metrics.add(name, n)
            self._counts.clear()
        if self._ran:
            self._metrics.ran(self._ran)
            self._ran.clear()

    def become(self, incarnation: str) -> None:
        """
        Claim as this incarnation from now on.
        """
        self.incarnation = incarnation
        self.claimant = Claimant(
            node_id=self.options.node_id, incarnation=incarnation, lease_millis=self.options.lease_millis
        )

    def fresh_id(self) -> str:
        """
        Return an id that was never used: 128 random bits (P2).
        """
        return f"{self.rng.getrandbits(128):032x}"

    def pool_of(self, task: Task) -> Pool | None:
        """
        Return the pool that a task runs in here, or None when no executor of its type is registered.
        """
        info = self.executors.get(task.task_type)
        if info is None:
            return None
        return Pool.SYSTEM if task.system_task and info.pool is Pool.TASKS else info.pool

    def busy(self, task_id: str) -> bool:
        """
        Tell whether a change of this task is under way, or waits for rows of the history.
        """
        return self.commits.busy(Task, task_id) or task_id in self.holds

    def resumes(self, task_type: str) -> bool:
        """
        Tell whether this node's executor of a type goes on with crashed runs.
        """
        info = self.executors.get(task_type)
        return info is not None and info.resumable

    def may_act(self, boot: int) -> bool:
        """
        Tell whether this node may claim and start runs now (P7, P16, P18).
        """
        return not self.stopping and self.clock_trusted and self.lease_held(boot)
