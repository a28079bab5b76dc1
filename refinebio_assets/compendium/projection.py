"""Samples of one's own put into the space of a release: filled, normalised, placed, compared.

What happens to a sample is what happened to those of the release, but that nothing is learnt
from it: genes that it lacks come from the release's factors by least squares (with the factors
held still, that is what the iterations of the imputation come to rest at), quantiles from its
target, coordinates from its axes. Every sample is by itself. It is compared with the release's
over values that both have themselves. Not here: files, and which references a release has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import (
    IMPUTED,
    MEASURED,
    MISSING,
    ZERO_RESTORED,
    origin_of,
)
from refinebio_assets.compendium.reader import ReleaseMatrix
from refinebio_assets.errors import TooFewGenes
from refinebio_assets.matrix.log_scale import log2_if_raw, log2_of_counts
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets.publish.disk_matrix import Values

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
Origins = NDArray[np.uint8]
OnProgress = Callable[[str, int, int], None]

OWN: Final = (MEASURED, ZERO_RESTORED)  # values that a sample has itself
NEAREST: Final = 10
LEAST_SHARED: Final = 0.25  # of a sample's own genes; with fewer in common, there is no comparison
DRAWN: Final = 100  # of the release's samples, to compare distances with

_LEAST_GENES: Final = 10
_GENES_PER_FACTOR: Final = 2
_LOOKED_AT: Final = 100  # RNA-seq samples, for the genes that none has
_FLAT: Final = 1e-10  # of a sum of squares: a variance below is rounding
_UNDETERMINED: Final = 1e-3  # of the largest singular value; directions below are not fitted


@dataclass(frozen=True, eq=False)
class Axes:
    """The principal components of a release.

    Attributes
    ----------
    genes
        (used,) places among the release's genes.
    means
        (used,)
    weights
        (used, 2), orthonormal columns.
    shares
        (2,) of the variance of the genes used.
    coordinates
        (samples, 2) of the release.
    """

    genes: Places
    means: Floats
    weights: Floats
    shares: Floats
    coordinates: Floats


@dataclass(frozen=True, eq=False)
class Space:
    """What a sample needs of a release to be put into it.

    Attributes
    ----------
    genes
        Of the release, in its order.
    loadings
        (genes, rank) of `Factors`; None: what a sample lacks stays missing.
    target
        None: values stay as they are.
    axes
        None where nothing varies.
    set_aside
        (genes,) those that the release takes from no RNA-seq sample, as `set_aside_of` finds.
    """

    genes: pl.Series
    loadings: Reals | None
    target: Floats | None
    axes: Axes | None
    set_aside: Mask


@dataclass(frozen=True, eq=False)
class Projection:
    """Samples as the release would have them.

    Attributes
    ----------
    values, origins
        (samples, genes) final values (float32), and what each is, as places in
        `assembly.ORIGINS`.
    coordinates
        (samples, 2); None if the release has no axes. NaN where too little is known.
    """

    values: Values
    origins: Origins
    coordinates: Floats | None


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The samples of a release that are most alike, of each sample asked for.

    Attributes
    ----------
    places
        (asked, most) in the release, the nearest first; -1 where there are no more.
    correlations
        (asked, most) Pearson's; NaN where there are no more.
    genes
        (asked, most) how many they were compared in.
    """

    places: Places
    correlations: Floats
    genes: NDArray[np.int64]

    def of(self, asked: slice) -> Neighbours:
        """Those of some samples."""
        return Neighbours(self.places[asked], self.correlations[asked], self.genes[asked])


# --- into the space -------------------------------------------------------------------


