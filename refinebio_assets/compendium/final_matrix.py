"""The joined matrix of a compendium made final: gaps filled, samples brought to the target.

The matrix on disk is overwritten block by block; what each value was goes, with the values,
to whoever writes files. Source: refine.bio's compendia, where quantile normalisation comes
after imputation, so that imputed values take part in the ranks. Not here: the join, the
imputation, and the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import (
    CELLS_AT_A_TIME,
    IMPUTED,
    MISSING,
    ZERO_RESTORED,
    JoinedMatrix,
    origin_of,
)
from refinebio_assets.matrix.ks import two_sample_test
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets.publish.disk_matrix import DiskMatrix, Values
from refinebio_assets.publish.overview import Distributions, Spread, bins_for, heights

Reals = NDArray[np.floating[Any]]
Origins = NDArray[np.uint8]
OnProgress = Callable[[str, int, int], None]
Write = Callable[[Values, Origins], None]

SAMPLES_AGAINST_TARGET: Final = 100
_TOLERANCE: Final = 1e-5  # of the target's range
_SAMPLES_FOR_BINS: Final = 50


class Fill(Protocol):
    """What stands in for missing values, as `matrix.impute.Imputation` does."""

    def put(self, values: Reals, samples: slice, genes: slice = slice(None)) -> int:
        """Replace what is not finite in a part of the matrix, in place; return how many."""
        ...


@dataclass(frozen=True, eq=False)
class FinalMatrix:
    """What was seen of a compendium's values on the way.

    Attributes
    ----------
    imputed_of_sample, zeros_of_sample
        (samples,) how many values were imputed (or stayed missing), and are counts of 0.
    imputed_of_gene
        (genes,)
    before, after
        How the samples' values are distributed before and after quantile normalisation;
        `after` is None without it.
    variances
        (genes,) of the final values; NaN where one is missing.
    not_finite
        How many values are missing at the end.
    unlike_target
        Samples, of those that were compared, whose values are not the target's at their ranks.
    compared
        How many were.
    smallest_p
        Of Kolmogorov-Smirnov tests of their upper halves against the target's. Equal values,
        which share one of the target's, make it smaller. None if none was compared.
    """

    imputed_of_sample: NDArray[np.int64]
    zeros_of_sample: NDArray[np.int64]
    imputed_of_gene: NDArray[np.int64]
    before: Distributions
    after: Distributions | None
    variances: NDArray[np.float64]
    not_finite: int
    unlike_target: list[str]
    compared: int
    smallest_p: float | None


def finish(
    joined: JoinedMatrix,
    fill: Fill | None,
    target: Reals | None,
    writers: Sequence[Write],
    on_progress: OnProgress = lambda stage, done, total: None,
) -> FinalMatrix:
    """Make the joined matrix final, in place, and hand its blocks on in order.

    Parameters
    ----------
    fill
        None: what is missing stays missing.
    target
        None: values stay as they are.
    writers
        Told of every block of samples: values and origins, (samples, genes).
    """
    matrix = joined.matrix
    samples, genes = matrix.samples, matrix.genes
    before = _histograms(matrix, bins_for(_some(matrix)))
    after = None if target is None else _histograms(matrix, bins_for([np.asarray(target)]))
    imputed_of_gene = np.zeros(genes, np.int64)
    imputed_of_sample, zeros_of_sample = np.zeros(samples, np.int64), np.zeros(samples, np.int64)
    spread = Spread(genes)
    compared = set(np.unique(np.linspace(0, samples - 1, SAMPLES_AGAINST_TARGET).astype(int)))
    unlike: list[str] = []
    p_values: list[float] = []
    not_finite = 0
    for first, values in matrix.by_samples(CELLS_AT_A_TIME):
        here = slice(first, first + len(values))
        origins = origin_of(values, joined.is_rnaseq[here])
        gaps = origins == IMPUTED
        imputed_of_gene += gaps.sum(axis=0)
        imputed_of_sample[here] = gaps.sum(axis=1)
        zeros_of_sample[here] = (origins == ZERO_RESTORED).sum(axis=1)
        before.heights[here] = heights(values, before.edges)
        if fill is None:
            origins[gaps] = MISSING
        else:
            fill.put(values, here)
        if target is not None and after is not None:
            apply_target(values.T, target, out=values.T)
            after.heights[here] = heights(values, after.edges)
            for sample in sorted(compared.intersection(range(here.start, here.stop))):
                mine = values[sample - first]
                p_values.append(_p_of_upper_halves(mine, target))
                if not _has_the_values_of(mine, target):
                    unlike.append(joined.samples[sample])
        not_finite += int(np.count_nonzero(~np.isfinite(values)))
        spread.add(values)
        matrix.write_samples(first, values)
        for write in writers:
            write(values, origins)
        on_progress("normalised and written", here.stop, samples)
    return FinalMatrix(
        imputed_of_sample=imputed_of_sample,
        zeros_of_sample=zeros_of_sample,
        imputed_of_gene=imputed_of_gene,
        before=before,
        after=after,
        variances=spread.variances(),
        not_finite=not_finite,
        unlike_target=unlike,
        compared=len(p_values),
        smallest_p=min(p_values, default=None),
    )


def _some(matrix: DiskMatrix) -> list[Values]:
    """Some samples at equal distances."""
    numbers = np.unique(np.linspace(0, matrix.samples - 1, _SAMPLES_FOR_BINS).astype(int))
    return [matrix.read_samples(int(each), int(each) + 1)[0] for each in numbers]


def _histograms(matrix: DiskMatrix, edges: NDArray[np.float64]) -> Distributions:
    return Distributions(edges, np.empty((matrix.samples, len(edges) - 1), np.float32))


def _has_the_values_of(values: Values, target: Reals) -> bool:
    """Whether a sample has the target's values at its own ranks, which ties have in common."""
    known = np.sort(values[np.isfinite(values)]).astype(np.float64)
    ascending = np.sort(target[~np.isnan(target)]).astype(np.float64)
    _, first, counts = np.unique(known, return_index=True, return_counts=True)
    ranks = np.repeat(first + (counts - 1) / 2, counts) / max(1, len(known) - 1)
    expected = np.interp(ranks, np.linspace(0, 1, len(ascending)), ascending)
    return bool(np.allclose(known, expected, rtol=1e-5, atol=_TOLERANCE * np.ptp(ascending)))


def _p_of_upper_halves(values: Values, target: Reals) -> float:
    """Of what lies above a sample's median against what lies above the target's."""
    known = values[np.isfinite(values)]
    mine, theirs = known[known > np.median(known)], target[target > np.median(target)]
    return two_sample_test(mine, theirs)[1] if len(mine) and len(theirs) else 0.0
