"""Missing values of a matrix from its approximation of low rank: IterativeSVD, in blocks.

Source: Troyanskaya et al., "Missing value estimation methods for DNA microarrays",
Bioinformatics 17:520 (2001), in the form of fancyimpute 0.7.0's `IterativeSVD`: the rank
grows 1, 2, 4, 8 … up to the asked one, nothing is centred, scaled or clipped, and the result
is the iterate at which the fill changed by less than the threshold. Where the missing cells
of many samples follow a few patterns, all iterations are done within a subspace that a few
passes over the matrix widen until it holds their singular vectors; else the vectors come from
subspace iteration that goes on where it stood, one or a few passes for each iteration. The
tests state how near to the original either is. An imputation can start from an earlier one's
factors. Not here: files of users, the matrix on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

from refinebio_assets.errors import CannotImpute
from refinebio_assets.matrix.imputation_pass import pass_over
from refinebio_assets.matrix.imputation_state import State, is_converged, restored, save
from refinebio_assets.matrix.imputation_subspace import Subspace
from refinebio_assets.matrix.low_rank import (
    Factors,
    Floats,
    Reals,
    improve,
    independent_of,
    random_basis,
)
from refinebio_assets.matrix.missing_cells import Block, MissingCells, Source, Sums, find_missing
from refinebio_assets.matrix.warm_start import Beginning, Start

BLOCK_CELLS: Final = 4_000_000

_EXTRA_COLUMNS: Final = 22  # of a basis, beyond the rank
_NEW_COLUMNS: Final = 24  # of the subspace, at most, for a pass
_MOST_COLUMNS: Final = 128  # of the subspace
_SUBSPACE_BYTES: Final = 400 << 20  # of its products with the matrix
_MOST_WIDENED: Final = 50  # passes
_SAMPLES_OF_PATTERN: Final = 128  # at least, on average: with fewer, more passes cost less
_STUCK: Final = 4  # passes without getting nearer: there is no room for more
_MOST_REPEATS: Final = 50  # passes for one iteration, outside of a subspace
_ROUNDING: Final = 50  # times the type's: turning cannot be told to less
_LOOSER: Final = 150  # times `turning`: pass by pass, vectors are a multiplication ahead of it
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
        Iterations' singular vectors are taken once a further pass would turn none of their
        approximations by more than this fraction of the matrix's norm. Below 50 roundings of
        float32 (6e-6), such a matrix's products are in float64. Pass by pass, where there are
        too many patterns, the vectors that are taken have that further pass behind them: there
        it is 150 times as much.
    seed
        Of the first basis.
    """

    rank: int = 10
    threshold: float = 1e-5
    most_iterations: int = 200
    turning: float = 6e-6
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """How far it has come, after a pass.

    Attributes
    ----------
    passes, iterations
        So far; `iterations` of them have replaced the fill, as far as is known by now.
    rank
        Of the fill.
    change
        Squared change of the fill in the last iteration over its square: infinite for the
        first, NaN before it.
    passes_left
        If things go on as they did at last; None where that cannot be told.
    """

    passes: int
    iterations: int
    rank: int
    change: float
    passes_left: int | None


@dataclass(frozen=True, eq=False)
class Imputation:
    """What stands in for the missing values.

    Attributes
    ----------
    missing
        What was.
    fill
        The approximation; None where nothing was missing.
    basis
        (genes, width): right singular vectors of the filled matrix, the largest first, for an
        imputation that starts from this one (`kept_factors`); None where nothing was missing.
    passes
        That were made over the matrix, beside the one that finds what is missing.
    changes
        Of each iteration: the fill's squared change over its square; infinite for the first.
    converged
        Whether the threshold was reached.
    """

    missing: MissingCells
    fill: Factors | None
    basis: Reals | None
    passes: int
    changes: list[float]
    converged: bool

    def put(self, values: Reals, samples: slice, genes: slice = slice(None)) -> int:
        """Replace what is not finite in a part of the matrix, in place; return how many."""
        if self.fill is None:
            return int((~np.isfinite(values)).sum())
        rows = np.ascontiguousarray(self.fill.samples[samples])
        return int(_put(values, rows, np.ascontiguousarray(self.fill.genes[genes])))


@dataclass(frozen=True)
class Names:
    """What genes and samples are called in messages."""

    genes: Sequence[str]
    samples: Sequence[str]


