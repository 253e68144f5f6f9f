"""
Fitting a table into a terminal: ids stay whole, the other columns give way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .render import NONE, SEPARATOR, Column, Document, rows_of

_TYPE = "Type"
_CUT = frozenset({_TYPE, "Types", "Error"})
_DATES = frozenset({"Next Run", "Last Run", "Started", "Ended", "Last Beat"})
_WITHOUT_SECONDS, _WITHOUT_YEAR = slice(0, 16), slice(5, 16)
_COMFORTABLE, _SHORTEST = 18, 10
"""How many characters of a type or an error are left at first, and at the end."""
_GIVING_WAY = (
    *("Persistent", "Total Exec", "Successes", "Progress"),
    *("Process", "Host", "Address", "Tags", "Clock Offset", "Types", "Attempt", "Started"),
    *("Node", "Failures", "Last Run", _TYPE, "Next Run"),
)
"""The columns that are left out when nothing else helps, the first of them first."""


class Layout(NamedTuple):
    """
    The columns to show, and the headings of those that found no room.
    """

    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()


class _Size(NamedTuple):
    """
    How wide a column is, and the column.
    """

    width: int
    column: Column


def fit(tasks: Sequence[Document], columns: Sequence[Column], width: int | None) -> Layout:
    """
    Return the columns as they fit into `width` characters; None is any width.

    First the dates lose their seconds, then types are cut, then the dates lose their year, then columns are left out.
    """
    whole = Layout(tuple(columns))
    if width is None:
        return whole
    sizes = tuple(map(_Size, _widths(tasks, columns), columns))
    for some in _narrower(sizes, width):
        whole = _layout(some, columns)
        if _excess(some, width) <= 0:
            break
    return whole


def _narrower(sizes: tuple[_Size, ...], width: int) -> Iterator[tuple[_Size, ...]]:
    yield sizes
    minutes = _with_dates(sizes, _WITHOUT_SECONDS)
    yield minutes
    yield _with_type(minutes, width, _COMFORTABLE)
    days = _with_dates(sizes, _WITHOUT_YEAR)
    yield _with_type(days, width, _COMFORTABLE)
    yield _with_type(days, width, _SHORTEST)
    for heading in _GIVING_WAY:
        # The first column names the row.
        days = (days[0], *(one for one in days[1:] if one.column.heading != heading))
        yield _with_type(days, width, _SHORTEST)


def _with_dates(sizes: tuple[_Size, ...], part: slice) -> tuple[_Size, ...]:
    return tuple(_shortened(one, part) if one.column.heading in _DATES else one for one in sizes)


def _shortened(size: _Size, part: slice) -> _Size:
    column = size.column
    most = max(len(column.heading), part.stop - part.start)
    return _Size(min(size.width, most), column._replace(cell=_part_of(column.cell, part)))


def _part_of(cell: Callable[[Document], str], part: slice) -> Callable[[Document], str]:
    def shortened(task: Document) -> str:
        text = cell(task)
        return text if text == NONE else text[part]

    return shortened


def _with_type(sizes: tuple[_Size, ...], width: int, shortest: int) -> tuple[_Size, ...]:
    excess = _excess(sizes, width)
    return tuple(_cut(one, max(shortest, one.width - excess)) if one.column.heading in _CUT else one for one in sizes)


def _cut(size: _Size, most: int) -> _Size:
    return size if size.width <= most else _Size(most, size.column._replace(most=most))


def _excess(sizes: tuple[_Size, ...], width: int) -> int:
    return sum(one.width for one in sizes) + len(SEPARATOR) * (len(sizes) - 1) - width


def _layout(sizes: tuple[_Size, ...], columns: Sequence[Column]) -> Layout:
    shown = tuple(one.column for one in sizes)
    headings = {column.heading for column in shown}
    return Layout(shown, tuple(column.heading for column in columns if column.heading not in headings))


def _widths(tasks: Sequence[Document], columns: Sequence[Column]) -> list[int]:
    rows = [[column.heading for column in columns], *rows_of(tasks, columns)]
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
