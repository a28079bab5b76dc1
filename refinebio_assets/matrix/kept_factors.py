"""The factors of an imputation, kept for the next one of a matrix that has grown or changed.

Not here: what is begun from them (`warm_start`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.errors import DamagedFactors
from refinebio_assets.matrix.low_rank import Factors, Reals, independent_of
from refinebio_assets.matrix.warm_start import Start
from refinebio_assets.whole_file import whole_file

Strings = NDArray[np.str_]

_FORM: Final = 1  # of the file


@dataclass(frozen=True, eq=False)
class KeptFactors:
    """What an earlier imputation found, by the names of its genes and samples.

    Attributes
    ----------
    genes, samples
        Names, each once.
    fill
        What missing cells held.
    basis
        (genes, width): right singular vectors of the filled matrix, the largest first.
    """

    genes: Strings
    samples: Strings
    fill: Factors
    basis: Reals

    def aligned(self, genes: Sequence[str], samples: Sequence[str]) -> Start:
        """To start from, for a matrix of these genes and samples, in this order.

        What is gone is left out, and the columns that remain are made orthonormal again; the
        values of the fill stay the same. In `Start`, what is new is NaN or 0.
        """
        old_gene, new_gene = _common(self.genes, genes)
        old_sample, new_sample = _common(self.samples, samples)
        left = self.fill.genes[old_gene].astype(np.float64)
        orthonormal, turn = np.linalg.qr(left)
        placed = np.zeros((len(genes), orthonormal.shape[1]))
        placed[new_gene] = orthonormal
        coefficients = np.full((len(samples), orthonormal.shape[1]), np.nan)
        coefficients[new_sample] = self.fill.samples[old_sample].astype(np.float64) @ turn.T
        basis = np.zeros((len(genes), self.basis.shape[1]))
        basis[new_gene] = self.basis[old_gene]
        rest = independent_of(placed, basis)
        return Start(Factors(coefficients, placed), np.concatenate([placed, rest], axis=1))


def save_factors(
    path: Path, fill: Factors, basis: Reals, genes: Sequence[str], samples: Sequence[str]
) -> None:
    """Write the factors of an imputation with the names of its genes and samples, in order.

    The file is there whole or not at all: a NumPy archive without Python objects.
    """
    names = [np.asarray(each, dtype=np.str_) for each in (genes, samples)]
    for what, called, rows in zip(
        ("genes", "samples"), names, (fill.genes, fill.samples), strict=True
    ):
        if len(called) != len(rows) or len(np.unique(called)) != len(called):
            raise ValueError(f"As many {what} are needed as the factors have, each once.")
    with whole_file(path) as aside, aside.open("xb") as file:
        np.savez(
            file,
            allow_pickle=False,
            form=np.array(_FORM),
            genes=names[0],
            samples=names[1],
            fill_genes=fill.genes,
            fill_samples=fill.samples,
            basis=basis,
        )


def read_factors(path: Path) -> KeptFactors:
    """What `save_factors` wrote.

    Raises
    ------
    DamagedFactors
        The file is missing, cannot be read or contradicts itself.
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            if saved["form"].tolist() != _FORM:
                raise DamagedFactors(f"{path.name} is of a form that is not known.")
            fill = Factors(_numbers(saved["fill_samples"]), _numbers(saved["fill_genes"]))
            found = KeptFactors(saved["genes"], saved["samples"], fill, _numbers(saved["basis"]))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DamagedFactors(f"{path.name} cannot be read: {error}.") from None
    shapes = (
        (fill.samples.shape, (len(found.samples), fill.genes.shape[1])),
        (fill.genes.shape, (len(found.genes), fill.samples.shape[1])),
        (found.basis.shape[:1], (len(found.genes),)),
    )
    if any(shape != expected for shape, expected in shapes):
        raise DamagedFactors(f"{path.name} contradicts itself: its parts do not fit together.")
    return found


def _numbers(values: NDArray[Any]) -> Reals:
    if values.ndim != 2 or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise ValueError("factors are not finite numbers")
    return values


def _common(old: Strings, new: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of the names that both have: their places in the one, and in the other."""
    _, in_old, in_new = np.intersect1d(
        old, np.asarray(new, dtype=np.str_), assume_unique=True, return_indices=True
    )
    return in_old, in_new
