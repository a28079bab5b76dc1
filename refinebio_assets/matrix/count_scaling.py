"""Counts of RNA-seq brought to a common scale, in the four ways that archs4py offers.

Source: `normalize` of archs4py 1.0.4 and, for quantiles, qnorm 1.0.0, of which equal values
get the mean of the target over all ranks that they take (preprocessCore, in `quantile.py`,
takes the target at their mean rank). The tests hold all four at 1e-6 relative, the
resolution of archs4py's float32. They differ where archs4py has no or a wrong answer:

- cpm of a sample without any count is 0, not NaN;
- tmm of a sample with so few positive counts that none is trimmed is by the mean of them
  all, not NaN; without any it is 0;
- log2(1 + count) is right for the largest 32-bit count, where archs4py's 1 + count is 0;
- everything is computed in float64, where tmm of archs4py is in float32.

Not here: trimmed mean of M values (edgeR), which archs4py's tmm is not: it divides the
logarithms of a sample by their own trimmed mean.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from refinebio_assets.errors import InvalidCounts
from refinebio_assets.matrix.ranking import stable_order

Counts = NDArray[Any]
Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Method = Literal["quantile", "log_quantile", "cpm", "tmm"]

METHODS: Final[tuple[Method, ...]] = get_args(Method)
TRIMMED: Final = 0.05  # of the positive values of a sample, at either end

_COLUMNS_PER_BLOCK: Final = 16


def scale_counts(
    counts: Counts, method: Method, *, dtype: DTypeLike = np.float32, threads: int = 2
) -> Reals:
    """Counts on the scale of a method, computed in float64 and kept in `dtype`.

    Parameters
    ----------
    counts
        (genes, samples), whole numbers or estimates.

    Raises
    ------
    InvalidCounts
        One is missing, negative or infinite.
    ValueError
        Another method, or not two dimensions.
    """
    if method not in METHODS:
        raise ValueError(f"Counts are scaled by {', '.join(METHODS)}, not by {method!r}.")
    if method == "cpm":
        return cpm(counts, dtype=dtype, threads=threads)
    if method == "tmm":
        return tmm(counts, dtype=dtype, threads=threads)
    scale = quantile if method == "quantile" else log_quantile
    return scale(counts, dtype=dtype, threads=threads)


def quantile(counts: Counts, *, dtype: DTypeLike = np.float64, threads: int = 2) -> Reals:
    """All samples brought to one distribution: the mean of their sorted counts.

    Returns
    -------
    Reals
        (genes, samples), on the scale of counts.
    """
    return _to_common_quantiles(counts, _as_they_are, dtype, threads)


def log_quantile(counts: Counts, *, dtype: DTypeLike = np.float64, threads: int = 2) -> Reals:
    """As `quantile`, of log2(1 + count)."""
    return _to_common_quantiles(counts, _logarithms, dtype, threads)


def cpm(counts: Counts, *, dtype: DTypeLike = np.float64, threads: int = 2) -> Reals:
    """Counts per million of a sample's counts of the genes given."""

    def of_sample(values: Floats) -> Floats:
        total = float(values.sum())
        return values / (total / 1e6) if total else values

    return _by_sample(counts, of_sample, dtype, threads)


def tmm(
    counts: Counts, *, trimmed: float = TRIMMED, dtype: DTypeLike = np.float64, threads: int = 2
) -> Reals:
    """log2(1 + count) in units of a sample's own trimmed mean of the positive ones.

    Parameters
    ----------
    trimmed
        Which share of the positive values is left out at either end, rounded down; less
        than a half.
    """
    if not 0 <= trimmed < 0.5:
        raise ValueError(f"Less than half can be trimmed at either end, not {trimmed}.")

    def of_sample(values: Floats) -> Floats:
        logarithms = _logarithms(values)
        positive = np.sort(logarithms[logarithms > 0])
        if not len(positive):
            return logarithms
        cut = int(len(positive) * trimmed)
        return logarithms / float(positive[cut : len(positive) - cut].mean())

    return _by_sample(counts, of_sample, dtype, threads)


# --- by blocks of samples -------------------------------------------------------------


def _as_they_are(values: Floats) -> Floats:
    return values


def _logarithms(values: Floats) -> Floats:
    logarithms: Floats = np.log2(1 + values)
    return logarithms


def _blocks(counts: Counts) -> list[slice]:
    if counts.ndim != 2:
        raise ValueError(f"A matrix of genes and samples has two dimensions, not {counts.ndim}.")
    starts = range(0, counts.shape[1], _COLUMNS_PER_BLOCK)
    return [slice(start, start + _COLUMNS_PER_BLOCK) for start in starts]


def _checked(counts: Counts, block: slice) -> Floats:
    """Samples of a block as rows, whole rows together."""
    values = np.ascontiguousarray(counts[:, block].T, np.float64)
    if values.size and not (values.min() >= 0 and values.max() < np.inf):  # false for NaN, too
        row, gene = np.argwhere(~((values >= 0) & (values < np.inf)))[0]
        raise InvalidCounts(
            f"Sample {block.start + row + 1} has the count {values[row, gene]} of gene {gene + 1}."
        )
    return values


def _by_sample(
    counts: Counts, of_sample: Callable[[Floats], Floats], dtype: DTypeLike, threads: int
) -> Reals:
    new = np.empty(counts.shape, dtype, order="F")

    def scale(block: slice) -> None:
        for place, values in enumerate(_checked(counts, block)):
            new[:, block.start + place] = of_sample(values)

    blocks = _blocks(counts)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(scale, blocks):
            pass
    return new


def _to_common_quantiles(
    counts: Counts, on_scale: Callable[[Floats], Floats], dtype: DTypeLike, threads: int
) -> Reals:
    new = np.empty(counts.shape, dtype, order="F")
    ascending = np.empty(counts.shape[::-1], np.int32)  # genes of each sample

    def rank(block: slice) -> Floats:
        """Note the order of the samples' genes; the sum of their sorted values."""
        values = on_scale(_checked(counts, block))
        return _rank(values, ascending[block])

    def place(block: slice) -> None:
        values = np.ascontiguousarray(counts[:, block].T, np.float64)
        new[:, block] = _at_ranks(values, ascending[block], target).T

    blocks = _blocks(counts)
    target = np.zeros(counts.shape[0])
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for total in pool.map(rank, blocks):
            target += total
        target /= max(1, counts.shape[1])
        for _ in pool.map(place, blocks):
            pass
    return new


@njit(cache=True, nogil=True)
def _rank(samples: Floats, ascending: NDArray[np.int32]) -> Floats:
    """Put the order of each row's values into `ascending`; the sum of the sorted rows."""
    total = np.zeros(samples.shape[1])
    for row in range(len(samples)):
        order = stable_order(samples[row])
        ascending[row] = order
        for rank in range(len(order)):
            total[rank] += samples[row, order[rank]]
    return total


@njit(cache=True, nogil=True)
def _at_ranks(samples: Floats, ascending: NDArray[np.int32], target: Floats) -> Floats:
    """The target at the ranks of each row's values, equal ones the mean over theirs."""
    new = np.empty(samples.shape)
    genes = samples.shape[1]
    for row in range(len(samples)):
        values, order = samples[row], ascending[row]
        first = 0
        while first < genes:
            end = first + 1
            total = target[first]
            while end < genes and values[order[end]] == values[order[first]]:
                total += target[end]
                end += 1
            for rank in range(first, end):
                new[row, order[rank]] = total / (end - first)
            first = end
    return new
