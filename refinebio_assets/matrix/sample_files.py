"""Samples of several expression files, one after the other, as they are aggregated.

Identifiers are cleaned and repeated ones averaged, as refine.bio reads every file. Not
here: which samples are wanted, and what is made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.matrix.genes import clean_gene_ids, mean_of_duplicates
from refinebio_assets.matrix.reader import count_genes, read_block

MOST_CELLS: Final = 40_000_000
FEW_SAMPLES: Final = 500  # that are read at once without a look at the number of genes
_AVERAGED_AT_A_TIME: Final = 256


@dataclass(frozen=True)
class SamplesOfFile:
    """Some samples of one file of expression values, each once."""

    path: Path
    samples: Sequence[str]


@dataclass(frozen=True, eq=False)
class SampleValues:
    """A sample's cleaned genes and their values, (genes,) float32, none missing.

    Samples of one file that have the same genes share the series.
    """

    sample: str
    genes: pl.Series
    values: NDArray[np.float32]


def read_samples(
    files: Iterable[SamplesOfFile], most_cells: int = MOST_CELLS
) -> Iterator[SampleValues]:
    """The samples in the order of the files; one that its file lacks has no gene.

    Parameters
    ----------
    most_cells
        So many values are held at a time, four bytes each: a file with more is read several
        times.

    Raises
    ------
    OSError, InvalidExpressionTable
        A file cannot be read; see `reader.read_block`.
    """
    for file in files:
        at_a_time = FEW_SAMPLES
        if len(file.samples) > at_a_time:
            at_a_time = max(at_a_time, most_cells // count_genes(file.path))
        for start in range(0, len(file.samples), at_a_time):
            yield from _read(file.path, file.samples[start : start + at_a_time])


def _read(path: Path, samples: Sequence[str]) -> Iterator[SampleValues]:
    block = read_block(path, samples)
    ids = clean_gene_ids(block.genes)
    each_once = not ids.null_count() and ids.n_unique() == len(ids)
    by_pattern: dict[bytes, pl.Series] = {}
    for start in range(0, len(samples), _AVERAGED_AT_A_TIME):
        genes, values = ids, block.values[:, start : start + _AVERAGED_AT_A_TIME]
        if not each_once:
            genes, values = mean_of_duplicates(ids, values)
        for sample, column in zip(samples[start:], values.T, strict=False):
            known = ~np.isnan(column)
            pattern = np.packbits(known).tobytes()
            if pattern not in by_pattern:
                by_pattern[pattern] = genes if known.all() else genes.filter(pl.Series(known))
            yield SampleValues(sample, by_pattern[pattern], column[known])
