"""The distribution of the two-sample Kolmogorov-Smirnov statistic, two-sided.

Sources: Hodges, "The significance probability of the Smirnov two-sample test", Arkiv för
Matematik 3:469 (1958) for the exact probability; for large samples Birnbaum and Tingey,
Annals of Mathematical Statistics 22:592 (1951), Miller, Journal of the American Statistical
Association 51:111 (1956), and the expansion of Li-Chien in Pelz and Good, Journal of the
Royal Statistical Society B 38:152 (1976); Simard and L'Ecuyer, Journal of Statistical
Software 39(11) (2011) compare them. Not here: the statistic itself.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LARGEST_EXACT: Final = 10_000
_FEW: Final = 150  # of the smaller sample: the expansion is not good enough
_TAIL: Final = 2.2  # of n d²: above, both sides together are twice one side
_NEVER: Final = 370.0  # of n d²: from here on the probability is too small for a float64


def two_sample_p(steps: int, m: int, n: int) -> float:
    """The probability of a distance as large as seen, or larger, if both samples are alike.

    Exact where neither sample has more than 10,000 values, or one has fewer than 150;
    otherwise that of one sample of mn/(m + n) values and a known distribution.

    Parameters
    ----------
    steps
        The distance between the two cumulative distributions, times mn: a whole number.
    m, n
        How many values the samples have.
    """
    if steps == 0:
        return 1.0
    if (steps / (m * n)) ** 2 * m * n / (m + n) >= _NEVER:
        return 0.0
    if max(m, n) <= _LARGEST_EXACT or min(m, n) < _FEW:
        common = math.gcd(m, n)
        larger, smaller = max(m, n), min(m, n)
        return _share_of_paths(larger, smaller, common, steps // common)
    return one_sample_p(steps / (m * n), round(m * n / (m + n)))


@njit(cache=True, nogil=True)
def _share_of_paths(m: int, n: int, common: int, steps: int) -> float:
    """The share of lattice paths from (0, 0) to (m, n) that touch |i/m - j/n| = distance.

    `share[j]` is that of the paths to (i, j). The last step of such a path, all being
    equally probable, comes from (i - 1, j) with probability i / (i + j).
    """
    up, right = m // common, n // common
    share = np.ones(n + 1)
    for j in range(n + 1):
        if j * up < steps:
            share[j] = 0.0
    for i in range(1, m + 1):
        first = max((i * right - steps) // up + 1, 0)
        last = min(-((-i * right - steps) // up) - 1, n)
        if first > 0:
            share[first - 1] = 1.0
        for j in range(first, last + 1):
            before = share[j - 1] if j else 0.0
            share[j] = (i * share[j] + j * before) / (i + j)
    return float(share[n])


def one_sample_p(distance: float, n: int) -> float:
    """The probability that n values lie so far, or farther, from their distribution.

    For n of a hundred or more: to 2e-6 of the exact value there, to 4e-8 at a thousand.
    """
    scaled = n * distance * distance
    if scaled >= _NEVER or distance >= 1:
        return 0.0
    if scaled >= _TAIL:
        return min(1.0, 2 * _one_sided(distance, n))
    return _expansion(distance, n)


def _one_sided(distance: float, n: int) -> float:
    """The same of one direction only, by the formula of Birnbaum and Tingey."""
    j = np.arange(int(n * (1 - distance)) + 1)
    beyond = 1 - distance - j / n
    j, beyond = j[beyond > 0], beyond[beyond > 0]
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log_choose = factorial[n] - factorial[j] - factorial[n - j]
    log_term = log_choose + (j - 1) * np.log(distance + j / n) + (n - j) * np.log(beyond)
    return float(distance * np.exp(log_term).sum())


def _expansion(distance: float, n: int) -> float:
    """Li-Chien's expansion in powers of 1/√n, up to the third."""
    z = math.sqrt(n) * distance
    if z < 0.1:
        return 1.0  # the probability of less is below 1e-50
    k: NDArray[np.float64] = np.arange(1.0, math.ceil(5 / z) + 1)
    even = k % 2 == 0
    sign = np.where(even, 1.0, -1.0)
    f1 = k**2 - np.where(even, 0.0, 1.0)
    f2 = 5 * k**2 + 22 - np.where(even, 0.0, 15.0)
    kz = (k * z) ** 2
    terms = (
        1
        - 2 * k**2 * z / (3 * math.sqrt(n))
        - (f1 - 4 * (f1 + 3) * kz + 8 * kz**2) / (18 * n)
        + k**2 * z / (27 * n**1.5) * (f2 / 5 - 4 * (f2 + 45) * kz / 15 + 8 * kz**2)
    )
    return float(np.clip(-2 * np.sum(sign * np.exp(-2 * kz) * terms), 0, 1))
