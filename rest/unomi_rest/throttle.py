"""
Throttling of guesses: a bucket of attempts for each user and address, refilled slowly.
"""

from __future__ import annotations

from itertools import islice
from threading import Lock

import falcon

from unomi_scheduler import Clock

ATTEMPTS = 5
REFILL_MILLIS = 10_000
_MOST_KEYS = 10_000
_SECOND_IN_MILLIS = 1_000
Key = tuple[str, str]


class Throttle:
    """
    Counts attempts; a right password gives its own back. Safe to call from several threads.
    """

    def __init__(self, clock: Clock, *, attempts: int = ATTEMPTS, refill_millis: int = REFILL_MILLIS) -> None:
        self._clock = clock
        self._attempts = attempts
        self._refill_millis = refill_millis
        self._lock = Lock()
        self._full_at: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Key) -> int:
        """
        Take one attempt and return 0, or return how many milliseconds to wait for the next one.
        """
        now: int = self._clock.now().boot
        with self._lock:
            full_at = max(self._full_at.pop(key, 0), now)
            wait = self._wait(full_at, now)
            self._full_at[key] = full_at if wait > 0 else full_at + self._refill_millis
            self._forget(now)
        return max(wait, 0)

    def wait(self, key: Key) -> int:
        """
        Return how many milliseconds to wait for the next attempt, and take none.
        """
        now: int = self._clock.now().boot
        with self._lock:
            return max(self._wait(max(self._full_at.get(key, 0), now), now), 0)

    def _wait(self, full_at: int, now: int) -> int:
        return full_at + self._refill_millis - now - self._attempts * self._refill_millis

    def clear(self, key: Key) -> None:
        """
        Forget the attempts of one who then signed in.
        """
        with self._lock:
            self._full_at.pop(key, None)

    def _forget(self, now: int) -> None:
        # The oldest first: what is full again tells nothing, and beyond a bound the longest idle ones go too.
        for key in list(islice(self._full_at, 2)):
            if self._full_at[key] <= now or len(self._full_at) > _MOST_KEYS:
                del self._full_at[key]


def too_many(message: str, wait: int) -> falcon.HTTPTooManyRequests:
    """
    Return the error for one who must wait so many milliseconds.
    """
    return falcon.HTTPTooManyRequests(
        title="Too many attempts",
        description=f"{message}; try again later",
        retry_after=-(-wait // _SECOND_IN_MILLIS),
    )
