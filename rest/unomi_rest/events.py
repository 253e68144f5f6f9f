"""
`GET /cxs/tasks/events`: what a watch tells, as server-sent events.

An answer takes a thread for its whole life, so their number is limited (`WatchRefused`), each ends after a while, and a
client that takes nothing any more is let go by the server (`server`).
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

import falcon
import orjson

from unomi_scheduler import Change, ChangeKind, Scheduler, SchedulerError, SystemClock, Watch, task_document

from . import parameters
from .openapi import MEDIA_EVENTS
from .pages import OPTIONS

_log = logging.getLogger(__name__)
KEEP_ALIVE_SECONDS = 15
RETRY_MILLIS = 2_000
LOOK_SECONDS = 1.0
"""How soon a place comes free when a client has gone without a word."""
RESUMING = ("Last-Event-ID", "The id of the last event that was seen, as browsers send it: what follows comes first.")
ABOUT = (
    "Events, each with an id to go on from in any process. `task`: a task was made or changed, and data is its "
    "document as GET /cxs/tasks/{task_id} shows it. `removed`: the process that is asked removed a task; data has its "
    "itemId. `reset`: what was missed cannot be told, list the tasks again; the changes from now on follow. `gap`: "
    "this client is too slow, and `bye`: this process stops; either is the last, and one that comes back with its id "
    "misses nothing. A comment every 15 seconds keeps the connection open."
)
_MESSAGES = {
    ChangeKind.RESET: "What was missed cannot be told; list the tasks again",
    ChangeKind.GAP: "Events came faster than they were taken; come back with this id",
    ChangeKind.BYE: "This process stops; come back with this id, to this or another one",
}


class EventsResource:
    """
    The changes of the tasks.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """
        Answer events until the client goes, or what it asked for is done.
        """
        most, seconds = parameters.MOST_EVENTS.of(req), parameters.SECONDS.of(req)
        since = req.get_header("Last-Event-ID") or parameters.SINCE.of(req)
        watch = self._scheduler.watch(
            status=parameters.STATUS.of(req),
            task_type=parameters.TYPE.of(req),
            task_id=parameters.TASK_ID.of(req),
            records=parameters.RECORDS.of(req),
            since=since,
        )
        client: socket.socket | None = req.env.get("gunicorn.socket")
        resp.content_type = MEDIA_EVENTS
        # Proxies that gather answers would hold events back.
        resp.set_header("X-Accel-Buffering", "no")
        seconds = parameters.LONGEST_STREAM if seconds is None else seconds
        resp.stream = Events(
            watch,
            most=most,
            seconds=seconds,
            resumed=since is not None,
            client=client,
            allowed=getattr(req.context, "still_allowed", lambda: True),
        )


class Events:
    """
    A watch as the parts of an answer; `close` ends the watch, however the answer ends.
    """

    def __init__(
        self,
        watch: Watch,
        *,
        most: int | None,
        seconds: int,
        resumed: bool,
        client: socket.socket | None = None,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._watch = watch
        self._allowed = allowed
        self._resumed = resumed
        self._client = client
        self._most = most
        self._seconds = seconds

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._events()
        except SchedulerError as error:
            # The status was sent long ago: the client comes back with its id, and hears then what is wrong.
            _log.warning("A stream of events has ended: %s", error, extra={"action": "rest.stream"})

    def _events(self) -> Iterator[bytes]:
        end, sent = _seconds() + self._seconds, 0
        # Nothing of what a client missed was sent yet: it keeps its own id.
        position = "" if self._resumed else self._watch.position
        yield b"retry: %d\n%s\n" % (RETRY_MILLIS, _id(position))
        quiet_until = _seconds() + KEEP_ALIVE_SECONDS
        while not self._watch.over and sent != self._most and not gone(self._client) and self._allowed():
            # Read before the queue is looked at: behind it is then nothing that was not sent.
            position = self._watch.position
            now = _seconds()
            change = self._watch.take(max(0.0, min(end - now, quiet_until - now, LOOK_SECONDS)))
            if change is None and _seconds() >= end:
                return
            if change is None and _seconds() < quiet_until:
                continue
            yield b": \n%s\n" % _id(position) if change is None else event(change)
            sent += change is not None
            quiet_until = _seconds() + KEEP_ALIVE_SECONDS

    def close(self) -> None:
        """
        End the watch.
        """
        self._watch.close()


def event(change: Change) -> bytes:
    """
    Return the lines of one event.
    """
    if change.task is None:
        data = {"message": _MESSAGES[change.kind]}
    elif change.kind is ChangeKind.REMOVED:
        data = {"itemId": change.task.id}
    else:
        data = task_document(change.task)
    body = orjson.dumps(data, default=str, option=OPTIONS)
    return b"event: %s\n%sdata: %s\n\n" % (change.kind.encode(), _id(change.position), body)


def gone(client: socket.socket | None) -> bool:
    """
    Tell whether a client has closed its connection; what it may have sent beside is left alone.
    """
    if client is None:
        return False
    try:
        # Not the method of an encrypted socket, which cannot look ahead.
        return not socket.socket.recv(client, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _seconds() -> float:
    return SystemClock().now().boot / 1000


def _id(position: str) -> bytes:
    # Without a store there is no place to go on from.
    return b"id: %s\n" % position.encode() if position else b""
