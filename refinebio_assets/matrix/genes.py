"""One sample's table made ready to be put beside others: identifiers cleaned, each once.

Source: refine.bio's rules for the tables that its datasets, targets and compendia are made
of. Values are float32 from here on. Not here: reading files, and the scale of the values.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidExpressionTable

Values = NDArray[np.float32]

_CELLS_PER_BLOCK: Final = 1 << 22  # whose sums are held at a time


def clean_table(table: pl.DataFrame) -> pl.DataFrame:
    """A table with cleaned identifiers, each once, and float32 values.

    Parameters
    ----------
    table
        First column identifiers, the others values. Columns without any value are dropped,
        blanks around the names of columns too.

    Raises
    ------
    InvalidExpressionTable
        No column, one that does not hold numbers, or two of one name.
    """
    if not table.width:
        raise InvalidExpressionTable("The table has no column.")
    ids, *columns = table.get_columns()
    try:
        numbers = [column.cast(pl.Float32).fill_nan(None) for column in columns]
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise InvalidExpressionTable(f"A column does not hold numbers: {reason}") from error
    kept = [column for column in numbers if column.null_count() < len(column)]
    names = [ids.name.strip(), *(column.name.strip() for column in kept)]
    if len(set(names)) < len(names):
        raise InvalidExpressionTable(f"Two columns have one name: {', '.join(names)[:200]}")
    values = np.empty((table.height, len(kept)), np.float32, order="F")
    for number, column in enumerate(kept):
        values[:, number] = column.to_numpy()
    genes, means = mean_of_duplicates(clean_gene_ids(ids.cast(pl.String)), values)
    data = [pl.Series(name, means[:, number]) for number, name in enumerate(names[1:])]
    return pl.DataFrame([genes.alias(names[0]), *data])


def clean_gene_ids(ids: pl.Series) -> pl.Series:
    """Gene identifiers as they are compared; null for a row that is to be dropped.

    In this order: every `_at` is removed, also within (`1007_s_at` becomes `1007_s`);
    Affymetrix controls (`AFFX-`) are dropped; the last dot and what follows go
    (`ENSG00000141510.6` loses its version, and `Y74C9A.3` its 3). What is empty then, is
    dropped too.
    """
    short = ids.str.replace_all("_at", "", literal=True)
    control = short.str.contains("AFFX-", literal=True)
    bare = short.str.replace(r"\.[^.]*$", "")
    return bare.set(control | (bare == ""), None)


def mean_of_duplicates(
    ids: pl.Series, values: NDArray[np.floating[Any]]
) -> tuple[pl.Series, Values]:
    """Each identifier once, in the order of first appearance, with the mean of its rows.

    Parameters
    ----------
    ids
        (rows,); rows with null are left out.
    values
        (rows, samples); missing ones (NaN) do not count, and a mean of none is missing.
        Samples are independent of each other: any blocks of columns will do.

    Returns
    -------
    tuple
        Identifiers, and (identifiers, samples) float32; sums are made in float64.
    """
    if values.ndim != 2 or len(ids) != len(values):
        raise ValueError(f"{len(ids)} identifiers are given for values of {values.shape}.")
    known = ids.is_not_null()
    rows = known.arg_true().to_numpy().astype(np.int64)
    names = ids.filter(known)
    unique = names.unique(maintain_order=True)
    if len(unique) == len(names):
        return names, np.asarray(values[rows], np.float32)
    place = {name: number for number, name in enumerate(unique)}
    of_row = np.fromiter((place[name] for name in names), np.int64, len(names))
    means = np.empty((len(unique), values.shape[1]), np.float32)
    columns = max(1, _CELLS_PER_BLOCK // len(unique))
    for start in range(0, values.shape[1], columns):
        block = np.ascontiguousarray(values[:, start : start + columns], np.float64)
        means[:, start : start + columns] = _means(block, rows, of_row, len(unique))
    return unique, means


@njit(cache=True, nogil=True)
def _means(
    values: NDArray[np.float64], rows: NDArray[np.int64], of_row: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    columns = values.shape[1]
    sums = np.zeros((size, columns))
    counts = np.zeros((size, columns), np.int32)
    for number in range(len(rows)):
        row, place = rows[number], of_row[number]
        for column in range(columns):
            value = values[row, column]
            if not np.isnan(value):
                sums[place, column] += value
                counts[place, column] += 1
    for place in range(size):
        for column in range(columns):
            count = counts[place, column]
            sums[place, column] = sums[place, column] / count if count else np.nan
    return sums
