"""The metadata files: names, fields and order are refine.bio's."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refinebio_assets.publish.metadata_files import (
    DatasetMetadata,
    DistributionCheck,
    file_name,
    sample_object,
    write_metadata,
)
from refinebio_assets.publish.records import FilteredSample
from refinebio_assets_tests.publish.example import CREATED, dataset, geo_sample, sra_sample

SAMPLE_FIELDS = [
    "refinebio_accession_code",
    "refinebio_age",
    "refinebio_annotations",
    "refinebio_cell_line",
    "refinebio_compound",
    "refinebio_developmental_stage",
    "refinebio_disease",
    "refinebio_disease_stage",
    "refinebio_genetic_information",
    "refinebio_organism",
    "refinebio_platform",
    "refinebio_processed",
    "refinebio_processor_id",
    "refinebio_processor_name",
    "refinebio_processor_version",
    "refinebio_race",
    "refinebio_sex",
    "refinebio_source_archive_url",
    "refinebio_source_database",
    "refinebio_specimen_part",
    "refinebio_subject",
    "refinebio_time",
    "refinebio_title",
    "refinebio_treatment",
]


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _header(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].split("\t")


def _names(path: Path) -> list[str]:
    return [each["refinebio_accession_code"] for each in _table(path)]


# --- which files ----------------------------------------------------------------------


def test_files_by_experiment(tmp_path: Path) -> None:
    written = write_metadata(dataset(), tmp_path)
    assert list(written.files) == [
        "aggregated_metadata.json",
        "filtered_samples_metadata.json",
        "filtered_samples_metadata.tsv",
        "GSE1/metadata_GSE1.tsv",
        "GSE2/metadata_GSE2.tsv",
        "SRP1/metadata_SRP1.tsv",
    ]
    assert all(path == tmp_path / name for name, path in written.files.items())
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(written.files.values())


def test_files_by_species_and_all_together(tmp_path: Path) -> None:
    by_species = write_metadata(dataset("SPECIES"), tmp_path / "a")
    assert [name for name in by_species.files if "/" in name] == [
        "HOMO_SAPIENS/metadata_HOMO_SAPIENS.tsv",
        "HOMO_SAPIENS/metadata_HOMO_SAPIENS.json",
        "DANIO_RERIO/metadata_DANIO_RERIO.tsv",
        "DANIO_RERIO/metadata_DANIO_RERIO.json",
    ]
    together = write_metadata(dataset("ALL"), tmp_path / "b")
    assert [name for name in together.files if "/" in name] == ["ALL/metadata_ALL.tsv"]


def test_no_filtered_files_without_filtered_samples(tmp_path: Path) -> None:
    written = write_metadata(replace(dataset(), filtered=()), tmp_path)
    assert not any(name.startswith("filtered") for name in written.files)


def test_names_of_files_are_ascii() -> None:
    assert file_name("GSE1-µβ") == "GSE1-"


# --- the aggregated document ----------------------------------------------------------


def test_the_aggregated_document(tmp_path: Path) -> None:
    write_metadata(dataset(), tmp_path)
    text = (tmp_path / "aggregated_metadata.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert text == json.dumps(found, indent=4, sort_keys=True, ensure_ascii=False) + "\n"
    samples, experiments = found.pop("samples"), found.pop("experiments")
    assert found == {
        "aggregate_by": "EXPERIMENT",
        "created_at": "2026-11-21T10:30:05",
        "ks_pvalue": 1.0,
        "ks_statistic": 0.0,
        "ks_warning": None,
        "num_experiments": 3,
        "num_samples": 4,
        "quant_sf_only": False,
        "quantile_normalized": True,
        "scale_by": "NONE",
    }
    assert list(samples) == ["GSM1", "GSM2", "GSM4", "SRR1"]
    assert experiments["GSE1"] == {
        "accession_code": "GSE1",
        "description": "",
        "has_publication": False,
        "organisms": ["HOMO_SAPIENS"],
        "protocol_description": "",
        "publication_doi": "",
        "publication_title": "",
        "pubmed_id": "",
        "sample_accession_codes": ["GSM1", "GSM2"],
        "source_first_published": "2026-11-21T10:30:05",
        "source_last_modified": "",
        "submitter_institution": "",
        "technology": "",
        "title": "Title of GSE1",
    }
    assert experiments["GSE2"]["sample_accession_codes"] == ["GSM2", "GSM4"]


def test_a_sample(tmp_path: Path) -> None:
    write_metadata(dataset(), tmp_path)
    found = json.loads((tmp_path / "aggregated_metadata.json").read_text(encoding="utf-8"))
    sample = found["samples"]["GSM2"]
    assert list(sample) == SAMPLE_FIELDS
    assert {key: value for key, value in sample.items() if value not in ("", [])} == {
        "refinebio_accession_code": "GSM2",
        "refinebio_age": 54.0,
        "refinebio_annotations": [{"characteristics_ch1": ["tissue: liver"]}],
        "refinebio_organism": "HOMO_SAPIENS",
        "refinebio_platform": "Affymetrix Human Genome U133A Array (hgu133a)",
        "refinebio_processed": True,
        "refinebio_processor_id": "affymetrix-scan-scanfast-refinebio-assets-0.1.0",
        "refinebio_processor_name": "Affymetrix SCAN",
        "refinebio_processor_version": "SCANfast, refinebio_assets 0.1.0",
        "refinebio_sex": "male",
        "refinebio_source_database": "GEO",
        "refinebio_title": "second",
    }
    assert "µ-first" in (tmp_path / "aggregated_metadata.json").read_text(encoding="utf-8")
    assert "refinebio_processor_id" not in sample_object(dataset().filtered[0].sample)


def test_salmon_files_only_say_nothing_of_matrices(tmp_path: Path) -> None:
    write_metadata(dataset(quant_sf_only=True), tmp_path)
    found = json.loads((tmp_path / "aggregated_metadata.json").read_text())
    assert set(found) == {
        "created_at",
        "experiments",
        "num_experiments",
        "num_samples",
        "quant_sf_only",
        "samples",
    }


def test_times_are_utc_and_must_have_a_zone(tmp_path: Path) -> None:
    east = CREATED.astimezone(timezone(timedelta(hours=5)))
    assert replace(dataset(), created_at=east).created() == "2026-11-21T10:30:05"
    with pytest.raises(ValueError, match="time zone"):
        write_metadata(replace(dataset(), created_at=datetime(2026, 1, 1)), tmp_path)


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    odd = replace(
        geo_sample("GSM2"), annotations=({"a": math.nan, "b": [math.inf]},), harmonised={}
    )
    check = DistributionCheck(math.nan, -math.inf)
    written = replace(dataset(), samples=[odd], groups={"GSE1": ["GSM2"]}, check=check)
    write_metadata(written, tmp_path)

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    text = (tmp_path / "aggregated_metadata.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert (found["ks_statistic"], found["ks_pvalue"]) == (None, None)
    assert found["samples"]["GSM2"]["refinebio_annotations"] == [{"a": None, "b": [None]}]
    (row,) = _table(tmp_path / "GSE1/metadata_GSE1.tsv")
    assert (row["a"], row["b"]) == ("", "")


# --- tables ---------------------------------------------------------------------------


def test_one_header_for_all_tables(tmp_path: Path) -> None:
    write_metadata(dataset(), tmp_path)
    own = [name for name in SAMPLE_FIELDS[1:] if name != "refinebio_annotations"]
    expected = [
        "refinebio_accession_code",
        "experiment_accession",
        *own,
        "characteristics_ch1_tissue",
        "run_accession",
        "title",
    ]
    for name in ("GSE1", "GSE2", "SRP1"):
        assert _header(tmp_path / name / f"metadata_{name}.tsv") == expected


def test_rows_of_a_table(tmp_path: Path) -> None:
    write_metadata(dataset(), tmp_path)
    first, second = _table(tmp_path / "GSE1/metadata_GSE1.tsv")
    assert (first["refinebio_accession_code"], second["refinebio_accession_code"]) == (
        "GSM2",
        "GSM1",
    )
    assert first["experiment_accession"] == "GSE1"
    assert (first["refinebio_age"], second["refinebio_age"]) == ("54.0", "")
    assert first["refinebio_processed"] == "True"
    assert first["characteristics_ch1_tissue"] == "liver"
    assert second["title"] == "µ-first"


def test_a_sample_of_two_experiments_is_in_both_tables(tmp_path: Path) -> None:
    """It was asked for under GSE1 alone; GSE2's own samples stand first."""
    write_metadata(dataset(), tmp_path)
    rows = _table(tmp_path / "GSE2/metadata_GSE2.tsv")
    assert [(row["refinebio_accession_code"], row["experiment_accession"]) for row in rows] == [
        ("GSM4", "GSE2"),
        ("GSM2", "GSE1"),
    ]


