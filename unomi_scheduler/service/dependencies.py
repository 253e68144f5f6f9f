"""
Dependencies: the tasks that tasks wait for, loaded as far as they reach, and the order that they make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from ..model import Task, evolve
from ..ports import TaskStore
from ..stores.homes import wherever
from ..stores.reading import listed


def load_dependencies(store: TaskStore, tasks: Iterable[Task]) -> dict[str, Task]:
    """
    Return what tasks depend on, by id, and theirs, however many there are between; what does not exist is left out.
    """
    known: dict[str, Task] = {}
    asked: set[str] = set()
    wanted = {name for task in tasks for name in task.depends_on}
    while wanted:
        asked |= wanted
        found = _read(store, sorted(wanted))
        known |= {one.id: one for one in found}
        wanted = {name for one in found for name in one.depends_on} - asked
    return known


def reach_dependencies(
    task: Task, *, near: Callable[[str], Task | None], store: Callable[[], TaskStore | None]
) -> dict[str, Task]:
    """
    Return what a memory task depends on, and theirs: in this process's memory (`near`), and what is not there in the
    store, which is asked for only then.
    """
    known: dict[str, Task] = {}
    far: set[str] = set()
    wanted = set(task.depends_on)
    while wanted:
        name = wanted.pop()
        found = near(name)
        if found is None:
            far.add(name)
        elif not found.delete_requested:
            known[name] = found
            wanted |= set(found.depends_on) - known.keys() - far
    bound = store() if far else None
    if bound is None:
        return known
    return load_dependencies(bound, [evolve(task, depends_on=tuple(sorted(far)))]) | known


def _read(store: TaskStore, wanted: list[str]) -> list[Task]:
    tasks = [listed(one.record) for one in wherever(store, wanted) if one is not None]
    return [one for one in tasks if one is not None and not one.delete_requested]


def waves(tasks: Sequence[Task]) -> tuple[list[list[Task]], list[Task]]:
    """
    Return tasks of one call in waves, none before what it depends on, and apart those that depend on themselves.

    A dependent that is stored first would find its dependency missing.
    """
    circular: list[Task] = []
    left = {task.id: task for task in tasks}
    while True:
        sorter = TopologicalSorter(
            {name: [one for one in task.depends_on if one in left] for name, task in left.items()}
        )
        try:
            sorter.prepare()
        except CycleError as error:
            circular += [left.pop(name) for name in set(error.args[1])]
            continue
        return [[left[name] for name in names] for names in _ready(sorter)], circular


def _ready(sorter: TopologicalSorter[str]) -> Iterator[tuple[str, ...]]:
    while names := sorter.get_ready():
        yield names
        sorter.done(*names)
