"""
`python -m benchmarks`: what one node does with no-op tasks, beside what the bare store does with the same writes.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.throughput import bare, node
from integration_tests import servers


def main() -> int:
    """
    Run what was asked for and print a line a round, then the medians.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--store", help="sqlite:///PATH or http://HOST:9200; by default both, made for the run")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    gc.set_threshold(50_000, 20, 50)  # as `unomi-scheduler node` does
    for name, context in _stores(chosen.store):
        with context as url:
            _measure(name, url, chosen)
    return 0


def _stores(given: str | None) -> list[tuple[str, AbstractContextManager[str]]]:
    if given is not None:
        return [(given.partition("://")[0], _given(given))]
    return [("sqlite", _sqlite()), ("elasticsearch", _elasticsearch())]


@contextmanager
def _given(url: str) -> Iterator[str]:
    yield url


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/bench.db"


@contextmanager
def _elasticsearch() -> Iterator[str]:
    with servers.find() as server:
        yield server.url


def _measure(name: str, url: str, chosen: argparse.Namespace) -> None:
    ratios, rates = [], []
    for turn in range(1, chosen.rounds + 1):
        limit = bare(url, tasks=chosen.tasks)
        reached = node(url, tasks=chosen.tasks, threads=chosen.threads)
        rates.append(reached.rate)
        ratios.append(reached.rate / limit)
        print(
            f"{name} {turn}: node {reached.rate:,.0f} runs/s, bare store {limit:,.0f}/s, ratio {ratios[-1]:.2f}; "
            f"duplicates {reached.duplicates}, lost {reached.lost}, writes per run {reached.writes_per_run:.3f}"
        )
        if reached.duplicates or reached.lost:
            sys.exit("A run with duplicates or losses is void.")
    print(f"{name} median: {statistics.median(rates):,.0f} runs/s, {statistics.median(ratios):.2f} × the bare store")


sys.exit(main())
