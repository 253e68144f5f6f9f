"""
What the live screen shows of a look, and how keys change it: pure functions of values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .keys import BACKSPACE, DOWN, ENTER, ESCAPE, UP
from .snapshot import Wish, read_wish


class Order(NamedTuple):
    """
    What is to be done with a task: `cancel`, `retry`, or `reset`, a retry that forgets the failures.
    """

    verb: str
    task_id: str


class Sight(NamedTuple):
    """
    What keys may be about: the ids in sight, from the top, and the types there are.
    """

    ids: Sequence[str] = ()
    types: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class View:
    """
    The state of the screen. `typed` is the filter while it is typed, `asked` what waits for a yes.
    """

    wish: Wish = field(default_factory=Wish)
    chosen: str | None = None
    paused: bool = False
    typed: str | None = None
    asked: Order | None = None
    order: Order | None = None
    message: str = ""
    ended: bool = False


KEYS = "f filter  p pause  ↑↓ choose  s show  c cancel  r retry  R retry from 0  q quit"


def press(view: View, key: str, sight: Sight) -> View:
    """
    Return the view after a key; an `order` in it is to be carried out.
    """
    view = replace(view, order=None, message="")
    if view.asked is not None:
        return replace(view, asked=None, order=view.asked if key in {"y", "Y"} else None)
    if view.typed is not None:
        return _type(view, view.typed, key, sight)
    act = _ACTS.get(key)
    return view if act is None else act(view, sight)


def _type(view: View, typed: str, key: str, sight: Sight) -> View:
    if key == ENTER:
        return replace(view, typed=None, wish=read_wish(typed, sight.types, shown=view.wish.shown))
    if key == ESCAPE:
        return replace(view, typed=None)
    if key == BACKSPACE:
        return replace(view, typed=typed[:-1])
    return replace(view, typed=typed + key) if len(key) == 1 else view


def chosen(view: View, ids: Sequence[str]) -> str | None:
    """
    Return the task that keys are about: the one shown, or the one chosen; the first while that is not in sight.
    """
    if view.wish.shown is not None:
        return view.wish.shown
    return view.chosen if view.chosen in ids else next(iter(ids), None)


def _moved(steps: int) -> Callable[[View, Sight], View]:
    def move(view: View, sight: Sight) -> View:
        if not sight.ids or view.wish.shown is not None:
            return view
        here = list(sight.ids).index(chosen(view, sight.ids) or "")
        return replace(view, chosen=sight.ids[max(0, min(here + steps, len(sight.ids) - 1))])

    return move


def _with_task(change: Callable[[View, str], View]) -> Callable[[View, Sight], View]:
    def act(view: View, sight: Sight) -> View:
        task_id = chosen(view, sight.ids)
        return replace(view, message="There is no task to choose.") if task_id is None else change(view, task_id)

    return act


def _show(view: View, task_id: str) -> View:
    shown = None if view.wish.shown is not None else task_id
    return replace(view, chosen=task_id, wish=view.wish._replace(shown=shown))


def _back(view: View, _sight: Sight) -> View:
    if view.wish.shown is not None:
        return replace(view, wish=view.wish._replace(shown=None))
    return replace(view, wish=Wish())


_show_act = _with_task(_show)
_ACTS: dict[str, Callable[[View, Sight], View]] = {
    UP: _moved(-1),
    "k": _moved(-1),
    DOWN: _moved(1),
    "j": _moved(1),
    "f": lambda view, _: replace(view, typed=view.wish.words),
    "/": lambda view, _: replace(view, typed=""),
    "p": lambda view, _: replace(view, paused=not view.paused),
    " ": lambda view, _: replace(view, paused=not view.paused),
    "s": _show_act,
    ENTER: _show_act,
    ESCAPE: _back,
    "c": _with_task(lambda view, task_id: replace(view, chosen=task_id, asked=Order("cancel", task_id))),
    "r": _with_task(lambda view, task_id: replace(view, chosen=task_id, order=Order("retry", task_id))),
    "R": _with_task(lambda view, task_id: replace(view, chosen=task_id, order=Order("reset", task_id))),
    "q": lambda view, _: replace(view, ended=True),
}
