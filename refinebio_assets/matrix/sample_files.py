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
from refinebio_assets.matrix.reader import read_block

SAMPLES_AT_A_TIME: Final = 500


@dataclass(frozen=True)
class SamplesOfFile:
    """Some samples of one file of expression values."""

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


def read_samples(files: Iterable[SamplesOfFile]) -> Iterator[SampleValues]:
    """The samples in the order of the files; one that its file lacks has no gene.

    Holds the values of at most SAMPLES_AT_A_TIME samples.
    """
    for file in files:
        for start in range(0, len(file.samples), SAMPLES_AT_A_TIME):
            yield from _read(file.path, file.samples[start : start + SAMPLES_AT_A_TIME])


def _read(path: Path, samples: Sequence[str]) -> Iterator[SampleValues]:
    block = read_block(path, samples)
    genes, values = mean_of_duplicates(clean_gene_ids(block.genes), block.values)
    known = ~np.isnan(values)
    by_pattern: dict[bytes, pl.Series] = {}
    for column, sample in enumerate(samples):
        mine = known[:, column]
        if mine.all():
            yield SampleValues(sample, genes, np.ascontiguousarray(values[:, column]))
            continue
        pattern = np.packbits(mine).tobytes()
        if pattern not in by_pattern:
            by_pattern[pattern] = genes.filter(pl.Series(mine))
        yield SampleValues(sample, by_pattern[pattern], values[mine, column])
