"""Where an imputation begins that follows an earlier one, of some of the same samples and genes.

A sample that was there begins with what it was given; a new one with the coefficients that
fit its values best by least squares on the genes that it has, and a new gene likewise with
those that fit best over the samples that have it. They are found while the matrix is read for
the first time. Not here: how earlier factors are kept and aligned (`kept_factors`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.matrix.low_rank import Factors, Floats, Reals, independent_of
from refinebio_assets.matrix.missing_cells import Block, Sums

_STEPS: Final = 12  # of iterative imputation: how far least squares are gone towards
_RIDGE: Final = 1e-6  # of the samples' factors' largest squared singular value


@dataclass(frozen=True, eq=False)
class Start:
    """The factors of an earlier imputation, for the samples and genes of a matrix.

    Attributes
    ----------
    fill
        What missing cells held. Samples that are new have NaN, genes that are new have 0; the
        columns of `genes` are orthonormal.
    basis
        (genes, width): right singular vectors of the earlier filled matrix, 0 for new genes.
    """

    fill: Factors
    basis: Reals

    @property
    def digest(self) -> str:
        """Of all of it."""
        digest = hashlib.sha256()
        for each in (self.fill.samples, self.fill.genes, self.basis):
            digest.update(f"{each.shape} {each.dtype}".encode())
            digest.update(np.ascontiguousarray(each).data)
        return digest.hexdigest()


class Beginning:
    """The fill that a start is for a matrix, from the matrix's blocks."""

    def __init__(self, start: Start) -> None:
        self._genes = start.fill.genes.astype(np.float64)
        self._samples = start.fill.samples.astype(np.float64)
        self._basis = start.basis
        self._is_new: NDArray[np.bool_] = np.isnan(self._samples[:, 0])
        self._new_genes = np.flatnonzero(~self._genes.any(axis=1))
        rank = self._genes.shape[1]
        self._grams = np.zeros((len(self._new_genes), rank, rank))
        self._products = np.zeros((len(self._new_genes), rank))

    def seen(self, block: Block) -> Sums:
        """Fit the new samples of a block; what it adds to what is known of new genes."""
        rows, values, missing = block
        new = np.flatnonzero(self._is_new[rows])
        if len(new):
            products = values[new] @ self._genes.astype(values.dtype)
            for row, product in zip(new, products.astype(np.float64), strict=True):
                unseen = self._genes[missing[row]]
                self._samples[rows.start + row] = _fitted(unseen.T @ unseen, product)
        if not len(self._new_genes):
            return
        mine = self._samples[rows]
        rank = mine.shape[1]
        pairs = (mine[:, :, None] * mine[:, None, :]).reshape(len(mine), rank * rank)
        known = (~missing[:, self._new_genes]).astype(np.float64)
        yield self._grams, (known.T @ pairs).reshape(-1, rank, rank)
        yield self._products, values[:, self._new_genes].T.astype(np.float64) @ mine

    def begun(self, width: int) -> tuple[Factors | None, Floats]:
        """The fill at first, once all samples are in, and a basis in which it lies.

        The basis has orthonormal columns, (genes, some): `width` at most, or those of the fill.
        """
        genes = self._genes.copy()
        if len(self._new_genes):
            total = self._samples.T @ self._samples
            small = _RIDGE * np.linalg.norm(total, 2) * np.eye(len(total))
            for gene, gram, product in zip(
                self._new_genes, self._grams, self._products, strict=True
            ):
                genes[gene] = np.linalg.lstsq(gram + small, product)[0]
        leading = independent_of(np.zeros((len(genes), 0)), genes)
        rest = independent_of(leading, self._basis)[:, : max(0, width - leading.shape[1])]
        return Factors(self._samples, genes), np.concatenate([leading, rest], axis=1)


def _fitted(unseen: Floats, product: Floats) -> Floats:
    """Coefficients of a sample from its product with the genes' factors.

    With all steps, least squares: (1 - unseen)⁻¹ product. A direction that the sample's own
    genes hardly tell is gone towards in so many steps only, as in iterations from 0.
    """
    shares, vectors = np.linalg.eigh(unseen)
    shares = np.clip(shares, 0, 1)
    gain = sum(shares**step for step in range(_STEPS))
    fitted: Floats = vectors @ (gain * (vectors.T @ product))
    return fitted
