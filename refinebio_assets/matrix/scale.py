"""Genes brought onto one scale: z-score, zero to one, and robust, over a group's samples.

Each gene (row) by itself: a matrix may be done in any blocks of rows. As the classes
StandardScaler, MinMaxScaler and RobustScaler of scikit-learn do to the columns of the
transposed matrix; the tests hold them at 1e-12. Missing values (NaN) do not count and stay
missing. Infinite ones, which scikit-learn refuses, do not count either and stay infinite.
A gene that is the same in all samples, and one of a single sample, becomes 0. Arithmetic
is in float64; the result has the type of the values. Not here: what makes up a group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

_CELLS_PER_BLOCK: Final = 1 << 20
_EPSILON: Final = np.finfo(np.float64).eps


def standardised(values: Reals, out: Reals | None = None) -> Reals:
    """(x - mean) / standard deviation of the population, (genes, samples).

    `out` is where the result goes, a new array without it; it may be `values` itself.
    """
    return _by_rows(_standardise, values, out)


def scaled_to_unit_range(values: Reals, out: Reals | None = None) -> Reals:
    """(x - smallest) / (largest - smallest); see `standardised` for `out`."""
    return _by_rows(_scale_to_unit_range, values, out)


def robustly_scaled(values: Reals, out: Reals | None = None) -> Reals:
    """(x - median) / (third quartile - first); see `standardised` for `out`.

    Where the quartiles are equal, x - median. Quartiles are interpolated linearly.
    """
    return _by_rows(_scale_robustly, values, out)


def _by_rows(kernel: Callable[[Floats, float], None], values: Reals, out: Reals | None) -> Reals:
    if values.ndim != 2:
        raise ValueError(f"A matrix of genes and samples has two dimensions, not {values.ndim}.")
    if out is None:
        out = np.empty_like(values)
    if out.shape != values.shape:
        raise ValueError(f"The result has the shape {values.shape}, not {out.shape}.")
    least_spread = 10 * float(np.finfo(values.dtype).eps)  # less is none
    rows = max(1, _CELLS_PER_BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), rows):
        block = np.array(values[start : start + rows], np.float64, order="C")
        kernel(block, least_spread)
        out[start : start + rows] = block
    return out


@njit(cache=True, nogil=True)
def _shift_and_divide(row: Floats, centre: float, spread: float) -> None:
    for column in range(len(row)):
        row[column] = (row[column] - centre) / spread


@njit(cache=True, nogil=True)
def _standardise(rows: Floats, least_spread: float) -> None:
    for number in range(len(rows)):
        row = rows[number]
        known = row[np.isfinite(row)]
        count = len(known)
        if count == 0:
            continue
        mean = known[0] if known.min() == known.max() else known.sum() / count
        variance = ((known - mean) ** 2).sum() / count
        # What rounding alone can make of values that are all alike.
        noise = count * _EPSILON * variance + (count * mean * _EPSILON) ** 2
        _shift_and_divide(row, mean, np.sqrt(variance) if variance > noise else 1.0)


@njit(cache=True, nogil=True)
def _scale_to_unit_range(rows: Floats, least_spread: float) -> None:
    for number in range(len(rows)):
        row = rows[number]
        known = row[np.isfinite(row)]
        if len(known):
            smallest = known.min()
            spread = known.max() - smallest
            _shift_and_divide(row, smallest, spread if spread >= least_spread else 1.0)


@njit(cache=True, nogil=True)
def _scale_robustly(rows: Floats, least_spread: float) -> None:
    for number in range(len(rows)):
        row = rows[number]
        known = np.sort(row[np.isfinite(row)])
        if len(known):
            spread = _quantile(known, 0.75) - _quantile(known, 0.25)
            median = _quantile(known, 0.5)
            _shift_and_divide(row, median, spread if spread >= least_spread else 1.0)


@njit(cache=True, nogil=True)
def _quantile(ranked: Floats, share: float) -> float:
    position = share * (len(ranked) - 1)
    below = int(np.floor(position))
    above = min(below + 1, len(ranked) - 1)
    return float(ranked[below] + (position - below) * (ranked[above] - ranked[below]))
