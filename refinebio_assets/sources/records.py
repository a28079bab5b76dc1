"""What every source is parsed into: an experiment, its samples, their attributes and files.

The fields are the columns of the tables of the same names in `refinebio_assets.tables`.
One experiment's records are stored together in one Parquet file of one nested row, so
that they change all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from refinebio_assets.matrix.tables import polars_schema, write_parquet
from refinebio_assets.metadata.platforms import MICROARRAY, RNA_SEQ
from refinebio_assets.tables import (
    EXPERIMENT_RELATIONS,
    EXPERIMENTS,
    SAMPLE_ATTRIBUTES,
    SAMPLE_FILES,
    SAMPLES,
)

TECHNOLOGIES = (RNA_SEQ, MICROARRAY)


@dataclass(frozen=True)
class Attribute:
    """A key and value as submitted."""

    key: str
    value: str


@dataclass(frozen=True)
class Relation:
    """A link to another record; `relation` is one of `tables.EXPERIMENT_RELATIONS`."""

    relation: str
    target: str


@dataclass(frozen=True)
class RawFile:
    """A file that a sample names."""

    filename: str
    source_url: str
    is_raw: bool = True
    is_archive: bool = False
    expected_md5: str | None = None
    expected_bytes: int | None = None


@dataclass(frozen=True)
class Sample:
    """A sample: a GSM, an ArrayExpress assay, an SRA run, or a row of a sample sheet.

    `harmonised` holds the fields of `tables.HARMONISED_FIELDS` that are known.
    `skip_reason` (code, words) says why it won't be processed.
    """

    sample: str
    organism: str
    technology: str
    source_database: str
    title: str | None = None
    source_archive_url: str | None = None
    has_raw: bool = True
    platform: str | None = None
    platform_name: str | None = None
    manufacturer: str | None = None
    library_layout: str | None = None
    protocol_info: str | None = None
    harmonised: Mapping[str, str | float] = field(default_factory=dict)
    attributes: tuple[Attribute, ...] = ()
    files: tuple[RawFile, ...] = ()
    skip_reason: tuple[str, str] | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment and all of its samples, as its source describes them."""

    experiment: str
    source_database: str
    samples: tuple[Sample, ...]
    source_sha256: str
    title: str | None = None
    description: str | None = None
    alternate_accession: str | None = None
    source_url: str | None = None
    protocol_description: str | None = None
    submitter_institution: str | None = None
    publication_title: str | None = None
    publication_doi: str | None = None
    publication_authors: tuple[str, ...] = ()
    pubmed_id: str | None = None
    source_first_published: datetime | None = None
    source_last_modified: datetime | None = None
    relations: tuple[Relation, ...] = ()

    @property
    def technology(self) -> str:
        """RNA-SEQ, MICROARRAY, or both joined by ';'."""
        return ";".join(sorted({sample.technology for sample in self.samples}))

    @property
    def organisms(self) -> list[str]:
        """The organisms of its samples, sorted."""
        return sorted({sample.organism for sample in self.samples})

    @property
    def has_publication(self) -> bool:
        """Whether the source names a publication."""
        return bool(self.publication_title or self.publication_doi or self.pubmed_id)


def write_experiment(
    experiment: Experiment, path: Path, *, code_version: str, run_id: str, recorded_at: datetime
) -> None:
    """Write an experiment and all that belongs to it as one nested row of Parquet."""
    lineage = {"code_version": code_version, "run_id": run_id, "recorded_at": recorded_at}
    row = {
        **{name: getattr(experiment, name, None) for name in EXPERIMENTS.column_names()},
        "num_samples": len(experiment.samples),
        **lineage,
        "relations": [asdict(each) for each in experiment.relations],
        "samples": [_sample_row(sample) for sample in experiment.samples],
    }
    write_parquet(pl.DataFrame([row], schema=_nested_schema()), path)


def read_experiment(path: Path) -> Experiment:
    """Read what `write_experiment` wrote.

    Raises
    ------
    FileNotFoundError
    """
    row = pl.read_parquet(path, glob=False).row(0, named=True)
    samples = tuple(_sample(stored) for stored in row["samples"])
    own = {"samples", "publication_authors", "relations"}
    names = set(Experiment.__dataclass_fields__) - own
    return Experiment(
        samples=samples,
        relations=tuple(Relation(**each) for each in row["relations"]),
        publication_authors=tuple(row["publication_authors"] or ()),
        **{name: row[name] for name in names},
    )


_SKIPPED = {"skip_code": pl.String(), "skip_reason": pl.String()}


def _nested_schema() -> dict[str, pl.DataType]:
    def inner(schema: Mapping[str, pl.DataType], *but: str) -> dict[str, pl.DataType]:
        return {name: kind for name, kind in schema.items() if name not in but}

    sample = inner(polars_schema(SAMPLES), "experiment")
    attribute = inner(polars_schema(SAMPLE_ATTRIBUTES), "experiment", "sample")
    file = inner(polars_schema(SAMPLE_FILES), "experiment", "sample")
    nested = {
        **sample,
        **_SKIPPED,
        "attributes": pl.List(pl.Struct(attribute)),
        "files": pl.List(pl.Struct(file)),
    }
    relation = inner(polars_schema(EXPERIMENT_RELATIONS), "experiment")
    return {
        **polars_schema(EXPERIMENTS),
        "relations": pl.List(pl.Struct(relation)),
        "samples": pl.List(pl.Struct(nested)),
    }


def _sample_row(sample: Sample) -> dict[str, Any]:
    code, reason = sample.skip_reason or (None, None)
    return {
        **{name: getattr(sample, name, None) for name in SAMPLES.column_names()},
        **sample.harmonised,
        "skip_code": code,
        "skip_reason": reason,
        "attributes": [{"position": n, **asdict(each)} for n, each in enumerate(sample.attributes)],
        "files": [{"position": n, **asdict(each)} for n, each in enumerate(sample.files)],
    }


def _sample(row: dict[str, Any]) -> Sample:
    own = {"harmonised", "attributes", "files", "skip_reason"}
    known = set(SAMPLES.column_names()) - set(Sample.__dataclass_fields__) - {"experiment"}
    return Sample(
        **{name: row[name] for name in set(Sample.__dataclass_fields__) - own},
        harmonised={name: row[name] for name in known if row[name] is not None},
        attributes=tuple(Attribute(each["key"], each["value"]) for each in row["attributes"]),
        files=tuple(
            RawFile(**{name: each[name] for name in RawFile.__dataclass_fields__})
            for each in row["files"]
        ),
        skip_reason=(row["skip_code"], row["skip_reason"]) if row["skip_code"] else None,
    )
