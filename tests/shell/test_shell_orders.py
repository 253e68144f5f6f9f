"""
Orders to end that come as signals.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import pytest

from tests.waiting import eventually
from unomi_shell import orders
from unomi_shell.orders import Orders


@pytest.fixture(autouse=True)
def _handlers_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.timeout(15)
def test_a_signal_that_wakes_nobody_is_heard_all_the_same() -> None:
    """
    The system gave it to another thread, or it came right before the wait began: no call of the main thread breaks off.
    """
    main, waiting = get_ident(), Orders()

    def send() -> None:
        eventually(lambda: sys._current_frames()[main].f_code.co_filename == orders.__file__, "it waits")
        signal.pthread_kill(get_ident(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        waiting.wait()
        sent.result(10)


def test_an_order_from_before_the_wait_counts() -> None:
    """
    It ends at once.
    """
    waiting = Orders()
    signal.raise_signal(signal.SIGTERM)

    waiting.wait()
