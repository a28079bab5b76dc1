"""Which cells of a matrix on disk are missing, found in one pass, in bounded memory.

Samples of one platform lack the same genes, so that a large matrix has a few patterns of
missing genes only. Not here: what is put in their place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

Reals = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

_MOST_PATTERNS: Final = 256
_SAMPLES_PER_PATTERN: Final = 8  # at least, on average, for patterns to be worth while


class Source(Protocol):
    """A matrix of samples × genes, read in blocks as often as is needed."""

    samples: int
    genes: int

    def read_samples(self, first: int, end: int) -> Reals:
        """Samples from `first` to before `end`: (some, genes), a new array, all of one type.

        What is not finite is missing.
        """
        ...


class SamplesInMemory:
    """A source that is an array, (samples, genes)."""

    def __init__(self, values: Reals) -> None:
        self.samples, self.genes = values.shape
        self._values = values

    def read_samples(self, first: int, end: int) -> Reals:
        """A copy of some samples."""
        return self._values[first:end].copy()


class Block(NamedTuple):
    """Some samples, in which what is missing is 0."""

    rows: slice
    values: Reals
    missing: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MissingCells:
    """What is missing.

    Attributes
    ----------
    per_sample, per_gene
        How many cells of each.
    infinite
        How many of them are infinite.
    patterns
        The missing genes of each pattern; None where there are too many patterns.
    pattern_of
        (samples,): each one's pattern; empty where there are too many.
    dtype
        Of the values.
    digest
        Of all values.
    """

    per_sample: Integers
    per_gene: Integers
    infinite: int
    patterns: list[Integers] | None
    pattern_of: Integers
    dtype: np.dtype[Any]
    digest: str

    @property
    def total(self) -> int:
        """How many cells are missing."""
        return int(self.per_gene.sum())


def blocks(source: Source, cells: int) -> Iterator[Block]:
    """All samples in blocks of so many cells; one block is read ahead by a thread."""
    step = max(1, cells // max(1, source.genes))

    def read(first: int) -> Block:
        end = min(first + step, source.samples)
        values = np.ascontiguousarray(source.read_samples(first, end))
        missing = np.empty(values.shape, np.bool_)
        _zero_missing(values, missing)
        return Block(slice(first, end), values, missing)

    starts = range(0, source.samples, step)
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, 0)
        for later in starts[1:]:
            block = ahead.result()
            ahead = reader.submit(read, later)
            yield block
        yield ahead.result()


def find_missing(source: Source, cells: int) -> MissingCells:
    """Read a matrix, of one sample and gene at least, once: see `MissingCells`."""
    step = max(1, cells // max(1, source.genes))
    per_sample = np.zeros(source.samples, np.int64)
    per_gene = np.zeros(source.genes, np.int64)
    most = min(_MOST_PATTERNS, max(1, source.samples // _SAMPLES_PER_PATTERN))
    numbers: dict[bytes, int] = {}
    pattern_of = np.zeros(source.samples, np.int64)
    digest = hashlib.blake2b(digest_size=16)
    infinite = 0
    dtype: np.dtype[Any] = np.dtype(np.float64)
    for first in range(0, source.samples, step):
        rows = slice(first, min(first + step, source.samples))
        values = np.ascontiguousarray(source.read_samples(rows.start, rows.stop))
        dtype = values.dtype
        digest.update(values.data)
        missing = ~np.isfinite(values)
        infinite += int(np.isinf(values).sum())
        per_sample[rows] = missing.sum(axis=1)
        per_gene += missing.sum(axis=0)
        if len(numbers) <= most:
            for sample, bits in enumerate(np.packbits(missing, axis=1), first):
                pattern_of[sample] = numbers.setdefault(bits.tobytes(), len(numbers))
                if len(numbers) > most:
                    break
    few = len(numbers) <= most
    patterns = [
        np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8), count=source.genes))
        for bits in numbers
    ]
    return MissingCells(
        per_sample,
        per_gene,
        infinite,
        patterns if few else None,
        pattern_of if few else np.zeros(0, np.int64),
        dtype,
        digest.hexdigest(),
    )


@njit(cache=True, nogil=True)
def _zero_missing(values: Reals, missing: NDArray[np.bool_]) -> None:
    """Mark what is not finite, and make it 0."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            known = value - value == 0  # without a branch, so that it is vectorised
            missing[row, column] = not known
            values[row, column] = value if known else 0
