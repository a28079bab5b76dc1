"""How often a host may be asked, over all processes of an installation together.

Not here: retries, and what a service means by Retry-After (`resources.http`).
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from refinebio_assets.resources.identity import EUTILS, ncbi_key
from refinebio_assets.resources.mirror import is_public

# Requests per second and host (or everything below a domain); public-sources.md, section 1.
LIMITS = {
    EUTILS: 3.0,
    "ncbi.nlm.nih.gov": 3.0,
    "ebi.ac.uk": 10.0,
    "ensembl.org": 15.0,
    "amazonaws.com": 20.0,
}
OTHER_LIMIT = 5.0
EUTILS_WITH_KEY = 10.0

_LONGEST_NAME = 200


def limit_of(host: str, own: Mapping[str, float]) -> tuple[str, float] | None:
    """The name of a host's limiter and its rate; None for hosts of one's own.

    Parameters
    ----------
    own
        Requests per second of hosts and domains, in place of the defaults.
    """
    table = {**LIMITS, **({EUTILS: EUTILS_WITH_KEY} if ncbi_key() else {}), **own}
    for domain in sorted(table, key=len, reverse=True):
        if host == domain or host.endswith(f".{domain}"):
            return domain, table[domain]
    return (host, OTHER_LIMIT) if is_public(host) else None


class Limiter:
    """Spaces requests evenly; one file per host, locked, shared by threads and processes.

    A file holds the time from which the next request may go.
    """

    # A time further ahead than this was written before the clock was set back.
    FURTHEST = 3600.0

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder, self._clock, self._sleep = folder, clock, sleep

    def wait(self, name: str, per_second: float) -> None:
        """Return when a request may go to the host of that name."""
        with self._next_time(name) as (free, write):
            now = self._clock()
            turn = max(free, now)
            write(turn + 1 / per_second)
        if turn > now:
            self._sleep(turn - now)

    def hold(self, name: str, seconds: float) -> None:
        """Let nobody ask the host for some seconds: it said Retry-After."""
        with self._next_time(name) as (free, write):
            write(max(free, self._clock() + seconds))

    @contextmanager
    def _next_time(self, name: str) -> Iterator[tuple[float, Callable[[float], None]]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / quote(name[:_LONGEST_NAME], safe="")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)

            def write(when: float) -> None:
                os.pwrite(descriptor, f"{when:24.6f}\n".encode(), 0)

            try:
                free = float(os.pread(descriptor, 64, 0))
            except ValueError:
                free = 0.0
            sensible = math.isfinite(free) and free < self._clock() + self.FURTHEST
            yield (free if sensible else 0.0), write
        finally:
            os.close(descriptor)
