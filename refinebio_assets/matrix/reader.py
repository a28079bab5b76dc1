"""Samples out of the Parquet files of expression values, as a matrix.

A file holds rows of gene, sample and value, sorted by gene, then sample. It is read a few
million rows at a time: memory follows from what is asked for, not from the file. Not
here: the joining of several files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROWS_AT_A_TIME: Final = 4_000_000


@dataclass(frozen=True, eq=False)
class Block:
    """Some samples of one file.

    Attributes
    ----------
    genes
        (g,) String, sorted: those of which any of the samples has a value.
    samples
        In the order that was asked for.
    values
        (g, samples) float32; NaN where a sample has no value.
    """

    genes: pl.Series
    samples: list[str]
    values: NDArray[np.float32]

    def genes_of(self, column: int) -> pl.Series:
        """The genes of which one sample has a value."""
        known = ~np.isnan(self.values[:, column])
        return self.genes if known.all() else self.genes.filter(pl.Series(known))


def read_block(path: Path, samples: Sequence[str]) -> Block:
    """The values of some samples of a file; a sample that it does not have is all NaN.

    Takes 8 bytes per value of the result, and some 200 MB.

    Raises
    ------
    OSError, polars.exceptions.PolarsError
        The file cannot be read.
    """
    rows = pl.scan_parquet(path, glob=False).select("gene", "sample", "value")
    height = rows.select(pl.len()).collect().item()
    places = pl.Enum(list(samples))
    genes: list[str] = []
    parts: list[NDArray[np.float32]] = []
    for start in range(0, height, ROWS_AT_A_TIME):
        wanted = rows.slice(start, ROWS_AT_A_TIME).with_columns(
            pl.col("sample").cast(places, strict=False).to_physical().alias("place")
        )
        found = wanted.drop("sample").filter(pl.col("place").is_not_null()).collect()
        if found.is_empty():
            continue
        runs = found["gene"].rle().struct.unnest()
        part = np.full((len(runs), len(samples)), np.nan, np.float32)
        row = np.repeat(np.arange(len(runs)), runs["len"].to_numpy())
        part[row, found["place"].to_numpy()] = found["value"].to_numpy()
        names = runs["value"].to_list()
        if genes and names[0] == genes[-1]:  # a gene whose rows were cut in two
            parts[-1][-1] = np.where(np.isnan(part[0]), parts[-1][-1], part[0])
            names, part = names[1:], part[1:]
        genes += names
        parts.append(part)
    values = np.concatenate(parts) if parts else np.empty((0, len(samples)), np.float32)
    return Block(pl.Series("gene", genes, dtype=pl.String), list(samples), values)
