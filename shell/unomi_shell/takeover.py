"""
What `unomi-scheduler import` does and prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from unomi_scheduler import (
    Conflict,
    ImportReport,
    SchedulerError,
    Settings,
    StoreUnavailable,
    import_tasks,
)

from .failures import Exit, Failure

_EXITS: tuple[tuple[type[Exception], Exit], ...] = (
    (StoreUnavailable, Exit.OUT_OF_REACH),
    (Conflict, Exit.WRONG_STATE),
    (LookupError, Exit.NOT_FOUND),
)


class Summary(NamedTuple):
    """
    The lines to print, and the exit code: a document that was refused makes it a failure.
    """

    lines: tuple[str, ...]
    code: Exit


def take_over(settings: Callable[[], Settings], from_index: str, *, dry_run: bool, force: bool) -> Summary:
    """
    Import and return what to print.

    Raises:
        Failure: nothing, or not all, was done.
    """
    try:
        report = import_tasks(settings(), from_index=from_index, dry_run=dry_run, force=force)
    except SchedulerError as error:
        code = next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILED)
        raise Failure(str(error), code) from error
    return Summary(tuple(summary(report)), Exit.FAILED if report.refused else Exit.DONE)


def summary(report: ImportReport) -> Iterator[str]:
    """
    Yield the lines of a report: the counts, and by id everything that is not simply a copy.
    """
    would = "Dry run, nothing was written: " if report.dry_run else ""
    yield f"{would}{report.documents} documents of {report.source} into {report.target}"
    crashed = f" ({report.crashed} of them were running and are CRASHED now)" if report.crashed else ""
    yield f"copied: {report.copied}{crashed}"
    for one in report.renamed:
        yield f"  {one.document_id} is {one.task_id} now"
    yield f"kept: {report.kept} (there already)"
    for one in report.occupied:
        yield f"  {one.document_id} was not copied: another task has the id {one.task_id}"
    yield f"folded: {len(report.folded)}"
    for one in report.folded:
        yield f"  {one.document_id} into the system task {one.task_id}"
    yield f"refused: {len(report.refused)}"
    for refused in report.refused:
        yield f"  {refused.document_id}: {' '.join(refused.reason.split())}"
