"""
The measurement of pick-up itself: it measures, and it counts what would make it void.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.pickup import CASES, Case, Figures, _figures, measure, percentile, row


def test_a_short_run_measures_each_task_once(tmp_path: Path) -> None:
    """
    With a node in a process of its own that is nudged, on the embedded store.
    """
    case = Case(name="short", rate=20, nodes=1, target=(25, 60))
    figures = measure(f"sqlite:///{tmp_path}/tasks.db", case, seconds=0.5)

    assert (len(figures.late), figures.duplicates, figures.lost) == (10, 0, 0)
    assert 0 <= figures.late[0] <= figures.late[-1]
    assert figures.bare == sorted(figures.bare)
    assert "VOID" not in row(case, figures)


def test_duplicates_and_losses_make_it_void() -> None:
    """
    A task that started twice counts from its first start.
    """
    figures = _figures({"a": 100, "b": 100, "c": 100}, {"a": [103.0], "b": [109.0, 101.0], "other": [1.0]}, [1.0])

    assert figures == Figures(late=[1.0, 3.0], bare=[1.0], duplicates=1, lost=1)
    assert row(CASES[0], figures).endswith("VOID: 1 twice, 1 lost")


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """
    Of few and of many.
    """
    assert [percentile([1.0], 0.99), percentile([1.0, 2.0, 3.0], 0.5)] == [1.0, 2.0]
    assert percentile([float(n) for n in range(1, 201)], 0.99) == 199.0
