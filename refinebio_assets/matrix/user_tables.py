"""A user's own matrix as a table: read, brought to a target, written.

Rows and columns stay as they are: identifiers are not cleaned, nothing is averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compression import DamagedGzip, TooLarge, read_whole
from refinebio_assets.errors import InvalidExpressionTable, RawFileMissing
from refinebio_assets.matrix.quantile import apply_target, determine_target, write_target
from refinebio_assets.whole_file import whole_file

MOST_BYTES: Final = 16 << 30
_MISSING: Final = ["", "NA", "NaN", "nan", "null"]


def read_matrix(path: Path) -> pl.DataFrame:
    """Read a TSV, plain or gzip: identifiers in the first column, a sample in each other one.

    A header one field shorter than the rows, as R writes it, means that the first column has
    no name.

    Raises
    ------
    RawFileMissing, InvalidExpressionTable
    """
    try:
        content = read_whole(path, MOST_BYTES)
    except OSError as error:
        raise RawFileMissing(f"{path} cannot be read: {error.strerror}.", remedy="") from None
    except (DamagedGzip, TooLarge) as error:
        raise InvalidExpressionTable(f"{path.name}: {error}.") from None
    header, _, rest = content.partition(b"\n")
    fields = header.rstrip(b"\r").count(b"\t")
    if rest.partition(b"\n")[0].rstrip(b"\r").count(b"\t") == fields + 1:
        content = b"\t" + content
        fields += 1
    lines = content.rstrip(b"\r\n").count(b"\n") + 1
    if content.rstrip(b"\r\n").count(b"\t") != fields * lines:
        raise InvalidExpressionTable(f"{path.name} has rows of unequal length: it may be cut.")
    try:
        table = pl.read_csv(
            BytesIO(content), separator="\t", infer_schema=False, null_values=_MISSING
        )
        first, *samples = table.columns
        numbers = table.with_columns(pl.col(samples).str.strip_chars().cast(pl.Float64))
    except (pl.exceptions.PolarsError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidExpressionTable(f"{path.name} is no matrix: {reason}.") from None
    if not samples or table.is_empty() or numbers[first].null_count():
        raise InvalidExpressionTable(
            f"{path.name} has no row, no sample, or a row without identifier."
        )
    return numbers


def normalised(table: pl.DataFrame, target: NDArray[np.float64]) -> pl.DataFrame:
    """The same table with every sample brought to a target; missing values stay missing."""
    ids, *samples = table.get_columns()
    values = np.column_stack([each.fill_null(np.nan).to_numpy() for each in samples])
    new = apply_target(values, target)
    columns = [
        pl.Series(each.name, new[:, number]).fill_nan(None) for number, each in enumerate(samples)
    ]
    return pl.DataFrame([ids, *columns])


def write_target_of(table: pl.DataFrame, path: Path) -> int:
    """Write the target that a matrix's samples make; return how many numbers it has.

    Rows that any sample has no value for are left out.

    Raises
    ------
    InvalidExpressionTable
        No row is complete.
    """
    complete = table.drop_nulls()
    if complete.is_empty():
        raise InvalidExpressionTable("No row has a finite value in every sample.")

    def samples() -> Iterator[NDArray[np.float64]]:
        for each in complete.get_columns()[1:]:
            yield each.to_numpy()

    try:
        target = determine_target(samples())
    except ValueError as error:
        raise InvalidExpressionTable(f"{error}") from None
    with whole_file(path) as aside:
        write_target(aside, target)
    return len(target)


def write_matrix(table: pl.DataFrame, path: Path) -> None:
    """Write a TSV, whole or not at all, gzip if it is named so; missing values are empty."""
    with whole_file(path) as aside:
        table.write_csv(
            aside,
            separator="\t",
            compression="gzip" if path.suffix == ".gz" else "uncompressed",
            check_extension=False,
        )
