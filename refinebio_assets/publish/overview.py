"""What a matrix looks like: how its samples' values are distributed, and which are alike.

Not here: pictures of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.matrix.samples import BINS
from refinebio_assets.publish.disk_matrix import DiskMatrix, Values

Floats = NDArray[np.float64]

MOST_GENES: Final = 500  # of which principal components are made
_TAIL: Final = 0.001  # of the values at either end that the bins need not hold
_CELLS_AT_A_TIME: Final = 4_000_000


@dataclass(frozen=True, eq=False)
class Distributions:
    """Histograms of all samples over the same bins.

    Attributes
    ----------
    edges
        (bins + 1,)
    heights
        (samples, bins) float32: the share of a sample's finite values; those beyond the
        ends are in no bin.
    """

    edges: Floats
    heights: Values


def bins_for(some: Iterable[NDArray[np.floating[Any]]]) -> Floats:
    """Edges of bins that hold all but the ends of what these values are, (BINS + 1,)."""
    finite = np.concatenate([values[np.isfinite(values)] for values in some])
    low, high = (
        np.quantile(finite.astype(np.float64), [_TAIL, 1 - _TAIL]) if len(finite) else (0.0, 1.0)
    )
    edges: Floats = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    return edges


def heights(values: Values, edges: Floats) -> Values:
    """The histograms of samples, (samples, genes), over evenly spaced edges: (samples, bins)."""
    counts = _count(np.ascontiguousarray(values), edges[0], edges[-1], len(edges) - 1)
    finite = np.isfinite(values).sum(axis=1, keepdims=True)
    shares: Values = (counts / np.maximum(finite, 1)).astype(np.float32)
    return shares


@njit(cache=True, nogil=True)
def _count(values: Values, low: float, high: float, bins: int) -> NDArray[np.int64]:
    counts = np.zeros((len(values), bins), np.int64)
    per_unit = bins / (high - low)
    for sample in range(len(values)):
        for value in values[sample]:
            if low <= value <= high:
                counts[sample, min(int((value - low) * per_unit), bins - 1)] += 1
    return counts


class Spread:
    """The variance of every gene, from samples that come in blocks."""

    def __init__(self, genes: int) -> None:
        self._samples = 0
        self._means = np.zeros(genes)
        self._squares = np.zeros(genes)

    def add(self, values: Values) -> None:
        """Some more samples, (samples, genes)."""
        _add(values, self._means, self._squares, self._samples)
        self._samples += len(values)

    def variances(self) -> Floats:
        """(genes,) of the population; NaN where a value was missing or infinite."""
        return self._squares / max(1, self._samples)


@njit(cache=True, nogil=True)
def _add(values: Values, means: Floats, squares: Floats, before: int) -> None:
    for sample in range(len(values)):
        count = before + sample + 1
        for gene in range(values.shape[1]):
            distance = values[sample, gene] - means[gene]
            means[gene] += distance / count
            squares[gene] += distance * (values[sample, gene] - means[gene])


@dataclass(frozen=True, eq=False)
class Components:
    """Samples by their first two principal components.

    Attributes
    ----------
    coordinates
        (samples, 2)
    shares
        (2,) of the variance that each component explains, of that of the genes used.
    genes
        (used,) the genes that were used, by number.
    means
        (used,) of those genes.
    axes
        (used, 2) their weights: another sample's coordinates are (values - means) @ axes.
    """

    coordinates: Floats
    shares: Floats
    genes: NDArray[np.intp]
    means: Floats
    axes: Floats


def principal_components(
    matrix: DiskMatrix, variances: Floats, most_genes: int = MOST_GENES
) -> Components | None:
    """The first two components of the genes that vary most; None where nothing varies.

    Genes are centred and not scaled. Of a component and its opposite, the one is taken
    whose largest weight is positive. Holds two kilobytes a sample.

    Parameters
    ----------
    variances
        (genes,) as `Spread` finds them; genes with NaN, and those that do not vary, are not
        used.
    """
    ranked = np.argsort(-np.nan_to_num(variances), kind="stable")[:most_genes]
    chosen = np.sort(ranked[np.nan_to_num(variances[ranked]) > 0])
    if len(chosen) < 2:
        return None
    values = np.empty((matrix.samples, len(chosen)), np.float32)
    for first, block in matrix.by_samples(_CELLS_AT_A_TIME):
        values[first : first + len(block)] = block[:, chosen]
    means = values.mean(axis=0, dtype=np.float64)
    step = _CELLS_AT_A_TIME // MOST_GENES
    starts = range(0, len(values), step)
    if len(values) < len(chosen):
        _, lengths, weights = np.linalg.svd(values - means, full_matrices=False)
        explained, axes = lengths**2, weights[:2].T
    else:
        together = np.zeros((len(chosen), len(chosen)))
        for start in starts:
            centred = values[start : start + step] - means
            together += centred.T @ centred
        ascending, weights = np.linalg.eigh(together)
        explained, axes = np.maximum(ascending[::-1], 0), weights[:, :-3:-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1, 1)
    coordinates = np.concatenate([(values[at : at + step] - means) @ axes for at in starts])
    return Components(coordinates, explained[:2] / explained.sum(), chosen, means, axes)
