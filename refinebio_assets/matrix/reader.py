"""Samples out of the Parquet files of expression values, as a matrix.

A file holds rows of gene, sample and value, sorted by gene, then sample. It is read in
batches: memory follows from what is asked for, not from the file. Not here: the joining of
several files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidExpressionTable

ROWS_AT_A_TIME: Final = 500_000

Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Block:
    """Some samples of one file.

    Attributes
    ----------
    genes
        (g,) String, sorted: those of which any of the samples has a row.
    samples
        In the order that was asked for.
    values
        (g, samples) float32, each sample's together; NaN where a sample has no value.
    """

    genes: pl.Series
    samples: list[str]
    values: Values


def read_block(path: Path, samples: Sequence[str], column: str = "value") -> Block:
    """The values of some samples of a file; a sample that it does not have is all NaN.

    Takes 4 bytes per value of the result, and some 200 MB.

    Parameters
    ----------
    samples
        Each once.
    column
        Which of the file's columns of numbers; of RNA-seq, see `write_gene_counts`.

    Raises
    ------
    OSError
        The file is not there, or cannot be read.
    InvalidExpressionTable
        It is no Parquet, damaged, or without the columns gene, sample and the one asked for.
    """
    nobody = len(samples)
    file = pl.scan_parquet(path, glob=False)
    place = pl.col("sample").cast(pl.Enum(list(samples)), strict=False).to_physical()
    rows = file.select(
        pl.col("gene").cast(pl.String),
        place.cast(pl.UInt32).fill_null(nobody).alias("place"),
        pl.col(column).cast(pl.Float32).alias("value"),
    )
    genes: list[str] = []
    parts: list[Values] = []
    try:
        left = file.select(pl.len()).collect().item()
        for batch in rows.collect_batches(chunk_size=ROWS_AT_A_TIME, maintain_order=True):
            left -= len(batch)
            runs = batch["gene"].rle().struct.unnest()
            part = np.full((nobody, len(runs)), np.nan, np.float32)
            places, values = batch["place"].to_numpy(), batch["value"].to_numpy()
            found = _put(part, runs["len"].to_numpy(), places, values)
            names = runs["value"].filter(pl.Series(found, dtype=pl.Boolean)).to_list()
            part = part if found.all() else part[:, found]
            if genes and names and names[0] == genes[-1]:  # a gene whose rows were cut in two
                last = parts[-1][:, -1]
                last[:] = np.where(np.isnan(part[:, 0]), last, part[:, 0])
                names, part = names[1:], part[:, 1:]
            if names:
                genes += names
                parts.append(part)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidExpressionTable(f"{path.name} cannot be read: {reason}") from error
    if left:  # where the reader breaks down, batches end without an error
        raise InvalidExpressionTable(f"{path.name} cannot be read: {left} rows are damaged.")
    values = _side_by_side(parts, nobody)
    return Block(pl.Series("gene", genes, dtype=pl.String), list(samples), values.T)


def count_genes(path: Path) -> int:
    """How many genes a file has.

    Raises
    ------
    OSError, InvalidExpressionTable
        As `read_block`.
    """
    gene = pl.col("gene")
    changes = pl.scan_parquet(path, glob=False).select((gene != gene.shift()).sum())
    try:
        return 1 + int(changes.collect(engine="streaming").item())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidExpressionTable(f"{path.name} cannot be read: {reason}") from error


@njit(cache=True, nogil=True)
def _put(
    part: Values, lengths: NDArray[np.uint32], places: NDArray[np.uint32], values: Values
) -> NDArray[np.bool_]:
    """Put rows, of genes with so many rows each, into (samples, genes); which genes had any."""
    samples = len(part)
    found = np.zeros(len(lengths), np.bool_)
    row = 0
    for gene in range(len(lengths)):
        for _ in range(lengths[gene]):
            if places[row] < samples:
                part[places[row], gene] = values[row]
                found[gene] = True
            row += 1
    return found


def _side_by_side(parts: list[Values], samples: int) -> Values:
    """(samples, genes) of all parts, which are given up one by one."""
    whole = np.empty((samples, sum(part.shape[1] for part in parts)), np.float32)
    start = 0
    for number in range(len(parts)):
        part, parts[number] = parts[number], np.empty((samples, 0), np.float32)
        whole[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return whole
