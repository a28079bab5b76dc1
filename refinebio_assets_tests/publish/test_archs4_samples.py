"""ARCHS4's fields of a sample, from records of every source."""

from __future__ import annotations

from typing import Any

import polars as pl

from refinebio_assets.publish.archs4 import NEEDED, PROBABILITY
from refinebio_assets.publish.archs4_samples import SAMPLE_FIELDS, sample_fields
from refinebio_assets_tests.publish.example import geo_sample, sra_sample

MADE = {"num_processed": 20_000_000, "num_mapped": 15_000_000}


def fields_of(record: Any) -> dict[str, Any]:
    row = sample_fields(record, "SRP1", MADE, 0.125)
    frame = pl.DataFrame([row], schema=SAMPLE_FIELDS, strict=True)
    assert set(row) == set(SAMPLE_FIELDS)
    assert {*NEEDED, PROBABILITY} <= set(row)
    assert not any(column.null_count() for column in frame.get_columns())
    return frame.row(0, named=True)


def test_geo_keeps_its_own_words() -> None:
    found = fields_of(
        geo_sample(
            "GSM1",
            ("title", "Sample 1"),
            ("source_name_ch1", "liver"),
            ("tissue", "liver"),
            ("age", "5"),
            ("extract_protocol_ch1", "RNA was extracted"),
            ("extract_protocol_ch1", "Libraries were made"),
            ("library_strategy", "RNA-Seq"),
            ("contact_email", "somebody@example.org"),
            ("submission_date", "Jan 01 2020"),
            title="Sample 1",
        )
    )
    assert found["geo_accession"] == "GSM1"
    assert found["series_id"] == "SRP1"
    assert found["title"] == "Sample 1"
    assert found["source_name_ch1"] == "liver"
    assert found["characteristics_ch1"] == "tissue: liver,age: 5"
    assert found["extract_protocol_ch1"] == "RNA was extracted,Libraries were made"
    assert found["library_strategy"] == "RNA-Seq"
    assert found["submission_date"] == "Jan 01 2020"
    assert found["organism_ch1"] == "Homo sapiens"
    assert (found["readstotal"], found["alignedreads"]) == (20_000_000, 15_000_000)
    assert found[PROBABILITY] == 0.125
    assert "somebody" not in str(found)


def test_other_sources_stand_where_archs4py_looks() -> None:
    found = fields_of(
        sra_sample(
            "SRR1",
            ("library_source", "TRANSCRIPTOMIC"),
            ("library_construction_protocol", "poly-A"),
            ("sample_alias", "GSM77"),
            ("strain", "AB"),
            ("dev_stage", "24 hpf"),
            title="embryo",
            specimen_part="whole embryo",
            age=2.5,
        )
    )
    assert found["library_source"] == "TRANSCRIPTOMIC"
    assert found["extract_protocol_ch1"] == "poly-A"
    assert found["sample_alias"] == "GSM77"
    assert found["characteristics_ch1"] == "strain: AB,dev_stage: 24 hpf"
    assert found["source_name_ch1"] == "whole embryo"  # harmonised, where none was submitted
    assert found["refinebio_specimen_part"] == "whole embryo"
    assert found["refinebio_age"] == "2.5"
    assert found["refinebio_sex"] == ""
    assert found["instrument_model"].startswith("Illumina HiSeq 2000")
    assert found["organism_ch1"] == "Danio rerio"


def test_sdrf_gives_its_characteristics_and_factors() -> None:
    found = fields_of(
        sra_sample(
            "ERR1",
            ("Source Name", "donor 1"),
            ("Characteristics [organism part]", "blood"),
            ("Factor Value [dose] (mg)", "5"),
            ("Comment[LIBRARY_STRATEGY]", "RNA-Seq"),
            ("Performer", "somebody"),
            source_database="ARRAY_EXPRESS",
        )
    )
    assert found["source_name_ch1"] == "donor 1"
    assert found["characteristics_ch1"] == "organism part: blood,dose: 5"
    assert found["library_strategy"] == "RNA-Seq"
