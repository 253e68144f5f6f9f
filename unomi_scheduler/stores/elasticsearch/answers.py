"""
What an answer means: outcomes of a bulk, records of a search, and the error behind a failed request. Pure.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from elastic_transport import TransportError
from elasticsearch import ApiError, UnsupportedProductError
from urllib3.exceptions import ClosedPoolError, ConnectTimeoutError, NewConnectionError

from ...errors import ConfigurationError, InvalidTask, SchedulerError, StoreRefused, StoreUnavailable
from ...model import Heartbeat, Malformed, Note, Slot, Stored, Task, Version
from ...ports import Outcome, Result
from ..documents import decode_heartbeat, decode_note, decode_slot
from ..reading import placed
from .bulk import Operation
from .queries import NO_ID

Json = Mapping[str, Any]

OK: Final = 200
CREATED: Final = 201
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
NOT_ACCEPTABLE: Final = 406
CONFLICT: Final = 409
TOO_LARGE: Final = 413
TOO_MANY: Final = 429
SERVER_ERROR: Final = 500
_NO_DOCUMENT = "no document was found"
_PRIVILEGES = (
    "the user needs the cluster privilege `monitor` and `manage`, `read`, `write` on the scheduler's indices "
    "(<prefix>-scheduledtask*, <prefix>-scheduler*)"
)


class PermissionDeniedError(ConfigurationError):
    """
    The user is known and may not do this.
    """


def outcomes(items: Sequence[Mapping[str, Json]], part: Sequence[Operation]) -> list[Outcome]:
    """
    Return the outcome of each operation of one request from the items of its answer.
    """
    if len(items) != len(part):
        error = StoreUnavailable(f"the store answered {len(items)} of {len(part)} writes")
        return [Outcome(Result.UNKNOWN, error=error) for _ in part]
    return [_outcome(next(iter(item.values())), one) for item, one in zip(items, part, strict=True)]


def _outcome(item: Json, one: Operation) -> Outcome:
    status = item["status"]
    if status in (OK, CREATED):
        return Outcome(Result.WRITTEN, Version(one.home, item["_seq_no"], item["_primary_term"]))
    if status == CONFLICT:
        missing = _NO_DOCUMENT in reason_of(item)
        return Outcome(Result.MISSING if missing else Result.CONFLICT)
    if status == NOT_FOUND:
        return Outcome(Result.MISSING)
    if status >= SERVER_ERROR:
        return Outcome(Result.UNKNOWN, error=StoreUnavailable(f"the store answered {status}: {reason_of(item)}"))
    return Outcome(Result.REFUSED, error=_item_error(status, item))


def _item_error(status: int, item: Json) -> SchedulerError:
    # One document's 400 is that document's fault, except where the index itself is closed.
    if status in (BAD_REQUEST, TOO_LARGE) and type_of(item) != "index_closed_exception":
        return InvalidTask(f"the store does not take this document: {reason_of(item)}")
    return error_of(status, item)


def type_of(body: object) -> str:
    """
    Return the type of the error in an answer, or an empty text.
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    return str(error.get("type", "")) if isinstance(error, Mapping) else ""


def reason_of(body: object) -> str:
    """
    Return the reason in an answer as one line for people.
    """
    error = body.get("error") if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return f"{error}"[:500]
    cause = error.get("caused_by") or {}
    texts = [error.get("type"), error.get("reason"), cause.get("reason") if isinstance(cause, Mapping) else None]
    return ": ".join(str(text) for text in texts if text)[:1000]


def error_of(status: int, body: object) -> SchedulerError:
    """
    Return the error that an answer with this status stands for.
    """
    kind, reason = type_of(body), reason_of(body)
    if kind == "media_type_header_exception":
        return ConfigurationError(
            "the server is older than the installed client, which it does not understand. "
            f"For a server of version 8 do: pip install 'unomi-scheduler[es8]' ({reason})"
        )
    if kind == "cluster_block_exception" and status < SERVER_ERROR:
        return StoreRefused(_block_advice(reason))
    if status == TOO_MANY:
        return StoreRefused(f"the store is overloaded and did nothing: {reason}")
    if status >= SERVER_ERROR:
        return StoreUnavailable(f"the store answered {status}: {reason}")
    wrong = PermissionDeniedError if status == FORBIDDEN else ConfigurationError
    return wrong(_advice(status, reason))


def _advice(status: int, reason: str) -> str:
    if status == UNAUTHORIZED:
        return f"the store does not know this user, password or API key: {reason}"
    if status == FORBIDDEN:
        return f"permission denied: {_PRIVILEGES}. The store says: {reason}"
    if status == NOT_FOUND:
        return (
            f"an index is missing: start the scheduler again, which creates it, or restore it. The store says: {reason}"
        )
    if status == NOT_ACCEPTABLE:
        return "the server is not supported: Elasticsearch 8.19 or later is required (OpenSearch and others are not)"
    return f"the store answered {status}: {reason}"


