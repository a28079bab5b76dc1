"""Files as they should not be: cut and altered copies of whole ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from refinebio_assets.errors import InvalidProbeAnnotation


def survive_damage(
    content: bytes, path: Path, read: Callable[[], object], *, times: int = 60, seed: int = 1
) -> int:
    """Read altered copies of a file; return how many were refused with the typed error.

    Any other error is a failure of the test that calls this.
    """
    random = np.random.default_rng(seed)
    refused = 0
    for number in range(times):
        damaged = bytearray(content)
        for at in random.integers(0, len(content), random.integers(1, 6)):
            damaged[at] = random.choice([0, 9, 10, 48, 255, random.integers(256)])
        if number % 3 == 0:
            del damaged[random.integers(len(content)) :]
        path.write_bytes(damaged)
        try:
            read()
        except InvalidProbeAnnotation:
            refused += 1
    return refused
