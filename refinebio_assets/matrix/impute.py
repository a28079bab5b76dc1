"""Missing values of a matrix from its approximation of low rank: IterativeSVD, in blocks.

Source: Troyanskaya et al., "Missing value estimation methods for DNA microarrays",
Bioinformatics 17:520 (2001), in the form of fancyimpute 0.7.0's `IterativeSVD`: the rank
grows 1, 2, 4, 8 … up to the asked one, nothing is centred, scaled or clipped, and the result
is the iterate at which the fill changed by less than the threshold. The singular vectors come
from subspace iteration that goes on where it stood, one or a few passes over the matrix for
each iteration. The tests state how near the two are. Not here: files of users, the matrix on
disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from refinebio_assets.errors import InvalidExpressionTable
from refinebio_assets.matrix.imputation_pass import pass_over
from refinebio_assets.matrix.imputation_state import State, restored, save
from refinebio_assets.matrix.low_rank import Factors, Reals, improve, random_basis
from refinebio_assets.matrix.missing_cells import MissingCells, Source, find_missing

BLOCK_CELLS: Final = 4_000_000

_EXTRA_COLUMNS: Final = 22  # of the basis, beyond the rank
_MOST_REPEATS: Final = 50  # passes for one iteration
_NAMED: Final = 5  # genes or samples in a message


@dataclass(frozen=True)
class IterativeSvd:
    """How to impute.

    Attributes
    ----------
    rank
        Of the approximation, at last.
    threshold
        The end: squared change of the fill over its square.
    most_iterations
        The end at the latest.
    turning
        An iteration's singular vectors are taken once a further pass turns its approximation
        by less than this fraction of the matrix's norm. Infinite: after one pass each.
    seed
        Of the first basis.
    """

    rank: int = 10
    threshold: float = 1e-5
    most_iterations: int = 200
    turning: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """How far it has come, after a pass.

    Attributes
    ----------
    passes, iterations
        So far; `iterations` of them have replaced the fill.
    rank
        Of the fill.
    change
        Squared change of the fill in the last iteration over its square: infinite for the
        first, NaN before it.
    iterations_left
        If the change goes on shrinking as it did at last; None where that cannot be told.
    """

    passes: int
    iterations: int
    rank: int
    change: float
    iterations_left: int | None


@dataclass(frozen=True, eq=False)
class Imputation:
    """What stands in for the missing values.

    Attributes
    ----------
    missing
        What was.
    fill
        The approximation; None where nothing was missing.
    passes
        That were made over the matrix, beside the one that finds what is missing.
    changes
        Of each iteration: the fill's squared change over its square; infinite for the first.
    converged
        Whether the threshold was reached.
    """

    missing: MissingCells
    fill: Factors | None
    passes: int
    changes: list[float]
    converged: bool

    def put(self, values: Reals, samples: slice, genes: slice = slice(None)) -> int:
        """Replace what is not finite in a part of the matrix, in place; return how many."""
        gaps = ~np.isfinite(values)
        count = int(gaps.sum())
        if count and self.fill is not None:
            low = self.fill.samples[samples] @ self.fill.genes[genes].T
            np.copyto(values, low, where=gaps, casting="same_kind")
        return count


@dataclass(frozen=True)
class Names:
    """What genes and samples are called in messages."""

    genes: Sequence[str]
    samples: Sequence[str]


def impute(
    source: Source,
    settings: IterativeSvd = IterativeSvd(),
    *,
    names: Names | None = None,
    block_cells: int = BLOCK_CELLS,
    checkpoint: Path | None = None,
    on_pass: Callable[[Progress], None] = lambda _: None,
) -> Imputation:
    """Impute a matrix that is read in blocks, in its own precision.

    Memory is some five blocks, the thin factors, (samples + genes) × rank twice, and five
    arrays of genes × (rank + 22) in float64.

    Parameters
    ----------
    source
        Samples × genes; see `Source`.
    names
        For messages; numbers from 0 otherwise.
    block_cells
        Values of a block, if that is one sample at least.
    checkpoint
        Where the state is kept after each pass. One that is there of the same matrix and
        settings is gone on from; any other is written over. It stays.
    on_pass
        Told after each pass, and once at the start if a checkpoint is gone on from.

    Raises
    ------
    InvalidExpressionTable
        A gene or a sample has no value at all, or there are as few genes or samples as the
        rank.
    """
    if not min(source.samples, source.genes):
        raise InvalidExpressionTable("There is no value to impute from.", remedy="")
    missing = find_missing(source, block_cells)
    if not missing.total:
        return Imputation(missing, None, 0, [], converged=True)
    refuse_hopeless(source, missing, settings.rank, names)
    identity = f"{missing.digest} {missing.dtype} {source.samples} {source.genes} {settings}"
    state = None if checkpoint is None else restored(checkpoint, identity)
    if state is None:
        width = min(settings.rank + _EXTRA_COLUMNS, source.samples, source.genes)
        start = random_basis(source.genes, width, settings.seed).astype(missing.dtype)
        state = State(basis=start)
    else:
        on_pass(_progress(state, settings))
    while not state.converged and len(state.changes) < settings.most_iterations:
        _advance(state, source, missing, settings, block_cells)
        if checkpoint is not None:
            save(state, checkpoint, identity)
        on_pass(_progress(state, settings))
    return Imputation(missing, state.fill, state.passes, state.changes, state.converged)


def refuse_hopeless(
    source: Source, missing: MissingCells, rank: int, names: Names | None = None
) -> None:
    """See that a matrix can be imputed.

    Raises
    ------
    InvalidExpressionTable
        A gene or a sample has no value at all, or there are as few genes or samples as the
        rank.
    """
    if rank < 1:
        raise ValueError("A rank is at least 1.")
    for what, counts, all_of_it, called in (
        ("gene", missing.per_gene, source.samples, names.genes if names else None),
        ("sample", missing.per_sample, source.genes, names.samples if names else None),
    ):
        empty = np.flatnonzero(counts == all_of_it).tolist()
        if empty:
            named = ", ".join(str(called[each] if called else each) for each in empty[:_NAMED])
            more = f" and {len(empty) - _NAMED:,} more" if len(empty) > _NAMED else ""
            raise InvalidExpressionTable(
                f"No value at all is known of {what} {named}{more}.",
                remedy="Leave it out: nothing can be said of it.",
            )
    if rank >= min(source.samples, source.genes):
        raise InvalidExpressionTable(
            f"Rank {rank} needs at least {rank + 1} genes and as many samples; there are "
            f"{source.genes:,} genes and {source.samples:,} samples.",
            remedy="Ask for a lower rank, or give more samples.",
        )


def _advance(
    state: State, source: Source, missing: MissingCells, settings: IterativeSvd, block_cells: int
) -> None:
    """One pass: the next fill if its singular vectors are known, and a better basis."""
    found = pass_over(source, missing, state.fill, state.basis, state.next_rank, block_cells)
    state.passes += 1
    if state.next_rank is not None:
        state.fill = found.fill
        state.repeats = 0
        state.changes.append(found.changed / found.before if found.before else math.inf)
        state.converged = _is_converged(found.changed, found.before, settings.threshold)
    rank = min(1 << len(state.changes), settings.rank)
    better = improve(state.basis, found.gram, found.back, rank)
    state.basis = better.basis.astype(missing.dtype)
    state.repeats += 1
    good = better.turned < settings.turning or state.repeats >= _MOST_REPEATS
    state.next_rank = rank if good else None


def _is_converged(changed: float, before: float, threshold: float) -> bool:
    tiny = float(np.finfo(np.float32).eps)
    if before == 0 or (before < tiny and changed > tiny):
        return False
    return changed / before < threshold


def _progress(state: State, settings: IterativeSvd) -> Progress:
    rank = 0 if state.fill is None else state.fill.genes.shape[1]
    before, last = [math.nan, math.nan, *state.changes][-2:]
    left = None
    if rank == settings.rank and settings.threshold <= last < before < math.inf:
        left = math.ceil(math.log(last / settings.threshold) / math.log(before / last))
        left = min(left, settings.most_iterations - len(state.changes))
    return Progress(state.passes, len(state.changes), rank, last, left)
