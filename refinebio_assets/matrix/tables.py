"""Rows to data frames and Parquet files, with the types that `refinebio_assets.tables` declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from refinebio_assets.tables import Table

_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "VARCHAR[]": pl.List(pl.String()),
    "BOOLEAN": pl.Boolean(),
    "INTEGER": pl.Int32(),
    "BIGINT": pl.Int64(),
    "FLOAT": pl.Float32(),
    "DOUBLE": pl.Float64(),
    "TIMESTAMP WITH TIME ZONE": pl.Datetime("us", "UTC"),
}


def polars_schema(table: Table) -> dict[str, pl.DataType]:
    """Column name -> Polars type of a table."""
    return {column.name: _TYPES[column.type] for column in table.columns}


def frame(table: Table, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a data frame with exactly the table's columns; a key not given is null."""
    names = table.column_names()
    complete = [{name: row.get(name) for name in names} for row in rows]
    return pl.DataFrame(complete, schema=polars_schema(table))


def write_parquet(data: pl.DataFrame, path: Path) -> None:
    """Write a small table (metadata, statuses) as Parquet."""
    data.write_parquet(path, compression="zstd")
