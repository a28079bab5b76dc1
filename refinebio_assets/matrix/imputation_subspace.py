"""A matrix whose gaps are filled anew again and again, as a subspace of gene vectors sees it.

With an orthonormal basis Q of the subspace, and T the matrix with 0 for what is missing, one
pass over it gives, for the samples of each pattern of missing genes, the products P = TQ,
PᵀP and TᵀP. Every filled matrix that iterative imputation comes by within the subspace has
its fill in the form P S (QU)ᵀ, with small S and U, so that its product with Q, its singular
vectors and the next fill need no further pass: all iterations together take none. TᵀP tells
how far their singular vectors would leave the subspace, and where to: it is widened in these
directions, and the iterations are done again. This is the Rayleigh-Ritz procedure, with
residuals as new directions (Davidson's method), for all iterations at once.

Source: Saad, "Numerical methods for large eigenvalue problems", 2nd edition (2011), sections
4.3 and 8.3. Not here: when it is wide enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.matrix.imputation_state import is_converged
from refinebio_assets.matrix.low_rank import Factors, Floats, Reals, independent_of
from refinebio_assets.matrix.missing_cells import (
    MissingCells,
    SortedBlock,
    Source,
    Sums,
    sum_sorted_blocks,
)

_ROWS_AT_A_TIME: Final = 8192
_MOST_LOOKED_AT: Final = 24  # of the iterations, for where they would leave the subspace
_SMALLEST: Final = 1e-14  # of the largest squared singular value; below is rounding
_WEAKEST: Final = 1e-13  # of the strongest squared direction; below is rounding
_STILL: Final = 1e-9  # of the largest: singular vectors do not move by less


@dataclass(frozen=True, eq=False)
class Iterate:
    """One iteration, in the subspace.

    Attributes
    ----------
    left
        S, (patterns, columns, rank): the fill's samples are P S.
    right
        U, (width, rank): the fill's genes are QU.
    squared
        (width,): squared singular values of the filled matrix that this is the approximation
        of, the largest first.
    vectors
        (width, width): its right singular vectors in the basis; U is their beginning.
    """

    left: Floats
    right: Floats
    squared: Floats
    vectors: Floats


@dataclass(frozen=True, eq=False)
class Trajectory:
    """All iterations, and the squared change of the fill in each over its square."""

    start: Iterate
    iterates: list[Iterate]
    changes: list[float]
    converged: bool


class Subspace:
    """A matrix's products with a basis that grows.

    Parameters
    ----------
    missing
        With patterns.
    most_columns
        Of the basis and the start together: room is taken as it is filled.
    start
        The fill to begin with; None is 0.
    dtype
        Of the products; None: that of the matrix.
    """

    def __init__(
        self,
        source: Source,
        missing: MissingCells,
        most_columns: int,
        start: Factors | None,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        assert missing.patterns is not None  # noqa: S101 — for the type checker
        self._source, self._missing, self._patterns = source, missing, missing.patterns
        self.dtype = dtype = missing.dtype if dtype is None else dtype
        self._start = start
        self._given = 0 if start is None else start.samples.shape[1]
        self._most = most_columns
        count = len(missing.patterns)
        # Basis vectors are rows here. P's columns: those of the start, then one of each vector.
        self._basis: Reals = np.zeros((most_columns, source.genes), dtype)
        self._left: Reals = np.zeros((source.samples, most_columns), dtype)
        self._back: Reals = np.zeros((count, most_columns, source.genes), dtype)
        self._gram: Floats = np.zeros((count, self._given, self._given))  # PᵀP
        self._overlap: Floats = np.zeros((count, 0, 0))  # of basis vectors, in missing genes
        self._width = 0
        order = np.argsort(missing.pattern_of, kind="stable")
        ends = np.cumsum(np.bincount(missing.pattern_of, minlength=count))[:-1]
        self._members = np.split(order, ends)

    @property
    def basis(self) -> Reals:
        """Q, (genes, width)."""
        return self._basis[: self._width].T

    @property
    def width(self) -> int:
        """How many basis vectors there are."""
        return self._width

    @property
    def room(self) -> int:
        """For so many more columns."""
        return self._most - self._given - self._width

    def widen(self, directions: Reals, cells: int) -> None:
        """Read the matrix once, for (genes, some) more columns, orthonormal and to the others."""
        some = directions.shape[1]
        columns = self._given + self._width
        vectors = self._basis[self._width : self._width + some]
        vectors[:] = directions.T
        first = 0 if self._width == 0 else columns

        def seen(block: SortedBlock) -> Sums:
            values = block.values.astype(self.dtype, copy=False)
            product = values @ vectors.T
            if first < columns:
                assert self._start is not None  # noqa: S101 — for the type checker
                product = np.concatenate([self._start.samples[block.samples], product], axis=1)
            self._left[block.samples, first : columns + some] = product
            for pattern, rows in block.runs:
                total = self._back[pattern, first : columns + some]
                yield total, product[rows].T @ values[rows]

        sum_sorted_blocks(self._source, cells, self._missing.pattern_of, seen)
        self._width += some
        self._measure(first, some)

    def _measure(self, first: int, some: int) -> None:
        """The small products of columns from `first` on, and of the last basis vectors."""
        columns, width = self._given + self._width, self._width
        gram = np.zeros((len(self._patterns), columns, columns))
        gram[:, :first, :first] = self._gram[:, :first, :first]
        overlap = np.zeros((len(self._patterns), width, width))
        overlap[:, : width - some, : width - some] = self._overlap
        for number, (members, genes) in enumerate(zip(self._members, self._patterns, strict=True)):
            for at in range(0, len(members), _ROWS_AT_A_TIME):
                left = self._left[members[at : at + _ROWS_AT_A_TIME], :columns].astype(np.float64)
                gram[number, :, first:] += left.T @ left[:, first:]
            gram[number, first:, :first] = gram[number, :first, first:].T
            held = self._basis[:width, genes].astype(np.float64)
            overlap[number, :, width - some :] = held @ held[width - some :].T
            overlap[number, width - some :, : width - some] = overlap[
                number, : width - some, width - some :
            ].T
        self._gram, self._overlap = gram, overlap

    # --- iterations ---------------------------------------------------------------------

    def follow(self, rank: int, threshold: float, most: int) -> Trajectory:
        """Impute within the subspace: the iterations of `impute`, and their end."""
        rank = min(rank, self._width)
        last = start = self._beginning()
        iterates: list[Iterate] = []
        changes: list[float] = []
        size = self._product(start, start)
        converged = False
        while not converged and len(iterates) < most:
            grown = rank if self._given else min(1 << len(iterates), rank)
            now = self._next(last, grown)
            next_size = self._product(now, now)
            changed = max(next_size - 2 * self._product(now, last) + size, 0.0)
            changes.append(changed / size if size else math.inf)
            converged = is_converged(changed, size, threshold)
            iterates.append(now)
            last, size = now, next_size
        return Trajectory(start, iterates, changes, converged)

    def _beginning(self) -> Iterate:
        """The fill that was given, in the subspace; of rank 0 if none was."""
        left = np.zeros((len(self._patterns), self._given + self._width, self._given))
        left[:, : self._given] = np.eye(self._given)
        right = np.zeros((self._width, 0))
        if self._start is not None:
            right = self.basis.T.astype(np.float64) @ self._start.genes
        return Iterate(left, right, np.zeros(self._width), np.eye(self._width))

    def _next(self, last: Iterate, rank: int) -> Iterate:
        """The approximation of so high a rank of the matrix that holds the last one."""
        own = slice(self._given, None)
        shift = last.right.T @ self._overlap  # (patterns, rank before, width): the fill times Q
        seen = self._gram @ last.left
        crossed = seen[:, own] @ shift
        inner = last.left.transpose(0, 2, 1) @ seen
        total = self._gram[:, own, own] + crossed + crossed.transpose(0, 2, 1)
        total += shift.transpose(0, 2, 1) @ (inner @ shift)
        squared, vectors = np.linalg.eigh(total.sum(axis=0))
        squared, vectors = squared[::-1], vectors[:, ::-1]
        right = vectors[:, :rank]
        left = last.left @ (shift @ right)
        left[:, own] += right
        return Iterate(left, right, squared, vectors)

    def _product(self, one: Iterate, other: Iterate) -> float:
        """Sum over the missing cells of one fill times another."""
        samples = one.left.transpose(0, 2, 1) @ (self._gram @ other.left)
        genes = one.right.T @ (self._overlap @ other.right)
        return float((samples * genes).sum())

    # --- beyond the subspace --------------------------------------------------------------

    def leaving(self, followed: Trajectory, most: int) -> tuple[float, Floats]:
        """How far iterations would leave the subspace, and where to.

        Returns
        -------
        Of the iteration that would most: by what fraction of the filled matrix's norm one
        more multiplication would turn its approximation out of the subspace. And (genes,
        `most` at most): the directions in which they would, orthonormal, and to the basis.
        """
        steps = _looked_at(len(followed.iterates))
        befores = [followed.start, *followed.iterates]
        pairs = [(befores[step], followed.iterates[step]) for step in steps]
        sizes = np.concatenate([_singular_values(now) for _, now in pairs])
        left = np.concatenate([now.left for _, now in pairs], axis=2)
        columns = self._given + self._width
        dtype = self.dtype
        found = np.zeros((left.shape[2], self._source.genes), dtype)
        for number, genes in enumerate(self._patterns):
            found += (left[number] / sizes).T.astype(dtype) @ self._back[number, :columns]
            if not len(genes):
                continue
            gram = self._gram[number]
            shares = [
                before.right @ (before.left[number].T @ gram @ now.left[number])
                for before, now in pairs
            ]
            share = (np.concatenate(shares, axis=1) / sizes).T.astype(dtype)
            found[:, genes] += share @ self._basis[: self._width, genes]
        held = self._basis[: self._width]
        found -= (found @ held.T) @ held
        ends = np.cumsum([now.right.shape[1] for _, now in pairs])[:-1]
        turned = max(
            _fraction(np.linalg.norm(part), math.sqrt(max(now.squared.sum(), 0.0)))
            for part, (_, now) in zip(np.split(found, ends), pairs, strict=True)
        )
        strength, rotation = np.linalg.eigh((found @ found.T).astype(np.float64))
        count = min(most, int((strength > _WEAKEST * strength[-1]).sum()))
        strongest = rotation[:, ::-1][:, :count]
        return turned, independent_of(self.basis, found.T @ strongest)

    def narrow(self, followed: Trajectory, width: int) -> None:
        """Keep the part of the subspace in which the iterations move, without a pass."""
        steps = _looked_at(len(followed.iterates))
        every = [followed.start, *(followed.iterates[step] for step in steps)]
        last = followed.iterates[-1].vectors
        moves, sizes, _ = np.linalg.svd(
            np.concatenate([each.right for each in every], axis=1), full_matrices=False
        )
        kept = moves[:, : min(width, int((sizes > _STILL * sizes[0]).sum()))]
        rest = independent_of(kept, last[:, : max(0, width - kept.shape[1])])
        turn = np.concatenate([kept, rest], axis=1)
        width = turn.shape[1]
        dtype = self.dtype
        own = slice(self._given, self._given + self._width)
        new = slice(self._given, self._given + width)
        self._basis[:width] = turn.T.astype(dtype) @ self._basis[: self._width]
        self._left[:, new] = self._left[:, own] @ turn.astype(dtype)
        for back in self._back:
            back[new] = turn.T.astype(dtype) @ back[own]
            back[new.stop :] = 0
        self._width = width
        gram = np.zeros((len(self._patterns), new.stop, new.stop))
        gram[:, : self._given, : self._given] = self._gram[:, : self._given, : self._given]
        gram[:, : self._given, new] = self._gram[:, : self._given, own] @ turn
        gram[:, new, : self._given] = gram[:, : self._given, new].transpose(0, 2, 1)
        gram[:, new, new] = turn.T @ self._gram[:, own, own] @ turn
        self._gram = gram
        self._overlap = turn.T @ self._overlap @ turn

    # --- results --------------------------------------------------------------------------

    def fill(self, of: Iterate) -> Factors:
        """What an iteration puts into the missing cells."""
        dtype = self._missing.dtype
        samples = np.zeros((self._source.samples, of.right.shape[1]), dtype)
        columns = self._given + self._width
        for number, members in enumerate(self._members):
            left = of.left[number].astype(self.dtype)
            for at in range(0, len(members), _ROWS_AT_A_TIME):
                rows = members[at : at + _ROWS_AT_A_TIME]
                samples[rows] = self._left[rows, :columns] @ left
        return Factors(samples, self.leading(of, of.right.shape[1]))

    def leading(self, of: Iterate, width: int) -> Reals:
        """(genes, `width` at most): right singular vectors, the largest first."""
        vectors: Reals = self.basis @ of.vectors[:, :width].astype(self.dtype)
        return vectors.astype(self._missing.dtype)


def _looked_at(count: int) -> NDArray[np.int64]:
    """Some of so many iterations: all, or ever fewer, the first and the last among them."""
    if count <= _MOST_LOOKED_AT:
        return np.arange(count)
    return np.unique(np.geomspace(1, count, _MOST_LOOKED_AT).round().astype(np.int64)) - 1


def _singular_values(of: Iterate) -> Floats:
    floor = max(float(of.squared[0]) * _SMALLEST, float(np.finfo(np.float64).tiny))
    values: Floats = np.sqrt(np.maximum(of.squared[: of.right.shape[1]], floor))
    return values


def _fraction(part: float | np.floating, whole: float) -> float:
    return float(part / whole) if whole else 0.0
