"""Progress of long work in the run's log: how much is done, and how long it still takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Log = Callable[[str], None]
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts work done and logs it now and then; may be called from several threads."""

    def __init__(
        self,
        log: Log,
        label: str,
        total: int | None,
        unit: str,
        *,
        every: float = SECONDS_BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._label, self._total, self._unit = log, label, total, unit
        self._every, self._clock = every, clock
        self._started = self._last = clock()
        self._lock = threading.Lock()
        self._finished = 0

    def advance(self) -> None:
        """One more is done."""
        with self._lock:
            self._finished += 1
            finished = self._finished
        self.update(finished)

    def update(self, done: int) -> None:
        """Tell how much is done so far; a line is logged if the last one is old enough."""
        with self._lock:
            now = self._clock()
            if now - self._last < self._every or done <= 0:
                return
            self._last = now
            self._log(f"{self._label}: {self._describe(done, now - self._started)}")

    def _describe(self, done: int, elapsed: float) -> str:
        if not self._total:
            return f"{done:,} {self._unit}, {duration(elapsed)} so far"
        left = elapsed / done * max(self._total - done, 0)
        share = 100 * min(done / self._total, 1)
        return f"{done:,} of {self._total:,} {self._unit} ({share:.0f} %), {duration(left)} left"


def by_stage(label: str, log: Log) -> Callable[[str, int, int], None]:
    """Tells of each kind of work (its name, what is done, of how many) with its own time left."""
    known: dict[str, Progress] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in known:
            known[stage] = Progress(log, f"{label}: {stage}", total, "")
        known[stage].update(done)

    return tell


def duration(seconds: float) -> str:
    """'45 s', '12 min', '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