def placed(genes: pl.Series, values: Values, space: Space, *, is_rnaseq: bool) -> Values:
    """One sample on the release's scale, in the order of its genes: (genes,), missing NaN.

    Parameters
    ----------
    genes
        Cleaned (`matrix.genes`), each once.
    values
        Of RNA-seq, on the scale of counts; of arrays, logarithms unless any is above 100.

    Raises
    ------
    TooFewGenes
        Too few of the release's genes have a value.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = log2_of_counts(values) if is_rnaseq else log2_if_raw(values)
    source = genes.to_frame("gene").with_row_index("source")
    found = space.genes.to_frame("gene").join(source, on="gene", how="left", maintain_order="left")
    places = found["source"].fill_null(len(values)).to_numpy()  # the last, which is missing
    row: Values = np.append(scaled.astype(np.float32), np.float32(np.nan))[places]
    row[~np.isfinite(row)] = np.nan
    if is_rnaseq:
        row[space.set_aside] = np.nan
    _refuse_too_few(row, genes, space)
    return row


def _refuse_too_few(row: Values, genes: pl.Series, space: Space) -> None:
    rank = 0 if space.loadings is None else space.loadings.shape[1]
    least = max(_LEAST_GENES, _GENES_PER_FACTOR * rank)
    known = int(np.isfinite(row).sum())
    if known >= least:
        return
    theirs, mine = (str(each[0]) if len(each) else "none" for each in (space.genes, genes))
    raise TooFewGenes(
        f"It has values of {known:,} of the release's {len(row):,} genes; {least} are needed. "
        f"Its first gene is {mine[:80]!r}, the release's {theirs!r}."
    )


def set_aside_of(matrix: ReleaseMatrix, is_rnaseq: Mask) -> Mask:
    """Genes that no RNA-seq sample of a release has a value of its own for: (genes,).

    Low counts, as the release's rules have it, or no such gene in the transcriptome. Looks at
    a hundred samples at equal distances. Without RNA-seq there is none.
    """
    numbers = np.flatnonzero(is_rnaseq)
    if not len(numbers):
        return np.zeros(len(matrix.genes), np.bool_)
    _, origins = matrix.read_samples(
        [matrix.samples[each] for each in numbers[spread(len(numbers), _LOOKED_AT)]]
    )
    aside: Mask = np.logical_not(np.isin(origins, OWN).any(axis=0))
    return aside


def spread(number: int, most: int) -> Places:
    """At most so many of 0 … number-1, at equal distances, with both ends."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(np.intp))


def project(rows: Values, is_rnaseq: Mask, space: Space) -> Projection:
    """Fill what samples lack, bring them to the target, and find their coordinates.

    Parameters
    ----------
    rows
        (samples, genes) as `placed` makes them; they stay as they are.
    is_rnaseq
        (samples,)
    """
    values = np.array(rows, np.float32)
    origins = origin_of(values, is_rnaseq)
    if space.loadings is None:
        origins[origins == IMPUTED] = MISSING
    else:
        loadings = space.loadings.astype(np.float64)
        for row in values:
            known = np.isfinite(row)
            row[~known] = loadings[~known] @ _fitted(loadings[known], row[known])
    if space.target is not None:
        apply_target(values.T, space.target, out=values.T)
    coordinates = None if space.axes is None else _coordinates(values, space.axes)
    return Projection(values, origins, coordinates)


def _fitted(columns: Floats, values: Reals) -> Floats:
    """Least squares."""
    solved = np.linalg.lstsq(columns, values.astype(np.float64), rcond=_UNDETERMINED)
    return solved[0].astype(np.float64)


def _coordinates(values: Values, axes: Axes) -> Floats:
    """Of genes that are missing nothing is said: the others decide, by least squares."""
    found = np.full((len(values), axes.weights.shape[1]), np.nan)
    for place, row in enumerate(values[:, axes.genes] - axes.means):
        known = np.isfinite(row)
        if known.all():
            found[place] = row @ axes.weights
        elif known.sum() >= _LEAST_GENES:
            found[place] = _fitted(axes.weights[known], row[known])
    return found


# --- who is near ----------------------------------------------------------------------


