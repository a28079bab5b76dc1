"""How far imputed values of a compendium are off, from measured ones that are hidden.

Of some samples, in proportion to the patterns in which genes are missing, each hides every
twentieth gene: another twentieth in each of twenty groups. They are imputed alone, with the
same rank, and what was hidden is compared with what took its place. RNA-seq counts of 0 are
measured values here.

What it says, and what not: errors are those of the joined matrix, on the log2 scale before
quantile normalisation. Imputing has fewer samples to learn from here than in the whole, and
more gaps, so that it is somewhat worse. But a hidden gene is still seen in most samples of
the same platform; a gene that a platform lacks altogether can only be told from other
platforms, and that error can be larger. Not here: imputation itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.compendium.rules import Rules
from refinebio_assets.errors import CannotImpute
from refinebio_assets.matrix.impute import Imputation, IterativeSvd, Progress, impute
from refinebio_assets.publish.disk_matrix import DiskMatrix, Values
from refinebio_assets.publish.group_samples import OnProgress

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

GROUPS: Final = 20
MEMORY_BYTES: Final = 512 << 20

_BYTES_PER_CELL_OF_PANEL: Final = 32
_CELLS_AT_A_TIME: Final = 1_000_000
_FEWEST_FOR_CORRELATION: Final = 3


@dataclass(frozen=True, eq=False)
class HeldOut:
    """How far imputed values are off. An error is the imputed value less the measured one.

    Attributes
    ----------
    samples, cells
        How many samples took part, and how many of their values were hidden and compared.
    rmse
        Root mean square of all errors.
    rmse_of_mean
        The same, had a gene's mean taken each value's place: the mean of what was not hidden
        in samples of the same technology.
    rmse_of_arrays, rmse_of_rnaseq
        Of each technology; NaN where nothing of it was hidden.
    hidden_per_gene
        (genes,) how many values were compared; what follows is NaN where none was.
    rmse_per_gene, bias_per_gene
        (genes,) root mean square of the errors, and their mean.
    sd_per_gene
        (genes,) standard deviation of the hidden values, about the same mean: imputing is of
        use as far as the error is below it.
    correlation_per_gene
        (genes,) of imputed and measured values, within technologies; NaN where there are too
        few, or where either does not vary.
    """

    samples: int
    cells: int
    rmse: float
    rmse_of_mean: float
    rmse_of_arrays: float
    rmse_of_rnaseq: float
    hidden_per_gene: NDArray[np.int64]
    rmse_per_gene: Floats
    bias_per_gene: Floats
    sd_per_gene: Floats
    correlation_per_gene: Floats


@dataclass(frozen=True)
class NotMeasured:
    """Why there is no error, in words."""

    reason: str


def _silent(stage: str, done: int, total: int) -> None:
    pass


def held_out_error(
    matrix: DiskMatrix,
    is_rnaseq: Mask,
    rules: Rules,
    scratch: Path,
    memory_bytes: int = MEMORY_BYTES,
    on_progress: OnProgress = _silent,
) -> HeldOut | NotMeasured:
    """Hide measured values, impute them, and compare.

    The same matrix and rules give the same numbers. fancyimpute's engine is stood in for by
    ours, which follows it.

    Parameters
    ----------
    matrix
        The joined matrix before imputation.
    is_rnaseq
        (samples,)
    scratch
        A folder with room for four bytes a value of `rules.hold_out_samples` samples.
    on_progress
        Is told what is done with ("hidden values imputed"), of how many, how many.
    """
    if rules.engine == "none":
        return NotMeasured("Nothing is imputed.")
    if not rules.hold_out_samples:
        return NotMeasured("It was not asked for.")
    hidden = choose_hidden(matrix, is_rnaseq, rules.hold_out_samples)
    shape = (len(hidden.samples), matrix.genes)
    with DiskMatrix(scratch, shape, memory_bytes // _BYTES_PER_CELL_OF_PANEL) as subset:
        visible = _copy(matrix, subset, hidden, is_rnaseq)
        source = _Visible(subset, hidden, np.flatnonzero(visible.counts.sum(axis=0)))
        try:
            imputation = _impute(source, rules.rank, on_progress)
        except CannotImpute as error:
            return NotMeasured(error.message)
        tallies = _compare(source, imputation, visible, is_rnaseq[hidden.samples])
    if not tallies.counts.any():
        return NotMeasured("No measured value could be hidden.")
    return _told(tallies, len(hidden.samples))


# --- what is hidden -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Hidden:
    """Which values are hidden: of samples, ascending, those whose gene has its group's number.

    A gene's is its place modulo `GROUPS`.
    """

    samples: NDArray[np.intp]
    groups: NDArray[np.intp]

    def cells(self, first: int, end: int, genes: int) -> Mask:
        """Whether each value of some of the samples is hidden: (end - first, genes)."""
        cells: Mask = self.groups[first:end, None] == np.arange(genes) % GROUPS
        return cells


def choose_hidden(matrix: DiskMatrix, is_rnaseq: Mask, most: int, seed: int = 0) -> Hidden:
    """So many samples at most, in proportion to technologies and patterns of missing genes."""
    numbers: dict[bytes, int] = {}
    patterns = np.empty(matrix.samples, np.int64)
    for first, values in matrix.by_samples(_CELLS_AT_A_TIME):
        for sample, bits in enumerate(np.packbits(np.isnan(values), axis=1), first):
            digest = hashlib.blake2b(bits.tobytes(), digest_size=16).digest()
            patterns[sample] = numbers.setdefault(digest, len(numbers))
    order = np.random.default_rng(seed).permutation(matrix.samples)
    order = order[np.lexsort((patterns[order], is_rnaseq[order]))]
    count = min(most, matrix.samples)
    samples = order[((np.arange(count) + 0.5) * (matrix.samples / count)).astype(np.intp)]
    ascending = np.argsort(samples)
    return Hidden(samples[ascending], (np.arange(count) % GROUPS)[ascending])


@dataclass(frozen=True, eq=False)
class _Means:
    """Of what is not hidden: how many values a gene has, and their mean, (2, genes).

    The first row is of arrays, the second of RNA-seq. The mean where there is none is that of
    the other technology.
    """

    counts: NDArray[np.int64]
    means: Floats


def _copy(matrix: DiskMatrix, subset: DiskMatrix, hidden: Hidden, is_rnaseq: Mask) -> _Means:
    """Put the samples into a matrix of their own."""
    counts = np.zeros((2, matrix.genes), np.int64)
    sums = np.zeros((2, matrix.genes))
    step = max(1, _CELLS_AT_A_TIME // matrix.genes)
    for first in range(0, subset.samples, step):
        numbers = hidden.samples[first : first + step]
        values = np.concatenate([matrix.read_samples(each, each + 1) for each in numbers])
        subset.write_samples(first, values)
        shown = ~hidden.cells(first, first + len(values), matrix.genes) & np.isfinite(values)
        for technology in (0, 1):
            rows = is_rnaseq[numbers] == technology
            counts[technology] += shown[rows].sum(axis=0)
            sums[technology] += values[rows].sum(axis=0, dtype=np.float64, where=shown[rows])
    with np.errstate(invalid="ignore"):
        means = sums / counts
    return _Means(counts, np.where(counts > 0, means, means[::-1]))


class _Visible:
    """The samples without what is hidden, for the genes of which anything is left.

    A source for imputation.
    """

    def __init__(self, subset: DiskMatrix, hidden: Hidden, left: NDArray[np.intp]) -> None:
        self.subset, self.hidden, self.left = subset, hidden, left
        self.samples, self.genes = subset.samples, len(left)

    def read_samples(self, first: int, end: int) -> Values:
        """(some, genes); what is missing or hidden is NaN."""
        values = self.subset.read_samples(first, end)
        values[self.hidden.cells(first, first + len(values), self.subset.genes)] = np.nan
        return values[:, self.left]


# --- what comes out -------------------------------------------------------------------


def _impute(source: _Visible, rank: int, on_progress: OnProgress) -> Imputation:
    settings = IterativeSvd(rank=rank)

    def told(now: Progress) -> None:
        total = (
            settings.most_iterations if now.passes_left is None else now.passes + now.passes_left
        )
        on_progress("hidden values imputed", now.passes, total)

    return impute(source, settings, on_pass=told)


@dataclass(frozen=True, eq=False)
class _Tallies:
    """Sums over hidden values, (2, genes): arrays, RNA-seq.

    `measured` and `imputed` are values less the technology's mean of what was not hidden.
    """

    counts: NDArray[np.int64]
    errors: Floats
    squared_errors: Floats
    measured: Floats
    squared_measured: Floats
    imputed: Floats
    squared_imputed: Floats
    products: Floats


def _compare(
    source: _Visible, imputation: Imputation, visible: _Means, is_rnaseq: Mask
) -> _Tallies:
    genes = source.subset.genes
    tallies = _Tallies(np.zeros((2, genes), np.int64), *(np.zeros((2, genes)) for _ in range(7)))
    if imputation.fill is None:
        return tallies
    left = source.left
    step = max(1, _CELLS_AT_A_TIME // genes)
    for first in range(0, source.samples, step):
        measured = source.subset.read_samples(first, first + step)
        here = slice(first, first + len(measured))
        hidden = source.hidden.cells(here.start, here.stop, genes)[:, left]
        hidden &= np.isfinite(measured[:, left])
        imputed = source.read_samples(here.start, here.stop)
        imputation.put(imputed, here)
        for technology in (0, 1):
            rows = is_rnaseq[here] == technology
            of = hidden[rows]
            mean = visible.means[technology, left]
            was = np.where(of, measured[rows][:, left] - mean, 0)
            now = np.where(of, imputed[rows] - mean, 0)
            for total, values in (
                (tallies.counts, of),
                (tallies.errors, now - was),
                (tallies.squared_errors, (now - was) ** 2),
                (tallies.measured, was),
                (tallies.squared_measured, was**2),
                (tallies.imputed, now),
                (tallies.squared_imputed, now**2),
                (tallies.products, was * now),
            ):
                total[technology, left] += values.sum(axis=0)
    return tallies


def _told(of: _Tallies, samples: int) -> HeldOut:
    per_gene = of.counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_technology = np.sqrt(of.squared_errors.sum(axis=1) / of.counts.sum(axis=1))
        bias = of.errors.sum(axis=0) / per_gene
        rmse = np.sqrt(of.squared_errors.sum(axis=0) / per_gene)
        sd = np.sqrt(of.squared_measured.sum(axis=0) / per_gene)
    cells = int(per_gene.sum())
    return HeldOut(
        samples=samples,
        cells=cells,
        rmse=float(np.sqrt(of.squared_errors.sum() / cells)),
        rmse_of_mean=float(np.sqrt(of.squared_measured.sum() / cells)),
        rmse_of_arrays=float(by_technology[0]),
        rmse_of_rnaseq=float(by_technology[1]),
        hidden_per_gene=per_gene,
        rmse_per_gene=rmse,
        bias_per_gene=bias,
        sd_per_gene=sd,
        correlation_per_gene=_correlations(of),
    )


def _correlations(of: _Tallies) -> Floats:
    """Within technologies, so that a difference between them is no agreement."""

    def within(products: Floats, one: Floats, other: Floats) -> Floats:
        total: Floats = (products - one * other / np.maximum(of.counts, 1)).sum(axis=0)
        return total

    both = within(of.products, of.measured, of.imputed)
    measured = within(of.squared_measured, of.measured, of.measured)
    imputed = within(of.squared_imputed, of.imputed, of.imputed)
    enough = of.counts.sum(axis=0) >= _FEWEST_FOR_CORRELATION
    vary = (measured > 1e-9 * of.squared_measured.sum(axis=0)) & (
        imputed > 1e-9 * of.squared_imputed.sum(axis=0)
    )
    correlations: Floats = np.full(len(both), np.nan)
    known = enough & vary
    correlations[known] = both[known] / np.sqrt(measured[known] * imputed[known])
    return np.clip(correlations, -1, 1, out=correlations)
