"""Which runs an organism's RNA-seq sample compendium is to have: those that Salmon quantified.

That are the processed ones, and others of which there is a `quant.sf`: where gene counts are
still to come, or where a later attempt failed. What is known of a quantification is read
from the catalogue, else from the `quantification.json` beside it. Not here: reading
`quant.sf`, and what is made of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refinebio_assets import __version__
from refinebio_assets.errors import NothingToDeliver
from refinebio_assets.resources.dataset_records import Key, read_records
from refinebio_assets.resources.dataset_selection import (
    NOT_PROCESSED,
    list_samples,
    metadata_version,
)
from refinebio_assets.resources.storage import Storage, read_json

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from refinebio_assets.publish.records import ExperimentRecord, SampleRecord

QUANTIFICATION = "quantification.json"
QUANT_SF = "quant.sf"
SAMPLES_AT_A_TIME = 5_000  # whose records are read together

# Of a quantification: name -> type, as in `tables.QUANTIFICATIONS`.
LINEAGE: dict[str, str] = {
    "index_organism": "text",
    "layout": "text",
    "num_processed": "integer",
    "num_mapped": "integer",
    "percent_mapped": "number",
    "library_type": "text",
    "index_length": "text",
    "reference_database": "text",
    "reference_release": "text",
    "reference_assembly": "text",
    "index_sha256": "text",
    "salmon_version": "text",
    "raw_sha256": "texts",
    "single_cell_probability": "number",
    "code_version": "text",
    "recorded_at": "moment",
}
_LATER_COLUMN = "single_cell_probability"  # catalogues built before it was known have none

_RUNS = """
SELECT s.experiment, s.sample, w.status, w.reason, q.sample IS NOT NULL AS is_quantified,
       {lineage}
FROM samples AS s
LEFT JOIN sample_status AS w USING (experiment, sample)
LEFT JOIN quantifications AS q USING (experiment, sample)
WHERE s.organism = ? AND (s.technology = 'RNA-SEQ' OR q.sample IS NOT NULL)
ORDER BY s.experiment, s.sample
"""
_EXPECTED = """
SELECT s.experiment, s.sample
FROM samples AS s
LEFT JOIN sample_status AS w USING (experiment, sample)
LEFT JOIN quantifications AS q USING (experiment, sample)
WHERE s.organism = ? AND (
    q.sample IS NOT NULL OR (s.technology = 'RNA-SEQ' AND w.status = 'processed')
)
ORDER BY s.experiment, s.sample
"""


@dataclass(frozen=True, eq=False)
class QuantSelection:
    """The runs of a compendium, before their files are read.

    Attributes
    ----------
    organism
        Theirs.
    runs
        A row for each that should be in, by experiment and sample: `experiment`, `sample`,
        `status`, what `LINEAGE` names (null where nothing is known), `bytes` and `changed_ns`
        of its `quant.sf` (null where there is none).
    not_quantified
        The organism's other RNA-seq samples, of any experiment: `experiment`, `sample`,
        `reason`.
    metadata_version
        Digest of what is said of the runs and their experiments.
    """

    organism: str
    runs: pl.DataFrame
    not_quantified: pl.DataFrame
    metadata_version: str

    def state(self, *, whole_folders: bool) -> str:
        """Digest of all that can be told without reading a file: while it stays, so do these."""
        columns = [self.runs[name] for name in ("experiment", "sample", "bytes", "changed_ns")]
        made = (self.runs[name] for name in ("index_sha256", "salmon_version", "recorded_at"))
        said = [__version__, self.metadata_version, str(whole_folders)]
        return digest([*said, *map(str, zip(*columns, *made, strict=True))])


def select_runs(
    organism: str, database: duckdb.DuckDBPyConnection, storage: Storage
) -> QuantSelection:
    """The runs of an organism, with the catalogue and the disk as they are.

    Raises
    ------
    NothingToDeliver
        None of its samples was quantified.
    """
    import polars as pl

    known = _known_runs(organism, database)
    sizes = list(_sizes(known, storage))
    known = known.with_columns(
        bytes=pl.Series([size for size, _ in sizes], dtype=pl.Int64),
        changed_ns=pl.Series([moment for _, moment in sizes], dtype=pl.Int64),
    )
    there = pl.col("bytes").is_not_null()
    wanted = pl.col("is_quantified") | there | (pl.col("status") == "processed").fill_null(False)
    runs = _with_lineage_of_disk(known.filter(wanted), storage).drop("is_quantified", "reason")
    if runs.is_empty():
        raise NothingToDeliver(
            f"No RNA-seq sample of {organism} is quantified.",
            remedy="Process an experiment of the organism, then build the catalogue.",
        )
    others = known.filter(~wanted).select(
        "experiment", "sample", pl.col("reason").fill_null(NOT_PROCESSED)
    )
    list_samples(database, "wanted", runs.select("experiment", "sample").rows())
    return QuantSelection(organism, runs, others, metadata_version(database))


def expected_runs(organism: str, database: duckdb.DuckDBPyConnection) -> list[Key]:
    """What the catalogue's sample table says is quantified: experiments and samples."""
    return [(row[0], row[1]) for row in _rows(database, _EXPECTED, [organism])]


def known_samples(organism: str, database: duckdb.DuckDBPyConnection) -> set[Key]:
    """All experiments and samples of the organism."""
    question = "SELECT experiment, sample FROM samples WHERE organism = ?"
    return {(row[0], row[1]) for row in _rows(database, question, [organism])}