def nearest(
    values: Values,
    origins: Origins,
    matrix: ReleaseMatrix,
    *,
    itself: Places | None = None,
    most: int = NEAREST,
    on_progress: OnProgress = lambda stage, done, total: None,
) -> Neighbours:
    """The release's samples that correlate best with some, in one pass over the release.

    Correlations are over the genes for which both have a value of their own. Where these are
    fewer than a quarter of the asked one's, there is none. Of equal ones the first in the
    release comes first. Memory is a block of the release and 24 bytes a value asked.

    Parameters
    ----------
    values, origins
        (asked, genes) final ones, as those of the release.
    itself
        (asked,) the place in the release that is not to be compared with; -1: none.
    on_progress
        Is told what is done with ("compared"), of how many, how many.
    """
    asked = _Moments(values, origins)
    least = np.maximum(_LEAST_GENES, LEAST_SHARED * asked.own.sum(axis=1))
    best = Neighbours(
        np.full((len(values), most), -1, np.intp),
        np.full((len(values), most), np.nan),
        np.zeros((len(values), most), np.int64),
    )
    total = len(matrix.samples)
    for first, theirs, what in matrix.blocks():
        correlations, genes = _correlations(asked, _Moments(theirs, what))
        correlations[genes < least[:, None]] = np.nan
        places = np.arange(first, first + len(theirs))
        if itself is not None:
            correlations[itself[:, None] == places] = np.nan
        best = _merged(best, correlations, genes, places)
        on_progress("compared", first + len(theirs), total)
    return best


def percentiles(mine: Floats, of_release: Floats) -> Floats:
    """How many per cent of the release's samples are nearer to their nearest one: (asked,).

    Parameters
    ----------
    mine, of_release
        Correlations with the nearest other sample: of samples asked for, and of samples drawn
        from the release. Missing ones of the release do not count.
    """
    known = of_release[np.isfinite(of_release)]
    found = np.full(len(mine), np.nan)
    if len(known):
        asked = np.isfinite(mine)
        found[asked] = 100 * (known > mine[asked, None]).mean(axis=1)
    return found


class _Moments:
    """Samples' own values, centred so that sums of squares stay exact, and where they are."""

    def __init__(self, values: Values, origins: Origins) -> None:
        own = np.isin(origins, OWN) & np.isfinite(values)
        self.own = own.astype(np.float64)
        self.values = np.where(own, values, 0).astype(np.float64)
        means = self.values.sum(axis=1) / np.maximum(1, own.sum(axis=1))
        self.values -= means[:, None]
        self.values *= self.own


def _correlations(asked: _Moments, others: _Moments) -> tuple[Floats, NDArray[np.int64]]:
    """(asked, others): over the genes that both have, and how many these are."""
    number = asked.own @ others.own.T
    sums, squares = asked.values @ others.own.T, asked.values**2 @ others.own.T
    their_sums, their_squares = asked.own @ others.values.T, asked.own @ (others.values**2).T
    together = number * (asked.values @ others.values.T) - sums * their_sums
    spread_of_mine = number * squares - sums**2
    spread_of_theirs = number * their_squares - their_sums**2
    varies = spread_of_mine > _FLAT * number * squares
    varies &= spread_of_theirs > _FLAT * number * their_squares
    found = np.full(number.shape, np.nan)
    both = np.sqrt(np.where(varies, spread_of_mine * spread_of_theirs, 1))
    np.divide(together, both, out=found, where=varies)
    return np.clip(found, -1, 1), number.round().astype(np.int64)


def _merged(
    best: Neighbours, correlations: Floats, genes: NDArray[np.int64], places: Places
) -> Neighbours:
    """The best of those known and some more, which come later in the release."""
    more = np.where(np.isnan(correlations), -1, places[None])
    every = Neighbours(
        np.concatenate([best.places, more], axis=1),
        np.concatenate([best.correlations, correlations], axis=1),
        np.concatenate([best.genes, np.where(more < 0, 0, genes)], axis=1),
    )
    order = np.argsort(-every.correlations, axis=1, kind="stable")  # NaN comes last
    kept = order[:, : best.places.shape[1]]
    return Neighbours(
        np.take_along_axis(every.places, kept, axis=1),
        np.take_along_axis(every.correlations, kept, axis=1),
        np.take_along_axis(every.genes, kept, axis=1),
    )
