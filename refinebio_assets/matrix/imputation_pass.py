"""One pass over a matrix whose missing cells hold an approximation of low rank.

The filled matrix is never made: a pass gives its products with a basis, and the next
approximation. Where the missing cells follow a few patterns, they are corrected for by
pattern, in the thin factors; else block by block, cell by cell. Both give the same numbers to
rounding. Sums over blocks are in float64. Not here: which passes are made, and when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.matrix.low_rank import Factors, Floats, Reals
from refinebio_assets.matrix.missing_cells import (
    Block,
    Integers,
    MissingCells,
    Source,
    Sums,
    sum_blocks,
)


@dataclass(frozen=True, eq=False)
class Pass:
    """What one pass gives; X is the matrix as it is filled at its end.

    Attributes
    ----------
    fill
        What X holds in its missing cells; None is 0.
    changed, before
        Sums over the missing cells: of squared differences between this fill and the one
        before the pass, and of squares of the latter. Both 0 where the fill stayed.
    gram, back
        (XW)ᵀXW, (width, width), and XᵀXW, (genes, width), with the basis W.
    """

    fill: Factors | None
    changed: float
    before: float
    gram: Floats
    back: Floats


def pass_over(
    source: Source,
    missing: MissingCells,
    fill: Factors | None,
    basis: Reals,
    rank: int | None,
    cells: int,
) -> Pass:
    """Read the matrix once.

    Parameters
    ----------
    fill
        What the missing cells hold; None is 0.
    basis
        W, (genes, width), orthonormal columns, of the matrix's type.
    rank
        The new fill is the matrix's projection onto so many first columns of the basis. None:
        the fill stays.
    cells
        Of a block.
    """
    sums: _ByPattern | _ByCell = (
        _ByCell(source, fill, basis, rank)
        if missing.patterns is None
        else _ByPattern(source, fill, basis, rank, missing.patterns, missing.pattern_of)
    )
    sum_blocks(source, cells, sums.seen)
    return sums.result()


class _ByCell:
    """Each block is filled, multiplied, filled anew and multiplied again."""

    def __init__(
        self, source: Source, fill: Factors | None, basis: Reals, rank: int | None
    ) -> None:
        self._old, self._new, self._basis = fill, fill, basis
        if rank is not None:
            thin = np.zeros((source.samples, rank), basis.dtype)
            self._new = Factors(thin, np.ascontiguousarray(basis[:, :rank]))
        self._gram = np.zeros((basis.shape[1], basis.shape[1]))
        self._back = np.zeros(basis.T.shape)
        self._changed, self._before = np.zeros(1), np.zeros(1)

    def seen(self, block: Block) -> Sums:
        rows, values, missing = block
        if self._old is not None:
            _refill(values, missing, self._old.samples[rows] @ self._old.genes.T)
        if self._new is not None and self._new is not self._old:
            self._new.samples[rows] = values @ self._new.genes
            low = self._new.samples[rows] @ self._new.genes.T
            changed, before = _refill(values, missing, low)
            yield self._changed, np.array([changed])
            yield self._before, np.array([before])
        product = values @ self._basis
        yield self._gram, _inner(product, product)
        yield self._back, product.T @ values

    def result(self) -> Pass:
        changed, before = float(self._changed[0]), float(self._before[0])
        return Pass(self._new, changed, before, self._gram, self._back.T)


class _ByPattern:
    """Blocks are multiplied with 0 for what is missing; patterns then add their share.

    For the rows of a pattern with missing genes M, a fill A Vᵀ adds A (V[M]ᵀ W[M]) to their
    product with W, and V[M] (Aᵀ Y) to the genes' product with Y.
    """

    def __init__(
        self,
        source: Source,
        fill: Factors | None,
        basis: Reals,
        rank: int | None,
        patterns: list[Integers],
        pattern_of: Integers,
    ) -> None:
        self._old, self._new, self._basis = fill, fill, basis
        self._patterns, self._pattern_of = patterns, pattern_of
        self._replaced = rank is not None
        if rank is not None:
            thin = np.zeros((source.samples, rank), basis.dtype)
            self._new = Factors(thin, np.ascontiguousarray(basis[:, :rank]))
        old, new = self._old, self._new
        self._old_new = _overlaps(patterns, old.genes, new.genes) if old and new else []
        self._new_basis = _overlaps(patterns, new.genes, basis) if new else []
        width = basis.shape[1]
        both = (_rank(new) + _rank(old)) if self._replaced else 0
        self._gram, self._back = np.zeros((width, width)), np.zeros(basis.T.shape)
        self._shares = np.zeros((len(patterns), _rank(new), width))
        self._grams = np.zeros((len(patterns), both, both))  # of the rows of (new, old)

    def seen(self, block: Block) -> Sums:
        rows, values, _ = block
        product = values @ self._basis
        new = self._new
        if new is not None:
            of = self._pattern_of[rows]
            groups = [(number, np.flatnonzero(of == number)) for number in np.unique(of)]
            if self._replaced:
                yield from self._project(rows, product, groups)
            mine = new.samples[rows]
            for number, some in groups:
                if len(self._patterns[number]):
                    product[some] += mine[some] @ self._new_basis[number]
                    yield self._shares[number], _inner(mine[some], product[some])
        yield self._gram, _inner(product, product)
        yield self._back, product.T @ values

    def _project(
        self, rows: slice, product: Reals, groups: list[tuple[int, NDArray[np.intp]]]
    ) -> Sums:
        """The new approximation's rows, and what they and the old ones have in common."""
        assert self._new is not None  # noqa: S101 — for the type checker
        mine = product[:, : _rank(self._new)].copy()
        for number, some in groups:
            if not len(self._patterns[number]):
                continue
            if self._old is None:
                yield self._grams[number], _inner(mine[some], mine[some])
                continue
            theirs = self._old.samples[rows][some]
            mine[some] += theirs @ self._old_new[number]
            both = np.concatenate([mine[some], theirs], axis=1)
            yield self._grams[number], _inner(both, both)
        self._new.samples[rows] = mine

    def result(self) -> Pass:
        changed = before = 0.0
        for number, genes in enumerate(self._patterns):
            if self._new is None or not len(genes):
                continue
            mine = self._new.genes[genes]
            self._back[:, genes] += self._shares[number].T @ mine.T
            if not self._replaced:
                continue
            # (A', A) (V', -V)ᵀ is the change of the fill.
            sides = [mine] if self._old is None else [mine, -self._old.genes[genes]]
            both = np.concatenate(sides, axis=1)
            products = self._grams[number] * _inner(both, both)
            changed += products.sum()
            before += products[mine.shape[1] :, mine.shape[1] :].sum()
        return Pass(self._new, float(changed), float(before), self._gram, self._back.T)


def _rank(factors: Factors | None) -> int:
    return 0 if factors is None else factors.genes.shape[1]


def _overlaps(patterns: list[Integers], left: Reals, right: Reals) -> list[Reals]:
    """Of each pattern: left[M]ᵀ right[M]."""
    return [left[genes].T @ right[genes] for genes in patterns]


def _inner(left: Reals, right: Reals) -> Floats:
    """Leftᵀ right, in float64."""
    result: Floats = left.T.astype(np.float64) @ right.astype(np.float64)
    return result


@njit(cache=True, nogil=True)
def _refill(values: Reals, missing: NDArray[np.bool_], new: Reals) -> tuple[float, float]:
    """Put new values into missing cells; sums of squared changes, and of squares before."""
    changed = before = 0.0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            if missing[row, column]:
                old = np.float64(values[row, column])
                changed += (np.float64(new[row, column]) - old) ** 2
                before += old**2
                values[row, column] = new[row, column]
    return changed, before
