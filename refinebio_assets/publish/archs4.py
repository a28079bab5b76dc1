"""Counts of one organism as HDF5 in the layout of ARCHS4, for archs4py and its like.

The layout is that of ARCHS4's files since version 2, as archs4py 1.0.4 reads it:
`data/expression` is genes × samples, unsigned 32-bit, compressed by shuffle and gzip and by
nothing else (archs4py takes what it cannot read for zeros), a chunk for each sample, since
archs4py reads sample by sample. `meta/genes` or `meta/transcripts`, `meta/samples` and
`meta/info` have one dataset of each field. Text is UTF-8 of variable length, empty where
nothing is known; a name that other versions of ARCHS4 use is a link to the same dataset.

- Counts are rounded to the nearest whole number, halves to the even one, as R does. A count
  that is missing, negative or beyond 32 bits is an error. Expression files hold float32: a
  count above 16,777,216 was rounded to an even number before.
- A gene without a symbol has its id as symbol: archs4py adds up the genes of one symbol.
- archs4py compares the whole text of `series_id`. A sample of several experiments has one
  column for each, with the same counts: every series is complete, and who wants each sample
  once keeps the first column of a `geo_accession`.
- `geo_accession` is the platform's own sample accession, also of samples that are not GEO's.

Not here: which samples and fields there are (`archs4_samples.py`), and writing whole or not
at all, which is the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from refinebio_assets.errors import CountTooLarge, InvalidCounts, NothingToDeliver
from refinebio_assets.publish.hdf5_chunks import FILTERS, write_chunks
from refinebio_assets.publish.sample_blocks import SampleBlock

Counts = NDArray[np.uint32]
OnDone = Callable[[int], None]

# Without these archs4py fails, or finds nothing.
NEEDED: Final = (
    "geo_accession",
    "series_id",
    "characteristics_ch1",
    "extract_protocol_ch1",
    "source_name_ch1",
    "title",
)
PROBABILITY: Final = "singlecellprobability"

_LINKS: Final = {  # name of other versions of ARCHS4, and of what archs4py reads by HTTP
    "meta/genes/gene_symbol": "meta/genes/symbol",
    "meta/genes/ensembl_gene_id": "meta/genes/ensembl_gene",
    "meta/samples/sample": "meta/samples/geo_accession",
    "meta/samples/readsaligned": "meta/samples/alignedreads",
}
_BEYOND: Final = 1 << 32  # also as a float32, which has no number just below it
_TEXT: Final = h5py.string_dtype("utf-8")
_RECORDS_PER_CHUNK: Final = 1024
_RECORDS_AT_A_TIME: Final = 4 * _RECORDS_PER_CHUNK


@dataclass(frozen=True, eq=False)
class CountBlock:
    """Columns of the file.

    Attributes
    ----------
    records
        A row of each; columns are the fields of `meta/samples`.
    counts
        (rows, genes), whole numbers or estimates.
    """

    records: pl.DataFrame
    counts: NDArray[Any]


@dataclass(frozen=True)
class WrittenCounts:
    """What a file holds; `sha256` is that of the counts, as in `meta/info/expression_sha256`."""

    columns: int
    samples: int
    genes: int
    sha256: str


def with_records(blocks: Iterable[SampleBlock], records: pl.DataFrame) -> Iterator[CountBlock]:
    """The counts of samples under what is known of them.

    Parameters
    ----------
    records
        A row for each sample and series; of `geo_accession`, several rows are several
        columns of the file.

    Raises
    ------
    ValueError
        A sample has no record.
    """
    for block in blocks:
        of_block = pl.DataFrame({"geo_accession": block.samples}).with_row_index("place")
        found = of_block.join(records, on="geo_accession", how="inner", maintain_order="left_right")
        if found["place"].n_unique() < len(block.samples):
            absent = of_block.join(records, on="geo_accession", how="anti")["geo_accession"]
            raise ValueError(f"Samples without a record: {', '.join(absent.head(5))}")
        counts = block.layers["counts"]
        if len(found) > len(block.samples):
            counts = counts[found["place"].to_numpy()]
        yield CountBlock(found.select(records.columns), counts)


def write_gene_counts(
    path: Path,
    genes: pl.DataFrame,
    blocks: Iterable[CountBlock],
    info: Mapping[str, str],
    on_done: OnDone = lambda columns: None,
    threads: int = 2,
) -> WrittenCounts:
    """Write counts of genes. The same blocks give the same bytes.

    Parameters
    ----------
    path
        The file to make.
    genes
        Of the rows: `ensembl_gene`, each once, and `symbol`, of which several genes may
        have the same; other columns of text (`biotype`) become fields of `meta/genes`.
    blocks
        All with the same fields: NEEDED and PROBABILITY, of which none may be missing, and
        any others. Missing text is empty, a missing fraction NaN; whole numbers may not be
        missing. `library_size`, the sum of the counts, is added.
    info
        `meta/info`: what ARCHS4's files have (`version`, `creation-date`, `author`,
        `contact`, `laboratory`), and whatever else tells where the counts come from.
    on_done
        Is told the number of columns written.

    Raises
    ------
    InvalidCounts
        A count is missing, negative or infinite; CountTooLarge: it is beyond 32 bits.
    NothingToDeliver
        There is no column.
    ValueError
        A field is absent or of another kind, a sample stands twice under one series, a
        probability is not one, or genes are not named, or one twice.
    """
    symbol = pl.col("symbol")
    named = genes.with_columns(
        pl.when(symbol.is_null() | (symbol == ""))
        .then(pl.col("ensembl_gene"))
        .otherwise(symbol)
        .alias("symbol")
    )
    return _write(path, "genes", "ensembl_gene", named, blocks, info, on_done, threads)


def write_transcript_counts(
    path: Path,
    transcripts: pl.DataFrame,
    blocks: Iterable[CountBlock],
    info: Mapping[str, str],
    on_done: OnDone = lambda columns: None,
    threads: int = 2,
) -> WrittenCounts:
    """Write counts of transcripts, with their `ensembl_id`; see `write_gene_counts`."""
    return _write(path, "transcripts", "ensembl_id", transcripts, blocks, info, on_done, threads)


def whole_counts(counts: NDArray[Any], samples: Sequence[str], genes: Sequence[str]) -> Counts:
    """Counts, (samples, genes), rounded to the nearest whole number, halves to the even one.

    Raises
    ------
    InvalidCounts
        One is missing, negative or infinite; CountTooLarge: it is beyond 32 bits.
    """
    if not counts.size:
        return np.empty(counts.shape, np.uint32)
    if not (counts.min() >= 0 and counts.max() < np.inf):  # false for NaN, too
        row, gene = np.argwhere(~((counts >= 0) & (counts < np.inf)))[0]
        raise InvalidCounts(
            f"Sample {samples[row]} has the count {counts[row, gene]} of {genes[gene]}."
        )
    rounded = counts if np.issubdtype(counts.dtype, np.integer) else np.rint(counts)
    if rounded.max() >= _BEYOND:
        row, gene = np.argwhere(rounded >= _BEYOND)[0]
        raise CountTooLarge(
            f"Sample {samples[row]} has the count {counts[row, gene]} of {genes[gene]}: "
            f"{_BEYOND - 1} is the largest that the file can hold."
        )
    return rounded.astype("<u4")


# --- the file -------------------------------------------------------------------------


def _write(
    path: Path,
    kind: str,
    id_field: str,
    features: pl.DataFrame,
    blocks: Iterable[CountBlock],
    info: Mapping[str, str],
    on_done: OnDone,
    threads: int,
) -> WrittenCounts:
    ids = features[id_field]
    if not len(ids) or ids.null_count() or ids.n_unique() < len(ids):
        raise ValueError(f"A {id_field} is missing or occurs twice.")
    names = ids.to_list()
    digest = hashlib.sha256()
    seen: set[tuple[str, str]] = set()
    with h5py.File(path, "w") as file, ThreadPoolExecutor(max(1, threads)) as workers:
        expression = file.create_dataset(
            "data/expression",
            shape=(len(names), 0),
            maxshape=(len(names), None),
            chunks=(len(names), 1),
            dtype="<u4",
            **FILTERS,
        )
        for field in features.columns:
            _put_text(file, f"meta/{kind}/{field}", features[field])
        records = _Records(file.create_group("meta/samples"))
        for block in blocks:
            if block.counts.shape != (len(block.records), len(names)):
                raise ValueError(
                    f"{block.counts.shape} counts for {len(block.records)} records "
                    f"and {len(names)} {kind}"
                )
            found = _checked_records(block.records, seen)
            counts = whole_counts(block.counts, found["geo_accession"].to_list(), names)
            done = expression.shape[1]
            expression.resize(done + len(counts), axis=1)
            write_chunks(expression, (0, done), counts.T, workers)
            digest.update(np.ascontiguousarray(counts).data)
            sizes = counts.sum(axis=1, dtype=np.int64)
            records.append(found.with_columns(pl.Series("library_size", sizes)))
            on_done(expression.shape[1])
        if not seen:
            raise NothingToDeliver("No sample has counts.")
        records.flush()
        stated = {
            **info,
            "expression_sha256": digest.hexdigest(),
            "expression_digest": "SHA-256 of little-endian 32-bit counts, sample after sample",
            "rounding": "to the nearest whole number, halves to the even one",
        }
        for name, text in stated.items():
            file[f"meta/info/{name}"] = text
        for link, target in _LINKS.items():
            if target in file and link not in file:
                file[link] = file[target]
        columns = expression.shape[1]
    samples = len({accession for accession, _ in seen})
    return WrittenCounts(columns, samples, len(names), digest.hexdigest())


def _checked_records(records: pl.DataFrame, seen: set[tuple[str, str]]) -> pl.DataFrame:
    absent = {*NEEDED, PROBABILITY} - set(records.columns)
    if absent:
        raise ValueError(f"Records lack the fields {', '.join(sorted(absent))}.")
    for key in zip(records["geo_accession"], records["series_id"], strict=True):
        if not all(key) or key in seen:
            raise ValueError(f"Sample {key[0]} of series {key[1]} is not named, or occurs twice.")
        seen.add(key)
    of_record = records[PROBABILITY].cast(pl.Float64).is_between(0, 1).fill_null(False)
    if not of_record.all():
        sample = records["geo_accession"].filter(~of_record)[0]
        raise ValueError(f"The {PROBABILITY} of sample {sample} is not between 0 and 1.")
    return records.with_columns(pl.col(PROBABILITY).cast(pl.Float64))


class _Records:
    """The fields of `meta/samples`, which grow by many records at a time."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._waiting: list[pl.DataFrame] = []

    def append(self, records: pl.DataFrame) -> None:
        """Add records; they all have the same fields."""
        self._waiting.append(records)
        if sum(map(len, self._waiting)) >= _RECORDS_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Write those that wait."""
        if not self._waiting:
            return
        try:
            records = pl.concat(self._waiting)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"Records have different fields: {error}") from error
        self._waiting = []
        if len(self._group) and set(self._group) != set(records.columns):
            raise ValueError("Records have different fields.")
        for column in records.get_columns():
            kind, values = _as_kept(column)
            if column.name not in self._group:
                self._group.create_dataset(
                    column.name, (0,), kind, maxshape=(None,), chunks=(_RECORDS_PER_CHUNK,)
                )
            field = self._group[column.name]
            start = len(field)
            field.resize(start + len(values), axis=0)
            field[start:] = values


def _as_kept(column: pl.Series) -> tuple[Any, Any]:
    """The type of a field in the file, and its values."""
    if column.dtype == pl.String:
        return _TEXT, _texts(column)
    if column.dtype.is_float():
        return np.float64, column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if (column.dtype.is_integer() or column.dtype == pl.Boolean) and not column.null_count():
        return np.int64, column.cast(pl.Int64).to_numpy()
    raise ValueError(f"The field {column.name} is neither text nor complete numbers.")


def _put_text(file: Any, name: str, column: pl.Series) -> None:
    file.create_dataset(name, data=_texts(column), dtype=_TEXT)


def _texts(column: pl.Series) -> list[str]:
    """Without what HDF5 cannot keep: it ends a text at its first NUL."""
    return column.cast(pl.String).fill_null("").str.replace_all("\0", "", literal=True).to_list()