@pytest.mark.parametrize("by", ["SPECIES", "ALL"])
def test_rows_stand_as_the_columns_of_the_matrix(tmp_path: Path, by: Any) -> None:
    plain = dataset(by)
    turned = {name: list(reversed(samples)) for name, samples in plain.groups.items()}
    write_metadata(replace(plain, groups=turned), tmp_path)
    for name, samples in turned.items():
        assert _names(tmp_path / name / f"metadata_{name}.tsv") == samples


def test_the_document_of_a_species(tmp_path: Path) -> None:
    write_metadata(dataset("SPECIES"), tmp_path)
    text = (tmp_path / "DANIO_RERIO/metadata_DANIO_RERIO.json").read_text()
    found = json.loads(text)
    assert text == json.dumps(found, indent=4, sort_keys=True) + "\n"
    assert found == {"species": "DANIO_RERIO", "samples": [sample_object(dataset().samples[3])]}


def test_filtered_samples(tmp_path: Path) -> None:
    plain = dataset()
    known = [*plain.filtered, FilteredSample(sra_sample("SRR9", ("reason", "x")), "SRP1", "Late.")]
    write_metadata(replace(plain, filtered=known), tmp_path)
    found = json.loads((tmp_path / "filtered_samples_metadata.json").read_text())
    assert list(found) == ["GSM3", "SRR9"]
    extra = ("reason", "experiment_accession_code", "filename")
    assert [found["GSM3"][key] for key in extra] == ["The file is empty.", "GSE1", "GSM3.CEL"]
    assert "filename" not in found["SRR9"]
    path = tmp_path / "filtered_samples_metadata.tsv"
    assert _header(path)[:6] == [
        "refinebio_accession_code",
        "experiment_accession",
        "experiment_accession_code",
        "filename",
        "reason",
        "refinebio_age",
    ]
    assert [(row["reason"], row["filename"]) for row in _table(path)] == [
        ("The file is empty.", "GSM3.CEL"),
        ("Late.", ""),
    ]


