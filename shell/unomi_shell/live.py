"""
`unomi-task watch`: the cluster as it is now, and now, and now.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from threading import Event
from typing import TYPE_CHECKING

import click

from .completing import STATES, complete_states, complete_types, types_of
from .snapshot import LISTS, Lookout, Wish, ids_of, in_sight, millis_of
from .target import Target, pass_target, target_options

if TYPE_CHECKING:
    from rich.console import Console

    from .keys import Keys
    from .looking import Looker
    from .tasks import Document, Tasks
    from .view import View

_BLINK = 1.0
"""Seconds between two drawings where nothing happens: ages grow."""
_PLAIN_WIDTH = 160


@click.command()
@click.option("-s", "--status", type=click.Choice(STATES, case_sensitive=False), shell_complete=complete_states)
@click.option("-t", "--type", "task_type", help="Only tasks of this type.", shell_complete=complete_types)
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Seconds between two looks."
)
@click.option("--count", "looks", type=click.IntRange(min=1), help="End after so many looks, without a screen.")
@target_options
@pass_target
def watch(target: Target, *, status: str | None, task_type: str | None, every: float, looks: int | None) -> None:
    """
    Watch the cluster live, and steer it by keys; in a pipe, or with --json, a look after the other.
    """
    wish = Wish(status, task_type)
    tasks, now = target.connect(), _clock()
    with suppress(KeyboardInterrupt):
        if sys.stdin.isatty() and sys.stdout.isatty() and looks is None and not target.as_json:
            _watch_screen(tasks, wish, target.name, every=every, now=now)
            return
        for seen in _looks(tasks, wish, every=every, most=looks, now=now):
            if target.as_json:
                click.echo(json.dumps(seen, ensure_ascii=False, default=str))
            else:
                _print_plain(seen, wish, target.name, now())


def _clock() -> Callable[[], int]:
    from unomi_scheduler import SystemClock  # noqa: PLC0415 - only to watch; no more of it is loaded

    clock = SystemClock()
    return lambda: clock.now().wall


def _looks(tasks: Tasks, wish: Wish, *, every: float, most: int | None, now: Callable[[], int]) -> Iterator[Document]:
    pause, lookout = Event(), Lookout(tasks)
    for number in islice(count(), most):
        if number:
            pause.wait(every)
        yield lookout.look(wish, now=now())


def _print_plain(seen: Document, wish: Wish, name: str, now: int) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to load

    from .screen import draw  # noqa: PLC0415 - the same
    from .view import View  # noqa: PLC0415 - the same

    # A pipe is no terminal that could be too narrow, and nobody presses keys at it.
    console = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    console.print(draw(seen, View(wish=wish), target=name, now=now, height=None, keys=False))


def _watch_screen(tasks: Tasks, wish: Wish, name: str, *, every: float, now: Callable[[], int]) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to load

    from .keys import pressed  # noqa: PLC0415 - only for a terminal
    from .looking import Looker  # noqa: PLC0415 - the same

    # Before the screen is taken, so that who may not look is told so in the ordinary way.
    lookout = Lookout(tasks)
    seen = lookout.look(wish, now=now())
    with pressed() as keys:
        looker = Looker(tasks, lookout, seen, wish, every=every, clock=now, tell=keys.ring)
        looker.start()
        try:
            _watch_keys(keys, looker, wish, name, now=now, console=Console())
        finally:
            looker.stop()


def _watch_keys(keys: Keys, looker: Looker, wish: Wish, name: str, *, now: Callable[[], int], console: Console) -> None:
    from rich.live import Live  # noqa: PLC0415 - slow to load

    from .screen import draw  # noqa: PLC0415 - the same
    from .view import View  # noqa: PLC0415 - the same

    view, report = View(wish=wish), looker.report
    with Live(console=console, screen=True, auto_refresh=False) as live, suppress(EOFError):
        while not view.ended:
            moment = (view.paused and millis_of(report.seen["at"])) or now()
            drawn = draw(report.seen, view, target=name, now=moment, height=console.size.height)
            live.update(drawn, refresh=True)
            for key in keys.read(_BLINK):
                view = _after(view, key, report.seen, looker)
            if looker.report is not report:
                report = looker.report
                view = replace(view, message=report.message or view.message)


def _after(view: View, key: str, seen: Document, looker: Looker) -> View:
    from .view import Sight, press  # noqa: PLC0415 - beside the screen

    tasks = [task for name in LISTS for task in seen.get(name, ())]
    ids = ids_of(seen) if in_sight(seen, view.wish) else []
    view = press(view, key, Sight(ids, types_of(seen["nodes"], tasks)))
    looker.want(view.wish, paused=view.paused)
    if view.order is not None:
        looker.obey(view.order)
    return view