def impute(
    source: Source,
    settings: IterativeSvd = IterativeSvd(),
    *,
    start: Start | None = None,
    names: Names | None = None,
    block_cells: int = BLOCK_CELLS,
    checkpoint: Path | None = None,
    on_pass: Callable[[Progress], None] = lambda _: None,
) -> Imputation:
    """Impute a matrix that is read in blocks, in its own precision.

    Memory is some three blocks for each of up to six threads, (samples + genes) × 128, a few
    arrays of genes × 250, and genes × 128 for each pattern of missing genes: 400 MiB at most.

    Parameters
    ----------
    source
        Samples × genes; see `Source`.
    start
        The factors of an earlier imputation, aligned to this matrix. Iterations go on from
        them, at full rank: a few passes where little is new. None: from 0, as the original.
    names
        For messages; numbers from 0 otherwise.
    block_cells
        Values of a block, if that is one sample at least.
    checkpoint
        Where the state is kept after each pass. One that is there of the same matrix, start
        and settings is gone on from; any other is written over. It stays.
    on_pass
        Told after each pass, and once at the start if a checkpoint is gone on from.

    Raises
    ------
    CannotImpute
        A gene or a sample has no value at all, or there are as few genes or samples as the
        rank.
    """
    # A block is one thread's work. On such narrow products, the threads of linear algebra
    # would wait for each other more than they do.
    with threadpool_limits(1, "blas"):
        return _impute(source, settings, start, names, block_cells, checkpoint, on_pass)


def _impute(
    source: Source,
    settings: IterativeSvd,
    start: Start | None,
    names: Names | None,
    block_cells: int,
    checkpoint: Path | None,
    on_pass: Callable[[Progress], None],
) -> Imputation:
    if not min(source.samples, source.genes):
        raise CannotImpute("There is no value to impute from.", remedy="Give values.")
    if start is not None and not start.fill.genes.shape[1]:
        start = None  # nothing is left of it
    width = min(settings.rank + _EXTRA_COLUMNS, source.samples, source.genes)
    first_look = _Sketch(source.genes, width, settings.seed) if start is None else Beginning(start)
    missing = find_missing(source, block_cells, digest=checkpoint is not None, seen=first_look.seen)
    if not missing.total:
        return Imputation(missing, None, None, 0, [], converged=True)
    refuse_hopeless(source, missing, settings.rank, names)
    fill, basis = first_look.begun(width)
    if fill is not None:
        samples, genes = (each.astype(missing.dtype) for each in (fill.samples, fill.genes))
        fill = Factors(samples, genes)
    on = _Matrix(source, missing, block_cells)
    identity = f"{missing.digest} {missing.dtype} {source.samples} {source.genes} {settings}"
    kept = _Kept(checkpoint, f"{identity} {start.digest if start else None}", on_pass)
    dtype = missing.dtype
    if settings.turning < _ROUNDING * float(np.finfo(dtype).eps):
        dtype = np.dtype(np.float64)
    most = _most_columns(on, settings.rank, fill, dtype)
    if most:
        space = Subspace(source, missing, most, fill, dtype)
        return _in_subspace(space, on, settings, basis.astype(dtype), kept)
    state = State(basis.astype(missing.dtype), fill=fill, at_full_rank=fill is not None)
    return _pass_by_pass(on, settings, state, kept)


