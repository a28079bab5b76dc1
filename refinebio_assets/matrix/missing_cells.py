"""A matrix on disk, read in blocks by threads, and which of its cells are missing.

Samples of one platform lack the same genes, so that a large matrix has a few patterns of
missing genes only. What blocks add to sums is added in their order, so that a matrix always
gives the same. Not here: what is put in the place of missing values.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Reals = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

Sums = Iterable[tuple[NDArray[Any], NDArray[Any]]]
"""Arrays, and what is to be added to each."""

_Made = TypeVar("_Made")

_MOST_PATTERNS: Final = 256
_MOST_THREADS: Final = 6  # each has a block or two in memory
_SAMPLES_PER_PATTERN: Final = 8  # at least, on average, for patterns to be worth while


class Source(Protocol):
    """A matrix of samples × genes, read in blocks as often as is needed, by several threads."""

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


class SortedBlock(NamedTuple):
    """Some samples, in which what is missing is 0, in the order of their patterns.

    `samples` are their numbers, and `runs` the rows of each pattern that there is.
    """

    samples: Integers
    values: Reals
    runs: list[tuple[int, slice]]


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
        SHA-256 of all values and of which are missing; empty where it was not asked for.
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


def sum_blocks(source: Source, cells: int, seen: Callable[[Block], Sums]) -> None:
    """Add up what is seen in all samples, in blocks of so many cells."""

    def see(first: int, values: Reals) -> Sums:
        return list(seen(_block(first, values)))

    for sums in _in_threads(source, cells, see):
        _add(sums)


def sum_sorted_blocks(
    source: Source, cells: int, pattern_of: Integers, seen: Callable[[SortedBlock], Sums]
) -> None:
    """Add up what is seen in all samples, in blocks that are sorted by pattern."""

    def see(first: int, values: Reals) -> Sums:
        of = pattern_of[first : first + len(values)]
        order = np.argsort(of, kind="stable")
        numbers, starts = np.unique(of[order], return_index=True)
        ends = [*starts[1:].tolist(), len(of)]
        known = np.empty_like(values)
        _gather_known(values, order, known)
        runs = zip(numbers.tolist(), map(slice, starts.tolist(), ends), strict=True)
        return list(seen(SortedBlock(first + order, known, list(runs))))

    for sums in _in_threads(source, cells, see):
        _add(sums)


def find_missing(
    source: Source,
    cells: int,
    *,
    digest: bool = False,
    seen: Callable[[Block], Sums] = lambda _: (),
) -> MissingCells:
    """Read a matrix, of one sample and gene at least, once: see `MissingCells`.

    Parameters
    ----------
    digest
        Whether to make the digest of all values.
    seen
        What else is seen in a block and added up, so that the pass is of further use.
    """
    per_sample = np.zeros(source.samples, np.int64)
    per_gene = np.zeros(source.genes, np.int64)
    infinite = np.zeros(1, np.int64)
    most = min(_MOST_PATTERNS, max(1, source.samples // _SAMPLES_PER_PATTERN))
    numbers: dict[bytes, int] = {}
    pattern_of = np.zeros(source.samples, np.int64)
    sha256 = hashlib.sha256()
    dtype: np.dtype[Any] = np.dtype(np.float64)

    def look(first: int, values: Reals) -> tuple[Block, NDArray[np.uint8], Sums]:
        endless = np.count_nonzero(np.isinf(values))
        block = _block(first, values)
        columns = np.zeros(source.genes, np.int64)
        _add_columns(block.missing, columns)
        per_sample[block.rows] = np.count_nonzero(block.missing, axis=1)
        sums: Sums = [(per_gene, columns), (infinite, np.array([endless])), *seen(block)]
        return block, np.packbits(block.missing, axis=1), sums

    for block, masks, sums in _in_threads(source, cells, look):
        _add(sums)
        dtype = block.values.dtype
        if digest:
            sha256.update(block.values.data)
            sha256.update(masks.data)
        for sample, bits in enumerate(masks, block.rows.start):
            if len(numbers) > most:
                break
            pattern_of[sample] = numbers.setdefault(bits.tobytes(), len(numbers))
    few = len(numbers) <= most
    patterns = [
        np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8), count=source.genes))
        for bits in numbers
    ]
    return MissingCells(
        per_sample,
        per_gene,
        int(infinite[0]),
        patterns if few else None,
        pattern_of if few else np.zeros(0, np.int64),
        dtype,
        sha256.hexdigest() if digest else "",
    )


def _block(first: int, values: Reals) -> Block:
    missing = np.empty(values.shape, np.bool_)
    _zero_missing(values, missing)
    return Block(slice(first, first + len(values)), values, missing)


def _add(sums: Sums) -> None:
    for total, part in sums:
        total += part


def _in_threads(source: Source, cells: int, make: Callable[[int, Reals], _Made]) -> Iterator[_Made]:
    """What is made of each block, in their order; of its first sample and its values."""
    step = max(1, cells // max(1, source.genes))

    def work(first: int) -> _Made:
        end = min(first + step, source.samples)
        return make(first, np.ascontiguousarray(source.read_samples(first, end)))

    threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(threads) as pool:
        ahead = deque[Future[_Made]]()
        for first in range(0, source.samples, step):
            if len(ahead) > threads:
                yield ahead.popleft().result()
            ahead.append(pool.submit(work, first))
        while ahead:
            yield ahead.popleft().result()


@njit(cache=True, nogil=True)
def _zero_missing(values: Reals, missing: NDArray[np.bool_]) -> None:
    """Mark what is not finite, and make it 0."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            known = value - value == 0  # without a branch, so that it is vectorised
            missing[row, column] = not known
            values[row, column] = value if known else 0


@njit(cache=True, nogil=True)
def _gather_known(values: Reals, order: NDArray[np.intp], known: Reals) -> None:
    """Rows in another order, with 0 for what is not finite."""
    for row in range(values.shape[0]):
        given = values[order[row]]
        for column in range(values.shape[1]):
            value = given[column]
            known[row, column] = value if value - value == 0 else 0


@njit(cache=True, nogil=True)
def _add_columns(missing: NDArray[np.bool_], sums: Integers) -> None:
    for row in range(missing.shape[0]):
        for column in range(missing.shape[1]):
            sums[column] += missing[row, column]
