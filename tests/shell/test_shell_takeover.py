"""
What `unomi-scheduler import` prints, and how it ends without a server.
"""

from __future__ import annotations

import pytest

from unomi_scheduler import Conflict, ImportReport, SchedulerError, Settings, StoreUnavailable
from unomi_scheduler.stores.takeover import Refused, Renamed, SourceMissing
from unomi_shell import takeover
from unomi_shell.failures import Exit, Failure


def make_report(**over: object) -> ImportReport:
    """
    Return a report with something of everything.
    """
    report = {
        "source": "theirs",
        "target": "ours",
        "dry_run": False,
        "documents": 9,
        "copied": 4,
        "crashed": 1,
        "kept": 2,
        "occupied": (Renamed("system_a", "a"),),
        "renamed": (Renamed("acme_b", "acme_b"),),
        "folded": (Renamed("system_c", "purge"),),
        "refused": (Refused("system_d", "no\nunit"), Refused("system_e", "too long")),
    }
    return ImportReport(**{**report, **over})  # type: ignore[arg-type]


def test_a_report_names_everything_that_is_not_simply_a_copy() -> None:
    """
    A line for each, and the counts.
    """
    assert list(takeover.summary(make_report())) == [
        "9 documents of theirs into ours",
        "copied: 4 (1 of them were running and are CRASHED now)",
        "  acme_b is acme_b now",
        "kept: 2 (there already)",
        "  system_a was not copied: another task has the id a",
        "folded: 1",
        "  system_c into the system task purge",
        "refused: 2",
        "  system_d: no unit",
        "  system_e: too long",
    ]


def test_a_dry_run_says_so() -> None:
    """
    Before anything else.
    """
    assert next(takeover.summary(make_report(dry_run=True))).startswith("Dry run, nothing was written: 9 documents")


@pytest.mark.parametrize(("report", "code"), [(make_report(), Exit.FAILED), (make_report(refused=()), Exit.DONE)])
def test_a_refusal_is_a_failure(monkeypatch: pytest.MonkeyPatch, report: ImportReport, code: Exit) -> None:
    """
    A script must see that something was left behind.
    """
    monkeypatch.setattr(takeover, "import_tasks", lambda *_, **__: report)

    assert takeover.take_over(Settings, "theirs", dry_run=False, force=False).code is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Conflict("alive"), Exit.WRONG_STATE),
        (SourceMissing("gone"), Exit.NOT_FOUND),
        (StoreUnavailable("down"), Exit.OUT_OF_REACH),
        (SchedulerError("other"), Exit.FAILED),
    ],
)
def test_each_error_has_its_exit_code(monkeypatch: pytest.MonkeyPatch, error: SchedulerError, code: Exit) -> None:
    """
    As all commands have them.
    """

    def fail(*_: object, **__: object) -> ImportReport:
        raise error

    monkeypatch.setattr(takeover, "import_tasks", fail)
    with pytest.raises(Failure) as caught:
        takeover.take_over(Settings, "theirs", dry_run=False, force=False)

    assert code == caught.value.exit_code
