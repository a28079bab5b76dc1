"""Rows of the catalogue become what refine.bio's metadata say."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from refinebio_assets.publish.records import Processor, experiment_record, sample_record
from refinebio_assets.sources import geo
from refinebio_assets.tables import ARRAYS, EXPERIMENTS, QUANTIFICATIONS, SAMPLES
from refinebio_assets_tests.conftest import shared_data
from refinebio_assets_tests.publish.example import (
    SCANFAST,
    attribute_rows,
    geo_sample,
    row,
    sra_sample,
)


def _from(source: str, *pairs: tuple[str, str]) -> Any:
    stated = row(SAMPLES, sample="s", source_database=source, has_raw=True)
    found = sample_record(stated, attribute_rows(*pairs)).annotations
    return found[0] if found else None


def test_geo_keeps_its_own_keys_and_gets_its_characteristics_back() -> None:
    assert _from(
        "GEO",
        ("title", "A"),
        ("source_name_ch1", "liver"),
        ("tissue", "liver: left lobe"),
        ("characteristics_ch1", "no colon here"),
        ("Sex", "F"),
        ("molecule_ch1", "total RNA"),
        ("label_protocol_ch2", "Cy5"),
        ("data_processing", "first"),
        ("data_processing", "second"),
        ("supplementary_file_2", "ftp://x"),
        ("contact_zip/postal_code", "1"),
        ("geo_columns", "ID_REF"),
        ("geo_columns", "VALUE"),
    ) == {
        "title": ["A"],
        "source_name_ch1": ["liver"],
        "characteristics_ch1": ["tissue: liver: left lobe", "no colon here", "Sex: F"],
        "molecule_ch1": ["total RNA"],
        "label_protocol_ch2": ["Cy5"],
        "data_processing": ["first", "second"],
        "supplementary_file_2": ["ftp://x"],
        "contact_zip/postal_code": ["1"],
        "geo_columns": ["ID_REF", "VALUE"],
    }


def test_arrayexpress_has_characteristics_and_variables() -> None:
    assert _from(
        "ARRAY_EXPRESS",
        ("Source Name", "donor A"),
        ("Characteristics [organism part]", "islet"),
        ("Characteristics [organism part] Term Accession Number", "UBERON_1"),
        ("characteristics[Sex]", "female"),
        ("Factor Value [dose](x)", "3"),
        ("FactorValue[time]", "2"),
        ("Protocol REF", "P-1"),
        ("Protocol REF", "P-2"),
    ) == {
        "characteristic": [
            {"category": "organism part", "value": "islet"},
            {"category": "Sex", "value": "female"},
        ],
        "variable": [{"name": "dose", "value": "3"}, {"name": "time", "value": "2"}],
        "Source Name": "donor A",
        "Characteristics [organism part] Term Accession Number": "UBERON_1",
        "Protocol REF": ["P-1", "P-2"],
    }


def test_other_sources_stay_flat() -> None:
    pairs = (("characteristics_tissue_0_text", "gut"), ("a", "1"), ("a", "2"))
    assert _from("SRA", *pairs) == {"characteristics_tissue_0_text": "gut", "a": ["1", "2"]}
    assert _from("LOCAL", ("dose", "3")) == {"dose": "3"}
    assert _from("LOCAL") is None


def test_attributes_are_put_into_their_order() -> None:
    stated = row(SAMPLES, sample="s", source_database="GEO", has_raw=True)
    backwards = list(reversed(attribute_rows(("description", "one"), ("description", "two"))))
    assert sample_record(stated, backwards).annotations == ({"description": ["one", "two"]},)


def test_an_array_and_its_processor() -> None:
    sample = geo_sample(sex="male", age=0.0)
    assert sample.platform == "Affymetrix Human Genome U133A Array (hgu133a)"
    assert sample.processed
    assert sample.harmonised == {"sex": "male", "age": 0.0}
    assert sample.processor == SCANFAST
    assert SCANFAST.id == "affymetrix-scan-scanfast-refinebio-assets-0.1.0"


def test_the_detected_bead_array_is_an_annotation() -> None:
    array = row(
        ARRAYS,
        method="Illumina SCAN",
        engine="refinebio_assets",
        code_version="0.1.0",
        platform="illuminaHumanv3",
        detection_percentage=98.25,
        mapped_percentage=99.5,
    )
    stated = row(SAMPLES, sample="s", source_database="GEO", has_raw=True)
    sample = sample_record(stated, attribute_rows(("title", "t")), array=array)
    assert sample.annotations == (
        {"title": ["t"]},
        {
            "detected_platform": "illuminaHumanv3",
            "detection_percentage": 98.25,
            "mapped_percentage": 99.5,
        },
    )
    assert sample.processor == Processor("Illumina SCAN", "refinebio_assets 0.1.0")


def test_submitted_values_are_not_processed_from_raw() -> None:
    array = row(
        ARRAYS, method="submitter-processed", engine="refinebio_assets", code_version="0.1.0"
    )
    stated = row(SAMPLES, sample="s", source_database="GEO", has_raw=True)
    fallen_back = sample_record(stated, [], array=array)
    assert not fallen_back.processed
    assert fallen_back.processor is not None
    assert fallen_back.processor.name == "Submitter-processed"
    assert not sample_record({**stated, "has_raw": False}, []).processed


def test_what_r_made_says_so() -> None:
    array = row(ARRAYS, method="SCAN", engine="R SCAN.UPC", code_version="0.1.0")
    stated = row(SAMPLES, sample="s", source_database="GEO", has_raw=True)
    processor = sample_record(stated, [], array=array).processor
    assert processor is not None
    assert processor.version == "SCAN, R SCAN.UPC by refinebio_assets 0.1.0"


def test_a_run_is_tximports_or_salmons() -> None:
    assert sra_sample().processor == Processor("Tximport", "refinebio_assets 0.1.0, salmon 1.10.1")
    stated = row(SAMPLES, sample="s", source_database="SRA", has_raw=True)
    made = row(QUANTIFICATIONS, salmon_version="1.10.1", code_version="0.1.0")
    alone = sample_record(stated, [], quantification=made, quant_sf_only=True)
    assert alone.processor == Processor("Salmon Quant", "salmon 1.10.1")
    assert alone.platform == ""


def test_an_experiment() -> None:
    moment = datetime(2020, 1, 2, tzinfo=UTC)
    stated = row(
        EXPERIMENTS,
        experiment="SRP1",
        title="T",
        organisms=["DANIO_RERIO"],
        protocol_description='[{"Description": "d"}]',
        has_publication=None,
        source_last_modified=moment,
    )
    found = experiment_record(stated, ["SRR1", "SRR2"])
    assert found.samples == ("SRR1", "SRR2")
    assert found.protocol_description == [{"Description": "d"}]
    assert (found.title, found.description, found.has_publication) == ("T", "", False)
    assert (found.source_first_published, found.source_last_modified) == (None, moment)
    plain = experiment_record({**stated, "protocol_description": "Reads were [made"}, [])
    assert plain.protocol_description == "Reads were [made"
    assert experiment_record({**stated, "protocol_description": None}, []).protocol_description == (
        ""
    )


def test_the_characteristics_of_a_real_series_come_back_whole() -> None:
    """What the survey took apart is what the SOFT file says."""
    path = Path(shared_data("geo/soft/GSE3791_family.soft.gz"))
    with path.open("rb") as file:
        surveyed = geo.parse_series(file, "digest")
    said: dict[str, list[str]] = {}
    name = ""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            key, _, value = line.rstrip("\n").partition(" = ")
            if key == "^SAMPLE":
                name = value
            elif key == "!Sample_characteristics_ch1":
                characteristic, _, of_it = value.partition(":")  # blanks round it don't count
                said.setdefault(name, []).append(f"{characteristic.strip()}: {of_it.strip()}")
    assert said
    for sample in surveyed.samples:
        stated = row(SAMPLES, sample=sample.sample, source_database="GEO", has_raw=True)
        pairs = [(each.key, each.value) for each in sample.attributes]
        (annotation,) = sample_record(stated, attribute_rows(*pairs)).annotations
        assert annotation.get("characteristics_ch1", []) == said.get(sample.sample, [])
        assert annotation["geo_accession"] == [sample.sample]
