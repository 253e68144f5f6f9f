"""
Nudges: what one node tells another of work that no search shows yet, whom it tells, and how that is signed.

A nudge is a hint and nothing else (P12): whoever gets one reads the documents it names and claims by a conditional
write, as for everything a sweep finds. One that is lost costs the latency of a sweep; one that is repeated, a read at
most. All here is pure.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from ..model import Heartbeat, Stored, Task, Version
from ..rules.placement import owner_of, partition_of, targets
from ..rules.readiness import due_at

PATH = "/nudge"
SCHEME = "HMAC-SHA256"
"""The scheme of the `Authorization` header; the signature follows in hexadecimal."""
MOST_TASKS = 200
"""Tasks that one nudge names at most; beyond that it says that there are more."""
MOST_BYTES = 256_000
"""No nudge is longer: 200 ids of 512 bytes, with their versions."""
SOONER = 1_000
"""Milliseconds beyond a poll interval within which a search may not have shown a new task to its owner when it is
due: a refresh, and the search itself."""


class InvalidNudge(ValueError):
    """
    A body is no nudge.
    """


class Hint(NamedTuple):
    """
    One task: its id, the version that was written, and when it is due (epoch ms).
    """

    task_id: str
    version: Version
    due: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Nudge:
    """
    One message, for the incarnation whose heartbeat's id is `to` and no other.

    `nonce` is never used twice; `more` tells that there is more due work than the hints name.
    """

    to: str
    nonce: str
    hints: tuple[Hint, ...]
    more: bool = False


def hint_of(stored: Stored[Task]) -> Hint | None:
    """
    Return the hint of a task, or None where nobody may claim it by one: it is not due at any time, or for all nodes.
    """
    task, due = stored.record, due_at(stored.record)
    if due is None or task.everywhere or task.all_nodes_of is not None:
        return None
    return Hint(task.id, stored.version, due)


def recipient(
    task: Task, beats: Iterable[Heartbeat], *, host: str, own: str | None = None, shunned: Collection[str] = ()
) -> Heartbeat | None:
    """
    Return the node to tell of a task: of those that may run it, have room and can be reached from here, the one whose
    share it is in; None when there is none.

    Args:
        host: this machine's name.
        own: this node's incarnation.
        shunned: incarnations that did not answer lately.
    """
    able = {
        beat.node_id: beat
        for beat in beats
        if beat.incarnation != own
        and beat.incarnation not in shunned
        and beat.dead_by is None
        and beat.executor_node
        and not beat.busy
        and task.task_type in beat.task_types
        and targets(task, node_id=beat.node_id, tags=beat.tags)
        and reachable(beat, host=host)
    }
    return able[owner_of(partition_of(task), able)] if able else None


def reachable(beat: Heartbeat, *, host: str) -> bool:
    """
    Tell whether a node says where it answers, and that is not only for its own machine unless it is this one.
    """
    try:
        address = urlsplit(beat.address or "")
        usable = address.scheme == "http" and address.port is not None
    except ValueError:
        return False
    return usable and bool(address.hostname) and (beat.host == host or not is_loopback(address.hostname or ""))


def is_loopback(host: str) -> bool:
    """
    Tell whether only this machine can reach a host.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def sign(body: bytes, key: bytes) -> str:
    """
    Return the `Authorization` header of a body.
    """
    return f"{SCHEME} {hmac.digest(key, body, hashlib.sha256).hex()}"


def is_signed(body: bytes, authorization: str, key: bytes) -> bool:
    """
    Tell whether whoever sent a body knows the key.
    """
    # Bytes: a text that is not ASCII cannot be compared, and a header may have anything in it.
    return hmac.compare_digest(sign(body, key).encode(), authorization.encode(errors="replace"))


def encode(nudge: Nudge) -> bytes:
    """
    Return the body of a nudge.
    """
    tasks = [{"id": one.task_id, "version": list(one.version), "due": one.due} for one in nudge.hints]
    return orjson.dumps({"to": nudge.to, "nonce": nudge.nonce, "more": nudge.more, "tasks": tasks})


def decode(body: bytes) -> Nudge:
    """
    Return the nudge of a body; what a newer version adds is ignored.

    Raises:
        InvalidNudge: it is none.
    """
    try:
        told = orjson.loads(body)
        hints = tuple(_hint(one) for one in told["tasks"])
        nudge = Nudge(to=_text(told["to"]), nonce=_text(told["nonce"]), hints=hints, more=told["more"] is True)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidNudge(f"expected a nudge, got {body[:100]!r}") from error
    if len(hints) > MOST_TASKS:
        raise InvalidNudge(f"expected at most {MOST_TASKS} tasks, got {len(hints)}")
    return nudge


def _hint(told: dict[str, Any]) -> Hint:
    index, seq_no, primary_term = told["version"]
    return Hint(_text(told["id"]), Version(_text(index), _number(seq_no), _number(primary_term)), _number(told["due"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidNudge(f"expected a text, got {value!r:.100}")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidNudge(f"expected a whole number, got {value!r:.100}")
    return value


class Allowance:
    """
    How much one peer is told: so many tasks in a second by name, and of all beyond that once that there are more.
    """

    WINDOW = 1_000
    MOST_IN_WINDOW = 500

    def __init__(self) -> None:
        self._until = 0
        self._told = 0
        self._said_more = False

    def take(self, hints: Sequence[Hint], boot: int) -> tuple[tuple[Hint, ...], bool]:
        """
        Return what to tell now: the hints, and whether to say that there are more. Nothing of both: send nothing.
        """
        if boot >= self._until:
            self._until, self._told, self._said_more = boot + self.WINDOW, 0, False
        named = tuple(hints[: min(MOST_TASKS, self.MOST_IN_WINDOW - self._told)])
        self._told += len(named)
        more = len(named) < len(hints) and not self._said_more
        self._said_more = self._said_more or more
        return named, more
