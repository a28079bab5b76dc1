"""A user's own matrix with its missing values imputed: TSV or Parquet in, the same out.

The table is held in memory, and is read from there in blocks. Not here: how values are
imputed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl

from refinebio_assets.errors import InvalidExpressionTable, RawFileMissing
from refinebio_assets.matrix.fancyimpute_svd import impute_by_fancyimpute
from refinebio_assets.matrix.impute import (
    BLOCK_CELLS,
    IterativeSvd,
    Names,
    Progress,
    impute,
    refuse_hopeless,
)
from refinebio_assets.matrix.low_rank import Reals
from refinebio_assets.matrix.missing_cells import find_missing
from refinebio_assets.matrix.user_tables import read_matrix, write_matrix
from refinebio_assets.whole_file import whole_file

Engine = Literal["svd", "fancyimpute"]

_PARQUET: Final = b"PAR1"


@dataclass(frozen=True)
class Imputed:
    """What was done to a matrix.

    Attributes
    ----------
    missing
        How many values were imputed.
    infinite
        How many of them were given as infinite.
    iterations
        None where the engine does not tell.
    converged
        False where the iterations ended before the threshold was reached.
    """

    genes: int
    samples: int
    missing: int
    infinite: int
    iterations: int | None
    converged: bool


class TableOfSamples:
    """A source that is a table: a column of genes, then one of each sample."""

    def __init__(self, table: pl.DataFrame) -> None:
        _, *self.columns = table.get_columns()
        self.samples, self.genes = len(self.columns), table.height
        single = all(each.dtype == pl.Float32 for each in self.columns)
        self._dtype = np.float32 if single else np.float64

    def read_samples(self, first: int, end: int) -> Reals:
        """Some columns, as rows."""
        values = np.empty((min(end, self.samples) - first, self.genes), self._dtype)
        for row, column in zip(values, self.columns[first:end], strict=True):
            row[:] = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return values


def impute_file(
    path: Path,
    output: Path,
    *,
    rank: int,
    engine: Engine = "svd",
    on_pass: Callable[[Progress], None] = lambda _: None,
) -> Imputed:
    """Write a matrix of genes × samples anew, with its missing values imputed.

    What is known stays as it is. The output is whole or not there, and of the input's kind;
    text is compressed if the output's name ends in .gz. After each pass the state is kept
    beside the output, so that the same work, stopped at any moment, goes on from there.

    Raises
    ------
    RawFileMissing, InvalidExpressionTable, ToolMissing
    """
    if not output.absolute().parent.is_dir():
        raise NotADirectoryError(f"{output} cannot be written: its folder is not there.")
    is_parquet = _starts_with(path, _PARQUET)
    if is_parquet != (output.suffix == ".parquet"):
        kind = "Parquet, so the output's name must" if is_parquet else "text, so it cannot"
        raise InvalidExpressionTable(f"{path.name} is {kind} end in .parquet.", remedy="")
    table = _read_parquet(path) if is_parquet else read_matrix(path)
    state = output.with_name(f".{output.name}.state")
    done, filled = _imputed(table, rank, engine, state, on_pass)
    if is_parquet:
        _write_parquet(filled, output)
    else:
        write_matrix(filled, output)
    state.unlink(missing_ok=True)
    return done


def _imputed(
    table: pl.DataFrame,
    rank: int,
    engine: Engine,
    state: Path,
    on_pass: Callable[[Progress], None],
) -> tuple[Imputed, pl.DataFrame]:
    source = TableOfSamples(table)
    names = Names(table.to_series(0).cast(pl.String).to_list(), table.columns[1:])
    if engine == "svd":
        found = impute(
            source, IterativeSvd(rank=rank), names=names, checkpoint=state, on_pass=on_pass
        )
        missing, converged = found.missing, found.converged
        iterations: int | None = len(found.changes)

        def put(values: Reals, first: int) -> None:
            found.put(values, slice(first, first + len(values)))

    else:
        missing, converged, iterations = find_missing(source, BLOCK_CELLS), True, None
        whole: Reals = np.empty((0, source.genes))
        if missing.total:
            refuse_hopeless(source, missing, rank, names)
            whole = source.read_samples(0, source.samples)
            whole[~np.isfinite(whole)] = np.nan
            whole = impute_by_fancyimpute(whole, rank)

        def put(values: Reals, first: int) -> None:
            np.copyto(values, whole[first : first + len(values)], where=~np.isfinite(values))

    columns = [table.to_series(0)]
    for number, column in enumerate(source.columns):
        if missing.per_sample[number]:
            values = source.read_samples(number, number + 1)
            put(values, number)
            kept = column.dtype if column.dtype.is_float() else pl.Float64
            columns.append(pl.Series(column.name, values[0]).cast(kept))
        else:
            columns.append(column)
    done = Imputed(
        source.genes, source.samples, missing.total, missing.infinite, iterations, converged
    )
    return done, pl.DataFrame(columns)


def _starts_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise RawFileMissing(f"{path} cannot be read: {error.strerror}.", remedy="") from None


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidExpressionTable(f"{path.name} cannot be read: {reason}.", remedy="") from None
    others = [name for name, dtype in list(table.schema.items())[1:] if not dtype.is_numeric()]
    if others:
        raise InvalidExpressionTable(
            f"{path.name} has columns that are not numbers: {', '.join(others[:5])}.",
            remedy="The first column names the genes; each other one is a sample.",
        )
    if table.width < 2 or table.is_empty() or table.to_series(0).null_count():
        raise InvalidExpressionTable(
            f"{path.name} has no row, no sample, or a row without identifier.", remedy=""
        )
    return table


def _write_parquet(table: pl.DataFrame, path: Path) -> None:
    with whole_file(path) as aside:
        table.write_parquet(aside)
