"""A small dataset, as rows of the catalogue and as records, that several tests use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from refinebio_assets.publish.metadata_files import DatasetMetadata, DistributionCheck
from refinebio_assets.publish.recipe import AggregateBy, Recipe
from refinebio_assets.publish.records import (
    ExperimentRecord,
    FilteredSample,
    Processor,
    SampleRecord,
    sample_record,
)
from refinebio_assets.tables import ARRAYS, QUANTIFICATIONS, SAMPLES, Table

CREATED = datetime(2026, 11, 21, 10, 30, 5, 999999, tzinfo=UTC)


def row(table: Table, **values: Any) -> dict[str, Any]:
    """A row as DuckDB gives it: every column, None where nothing is said."""
    assert not set(values) - set(table.column_names())
    return {**dict.fromkeys(table.column_names()), **values}


def attribute_rows(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"position": n, "key": key, "value": value} for n, (key, value) in enumerate(pairs)]


def geo_sample(name: str = "GSM1", *pairs: tuple[str, str], **values: Any) -> SampleRecord:
    stated = row(
        SAMPLES,
        experiment="GSE1",
        sample=name,
        organism="HOMO_SAPIENS",
        technology="MICROARRAY",
        source_database="GEO",
        has_raw=True,
        platform="hgu133a",
        platform_name="[HG-U133A] Affymetrix Human Genome U133A Array",
    )
    array = row(
        ARRAYS,
        experiment="GSE1",
        sample=name,
        method="SCANfast",
        engine="refinebio_assets",
        platform="hgu133a",
        code_version="0.1.0",
    )
    return sample_record({**stated, **values}, attribute_rows(*pairs), array=array)


def sra_sample(name: str = "SRR1", *pairs: tuple[str, str], **values: Any) -> SampleRecord:
    stated = row(
        SAMPLES,
        experiment="SRP1",
        sample=name,
        organism="DANIO_RERIO",
        technology="RNA-SEQ",
        source_database="SRA",
        has_raw=True,
        platform="IlluminaHiSeq2000",
        platform_name="Illumina HiSeq 2000",
    )
    made = row(QUANTIFICATIONS, salmon_version="1.10.1", code_version="0.1.0")
    return sample_record({**stated, **values}, attribute_rows(*pairs), quantification=made)


def experiment(name: str, samples: Sequence[str], **values: Any) -> ExperimentRecord:
    return replace(
        ExperimentRecord(name, f"Title of {name}", ("HOMO_SAPIENS",), tuple(samples)), **values
    )


def dataset(aggregate_by: AggregateBy = "EXPERIMENT", **recipe: Any) -> DatasetMetadata:
    """GSE1 has GSM1, GSM2 and GSM3, GSE2 GSM2 and GSM4, SRP1 SRR1. GSM3 is filtered."""
    samples = [
        geo_sample("GSM2", ("tissue", "liver"), title="second", sex="male", age=54.0),
        geo_sample("GSM1", ("tissue", "brain"), ("title", "µ-first"), title="µ-first"),
        geo_sample("GSM4", title="fourth"),
        sra_sample("SRR1", ("run_accession", "SRR1"), title="fish"),
    ]
    by_group = {
        "EXPERIMENT": {"GSE1": ["GSM2", "GSM1"], "GSE2": ["GSM4"], "SRP1": ["SRR1"]},
        "SPECIES": {"HOMO_SAPIENS": ["GSM2", "GSM1", "GSM4"], "DANIO_RERIO": ["SRR1"]},
        "ALL": {"ALL": ["GSM2", "GSM1", "GSM4", "SRR1"]},
    }
    wanted = {"GSE1": ("GSM2", "GSM3", "GSM1"), "GSE2": ("GSM4",), "SRP1": ("SRR1",)}
    filtered = replace(geo_sample("GSM3", title="third"), processor=None)
    return DatasetMetadata(
        recipe=Recipe(samples=wanted, aggregate_by=aggregate_by, **recipe),
        created_at=CREATED,
        experiments=[
            experiment("GSE1", ["GSM1", "GSM2", "GSM3"], source_first_published=CREATED),
            experiment("GSE2", ["GSM2", "GSM4"], has_publication=True, pubmed_id="12"),
            experiment("SRP1", ["SRR1"]),
        ],
        samples=samples,
        groups=by_group[aggregate_by],
        filtered=[FilteredSample(filtered, "GSE1", "The file is empty.", "GSM3.CEL")],
        check=DistributionCheck(0.0, 1.0, None),
    )


SCANFAST = Processor("Affymetrix SCAN", "SCANfast, refinebio_assets 0.1.0")
