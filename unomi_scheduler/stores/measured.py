"""
A store whose requests are measured: how long each took, by verb, and which of them failed and how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from ..clock import stopwatch
from ..errors import ConfigurationError, InvalidTask, StoreRefused, StoreUnavailable
from ..metrics import Metrics
from ..ports import Outcome, TaskStore

REQUESTS = frozenset(
    {
        "activity", "add_history", "clock", "drop_history", "find", "find_due", "find_ended", "find_owned",
        "find_purgeable", "find_unplaced", "find_waiting", "heartbeats", "history", "notes", "refresh", "slots",
        "summaries", "tasks", "write",
    }
)  # fmt: skip
"""The verbs of a store that go to it for something, by which its requests are told apart."""
_KINDS = (
    # The nearest class first: a refusal is an answer, though of a kind that others treat as none.
    (StoreRefused, "refused"),
    (StoreUnavailable, "unavailable"),
    (InvalidTask, "invalid"),
    (ConfigurationError, "configuration"),
)
ERROR_KINDS = (*(kind for _, kind in _KINDS), "unexpected")


def measured(store: TaskStore, metrics: Metrics) -> TaskStore:
    """
    Return the same store, its requests counted from now on.
    """
    return cast("TaskStore", MeasuredStore(store, metrics))


class _Reach:
    def __init__(self) -> None:
        self.answers: bool | None = None


class MeasuredStore:
    """
    Passes everything on.
    """

    def __init__(self, store: TaskStore, metrics: Metrics, reach: _Reach | None = None) -> None:
        self.inner = store
        self._metrics = metrics
        self._reach = reach or _Reach()
        for verb in REQUESTS:
            setattr(self, verb, self._timed(verb))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def lane(self, timeout: float) -> TaskStore:
        """
        Return a lane whose requests count too.
        """
        return cast("TaskStore", MeasuredStore(self.inner.lane(timeout), self._metrics, self._reach))

    @property
    def answers(self) -> bool | None:
        """
        Whether the last request, of a lane or not, had an answer; None before the first.
        """
        return self._reach.answers

    def _timed(self, verb: str) -> Callable[..., Any]:
        def request(*arguments: Any, **named: Any) -> Any:
            began = stopwatch()
            try:
                answer = getattr(self.inner, verb)(*arguments, **named)
            except Exception as error:
                self._note(verb, began, {_kind(error)})
                raise
            self._note(verb, began, _failures(answer) if verb in ("write", "add_history") else ())
            return answer

        return request

    def _note(self, verb: str, began: float, kinds: Iterable[str]) -> None:
        self._metrics.store_seconds.add(verb, stopwatch() - began)
        failed = tuple(kinds)
        self._reach.answers = "unavailable" not in failed
        if failed:
            self._metrics.store_errors.add_all((verb, kind) for kind in failed)


def _failures(outcomes: Iterable[Outcome]) -> set[str]:
    # One request of many writes: each kind of failure in it counts once.
    return {_kind(one.error) for one in outcomes if one.error is not None}


def _kind(error: Exception) -> str:
    return next((kind for cls, kind in _KINDS if isinstance(error, cls)), "unexpected")
