"""The leading singular vectors of a matrix that is only ever multiplied: block subspace iteration.

Source: Halko, Martinsson and Tropp, "Finding structure with randomness: probabilistic
algorithms for constructing approximate matrix decompositions", SIAM Review 53:217 (2011),
sections 4.5 and 5.1. Not here: how the products with the matrix are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

_SAFE: Final = 1e-10  # of the largest squared singular value: the others' vectors are good to it
_DEPENDENT: Final = 1e-9  # of its length: what of a vector lies outside of others is rounding
_SMALLEST: Final = 1e-14  # of the largest squared singular value; below is rounding


@dataclass(frozen=True, eq=False)
class Factors:
    """A matrix of low rank, as the product of two thin ones.

    Attributes
    ----------
    samples
        (samples, rank)
    genes
        (genes, rank), orthonormal columns.
    """

    samples: Reals
    genes: Reals


@dataclass(frozen=True, eq=False)
class Improved:
    """A basis after one more multiplication.

    Attributes
    ----------
    basis
        (genes, width) float64: estimates of the right singular vectors, the largest first.
    turned
        How far the best approximation of the asked rank turned: the norm of what of it lies
        outside the one that the basis held before, as a fraction of the matrix's norm as far
        as the basis sees it.
    """

    basis: Floats
    turned: float


def random_basis(genes: int, width: int, seed: int) -> Floats:
    """Random orthonormal columns, (genes, width); the same seed gives the same."""
    start = np.random.default_rng(seed).standard_normal((genes, width))
    return np.linalg.qr(start)[0]


def independent_of(basis: Reals, directions: Reals) -> Floats:
    """Orthonormal columns for what directions add to a basis: none for one that adds nothing."""
    others = basis.astype(np.float64)
    before = np.linalg.norm(directions, axis=0)
    added = directions - others @ (others.T @ directions)
    sizes = np.linalg.norm(added, axis=0)
    kept = sizes > _DEPENDENT * before
    added = added[:, kept] / sizes[kept]
    orthonormal, triangle = np.linalg.qr(added)
    orthonormal = orthonormal[:, np.abs(np.diagonal(triangle)) > _DEPENDENT]
    result: Floats = np.linalg.qr(orthonormal - others @ (others.T @ orthonormal))[0]
    return result


def improve(basis: Reals, gram: Floats, back: Floats, rank: int) -> Improved:
    """One step of subspace iteration on X, (samples, genes), from its products with a basis W.

    Parameters
    ----------
    basis
        W, (genes, width), orthonormal columns.
    gram
        (XW)ᵀXW, (width, width).
    back
        XᵀXW, (genes, width).
    rank
        Of the approximation that `turned` is about.
    """
    squared, rotation = np.linalg.eigh(gram)
    squared, rotation = squared[::-1], rotation[:, ::-1]
    floor = max(squared[0] * _SMALLEST, np.finfo(np.float64).tiny)
    seen = back @ rotation / np.sqrt(np.maximum(squared, floor))
    new, sizes = _left_singular(seen)
    before = basis.astype(np.float64) @ rotation[:, :rank]
    leading = new[:, :rank]
    outside = (leading - before @ (before.T @ leading)) * sizes[:rank]
    norm = np.linalg.norm(sizes)
    return Improved(new, float(np.linalg.norm(outside) / norm) if norm else 0.0)


def _left_singular(tall: Floats) -> tuple[Floats, Floats]:
    """Left singular vectors and singular values, the largest first.

    Of the small Gram matrix, and orthonormalised once more; where that would lose precision,
    of the matrix itself.
    """
    squared, rotation = np.linalg.eigh(tall.T @ tall)
    squared, rotation = squared[::-1], rotation[:, ::-1]
    if squared[-1] <= _SAFE * squared[0]:
        vectors, sizes, _ = np.linalg.svd(tall, full_matrices=False)
        return vectors, sizes
    sizes = np.sqrt(squared)
    rough = tall @ (rotation / sizes)
    factor = np.linalg.cholesky(rough.T @ rough)
    return rough @ np.linalg.inv(factor).T, sizes
