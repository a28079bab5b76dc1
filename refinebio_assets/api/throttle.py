"""So many requests a second of each client, and a few more at once than that."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

SECONDS_AT_ONCE: Final = 2
MOST_CLIENTS: Final = 10_000  # remembered


class Throttle:
    """A bucket for each client: it fills steadily, and a request takes one out of it."""

    def __init__(self, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second * SECONDS_AT_ONCE)
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, client: str) -> bool:
        """Whether a request of a client may be answered now."""
        with self._lock:
            now = self._now()
            left, since = self._buckets.pop(client, (self._most, now))
            left = min(self._most, left + (now - since) * self._per_second)
            allowed = left >= 1
            self._buckets[client] = (left - 1 if allowed else left, now)
            if len(self._buckets) > MOST_CLIENTS:
                self._buckets.popitem(last=False)
            return allowed