def _block_advice(reason: str) -> str:
    if "flood-stage" in reason or "read-only-allow-delete" in reason or "read-only / allow delete" in reason:
        return (
            f"the server's disk is nearly full and it takes no writes: free space, then it goes on by itself. {reason}"
        )
    return (
        "the index is blocked against writes: when that is not wanted, set index.blocks.write, index.blocks.read_only "
        f"and cluster.blocks.read_only to null. {reason}"
    )


def failure(error: ApiError | TransportError) -> tuple[Result, SchedulerError]:
    """
    Return what a failed request means for the writes in it, and the error to give.
    """
    if isinstance(error, UnsupportedProductError):
        return Result.REFUSED, ConfigurationError(_advice(NOT_ACCEPTABLE, ""))
    if isinstance(error, ApiError):
        found = error_of(error.status_code, error.body)
        done = Result.UNKNOWN if type(found) is StoreUnavailable else Result.REFUSED
        return done, found
    return _unanswered(error)


def unsent(error: ApiError | TransportError) -> bool:
    """
    Tell whether the request failed before a byte of it was sent, so that another host may be asked.
    """
    return isinstance(error.__cause__, NewConnectionError | ConnectTimeoutError | ClosedPoolError)


def _unanswered(error: TransportError) -> tuple[Result, SchedulerError]:
    cause = error.__cause__
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in (cause, *getattr(cause, "args", ()))):
        advice = "set ca_certs to the authority that signed it"
        return Result.REFUSED, ConfigurationError(f"the server's certificate is not trusted, {advice}: {cause}")
    if unsent(error):
        return Result.REFUSED, StoreRefused(f"no connection to the store: {_plainly(cause)}")
    return Result.UNKNOWN, StoreUnavailable(f"no answer from the store: {_plainly(cause or error.message)}")


def _plainly(cause: object) -> str:
    # The library's words without the pool and the connection they happened in.
    text = str(cause).rpartition("Failed to establish a new connection: ")[2]
    text = re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", text)
    return re.sub(r"\. \(read timeout=([\d.]+)\)$", lambda found: f" after {float(found[1]):.1f} s", text)


def version_of(hit: Json) -> Version:
    """
    Return the version of a document in an answer.
    """
    return Version(hit["_index"], hit["_seq_no"], hit["_primary_term"])


def stored_task(hit: Json) -> Stored[Task] | Stored[Malformed]:
    """
    Return the task of a hit, or why it is none.
    """
    record = placed(hit["_id"], hit.get("_source") or {})
    if isinstance(record, Task):
        return Stored(record, version_of(hit))
    return Stored(record, version_of(hit))


def stored_heartbeat(hit: Json) -> Stored[Heartbeat] | None:
    """
    Return the heartbeat of a hit, or None when it is none.
    """
    try:
        return Stored(decode_heartbeat(hit["_source"]), version_of(hit))
    except ValueError:
        return None


def stored_slot(hit: Json) -> Stored[Slot] | None:
    """
    Return the slot of a hit, or None when it is none.
    """
    try:
        return Stored(decode_slot(hit["_source"]), version_of(hit))
    except ValueError:
        return None


def stored_note(hit: Json) -> Stored[Note] | None:
    """
    Return the note of a hit, or None when it is none.
    """
    try:
        return Stored(decode_note(hit["_source"]), version_of(hit))
    except ValueError:
        return None


def is_task(one: Stored[Task] | Stored[Malformed]) -> TypeGuard[Stored[Task]]:
    """
    Tell whether a stored document is a task.
    """
    return isinstance(one.record, Task)


def is_malformed(one: Stored[Task] | Stored[Malformed]) -> TypeGuard[Stored[Malformed]]:
    """
    Tell whether a stored document is no task.
    """
    return isinstance(one.record, Malformed)


def cursor(hit: Json) -> tuple[int, str] | str:
    """
    Return the cursor behind a hit: its sort values.
    """
    *moment, name = hit["sort"]
    text = NO_ID if name is None else str(name)
    return (int(moment[0]), text) if moment else text


def read_error(document: Json) -> SchedulerError:
    """
    Return the error of one document of a read by id.
    """
    missing = type_of(document) == "index_not_found_exception"
    return error_of(NOT_FOUND if missing else SERVER_ERROR, document)


def counts(aggregations: Mapping[str, Any]) -> dict[tuple[str | None, str | None], int]:
    """
    Return the counts by type and status of the answer to `queries.counted`.
    """
    types = (aggregations.get("types") or {}).get("buckets") or ()
    return {(one["key"], state["key"]): int(state["doc_count"]) for one in types for state in one["states"]["buckets"]}