def refuse_hopeless(
    source: Source, missing: MissingCells, rank: int, names: Names | None = None
) -> None:
    """See that a matrix can be imputed.

    Raises
    ------
    CannotImpute
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
            raise CannotImpute(
                f"No value at all is known of {what} {named}{more}.",
                remedy="Leave it out: nothing can be said of it.",
            )
    if rank >= min(source.samples, source.genes):
        raise CannotImpute(
            f"Rank {rank} needs at least {rank + 1} genes and as many samples; there are "
            f"{source.genes:,} genes and {source.samples:,} samples."
        )


# --- how it begins, and what is kept ----------------------------------------------------


class _Sketch:
    """A first basis from blocks with 0 for what is missing: of TᵀTW, with a random W."""

    def __init__(self, genes: int, width: int, seed: int) -> None:
        self._random = random_basis(genes, width, seed)
        self._sum: Floats = np.zeros((width, genes))

    def seen(self, block: Block) -> Sums:
        """What some samples add."""
        values = block.values
        product = values @ self._random.astype(values.dtype)
        yield self._sum, product.T @ values

    def begun(self, width: int) -> tuple[Factors | None, Floats]:
        """No fill, and the basis."""
        seen = independent_of(self._random[:, :0], self._sum.T)
        others = independent_of(seen, self._random)[:, : width - seen.shape[1]]
        return None, np.concatenate([seen, others], axis=1)


@dataclass(frozen=True)
class _Matrix:
    source: Source
    missing: MissingCells
    cells: int  # of a block


@dataclass(frozen=True)
class _Kept:
    """Where the state is kept, and who is told."""

    path: Path | None
    identity: str
    on_pass: Callable[[Progress], None]

    def restored(self) -> State | None:
        return None if self.path is None else restored(self.path, self.identity)

    def after_pass(self, state: State, passes_left: int | None) -> None:
        if self.path is not None:
            save(state, self.path, self.identity)
        self.tell(state, passes_left)

    def tell(self, state: State, passes_left: int | None) -> None:
        rank = 0 if state.fill is None else state.fill.genes.shape[1]
        last = state.changes[-1] if state.changes else math.nan
        self.on_pass(Progress(state.passes, len(state.changes), rank, last, passes_left))


def _result(on: _Matrix, state: State) -> Imputation:
    return Imputation(
        on.missing, state.fill, state.basis, state.passes, state.changes, state.converged
    )


# --- within a subspace ------------------------------------------------------------------


def _most_columns(on: _Matrix, rank: int, start: Factors | None, dtype: np.dtype[Any]) -> int:
    """Of a subspace that there is room for; 0 where it is of no use."""
    if on.missing.patterns is None:
        return 0
    if on.source.samples < _SAMPLES_OF_PATTERN * len(on.missing.patterns):
        return 0
    given = 0 if start is None else start.samples.shape[1]
    column = len(on.missing.patterns) * on.source.genes * dtype.itemsize
    wanted = max(_MOST_COLUMNS, 8 * rank)
    most = min(wanted, on.source.genes, _SUBSPACE_BYTES // column - given)
    return 0 if most < min(4 * rank, on.source.genes) else most + given


def _in_subspace(
    space: Subspace, on: _Matrix, settings: IterativeSvd, basis: Reals, kept: _Kept
) -> Imputation:
    """All iterations within a subspace that is widened until they stay within it."""
    state = kept.restored() or State(basis[:, : space.room])
    if state.passes:
        kept.tell(state, 0 if state.fill else None)
    if state.fill is not None:
        return _result(on, state)
    goal = settings.turning
    columns = min(max(1, space.room // 4), max(_NEW_COLUMNS, settings.rank))
    new, seen = state.basis, [math.nan]
    while state.fill is None:
        space.widen(new, on.cells)
        state.passes += 1
        found = space.follow(settings.rank, settings.threshold, settings.most_iterations)
        turned, new = space.leaving(found, min(columns, on.source.genes - space.width))
        seen.append(turned)
        last = found.iterates[-1]
        state.changes, state.converged = found.changes, found.converged
        if turned < goal or not new.shape[1] or _is_stuck(seen):
            state.fill = space.fill(last)
            state.basis = space.leading(last, settings.rank + _EXTRA_COLUMNS)
            kept.after_pass(state, 0)
            break
        if space.room < new.shape[1]:
            space.narrow(found, space.width + space.room - new.shape[1])
        state.basis = np.concatenate([space.basis, new.astype(space.dtype)], axis=1)
        kept.after_pass(state, _steps_left(seen[-2], seen[-1], goal))
    return _result(on, state)


def _is_stuck(turned: list[float]) -> bool:
    """Whether passes no longer make it smaller."""
    if len(turned) > _MOST_WIDENED:
        return True
    return len(turned) > 2 * _STUCK and min(turned[-_STUCK:]) >= min(turned[1:-_STUCK])


def _steps_left(before: float, last: float, goal: float) -> int | None:
    """Until a value that shrinks as it did at last is below another."""
    if not goal <= last < before < math.inf:
        return None
    return math.ceil(math.log(last / goal) / math.log(before / last))


# --- pass by pass -----------------------------------------------------------------------


def _pass_by_pass(on: _Matrix, settings: IterativeSvd, begun: State, kept: _Kept) -> Imputation:
    """A pass or more for each iteration, which gives the next one's singular vectors too."""
    state = kept.restored()
    if state is None:
        state = begun
    else:
        kept.tell(state, _passes_left(state, settings))
    while not state.converged and len(state.changes) < settings.most_iterations:
        _advance(on, settings, state)
        kept.after_pass(state, _passes_left(state, settings))
    return _result(on, state)


def _advance(on: _Matrix, settings: IterativeSvd, state: State) -> None:
    """One pass: the next fill if its singular vectors are known, and a better basis."""
    found = pass_over(on.source, on.missing, state.fill, state.basis, state.next_rank, on.cells)
    state.passes += 1
    if state.next_rank is not None:
        state.fill = found.fill
        state.repeats = 0
        state.changes.append(found.changed / found.before if found.before else math.inf)
        state.converged = is_converged(found.changed, found.before, settings.threshold)
    grown = settings.rank if state.at_full_rank else 1 << len(state.changes)
    rank = min(grown, settings.rank, state.basis.shape[1])
    better = improve(state.basis, found.gram, found.back, rank)
    state.basis = better.basis.astype(on.missing.dtype)
    state.repeats += 1
    good = better.turned < _LOOSER * settings.turning or state.repeats >= _MOST_REPEATS
    state.next_rank = rank if good else None


def _passes_left(state: State, settings: IterativeSvd) -> int | None:
    """As many as iterations, once the rank has grown."""
    rank = 0 if state.fill is None else state.fill.genes.shape[1]
    before, last = [math.nan, math.nan, *state.changes][-2:]
    left = _steps_left(before, last, settings.threshold) if rank == settings.rank else None
    if left is None:
        return None
    return min(left, settings.most_iterations - len(state.changes))


@njit(cache=True, nogil=True)
def _put(values: Reals, samples: Reals, genes: Reals) -> int:
    """The fill into what is not finite; how many cells that is."""
    count = 0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            if value - value != 0:
                low = values.dtype.type(0)
                for each in range(samples.shape[1]):
                    low += samples[row, each] * genes[column, each]
                values[row, column] = low
                count += 1
    return count
