"""Normal random numbers exactly as R draws them.

R's defaults, unchanged since R 1.7: the Mersenne-Twister of Matsumoto and Nishimura (1998),
its state filled by `set.seed`, and inversion of the normal distribution by Wichura's AS 241
(1988). SCAN breaks ties with such numbers, so that its results depend on them. Not here:
other distributions, and R's `sample`.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_STATE_WORDS = 624
_WARM_UPS = 50
_SMALLEST_UNIFORM = 0.5 / (2**32 - 1)  # R's uniforms are never 0
_HIGH_BITS = 134217728  # 2^27: an inversion takes 27 bits and another draw below them


def normals(seed: int, n: int) -> NDArray[np.float64]:
    """What `set.seed(seed); rnorm(n)` gives in R.

    Parameters
    ----------
    seed
        A 32-bit integer, negative ones included.
    n
        How many.
    """
    uniforms = _uniforms(seed, 2 * n)
    high, low = uniforms[0::2], uniforms[1::2]
    probabilities = (np.floor(_HIGH_BITS * high) + low) / _HIGH_BITS
    return np.fromiter(map(NormalDist().inv_cdf, probabilities.tolist()), np.float64, n)


def _uniforms(seed: int, n: int) -> NDArray[np.float64]:
    """What `set.seed(seed); runif(n)` gives in R."""
    twister = np.random.MT19937()
    twister.state = {
        "bit_generator": "MT19937",
        "state": {"key": _scrambled(seed), "pos": _STATE_WORDS},
    }
    return np.maximum(twister.random_raw(n) / 2**32, _SMALLEST_UNIFORM)


def _scrambled(seed: int) -> NDArray[np.uint32]:
    """The generator's state after `set.seed`: a linear congruential sequence."""
    word = seed & 0xFFFFFFFF
    words = []
    for _ in range(_WARM_UPS + 1 + _STATE_WORDS):
        word = (69069 * word + 1) & 0xFFFFFFFF
        words.append(word)
    return np.array(words[-_STATE_WORDS:], dtype=np.uint32)