def test_a_sample_delivered_in_one_matrix_and_left_out_of_another(tmp_path: Path) -> None:
    plain = dataset()
    left_out = FilteredSample(plain.samples[0], "GSE2", "No gene in common.")
    write_metadata(replace(plain, filtered=[left_out]), tmp_path)
    found = json.loads((tmp_path / "aggregated_metadata.json").read_text(encoding="utf-8"))
    assert "GSM2" in found["samples"]
    assert "GSM2" in found["experiments"]["GSE2"]["sample_accession_codes"]


def test_submitted_keys_cannot_be_ours(tmp_path: Path) -> None:
    sample = sra_sample(
        "SRR1", ("experiment_accession", "SRX1"), ("refinebio_sex", "x"), ("refinebio_new", "y")
    )
    plain = dataset()
    written = write_metadata(replace(plain, samples=[*plain.samples[:3], sample]), tmp_path)
    (row,) = _table(tmp_path / "SRP1/metadata_SRP1.tsv")
    assert (row["experiment_accession"], row["refinebio_sex"]) == ("SRP1", "")
    assert "refinebio_new" not in row
    assert [warning.split("'")[1] for warning in written.warnings] == [
        "experiment_accession",
        "refinebio_new",
        "refinebio_sex",
    ]
    assert not write_metadata(plain, tmp_path / "plain").warnings


# --- whatever is submitted ------------------------------------------------------------


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6), TEXTS, st.sampled_from(["GEO", "SRA"]))
def test_any_submission_comes_back_from_the_document(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], title: str, source: str
) -> None:
    folder = tmp_path_factory.mktemp("dataset")
    sample = geo_sample("GSM2", *pairs, title=title, source_database=source)
    written: DatasetMetadata = replace(dataset(), samples=[sample], groups={"GSE1": ["GSM2"]})
    write_metadata(written, folder / "a")
    write_metadata(written, folder / "b")
    assert _contents(folder / "a") == _contents(folder / "b")
    text = (folder / "a/aggregated_metadata.json").read_text(encoding="utf-8")
    found = json.loads(text)["samples"]["GSM2"]
    assert found == sample_object(sample)
    (row,) = _table(folder / "a/GSE1/metadata_GSE1.tsv")
    assert None not in row  # as many cells as columns
    assert row["refinebio_accession_code"] == "GSM2"
