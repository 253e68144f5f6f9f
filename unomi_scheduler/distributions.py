"""
Distributions: how measured values lie, and how often things went which way, each by one label of bounded variety.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock

MOST_LABELS = 50
"""Labels (task types) that are told apart; what comes later is told together, as `OTHER`."""
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class Distribution:
    """
    How many values were at most each bound (the last bound is infinity, so its number is that of all), and their sum.
    """

    buckets: tuple[tuple[float, int], ...]
    sum: float

    @property
    def count(self) -> int:
        """
        How many values there are.
        """
        return self.buckets[-1][1]


class _Counts:
    __slots__ = ("numbers", "sum")

    def __init__(self, size: int) -> None:
        self.numbers = [0] * size
        self.sum = 0.0


class Distributions:
    """
    One distribution a label. Any thread may add to them.
    """

    def __init__(self, bounds: tuple[float, ...], *, most: int = MOST_LABELS) -> None:
        self._bounds = bounds
        self._most = most
        self._lock = Lock()
        self._by_label: dict[str, _Counts] = {}

    def add(self, label: str, value: float) -> None:
        """
        Add one value.
        """
        place = bisect_left(self._bounds, value)
        with self._lock:
            counts = self._by_label.get(label) or self._new(label)
            counts.numbers[place] += 1
            counts.sum += value

    def add_all(self, values: Iterable[tuple[str, float]]) -> None:
        """
        Add values with their labels.
        """
        bounds, known = self._bounds, self._by_label
        with self._lock:
            for label, value in values:
                counts = known.get(label) or self._new(label)
                counts.numbers[bisect_left(bounds, value)] += 1
                counts.sum += value

    def _new(self, label: str) -> _Counts:
        name = label if len(self._by_label) < self._most else OTHER
        return self._by_label.setdefault(name, _Counts(len(self._bounds) + 1))

    def all(self) -> dict[str, Distribution]:
        """
        Return every distribution by its label, at one moment.
        """
        bounds = (*self._bounds, float("inf"))
        with self._lock:
            taken = {label: (list(counts.numbers), counts.sum) for label, counts in self._by_label.items()}
        return {
            label: Distribution(tuple(zip(bounds, accumulate(numbers), strict=True)), total)
            for label, (numbers, total) in taken.items()
        }

    def clear(self) -> None:
        """
        Forget every value.
        """
        with self._lock:
            self._by_label.clear()


class Tallies:
    """
    How often things of a label went which way. Any thread may add to them.
    """

    def __init__(self, *, most: int = MOST_LABELS) -> None:
        self._most = most
        self._lock = Lock()
        self._by_label: dict[str, dict[str, int]] = {}

    def add(self, label: str, way: str) -> None:
        """
        Add one.
        """
        self.add_all(((label, way),))

    def add_all(self, ended: Iterable[tuple[str, str]]) -> None:
        """
        Add several.
        """
        with self._lock:
            for label, way in ended:
                ways = self._by_label.get(label)
                if ways is None:
                    name = label if len(self._by_label) < self._most else OTHER
                    ways = self._by_label.setdefault(name, {})
                ways[way] = ways.get(way, 0) + 1

    def all(self) -> Mapping[tuple[str, str], int]:
        """
        Return every number, at one moment.
        """
        with self._lock:
            return {(label, way): n for label, ways in self._by_label.items() for way, n in ways.items()}

    def clear(self) -> None:
        """
        Forget all.
        """
        with self._lock:
            self._by_label.clear()
