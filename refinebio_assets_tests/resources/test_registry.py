"""Sheets and catalogues are remembered by location, and read again when they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from refinebio_assets.errors import (
    ExperimentNotFound,
    InvalidAccession,
    InvalidSampleSheet,
    MissingIndex,
    UnsupportedOrganism,
)
from refinebio_assets.resources.http import Http
from refinebio_assets.resources.references import index_folder, newest_index
from refinebio_assets.resources.registry import (
    reference_entry,
    register_references,
    register_sample_sheet,
    survey,
)
from refinebio_assets.resources.storage import Storage

WEB = Http(attempts=1, first_wait=0)  # not asked for what is in a sheet
SHEET = "experiment,sample,organism,technology,files\nLAB-1,s1,Homo sapiens,RNA-SEQ,s1.fq\n"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.chdir(tmp_path)
    return Storage(home=str(tmp_path / "home"))


def test_a_relative_sheet_is_found_again_from_elsewhere(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("sheet.csv").write_text(SHEET)
    [registered] = register_sample_sheet(storage, "sheet.csv")
    monkeypatch.chdir("/")
    assert survey(storage, "LAB-1", WEB) == registered
    assert registered.samples[0].files[0].source_url == f"{tmp_path}/s1.fq"


def test_a_sheet_that_changes_is_read_anew(storage: Storage) -> None:
    Path("sheet.csv").write_text(SHEET)
    register_sample_sheet(storage, "sheet.csv")
    Path("sheet.csv").write_text(SHEET + SHEET.splitlines()[1].replace("s1", "s2"))
    assert [sample.sample for sample in survey(storage, "LAB-1", WEB).samples] == ["s1", "s2"]
    Path("sheet.csv").write_text(SHEET.replace("LAB-1", "LAB-2"))
    with pytest.raises(ExperimentNotFound, match="does not name LAB-1 any more"):
        survey(storage, "LAB-1", WEB)
    Path("sheet.csv").unlink()
    with pytest.raises(InvalidSampleSheet, match="cannot be read"):
        survey(storage, "LAB-1", WEB)


def test_nothing_of_an_invalid_sheet_is_registered(storage: Storage) -> None:
    Path("sheet.csv").write_text(SHEET + "LAB-2,s1,human,RNA-SEQ,s1.fq\n")
    with pytest.raises(InvalidSampleSheet):
        register_sample_sheet(storage, "sheet.csv")
    assert not storage.sample_sheets().exists()


def test_unknown_experiments(storage: Storage) -> None:
    with pytest.raises(ExperimentNotFound, match="No sample sheet is registered for LAB-1"):
        survey(storage, "LAB-1", WEB)
    with pytest.raises(InvalidAccession):
        survey(storage, "../LAB-1", WEB)


def test_references(storage: Storage) -> None:
    with pytest.raises(UnsupportedOrganism):
        reference_entry(storage, "HOMO_SAPIENS")
    with pytest.raises(UnsupportedOrganism):
        newest_index(storage, "HOMO_SAPIENS", "long")
    entry = {"database": "Lab", "release": 1, "assembly": "A", "transcripts": "t", "gene_map": "g"}
    Path("reference.yaml").write_text(yaml.safe_dump({"organisms": {"Homo sapiens": entry}}))
    [registered] = register_references(storage, "reference.yaml").organisms
    assert reference_entry(storage, "HOMO_SAPIENS") == registered
    with pytest.raises(MissingIndex, match="HOMO_SAPIENS has no long Salmon index"):
        newest_index(storage, "HOMO_SAPIENS", "long")


def test_of_several_releases_the_index_built_last_is_used(storage: Storage) -> None:
    for release, created_at in (("115", "2026-02"), ("116", "2026-01")):
        record = {
            "organism": "HOMO_SAPIENS",
            "length": "long",
            "sha256": "0",
            "created_at": created_at,
            "database": "EnsemblMain",
            "release": release,
            "assembly": "GRCh38",
        }
        folder = index_folder(storage.reference("HOMO_SAPIENS", release), "long")
        storage.write_json(folder / "index.json", record)
    newest = newest_index(storage, "HOMO_SAPIENS", "long")
    assert newest.release == "115"
    assert (newest.folder / "index.json").exists()
    with pytest.raises(MissingIndex):
        newest_index(storage, "HOMO_SAPIENS", "short")
