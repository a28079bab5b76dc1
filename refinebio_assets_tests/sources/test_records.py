"""Experiments come back from Parquet as they were written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.sources.records import (
    TECHNOLOGIES,
    Attribute,
    Experiment,
    RawFile,
    Relation,
    Sample,
    read_experiment,
    write_experiment,
)
from refinebio_assets.tables import HARMONISED_FIELDS

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)

TEXT = st.text(max_size=20)
MAYBE = st.none() | TEXT
SIZES = st.integers(0, 2**63 - 1)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
HARMONISED = st.fixed_dictionaries(
    {},
    optional={
        field.name: TEXT if field.type == "VARCHAR" else st.floats(allow_nan=False)
        for field in HARMONISED_FIELDS
    },
)


def tuples(of: type) -> st.SearchStrategy:
    """Up to three records, of which every optional field may be given or not."""
    return st.lists(st.builds(of, **FIELDS.get(of, {})), max_size=3).map(tuple)


FIELDS: dict[type, dict[str, st.SearchStrategy]] = {
    Attribute: {"key": TEXT, "value": TEXT},
    Relation: {"relation": TEXT, "target": TEXT},
    RawFile: {
        "filename": TEXT,
        "source_url": TEXT,
        "is_raw": st.booleans(),
        "is_archive": st.booleans(),
        "expected_md5": MAYBE,
        "expected_bytes": st.none() | SIZES,
    },
}
FIELDS[Sample] = {
    "sample": TEXT,
    "organism": TEXT,
    "technology": st.sampled_from(TECHNOLOGIES),
    "source_database": TEXT,
    "title": MAYBE,
    "source_archive_url": MAYBE,
    "has_raw": st.booleans(),
    "platform": MAYBE,
    "platform_name": MAYBE,
    "manufacturer": MAYBE,
    "library_layout": MAYBE,
    "protocol_info": MAYBE,
    "harmonised": HARMONISED,
    "attributes": tuples(Attribute),
    "files": tuples(RawFile),
    "skip_reason": st.none() | st.tuples(st.text(min_size=1), TEXT),
}
FIELDS[Experiment] = {
    "experiment": TEXT,
    "source_database": TEXT,
    "samples": tuples(Sample),
    "source_sha256": TEXT,
    "title": MAYBE,
    "description": MAYBE,
    "alternate_accession": MAYBE,
    "source_url": MAYBE,
    "protocol_description": MAYBE,
    "submitter_institution": MAYBE,
    "publication_title": MAYBE,
    "publication_doi": MAYBE,
    "publication_authors": st.lists(TEXT, max_size=3).map(tuple),
    "pubmed_id": MAYBE,
    "source_first_published": MOMENTS,
    "source_last_modified": MOMENTS,
    "relations": tuples(Relation),
}


def write(experiment: Experiment, path: Path) -> None:
    write_experiment(experiment, path, code_version="1.2", run_id="r", recorded_at=NOW)


def test_every_field_is_tried() -> None:
    for record, fields in FIELDS.items():
        assert set(fields) == set(record.__dataclass_fields__)


@settings(max_examples=60, deadline=None)
@given(experiment=st.builds(Experiment, **FIELDS[Experiment]))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> None:
    path = tmp_path_factory.getbasetemp() / "experiment.parquet"
    write(experiment, path)
    assert read_experiment(path) == experiment


def test_derived_columns_and_lineage_are_written(tmp_path: Path) -> None:
    def sample(name: str, organism: str, technology: str) -> Sample:
        return Sample(name, organism, technology, "LOCAL")

    experiment = Experiment(
        "LAB-1",
        "LOCAL",
        (sample("b", "MUS_MUSCULUS", "RNA-SEQ"), sample("a", "HOMO_SAPIENS", "MICROARRAY")),
        "0" * 64,
        publication_doi="10.1/x",
    )
    path = tmp_path / "LAB-1.parquet"
    write(experiment, path)
    row = pl.read_parquet(path).row(0, named=True)
    assert row["num_samples"] == 2
    assert row["technology"] == "MICROARRAY;RNA-SEQ"
    assert row["organisms"] == ["HOMO_SAPIENS", "MUS_MUSCULUS"]
    assert row["has_publication"] is True
    assert (row["code_version"], row["run_id"], row["recorded_at"]) == ("1.2", "r", NOW)


def test_no_such_experiment(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_experiment(tmp_path / "LAB-1.parquet")