def read_in_parts(
    samples: Mapping[str, Sequence[str]], database: duckdb.DuckDBPyConnection
) -> Iterator[tuple[list[ExperimentRecord], dict[Key, SampleRecord]]]:
    """What the catalogue says of experiments and samples, some experiments at a time.

    Parameters
    ----------
    samples
        Experiment -> its samples that are wanted.
    """
    from refinebio_assets.publish.recipe import Recipe

    part: dict[str, tuple[str, ...]] = {}
    for experiment, names in samples.items():
        if part and sum(map(len, part.values())) + len(names) > SAMPLES_AT_A_TIME:
            yield _read(Recipe(part, quant_sf_only=True), database)
            part = {}
        part[experiment] = tuple(names)
    if part:
        yield _read(Recipe(part, quant_sf_only=True), database)


def digest(texts: Iterable[str]) -> str:
    """SHA-256 of texts, one a line."""
    found = hashlib.sha256()
    for text in texts:
        found.update(f"{text}\n".encode())
    return found.hexdigest()


def _read(
    recipe: Any, database: duckdb.DuckDBPyConnection
) -> tuple[list[ExperimentRecord], dict[Key, SampleRecord]]:
    database.execute("DROP TABLE IF EXISTS asked")
    return read_records(recipe, database)


# --- the catalogue ----------------------------------------------------------------------


def _known_runs(organism: str, database: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    import polars as pl

    there = {
        name
        for (name,) in database.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_name = 'quantifications'"
        ).fetchall()
    }
    columns = {"index_organism": "q.organism"}
    if _LATER_COLUMN not in there:
        columns[_LATER_COLUMN] = "NULL::DOUBLE"
    lineage = ", ".join(f"{columns.get(name, f'q.{name}')} AS {name}" for name in LINEAGE)
    names = ("experiment", "sample", "status", "reason", "is_quantified")
    types = _types()
    schema = {name: types.get(name, pl.String()) for name in (*names, *LINEAGE)}
    schema["is_quantified"] = pl.Boolean()
    question = _RUNS.format(lineage=lineage)
    parts = [pl.DataFrame(schema=schema)]
    found = database.execute(question, [organism])
    while rows := found.fetchmany(10_000):
        parts.append(pl.DataFrame(rows, schema=schema, orient="row"))
    return pl.concat(parts)


def _types() -> dict[str, Any]:
    import polars as pl

    types = {
        "text": pl.String(),
        "texts": pl.List(pl.String),
        "integer": pl.Int64(),
        "number": pl.Float64(),
        "moment": pl.Datetime("us", "UTC"),
    }
    return {name: types[kind] for name, kind in LINEAGE.items()}


def _rows(
    database: duckdb.DuckDBPyConnection, question: str, values: list[str]
) -> Iterator[tuple[Any, ...]]:
    found = database.execute(question, values)
    while rows := found.fetchmany(10_000):
        yield from rows


# --- the disk ---------------------------------------------------------------------------


def _sizes(runs: pl.DataFrame, storage: Storage) -> Iterator[tuple[int | None, int | None]]:
    """Bytes and time of last change of every `quant.sf`; of experiments without folder none."""

    @cache
    def folders_of(experiment: str) -> frozenset[str]:
        try:
            return frozenset(os.listdir(storage.processed("quant") / experiment))  # noqa: PTH208 — 10 × as fast
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()

    for experiment, sample in runs.select("experiment", "sample").iter_rows():
        if sample not in folders_of(experiment):
            yield None, None
            continue
        try:
            found = (storage.quant_folder(experiment, sample) / QUANT_SF).stat()
        except OSError:
            yield None, None
        else:
            yield found.st_size, found.st_mtime_ns


def _with_lineage_of_disk(runs: pl.DataFrame, storage: Storage) -> pl.DataFrame:
    """Runs that the catalogue has no quantification of get what lies beside their files."""
    import polars as pl

    known = pl.col("is_quantified")
    others = runs.filter(~known)
    if others.is_empty():
        return runs
    told = [
        _lineage_of(storage.quant_folder(experiment, sample))
        for experiment, sample in others.select("experiment", "sample").iter_rows()
    ]
    lineage = pl.DataFrame(told, schema=_types())
    found = others.drop(LINEAGE).hstack(lineage).select(runs.columns)
    return pl.concat([runs.filter(known), found]).sort("experiment", "sample")


def _lineage_of(folder: Path) -> dict[str, Any]:
    """What a `quantification.json` says; what cannot be understood is null."""
    try:
        content = read_json(folder / QUANTIFICATION)
        row = content["row"] if content else {}
    except (OSError, ValueError, KeyError, TypeError):
        row = {}
    if not isinstance(row, dict):
        row = {}
    row = {**row, "index_organism": row.get("organism")}
    return {name: _as(kind, row.get(name)) for name, kind in LINEAGE.items()}


def _as(kind: str, value: Any) -> Any:
    if kind == "moment":
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return None
        return moment if moment.tzinfo else None
    if kind == "texts":
        return value if isinstance(value, list) and all(map(_is_text, value)) else None
    if kind == "text":
        return value if _is_text(value) else None
    of_type = int if kind == "integer" else (int, float)
    fits = isinstance(value, of_type) and not isinstance(value, bool) and abs(value) < 1 << 63
    return value if fits else None


def _is_text(value: Any) -> bool:
    """JSON can hold halves of characters, which nothing else can."""
    try:
        return isinstance(value, str) and value.encode().decode() == value
    except UnicodeEncodeError:
        return False
