"""Whether samples have one distribution: the Kolmogorov-Smirnov check after normalisation.

Source: refine.bio, which tests the upper halves of pairs of samples with SciPy's
`ks_2samp`; the tests hold statistic and p-value at 1e-9. Where refine.bio draws pairs
without a seed, these are drawn with one. Not here: what becomes of samples that fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.matrix.kolmogorov import two_sample_p

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

MOST_PAIRS: Final = 100
LARGEST_STATISTIC: Final = 0.001
SMALLEST_P: Final = 0.8
SEED: Final = 123


def two_sample_test(x: Reals, y: Reals) -> tuple[float, float]:
    """The two-sided Kolmogorov-Smirnov statistic of two samples, and its p-value.

    As SciPy's `ks_2samp` in its automatic mode; only where one sample has more than 10,000
    values and the other fewer than 150, this p-value is the exact one.

    Raises
    ------
    ValueError
        A sample is empty or has a missing value.
    """
    first, second = np.sort(np.asarray(x, np.float64)), np.sort(np.asarray(y, np.float64))
    for each in (first, second):
        if not len(each) or np.isnan(each[-1]):
            raise ValueError("A sample to be tested is empty or has a missing value.")
    return _test_sorted(first, second)


def _test_sorted(x: Floats, y: Floats) -> tuple[float, float]:
    m, n = len(x), len(y)
    steps = int(_most_steps(x, y))
    return steps / (m * n), two_sample_p(steps, m, n)


@njit(cache=True, nogil=True)
def _most_steps(x: Floats, y: Floats) -> int:
    """The largest distance between the cumulative distributions, times both sizes."""
    m, n = len(x), len(y)
    i = j = most = 0
    while i < m and j < n:
        value = min(x[i], y[j])
        while i < m and x[i] == value:
            i += 1
        while j < n and y[j] == value:
            j += 1
        most = max(most, abs(i * n - j * m))
    return most


@dataclass(frozen=True)
class UpperHalves:
    """What the check of a matrix found.

    Attributes
    ----------
    statistic, p_value
        Of the last pair; None without a pair, or where one of the two has no upper half.
    warning
        Of the last pair that failed; None if all passed.
    pairs, failed
        How many pairs there were, and how many failed.
    """

    statistic: float | None
    p_value: float | None
    warning: str | None
    pairs: int
    failed: int


def check_upper_halves(values: Reals, samples: Sequence[str]) -> UpperHalves:
    """Compare what lies above the median in up to 100 pairs of samples.

    A pair fails with a statistic above 0.001 or a p-value below 0.8, and where a sample has
    no value above its median, being all alike there.

    Parameters
    ----------
    values
        (genes, samples), for example a memory map: only the samples of pairs are read, one
        at a time, and half of each is held. Missing values do not count.
    samples
        Their names, for the warning.
    """
    if values.ndim != 2 or values.shape[1] != len(samples):
        raise ValueError(f"{len(samples)} samples are named for values of {values.shape}.")
    pairs = pairs_to_compare(len(samples))
    halves = {number: _upper_half(values[:, number]) for pair in pairs for number in pair}
    last: tuple[float, float] | None = None
    warning, failed = None, 0
    for first, second in pairs:
        pair = f"{samples[first]} and {samples[second]}"
        x, y = halves[first], halves[second]
        last = _test_sorted(x, y) if len(x) and len(y) else None
        if last is None:
            warning = f"One of {pair} has no value above its median."
        elif last[0] > LARGEST_STATISTIC or last[1] < SMALLEST_P:
            warning = (
                f"{pair} differ above their medians: Kolmogorov-Smirnov statistic "
                f"{last[0]:.6g}, p-value {last[1]:.6g}."
            )
        else:
            continue
        failed += 1
    statistic, p_value = last or (None, None)
    return UpperHalves(statistic, p_value, warning, len(pairs), failed)


def pairs_to_compare(samples: int, seed: int = SEED) -> list[tuple[int, int]]:
    """The pairs of samples, by number, that are compared.

    Of up to 200 samples the first 100 pairs: (0, 1), (0, 2), …, (1, 2), …; of more, the
    first 100 in a random order with the next 100.
    """
    if samples <= 2 * MOST_PAIRS:
        return list(islice(combinations(range(samples), 2), MOST_PAIRS))
    order = np.random.RandomState(seed).permutation(samples).tolist()  # the same in any NumPy
    return list(zip(order[:MOST_PAIRS], order[MOST_PAIRS : 2 * MOST_PAIRS], strict=True))


def _upper_half(values: Reals) -> Floats:
    """The values above the median, ascending."""
    ranked = np.sort(np.asarray(values, np.float64))  # NaN last
    ranked = ranked[: np.searchsorted(ranked, np.nan)]
    if not len(ranked):
        return ranked
    middle = (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2
    return ranked[np.searchsorted(ranked, middle, side="right") :]
