"""
The reception: lets in the nudges that come from a node of the same cluster, are for this incarnation, and were not seen
before.

No time stands in a nudge, as no two clocks are compared (P7). A nudge recorded by somebody is good for nothing all the
same: for another node or after a restart it is not addressed right, and while its nonce is remembered it is refused. A
nonce is forgotten when 10,000 newer ones came; what is repeated after that makes the node read some documents, at
most, which it then finds as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from ..clock import Clock
from ..errors import SchedulerError
from . import messages as m
from .binding import Binding
from .nudging import MOST_BYTES, InvalidNudge, decode, is_signed
from .secret import ClusterSecret

LOG = logging.getLogger("unomi_scheduler.node")
MOST_NONCES = 10_000
READ_AGAIN = 1_000
"""Milliseconds between two reads of the secret for nudges that it does not fit: forgers cost the store no more."""


class Reception:
    """
    For the store that the node works in. Safe from any thread.
    """

    def __init__(self, post: Callable[[m.Event], object], clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._lock = Lock()
        self._binding: Binding | None = None
        self._secret: ClusterSecret | None = None
        self._read_next = 0
        self._nonces: dict[str, None] = {}

    def enter(self, binding: Binding) -> None:
        """
        Let in what is for a store from now on, and make sure of the cluster's secret there.
        """
        secret = ClusterSecret(binding.store)
        try:
            secret.ensure()
        except SchedulerError as error:
            # It is read again for the first nudge; a node starts without it.
            LOG.info("The cluster's secret could not be read yet: %s", error, extra={"action": "secret_unread"})
        with self._lock:
            self._binding, self._secret = binding, secret
            self._read_next = 0

    def leave(self) -> None:
        """
        Let in nothing from now on.
        """
        with self._lock:
            self._binding = self._secret = None

    def take(self, body: bytes, authorization: str) -> bool:
        """
        Tell the core what a nudge says; False when it was not let in.
        """
        binding, secret = self._binding, self._secret
        if binding is None or secret is None or len(body) > MOST_BYTES:
            return False
        if not self._is_ours(body, authorization, secret):
            return False
        try:
            nudge = decode(body)
        except InvalidNudge:
            return False
        if nudge.to != f"{binding.node_id}:{binding.incarnation}" or not self._is_new(nudge.nonce):
            return False
        self._post(m.Nudged(nudge.hints, more=nudge.more, binding=binding.number))
        return True

    def _is_ours(self, body: bytes, authorization: str, secret: ClusterSecret) -> bool:
        if secret.key is not None and is_signed(body, authorization, secret.key):
            return True
        with self._lock:
            boot = self._clock.now().boot
            if boot < self._read_next:
                return False
            self._read_next = boot + READ_AGAIN
        try:
            key = secret.read()
        except SchedulerError as error:
            LOG.debug("The cluster's secret could not be read: %s", error, extra={"action": "secret_unread"})
            return False
        return key is not None and is_signed(body, authorization, key)

    def _is_new(self, nonce: str) -> bool:
        with self._lock:
            if nonce in self._nonces:
                return False
            if len(self._nonces) >= MOST_NONCES:
                del self._nonces[next(iter(self._nonces))]
            self._nonces[nonce] = None
            return True
