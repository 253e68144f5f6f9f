"""
Tokens and the audit, as a scheduler's store keeps them.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.factories import NOW, SetClock
from tests.lossy_store import Fault, LossyStore
from unomi_scheduler import Conflict, Metric, Scheduler, StoreUnavailable, Token, audit_document, token_document
from unomi_scheduler.model import AuditRow, Note
from unomi_scheduler.ports import Action, Outcome, Result, Write
from unomi_scheduler.rules.auditing import MOST_BYTES, bounded
from unomi_scheduler.service.tokens import KEPT_MILLIS, KIND, MOST_TOKENS, USE_NOTED_MILLIS, Tokens
from unomi_scheduler.stores.memory import MemoryStore

DAY = 86_400_000


@pytest.fixture
def clock() -> SetClock:
    """
    A clock that stands.
    """
    return SetClock()


@pytest.fixture
def store(clock: SetClock) -> LossyStore:
    """
    An empty store that may fail.
    """
    return LossyStore(MemoryStore(clock))


@pytest.fixture
def scheduler(store: LossyStore, clock: SetClock) -> Scheduler:
    """
    A scheduler that is not started.
    """
    return Scheduler(store=store, clock=clock)


def make(scheduler: Scheduler, **over: Any) -> tuple[Token, str, str]:
    """
    Return a new token, its id and its secret.
    """
    named = {"name": "ci", "roles": ["VIEWER"], "created_by": "admin", "expires_at": NOW + DAY, **over}
    token, text = scheduler.tokens.make(named.pop("name"), named.pop("roles"), **named)
    parts = Tokens.parts(text)
    assert parts is not None
    return token, *parts


def test_a_token_is_recognised_by_its_secret_alone(scheduler: Scheduler) -> None:
    """
    And by no other one, nor under another id.
    """
    token, token_id, secret = make(scheduler)

    assert scheduler.tokens.check(token_id, secret) == token
    assert scheduler.tokens.check(token_id, secret[:-1]) is None
    assert scheduler.tokens.check("other", secret) is None
    assert scheduler.tokens.check(token_id, "ü") is None


def test_the_store_and_the_list_hold_no_secret(scheduler: Scheduler, store: LossyStore) -> None:
    """
    The store has a hash, the list and the text of a token not even that.
    """
    token, _, secret = make(scheduler)
    (note,) = store.notes(KIND)
    shown = f"{token_document(token)} {token!r}"

    assert secret not in str(note)
    assert token.digest in str(note)
    assert secret not in shown
    assert token.digest not in shown


@pytest.mark.parametrize(
    "text", ["", "us", "us_", "us_a", "us_a_", "ut_a_b", "us__b", "us_a b_c", "us_ä_b", "us_a_" + "b" * 200]
)
def test_what_is_no_token_has_no_parts(text: str) -> None:
    """
    So it is looked up nowhere.
    """
    assert Tokens.parts(text) is None


def test_the_use_is_noted_once_a_minute(scheduler: Scheduler, store: LossyStore, clock: SetClock) -> None:
    """
    By the first check, and again when the note is a minute old.
    """
    _, token_id, secret = make(scheduler)
    made = len(store.written)
    for millis in (0, 1, USE_NOTED_MILLIS - 2, 1):
        clock.advance(millis)
        scheduler.tokens.check(token_id, secret)

    assert [write.action for write in store.written[made:]] == [Action.REPLACE] * 2
    assert scheduler.tokens.all()[0].last_used_at == NOW + USE_NOTED_MILLIS


def test_a_use_brings_no_revoked_token_back(scheduler: Scheduler, store: LossyStore) -> None:
    """
    It was revoked between the read and the note of its use.
    """
    _, token_id, secret = make(scheduler)
    store.before.append(lambda: scheduler.tokens.revoke(token_id))

    assert scheduler.tokens.check(token_id, secret) is not None
    assert scheduler.tokens.check(token_id, secret) is None
    assert scheduler.tokens.all() == []


@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER])
def test_a_lost_answer_loses_no_token_and_no_revocation(scheduler: Scheduler, store: LossyStore, fault: Fault) -> None:
    """
    The same write goes again (P3).
    """
    store.faults.append(fault)
    _, token_id, secret = make(scheduler)
    scheduler.tokens.check(token_id, secret)
    store.faults.append(fault)

    assert scheduler.tokens.revoke(token_id) is not None
    assert scheduler.tokens.check(token_id, secret) is None
    assert scheduler.tokens.revoke(token_id) is None


def test_a_revocation_nobody_acknowledges_is_no_success(scheduler: Scheduler, store: LossyStore) -> None:
    """
    Whoever asked must know that the token may work still.
    """
    _, token_id, _ = make(scheduler)
    store.faults.extend([Fault.LOST_REQUEST] * 3)

    with pytest.raises(StoreUnavailable):
        scheduler.tokens.revoke(token_id)


def test_there_are_so_many_tokens_and_no_more(scheduler: Scheduler, store: LossyStore, clock: SetClock) -> None:
    """
    Those whose time is long over make room.
    """
    token, _, _ = make(scheduler)
    body = store.notes(KIND)[0].record.body
    some = [Note(kind=KIND, name=f"t{number}", body=body) for number in range(MOST_TOKENS - 1)]
    store.behind.write([Write(Action.CREATE, note) for note in some])
    with pytest.raises(Conflict, match="revoke some first"):
        make(scheduler)

    clock.advance(DAY + KEPT_MILLIS)
    make(scheduler, expires_at=clock.wall + DAY)
    assert len(store.notes(KIND)) == 1
    assert token.id not in {one.record.name for one in store.notes(KIND)}


def test_a_strange_note_signs_nobody_in(scheduler: Scheduler, store: LossyStore) -> None:
    """
    Another program may have put it there.
    """
    store.write([Write(Action.CREATE, Note(kind=KIND, name="odd", body={"digest": "", "roles": ["ADMINISTRATOR"]}))])

    assert scheduler.tokens.check("odd", "") is None
    assert scheduler.tokens.all() == []


def record(scheduler: Scheduler, **over: Any) -> bool:
    """
    Record a cancel.
    """
    return scheduler.audit.record(**{"who": "admin", "action": "cancel", "status": 204, "task_id": "one", **over})


def test_rows_of_one_moment_stay_in_their_order(scheduler: Scheduler) -> None:
    """
    The newest first.
    """
    assert all(record(scheduler, who=str(number)) for number in range(12))
    assert [row.who for row in scheduler.audit.page(task_id="one").list] == [
        str(number) for number in range(11, -1, -1)
    ]


class DeafStore(LossyStore):
    """
    A store whose audit answers as it is told.
    """

    outcomes: list[Outcome]
    sent: list[AuditRow]

    def add_audit(self, rows: list[AuditRow]) -> list[Outcome]:
        """
        Take the row, and answer the next outcome.
        """
        self.sent += rows
        if self.outcomes[0].result is not Result.REFUSED:
            self.behind.add_audit(rows)
        return [self.outcomes.pop(0)]


@pytest.mark.parametrize(
    ("outcomes", "status", "sends", "kept"),
    [
        ([Result.UNKNOWN, Result.WRITTEN], 204, 2, True),
        ([Result.UNKNOWN, Result.UNKNOWN], 204, 2, False),
        ([Result.REFUSED, Result.WRITTEN], 204, 2, True),
        ([Result.UNKNOWN], 503, 1, False),
    ],
)
def test_a_row_that_the_store_does_not_take(
    clock: SetClock, caplog: pytest.LogCaptureFixture, outcomes: list[Result], status: int, sends: int, *, kept: bool
) -> None:
    """
    Goes once more as the same row; then it is an error in the log, with all its fields, and counted; never raised.
    """
    store = DeafStore(MemoryStore(clock))
    store.sent = []
    store.outcomes = [Outcome(one, error=StoreUnavailable("no answer")) for one in outcomes]
    scheduler = Scheduler(store=store, clock=clock)

    with caplog.at_level(logging.ERROR):
        assert record(scheduler, status=status, address="10.0.0.1") is kept
    assert len(store.sent) == sends
    assert len({row.id for row in store.sent}) == 1
    assert len(scheduler.audit.page().list) == 1
    assert scheduler.get_metric(Metric.AUDIT_LOST) == len(caplog.records) == (not kept)
    assert kept or vars(caplog.records[0])["row"]["address"] == "10.0.0.1"


def test_without_a_store_a_row_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """
    No error: there is nothing that could keep it.
    """
    scheduler = Scheduler(store=None)
    with caplog.at_level(logging.INFO):
        assert not record(scheduler)
    assert [one.levelname for one in caplog.records] == ["INFO"]
    assert scheduler.audit.page().list == ()
    assert scheduler.tokens.all() == []


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, None),
        (
            {"maxRetries": 3, "enabled": False, "retryDelay": 1.5},
            {"maxRetries": 3, "enabled": False, "retryDelay": 1.5},
        ),
        ({"parameters": {"password": "x", "url": "y"}}, {"parameters": {"names": ["password", "url"]}}),
        ({"filter": {"status": "FAILED", "apiKey": "k"}}, {"filter": {"status": "FAILED", "apiKey": "***"}}),
        ({"adminPassword": "x", "newToken": ["a"]}, {"adminPassword": "***", "newToken": "***"}),
        ({"ids": [str(number) for number in range(12)]}, {"ids": [*"0123456789", "and 2 more"]}),
        ({"note": "n" * 300}, {"note": "n" * 199 + "…"}),
        ({"big": 2**70}, {"big": str(2**70)}),
        ({"odd": "\ud800"}, {"odd": "?"}),
    ],
)
def test_what_was_asked_is_kept_in_short_and_without_secrets(asked: dict[str, Any], kept: object) -> None:
    """
    Names of what a task gets, never its values.
    """
    assert bounded(asked) == kept


def test_what_was_asked_is_never_long() -> None:
    """
    Of very much only names are left.
    """
    kept = bounded({f"n{number}": "v" * 999 for number in range(99)})
    assert kept is not None
    assert kept.keys() == {"names"}
    assert len(str(kept)) < MOST_BYTES


def test_a_row_is_shown_with_a_date() -> None:
    """
    And without what it does not say.
    """
    row = AuditRow(id="1", at=NOW, who="ops", action="run", status=200, task_id="one")
    document = audit_document(row)

    assert document.keys() == {"id", "at", "who", "action", "status", "via", "taskId"}
    assert str(document["at"]).endswith("Z")
