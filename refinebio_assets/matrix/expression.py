"""The Parquet files that hold expression values, one per experiment and organism.

Long rows sorted by gene, then sample, written by DuckDB as Parquet v2 with zstd, in row
groups that grow with the square root of the file; organism, technology and experiment are
in the path. `benchmarks/expression_layout.py` measures why. Values are float32 from here on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.rnaseq.tximport import GeneQuantification
from refinebio_assets.tables import sql_text

_UNNESTED = """
    SELECT gene, sample, value FROM
        (SELECT gene, unnest(?::VARCHAR[]) AS sample, unnest(of_samples) AS value FROM wide)
    WHERE NOT isnan(value)
"""
VECTOR = 2048  # DuckDB's row groups are multiples of it


def write_gene_counts(
    path: Path, quantified: Sequence[GeneQuantification], provenance: Mapping[str, str]
) -> None:
    """Write RNA-seq values: columns gene, sample, value, counts, effective_length, tpm.

    Parameters
    ----------
    quantified
        Several (samples measured with different indices) are put side by side.
    provenance
        Kept in the file's own metadata (`parquet_kv_metadata` in DuckDB).

    `value` is length-scaled TPM; `counts` the unscaled estimated counts.
    """
    rows = pl.concat([_long(each) for each in quantified])
    rows = rows.sort("gene", "sample", maintain_order=True)
    with duckdb.connect() as database:
        database.register("rows", ArrowStream(rows))
        database.execute(f"COPY rows TO {sql_text(str(path))} {_options(len(rows), provenance)}")


def write_array_values(
    path: Path,
    genes: Sequence[str],
    samples: Sequence[str],
    values: NDArray[np.float32],
    provenance: Mapping[str, str],
) -> None:
    """Write array values: columns gene, sample, value.

    Parameters
    ----------
    genes, samples
        Names, each sorted and without repetition.
    values
        (genes, samples); NaN where a sample's array does not know the gene: no row then.
    """
    rows = int(np.count_nonzero(~np.isnan(values)))
    wide = pl.DataFrame({"gene": genes, "of_samples": list(values)})
    wide = wide.cast({"of_samples": pl.List(pl.Float32)})
    with duckdb.connect() as database:
        database.register("wide", ArrowStream(wide))
        database.execute("SET preserve_insertion_order = true")
        database.execute(
            f"COPY ({_UNNESTED}) TO {sql_text(str(path))} {_options(rows, provenance)}",
            [list(samples)],
        )


def read_array_values(path: Path, samples: Sequence[str]) -> pl.DataFrame:
    """The rows (gene, sample, value) of some of a file's samples."""
    rows = pl.scan_parquet(path, glob=False).filter(pl.col("sample").is_in(list(samples)))
    return rows.select("gene", "sample", "value").collect()


def _options(rows: int, provenance: Mapping[str, str]) -> str:
    return (
        "(FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, "
        f"ROW_GROUP_SIZE {row_group_rows(rows)}, KV_METADATA {_struct(provenance)})"
    )


def row_group_rows(rows: int) -> int:
    """The row group of a file with so many rows.

    To find one gene, DuckDB reads the footer, which grows with the number of row groups, and
    one row group, which shrinks with it: the sum is least at the square root.
    """
    return max(1, round(50 * math.sqrt(rows) / VECTOR)) * VECTOR


def samples_of(path: Path) -> set[str]:
    """The samples that an expression file holds."""
    return set(pl.read_parquet(path, columns=["sample"], glob=False)["sample"].unique())


class ArrowStream:
    """Hands a Polars frame to DuckDB, which would otherwise ask for PyArrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._frame.__arrow_c_stream__(requested_schema)


def _long(each: GeneQuantification) -> pl.DataFrame:
    columns = {
        "value": each.length_scaled_tpm(),
        "counts": each.counts,
        "effective_length": each.length,
        "tpm": each.abundance,
    }
    genes, samples = pl.DataFrame({"gene": each.genes}), pl.DataFrame({"sample": each.samples})
    return genes.join(samples, how="cross", maintain_order="left_right").hstack(
        [pl.Series(name, matrix.ravel().astype(np.float32)) for name, matrix in columns.items()]
    )


def _struct(entries: Mapping[str, str]) -> str:
    return (
        "{" + ", ".join(f"{sql_text(key)}: {sql_text(text)}" for key, text in entries.items()) + "}"
    )
