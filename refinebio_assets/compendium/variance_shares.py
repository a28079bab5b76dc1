"""How much of the values' variance a label of the samples explains: eta squared.

Of a gene it is the sum of squares between groups of samples over the total one. Groups of
few samples explain something by chance: k groups of n samples (k - 1)/(n - 1) of what is
noise, which matters for experiments. Genes are read panel by panel, once for all labels.
Not here: which labels there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.publish.disk_matrix import DiskMatrix

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_GROUP_CELLS: Final = 4_000_000  # sums and counts of groups × genes, 16 bytes each


@dataclass(frozen=True)
class VarianceShare:
    """What a label explains of the variance of all genes.

    Attributes
    ----------
    groups
        How many different labels the samples have.
    mean
        Of the genes' shares, weighted by their variances; None where no gene varies.
    median
        Of the genes' shares.
    by_chance
        The share that labels without meaning would explain.
    beyond_chance
        The mean share with that taken off: 1 - (1 - mean)(n - 1)/(n - groups), epsilon
        squared; None where every sample is a group of its own.
    components
        The shares of the principal components that the label explains, if they are known.
    """

    groups: int
    mean: float | None
    median: float | None
    by_chance: float | None
    beyond_chance: float | None
    components: tuple[float | None, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {**vars(self), "components": list(self.components)}


@dataclass(frozen=True, eq=False)
class GeneShares:
    """The shares of single genes.

    Attributes
    ----------
    variances
        (genes,) of the population; NaN where a value is missing or infinite.
    shares
        Label -> (genes,); NaN of a gene that doesn't vary. Missing values don't count.
    spread
        (genes,) The variances of what is there, as weights.
    """

    variances: Floats
    shares: dict[str, Floats]
    spread: Floats


def codes_of(labels: Sequence[str]) -> tuple[Codes, int]:
    """Labels as numbers from 0, in the order of first appearance, and how many there are."""
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(each, len(numbers)) for each in labels], np.int64)
    return codes, len(numbers)


def gene_shares(
    matrix: DiskMatrix,
    labels: Mapping[str, Sequence[str]],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> GeneShares:
    """What each label explains of every gene's variance.

    Memory is that of a panel of the matrix, and 64 MB, or more if one gene of all groups is.

    Parameters
    ----------
    labels
        Name of the label -> what it is of each sample.
    on_progress
        Is told of how many genes, how many are done.

    Raises
    ------
    ValueError
        Labels are not one for each sample.
    """
    coded = {name: codes_of(each) for name, each in labels.items()}
    for name, (codes, _) in coded.items():
        if len(codes) != matrix.samples:
            raise ValueError(
                f"{name} is known of {len(codes)} and not of {matrix.samples} samples."
            )
    variances, spread = np.empty(matrix.genes), np.empty(matrix.genes)
    shares = {name: np.empty(matrix.genes) for name in labels}
    for panel in matrix.panels:
        values = matrix.read_panel(panel)
        totals, counts = _centred_squares(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread[panel] = totals[1] / counts
        variances[panel] = np.where(counts == matrix.samples, spread[panel], np.nan)
        for name, (codes, groups) in coded.items():
            shares[name][panel] = _shares(values, totals, codes, groups)
        on_progress(panel.stop, matrix.genes)
    return GeneShares(variances, shares, spread)


def shares_of(values: NDArray[np.floating[Any]], labels: Sequence[str]) -> Floats:
    """The same of an array, (samples, columns): (columns,)."""
    codes, groups = codes_of(labels)
    totals, _ = _centred_squares(values)
    return _shares(values, totals, codes, groups)


def summarised(
    genes: GeneShares, name: str, labels: Sequence[str], coordinates: Floats | None = None
) -> VarianceShare:
    """One label's shares in a few numbers; `coordinates` are (samples, components)."""
    groups, samples = len(set(labels)), len(labels)
    shares = genes.shares[name]
    known = np.isfinite(shares)
    mean = median = beyond = None
    if known.any():
        mean = float(np.average(shares[known], weights=genes.spread[known]))
        median = float(np.median(shares[known]))
        if samples > groups:
            beyond = 1 - (1 - mean) * (samples - 1) / (samples - groups)
    by_component = () if coordinates is None else shares_of(coordinates, labels).tolist()
    return VarianceShare(
        groups=groups,
        mean=mean,
        median=median,
        by_chance=(groups - 1) / (samples - 1) if samples > 1 else None,
        beyond_chance=beyond,
        components=tuple(None if math.isnan(each) else each for each in by_component),
    )


def _shares(values: NDArray[np.floating[Any]], totals: Floats, codes: Codes, groups: int) -> Floats:
    """Eta squared of every column, some of them at a time."""
    step = max(1, _GROUP_CELLS // max(1, groups))
    found = np.empty(values.shape[1])
    for start in range(0, values.shape[1], step):
        here = slice(start, start + step)
        found[here] = _between(values[:, here], totals[0, here], codes, groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Floats = np.where(totals[1] > 0, found / totals[1], np.nan)
    return np.clip(shares, 0, 1)


@njit(cache=True, nogil=True)
def _centred_squares(values: NDArray[np.floating[Any]]) -> tuple[Floats, NDArray[np.int64]]:
    """Means and sums of squared distances from them, (2, columns), and how many are finite."""
    samples, genes = values.shape
    found = np.zeros((2, genes))
    counts = np.zeros(genes, np.int64)
    for sample in range(samples):
        for gene in range(genes):
            value = np.float64(values[sample, gene])
            if np.isfinite(value):
                found[0, gene] += value
                counts[gene] += 1
    for gene in range(genes):
        found[0, gene] = found[0, gene] / counts[gene] if counts[gene] else np.nan
    for sample in range(samples):
        for gene in range(genes):
            value = np.float64(values[sample, gene])
            if np.isfinite(value):
                found[1, gene] += (value - found[0, gene]) ** 2
    return found, counts


@njit(cache=True, nogil=True)
def _between(values: NDArray[np.floating[Any]], means: Floats, codes: Codes, groups: int) -> Floats:
    """The sum of squares between the groups, (columns,)."""
    samples, genes = values.shape
    sums = np.zeros((groups, genes))
    counts = np.zeros((groups, genes), np.int64)
    for sample in range(samples):
        group = codes[sample]
        for gene in range(genes):
            value = np.float64(values[sample, gene])
            if np.isfinite(value):
                sums[group, gene] += value - means[gene]
                counts[group, gene] += 1
    found = np.zeros(genes)
    for group in range(groups):
        for gene in range(genes):
            if counts[group, gene]:
                found[gene] += sums[group, gene] ** 2 / counts[group, gene]
    return found
