"""
Throttling of guesses: a bucket of attempts for each user and address, refilled slowly.
"""

from __future__ import annotations

from itertools import islice
from threading import Lock

from unomi_scheduler import Clock

ATTEMPTS = 5
REFILL_MILLIS = 10_000
_MOST_KEYS = 10_000
Key = tuple[str, str]


class Throttle:
    """
    Counts attempts; a right password gives its own back. Safe to call from several threads.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
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
            wait = full_at + REFILL_MILLIS - now - ATTEMPTS * REFILL_MILLIS
            self._full_at[key] = full_at if wait > 0 else full_at + REFILL_MILLIS
            self._forget(now)
        return max(wait, 0)

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
