"""The values of a release as Parquet, in files of BLOCK_SAMPLES samples each.

`block=<NNNNN>.parquet` has long rows (gene, sample, value, origin), by gene and within it in
the order of the release, so that a gene is one row group of each file and a sample is in one
file. Quantile-normalised samples share their values: a dictionary for every row group codes
them in some 16 bits. `benchmarks/compendium_layout.py` measures why rows, not lists, and why
so many of them.

A missing value is NULL. `origin` is the place in `assembly.ORIGINS`, which stands in each
file's own metadata too (`parquet_kv_metadata` in DuckDB). The queries over these files are
here as well: `$files` stands for their glob, a folder for each release,
`<ORGANISM>/<version>/values/`. Not here: what the values are, and when the folder is a release.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.compendium.assembly import ORIGINS
from refinebio_assets.matrix.expression import ArrowStream
from refinebio_assets.publish.disk_matrix import Values
from refinebio_assets.tables import sql_text

Origins = NDArray[np.uint8]

BLOCK_SAMPLES: Final = 1024

_ROWS_OF_GROUP: Final = 262_144
_MOST_OF_DICTIONARY: Final = 65_536  # different values of a row group
_GENES_AT_A_TIME: Final = 16  # DuckDB holds so many genes' rows at a time, as text and all

_NAMES: Final = ", ".join(map(sql_text, ORIGINS))
_OPTIONS: Final = (
    "(FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, "
    f"ROW_GROUP_SIZE {_ROWS_OF_GROUP}, DICTIONARY_SIZE_LIMIT {_MOST_OF_DICTIONARY}, "
    "WRITE_BLOOM_FILTER false, "  # of values, a twentieth of the file
    f"KV_METADATA {{'origins': {sql_text(', '.join(ORIGINS))}}})"
)
_COPY: Final = """
    COPY (SELECT gene, unnest(?::of_block[]) AS sample, {value} AS value,
                 unnest(of_origins) AS origin FROM wide) TO {path} {options}
"""

# Organism and version from the path: a question that names them opens no other release.
COMPENDIUM_EXPRESSION: Final = f"""
    SELECT parse_path(filename)[-4] AS organism, parse_path(filename)[-3]::INTEGER AS version,
           gene, sample, value, [{_NAMES}][origin + 1] AS origin
    FROM read_parquet($files, filename = true, hive_partitioning = false)
"""  # noqa: S608 — of constants
COMPENDIUM_MACROS: Final = (
    """
    CREATE MACRO compendium_gene(of_organism, of_version, of_gene) AS TABLE
    SELECT sample, value, origin FROM compendium_expression
    WHERE organism = of_organism AND version = of_version AND gene = of_gene ORDER BY sample
    """,
    """
    CREATE MACRO compendium_sample(of_organism, of_version, of_sample) AS TABLE
    SELECT gene, value, origin FROM compendium_expression
    WHERE organism = of_organism AND version = of_version AND sample = of_sample ORDER BY gene
    """,
    """
    CREATE MACRO compendium_matrix(of_organism, of_version, of_samples) AS TABLE
    SELECT gene, sample, value, origin FROM compendium_expression
    WHERE organism = of_organism AND version = of_version
      AND sample IN (SELECT unnest(of_samples)) ORDER BY gene, sample
    """,
)


def block_name(number: int) -> str:
    """The file of a block."""
    return f"block={number:05d}.parquet"


def place_of(sample: int) -> tuple[int, int]:
    """The block of the release's sample of this number, and its position there, from 0."""
    return divmod(sample, BLOCK_SAMPLES)


class TileWriter:
    """Writes a release's matrix, given in blocks of any size, in order; used as a context.

    Files are only to be trusted once the context has ended well: an exception leaves some
    behind, which the owner of the folder removes. The same matrix gives the same bytes,
    whatever the blocks. Holds some fifteen bytes for each value of BLOCK_SAMPLES samples,
    and 200 MB.

    Parameters
    ----------
    folder
        Where the files go; made if it is not there.
    genes
        Ascending, each once.
    samples
        Each once, in the order of the release. Where neighbours have like names, questions
        for a sample pass over most files.
    """

    def __init__(self, folder: Path, genes: pl.Series, samples: Sequence[str]) -> None:
        if not len(genes) or not samples:
            raise ValueError("There are no genes or no samples.")
        if not genes.is_sorted() or genes.n_unique() < len(genes):
            raise ValueError("Genes are not in order, or one occurs twice.")
        if len(set(samples)) < len(samples):
            raise ValueError("A sample occurs twice.")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._genes, self._samples = folder, genes, list(samples)
        self._writer = ThreadPoolExecutor(1)  # one block is written while the next is filled
        self._written: Future[None] | None = None
        self._done = 0
        self._open_block()

    def __enter__(self) -> Self:
        return self

    def write(self, values: Values, origins: Origins) -> None:
        """Add samples: (some, genes) both."""
        if values.shape != origins.shape or values.shape[1:] != (len(self._genes),):
            raise ValueError(f"{values.shape} and {origins.shape} are not some samples' genes.")
        if self._done + len(values) > len(self._samples):
            raise ValueError("More samples are written than have names.")
        start = 0
        while start < len(values):
            _, at = place_of(self._done)
            taken = min(len(values) - start, self._values.shape[1] - at)
            self._values[:, at : at + taken] = values[start : start + taken].T
            self._origins[:, at : at + taken] = origins[start : start + taken].T
            start, self._done = start + taken, self._done + taken
            if at + taken == self._values.shape[1]:
                self._hand_over()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._wait()
                if self._done < len(self._samples):
                    raise ValueError(f"{self._done} of {len(self._samples)} samples were written.")
        finally:
            self._writer.shutdown()

    def _open_block(self) -> None:
        shape = (len(self._genes), min(BLOCK_SAMPLES, len(self._samples) - self._done))
        self._values, self._origins = np.empty(shape, np.float32), np.empty(shape, np.uint8)

    def _hand_over(self) -> None:
        self._wait()
        number, _ = place_of(self._done - 1)
        samples = self._samples[number * BLOCK_SAMPLES : self._done]
        path = self._folder / block_name(number)
        self._written = self._writer.submit(
            _write_block, path, self._genes, samples, self._values, self._origins
        )
        self._open_block()

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()


def _write_block(
    path: Path, genes: pl.Series, samples: list[str], values: Values, origins: Origins
) -> None:
    """Write a file of (genes, samples)."""
    wide = pl.DataFrame(
        {
            "gene": genes,
            "of_values": pl.Series(values).cast(pl.List(pl.Float32)),
            "of_origins": pl.Series(origins).cast(pl.List(pl.UInt8)),
        }
    )
    starts = range(0, len(genes), _GENES_AT_A_TIME)
    pieces = pl.concat([wide[start : start + _GENES_AT_A_TIME] for start in starts], rechunk=False)
    value = "unnest(of_values)"
    if np.isnan(values.min()):  # which a missing one makes NaN
        value = "nullif(unnest(of_values), 'nan'::FLOAT)"
    with duckdb.connect() as database:
        database.execute("SET threads = 1")  # more are no faster, and hold three times as much
        database.register("wide", ArrowStream(pieces))
        # A type of these names only: they are copied as numbers, in half the time.
        names = ", ".join(map(sql_text, samples))
        database.execute(f"CREATE TYPE of_block AS ENUM ({names})")
        copy = _COPY.format(value=value, path=sql_text(str(path)), options=_OPTIONS)
        database.execute(copy, [samples])
