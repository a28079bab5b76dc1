"""Quantile normalisation: the target distribution of an organism, and samples brought to it.

Source: Bolstad et al., "A comparison of normalization methods for high density
oligonucleotide array data based on variance and bias", Bioinformatics 19:185 (2003), and
the functions normalize.quantiles.determine.target and normalize.quantiles.use.target of the
R package preprocessCore 1.60.2, with R's NA as NaN. The tests hold both at 1e-12. Not
here: which samples make up a target, and which target a sample gets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.compression import DamagedGzip, TooLarge, read_whole
from refinebio_assets.errors import InvalidReference
from refinebio_assets.matrix.ranking import MISSING, ranked, stable_order, values_of

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

_COLUMNS_PER_BLOCK: Final = 16
_MOST_BYTES: Final = 1 << 24  # of a target file: about a million numbers
_BETWEEN: Final = 0.4  # from this fraction on, a mean rank lies between two ranks
_HALF: Final = np.uint64(32)
_LOWER: Final = np.uint64(0xFFFFFFFF)
_MISSING: Final = np.uint64(MISSING)
_TOLERANCE: Final = 4 * np.finfo(np.float64).eps


# --- the target -----------------------------------------------------------------------


def determine_target(samples: Iterable[Reals]) -> Floats:
    """The mean of the samples' sorted values, position by position: ascending, (genes,).

    Sums in float64 whatever the samples' type. One sample is held at a time.

    Parameters
    ----------
    samples
        Each (genes,), without missing or infinite values; the order of the genes does not
        matter.

    Raises
    ------
    ValueError
        No sample, or one with another number of genes or a value that is not finite.
    """
    total: Floats | None = None
    count = 0
    for values in samples:
        given = np.ascontiguousarray(values)
        if given.ndim != 1 or not np.isfinite(given).all():
            raise ValueError(f"Sample {count + 1} of the target is not a vector of finite values.")
        if total is None:
            total = np.zeros(len(given))
        elif len(given) != len(total):
            raise ValueError(
                f"Sample {count + 1} of the target has {len(given)} genes, not {len(total)}."
            )
        total += values_of(ranked(given)) if given.dtype == np.float32 else np.sort(given)
        count += 1
    if total is None or not len(total):
        raise ValueError("A target needs at least one sample with at least one gene.")
    return total / count


def write_target(path: Path, target: Floats) -> None:
    """Write a target, ascending: one number per line, which reads back as the same float64.

    No header, so that refine.bio's files and these are of one form.
    """
    ascending = np.sort(np.asarray(target, np.float64))
    if not len(ascending) or not np.isfinite(ascending).all():
        raise ValueError("A target has at least one number, and only finite ones.")
    path.write_text("".join(f"{number!r}\n" for number in ascending.tolist()), encoding="ascii")


def read_target(path: Path) -> Floats:
    """Read a target, also a gzip one.

    Raises
    ------
    InvalidReference
        The file cannot be read, is empty or cut, or holds something else than finite
        numbers in ascending order, one per line.
    """
    try:
        content = read_whole(path, _MOST_BYTES)
    except (OSError, DamagedGzip, TooLarge) as error:
        raise _invalid(path, f"cannot be read: {error}") from error
    if not content.endswith(b"\n"):
        raise _invalid(path, "is empty or cut: its last line has no end")
    lines = content.splitlines()
    target = np.empty(len(lines))
    for number, line in enumerate(lines):
        try:
            target[number] = float(line)
        except ValueError:
            target[number] = math.nan
        if not math.isfinite(target[number]):
            shown = line[:40].decode("ascii", "replace")
            raise _invalid(path, f"has {shown!r} in line {number + 1}, not a finite number")
    falling = np.flatnonzero(np.diff(target) < 0)
    if len(falling):
        raise _invalid(path, f"is not in ascending order at line {falling[0] + 2}")
    return target


def _invalid(path: Path, what: str) -> InvalidReference:
    return InvalidReference(
        f"The quantile normalisation target {path} {what}.",
        remedy="Materialize the organism's target again.",
    )


# --- samples brought to it ------------------------------------------------------------


def apply_target(
    values: Reals, target: Reals, *, out: Reals | None = None, threads: int = 2
) -> Reals:
    """Give every sample the distribution of the target.

    Samples are independent of each other: a matrix may be done in any blocks of columns.

    A value becomes the target's value at its rank. Equal values have their mean rank; where
    that is not whole, the mean of the two neighbours in the target. A sample with missing
    values, or with more or fewer genes than the target, is brought to it by the linear
    interpolation of quantiles. As in preprocessCore, the only value of a sample (in a larger
    matrix or with a longer target) becomes the target's largest.

    Parameters
    ----------
    values
        (genes, samples), float32 or float64. Missing values (NaN) stay missing; infinite
        ones are the smallest and the largest.
    target
        In any order; missing values are left out.
    out
        (genes, samples): where to put the result, and in which precision; it may be
        `values` itself. Without it, a new array of float64 with whole columns together.
    threads
        How many blocks of columns at a time.
    """
    if values.ndim != 2:
        raise ValueError(f"A matrix of genes and samples has two dimensions, not {values.ndim}.")
    if out is None:
        out = np.empty(values.shape, np.float64, order="F")
    if out.shape != values.shape:
        raise ValueError(f"The result has the shape {values.shape}, not {out.shape}.")
    ascending = np.sort(np.asarray(target, np.float64)[~np.isnan(target)])
    if not len(ascending):
        raise ValueError("The target has no number.")
    dtype = np.float32 if values.dtype == np.float32 else np.float64
    apply_to_samples: Any = _apply_to_float32 if dtype is np.float32 else _apply_to_float64

    def apply_to_block(start: int) -> None:
        block = slice(start, start + _COLUMNS_PER_BLOCK)
        by_sample = np.ascontiguousarray(values[:, block].T, dtype)
        wanted = out[:, block].T
        direct = wanted.flags.c_contiguous and wanted.dtype == np.float64
        new = wanted if direct else np.empty(wanted.shape)
        apply_to_samples(by_sample, ascending, new)
        if not direct:
            wanted[:] = new

    starts = range(0, values.shape[1], _COLUMNS_PER_BLOCK)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for done in [pool.submit(apply_to_block, start) for start in starts]:
            done.result()
    return out


@njit(cache=True, nogil=True)
def _apply_to_float32(samples: NDArray[np.float32], target: Floats, new: Floats) -> None:
    """Put the new values of samples (rows) into `new`."""
    genes = samples.shape[1]
    for row in range(len(samples)):
        packed = ranked(samples[row])
        new[row] = np.nan
        known = genes
        while known and packed[known - 1] >> _HALF == _MISSING:
            known -= 1
        first = 0
        while first < known:
            key = packed[first] >> _HALF
            end = first + 1
            while end < known and packed[end] >> _HALF == key:
                end += 1
            value = _of_rank(target, (first + end + 1) / 2, known, genes)
            for place in range(first, end):
                new[row, packed[place] & _LOWER] = value
            first = end


@njit(cache=True, nogil=True)
def _apply_to_float64(samples: Floats, target: Floats, new: Floats) -> None:
    """Put the new values of samples (rows) into `new`, which may be `samples`."""
    genes = samples.shape[1]
    for row in range(len(samples)):
        values = samples[row].copy()
        new[row] = np.nan
        known = 0
        for gene in range(genes):
            if np.isnan(values[gene]):
                values[gene] = np.nan  # one of positive sign: those come last
            else:
                known += 1
        order = stable_order(values)
        first = 0
        while first < known:
            end = first + 1
            while end < known and values[order[end]] == values[order[first]]:
                end += 1
            value = _of_rank(target, (first + end + 1) / 2, known, genes)
            for place in range(first, end):
                new[row, order[place]] = value
            first = end


@njit(cache=True, nogil=True)
def _of_rank(target: Floats, rank: float, known: int, genes: int) -> float:
    """What a mean rank, from 1, among so many known values of so many genes becomes."""
    if known == genes == len(target):
        return _at_rank(target, rank)
    return _at_quantile(target, rank, known)


@njit(cache=True, nogil=True)
def _at_rank(target: Floats, rank: float) -> float:
    """The target at a rank, counted from 1, that is whole or half."""
    below = int(np.floor(rank))
    if rank - below > _BETWEEN:
        return float(0.5 * (target[below - 1] + target[below]))
    return float(target[below - 1])


@njit(cache=True, nogil=True)
def _at_quantile(target: Floats, rank: float, known: int) -> float:
    """The target at the quantile that a rank of `known` values is."""
    size = len(target)
    if known == 1:
        return float(target[size - 1])
    position = 1 + (size - 1) * ((rank - 1) / (known - 1))
    below = np.floor(position + _TOLERANCE)
    share = position - below
    at = int(below)
    if at >= size:
        return float(target[size - 1])
    if abs(share) <= _TOLERANCE:
        return float(target[at - 1])
    return float((1 - share) * target[at - 1] + share * target[at])
