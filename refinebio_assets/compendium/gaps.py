"""The gaps of a joined compendium, filled as its rules say. Not here: how imputation works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import JoinedMatrix
from refinebio_assets.compendium.rules import Rules
from refinebio_assets.errors import DamagedFactors
from refinebio_assets.matrix.fancyimpute_svd import impute_by_fancyimpute
from refinebio_assets.matrix.impute import (
    Imputation,
    IterativeSvd,
    Names,
    Progress,
    impute,
    refuse_hopeless,
)
from refinebio_assets.matrix.kept_factors import read_factors, save_factors
from refinebio_assets.matrix.missing_cells import find_missing
from refinebio_assets.matrix.warm_start import Start

Reals = NDArray[np.floating[Any]]


class Whole:
    """A matrix that is full already, (samples, genes), to fill gaps from."""

    def __init__(self, values: Reals) -> None:
        self._values = values

    def put(self, values: Reals, samples: slice, genes: slice = slice(None)) -> int:
        """Replace what is not finite in a part of the matrix, in place; return how many."""
        gaps = ~np.isfinite(values)
        np.copyto(values, self._values[samples, genes], where=gaps, casting="same_kind")
        return int(gaps.sum())


@dataclass(frozen=True, eq=False)
class FilledGaps:
    """What takes the place of missing values, and how it was found.

    Attributes
    ----------
    fill
        None where gaps stay.
    imputation
        Of our own engine; None with any other.
    """

    fill: Imputation | Whole | None
    imputation: Imputation | None

    def save_factors(self, path: Path, joined: JoinedMatrix) -> None:
        """Keep what the next release starts from, if there is anything."""
        found = self.imputation
        if found is not None and found.fill is not None and found.basis is not None:
            save_factors(path, found.fill, found.basis, joined.genes.to_list(), joined.samples)


def fill_gaps(
    joined: JoinedMatrix,
    rules: Rules,
    *,
    start: Path | None = None,
    checkpoint: Path | None = None,
    on_pass: Callable[[Progress], None] = lambda _: None,
) -> FilledGaps:
    """Find what takes the place of a compendium's missing values; the matrix stays as it is.

    Parameters
    ----------
    start
        The factors of an earlier release, as `save_factors` wrote them; damaged or absent
        ones are done without.
    checkpoint
        Where the state is kept, to be gone on from; see `matrix.impute.impute`.

    Raises
    ------
    CannotImpute
        There are too few samples or genes for the rank.
    ToolMissing
        fancyimpute is asked for and not installed.
    """
    names = Names(joined.genes.to_list(), joined.samples)
    matrix = joined.matrix
    if rules.engine == "none":
        return FilledGaps(None, None)
    if rules.engine == "svd":
        found = impute(
            matrix,
            IterativeSvd(rank=rules.rank),
            start=_aligned(start, joined, rules.rank),
            names=names,
            checkpoint=checkpoint,
            on_pass=on_pass,
        )
        return FilledGaps(found, found)
    missing = find_missing(matrix, matrix.genes)
    refuse_hopeless(matrix, missing, rules.rank, names)
    whole = matrix.read_samples(0, matrix.samples)
    whole[~np.isfinite(whole)] = np.nan
    return FilledGaps(Whole(impute_by_fancyimpute(whole, rules.rank)), None)


def _aligned(start: Path | None, joined: JoinedMatrix, rank: int) -> Start | None:
    """Where to start; from 0 if there is nothing, or of another rank."""
    if start is None:
        return None
    try:
        kept = read_factors(start)
    except DamagedFactors:
        return None
    if kept.fill.genes.shape[1] != rank:
        return None
    return kept.aligned(joined.genes.to_list(), joined.samples)
