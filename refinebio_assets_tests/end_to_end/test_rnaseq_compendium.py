"""RNA-seq sample compendia: Salmon's files of all runs, in releases that stay as they are."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from refinebio_assets.cli import app
from refinebio_assets.partitions import register_organisms
from refinebio_assets.resources.compendia import Release, damaged_files, releases_of
from refinebio_assets.rnaseq.tximport import find_quant_files, gene_level
from refinebio_assets.running import BatchResult, run_job
from refinebio_assets_tests.end_to_end.conftest import HUMAN, MOUSE, Laboratory, Transcriptome
from refinebio_assets_tests.synthetic import write_pair, write_sheet

ORGANISM = "HOMO_SAPIENS"
ZIP = f"{ORGANISM}_rnaseq_compendium.zip"


@pytest.fixture(scope="module")
def processed(built_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LAB-A: two runs, one that is broken, one of the mouse; LAB-B: one; LAB-C: one, then lost."""
    folder = tmp_path_factory.mktemp("processed")
    shutil.copytree(built_home / "home", folder / "home")
    (folder / "inputs").mkdir()
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("REFINEBIO_HOME", str(folder / "home"))
        laboratory = Laboratory(folder / "home", folder / "inputs", instance)
        rows = [
            row(laboratory, "LAB-A", "a1"),
            row(laboratory, "LAB-A", "a2"),
            row(laboratory, "LAB-A", "a3", MOUSE),
            row(laboratory, "LAB-B", "b1"),
            row(laboratory, "LAB-C", "c1"),
        ]
        (laboratory.inputs / "bad.fastq").write_text("@read\nACGT\n+\n")
        rows.append({**rows[0], "sample": "bad", "files": "bad.fastq"})
        process(laboratory, rows, "LAB-A", "LAB-B", "LAB-C")
        shutil.rmtree(laboratory.storage.processed("quant") / "LAB-C")
    return folder / "home"


@pytest.fixture
def ready(processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    shutil.copytree(processed, tmp_path / "home")
    monkeypatch.setenv("REFINEBIO_HOME", str(tmp_path / "home"))
    (tmp_path / "inputs").mkdir()
    with dg.instance_for_test() as instance:
        register_organisms(instance, [ORGANISM])
        yield Laboratory(tmp_path / "home", tmp_path / "inputs", instance)


def row(
    laboratory: Laboratory, experiment: str, sample: str, of: Transcriptome = HUMAN
) -> dict[str, str]:
    seed = sum(sample.encode())
    return {
        "experiment": experiment,
        "sample": sample,
        "organism": of.organism.replace("_", " ").capitalize(),
        "files": write_pair(laboratory.inputs, sample, of, 400, seed=seed),
        "title": f"Sample {sample}",
        "batch": "µ",
    }


def process(laboratory: Laboratory, rows: list[dict[str, str]], *experiments: str) -> None:
    laboratory.survey(write_sheet(laboratory.inputs / "sheet.tsv", rows))
    laboratory.process(*experiments)
    laboratory.ask("SELECT 1")


def build(laboratory: Laboratory, **config: Any) -> BatchResult:
    settings = {"ops": {"rnaseq_compendium": {"config": config}}}
    [batch] = run_job(laboratory.instance, "build_rnaseq_compendia", [ORGANISM], settings)
    return batch


def releases(laboratory: Laboratory) -> list[Release]:
    return releases_of(laboratory.storage, "rnaseq", ORGANISM)


def checks(laboratory: Laboratory, batch: BatchResult) -> dict[str, dg.AssetCheckEvaluation]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    records = laboratory.instance.get_records_for_run(batch.run_id, of_type=kind).records
    found = [each.event_log_entry.dagster_event.event_specific_data for each in records]
    return {each.check_name: each for each in found}


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_all_runs_are_in_and_what_is_missing_has_a_reason(ready: Laboratory) -> None:
    batch = build(ready)
    assert batch.errors == []
    [release] = releases(ready)
    with zipfile.ZipFile(release.folder / ZIP) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        assert {name for name in names if name.endswith("quant.sf")} == {
            "LAB-A/a1_quant.sf",
            "LAB-A/a2_quant.sf",
            "LAB-B/b1_quant.sf",
        }
        for name in ("a1", "a2"):
            stored = ready.storage.quant_folder("LAB-A", name) / "quant.sf"
            assert archive.read(f"LAB-A/{name}_quant.sf") == stored.read_bytes()
        assert {"README.md", "LICENSE.TXT", "manifest.json"} <= names
        told = json.loads(archive.read("aggregated_metadata.json"))
        samples, experiments = told.pop("samples"), told.pop("experiments")
        del told["created_at"]
        assert told == {
            "compendium_version": 1,
            "num_experiments": 2,
            "num_samples": 3,
            "quant_sf_only": True,
        }
        assert list(samples) == ["a1", "a2", "b1"]
        assert samples["a1"]["refinebio_processor_name"] == "Salmon Quant"
        assert experiments["LAB-A"]["sample_accession_codes"] == ["a1", "a2", "a3"]
        text = io.StringIO(archive.read("LAB-A/metadata_LAB-A.tsv").decode())
        [first, second] = csv.DictReader(text, delimiter="\t")
        assert (first["refinebio_accession_code"], first["batch"]) == ("a1", "µ")
        assert second["refinebio_title"] == "Sample a2"
        filtered = json.loads(archive.read("filtered_samples_metadata.json"))
        assert {name: each["experiment_accession_code"] for name, each in filtered.items()} == {
            "bad": "LAB-A",
            "c1": "LAB-C",
        }
        assert filtered["c1"]["reason"] == "It has no quant.sf."
        assert "bad.fastq" in filtered["bad"]["reason"]
    found = checks(ready, batch)
    assert found["zip_is_whole"].passed
    delivered = found["all_samples_delivered"]
    assert not delivered.passed
    assert delivered.severity == dg.AssetCheckSeverity.WARN
    assert "3 quantified samples are in the zip; 1 left out: c1 of LAB-C: It has no quant.sf." in (
        delivered.description or ""
    )
    table = pl.read_parquet(release.folder / "samples.parquet")
    assert table["sample"].to_list() == ["a1", "a2", "b1"]
    assert set(table["reference_release"]) == {"1"}
    assert set(table["index_length"]) == {"long"}
    assert table["is_processed"].all()
    [version] = set(table["salmon_version"])
    assert version
    left_out = pl.read_parquet(release.folder / "left_out.parquet")
    assert left_out.select("experiment", "sample", "rule").rows() == [
        ("LAB-A", "bad", "not_quantified"),
        ("LAB-C", "c1", "no_file"),
    ]
    [catalogued] = ready.ask(
        "SELECT version, is_current, organisms, num_samples, num_experiments, num_left_out, "
        "file, sha256 FROM compendia WHERE kind = 'rnaseq'"
    )
    file = f"rnaseq_compendia/{ORGANISM}/1/{ZIP}"
    assert catalogued[:-1] == (1, True, [ORGANISM], 3, 2, 2, file)
    assert catalogued[-1] == hashlib.sha256((ready.home / file).read_bytes()).hexdigest()


def test_releases_are_numbered_and_stay_as_they_are(ready: Laboratory) -> None:
    assert build(ready).errors == []
    [first] = releases(ready)
    before = digests(first.folder)
    assert build(ready).errors == []
    quant = ready.storage.quant_folder("LAB-B", "b1") / "quant.sf"
    os.utime(quant, (1_000_000_000, 1_000_000_000))  # as after a restored backup
    again = build(ready)
    assert again.errors == []
    assert [each.version for each in releases(ready)] == [1]
    event = ready.instance.get_latest_materialization_event(dg.AssetKey("rnaseq_compendium"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["new_release"].value is False
    process(ready, [row(ready, "LAB-D", "d1")], "LAB-D")
    assert build(ready).errors == []
    first, second = releases(ready)
    assert digests(first.folder) == before
    assert damaged_files(first) == damaged_files(second) == []
    assert (first.record["num_samples"], second.record["num_samples"]) == (3, 4)
    with zipfile.ZipFile(second.folder / ZIP) as archive:
        assert "LAB-D/d1_quant.sf" in archive.namelist()
        told = json.loads(archive.read("aggregated_metadata.json"))
        assert told["compendium_version"] == 2
    assert not list((ready.home / "staging").iterdir())
    rows = ready.ask("SELECT version, is_current FROM compendia ORDER BY version")
    assert rows == [(1, False), (2, True)]


def test_unprocessed_runs_are_in_and_cut_ones_are_not(ready: Laboratory) -> None:
    """b1: not known to be quantified, but for its files; a2: cut in the middle of a line."""
    ready.storage.status_file("gene_counts", "LAB-B").unlink()
    ready.storage.table_file("quantifications", "LAB-B").unlink()
    cut = ready.storage.quant_folder("LAB-A", "a2") / "quant.sf"
    cut.write_bytes(cut.read_bytes()[:-7])
    ready.ask("SELECT 1")
    batch = build(ready)
    assert batch.errors == []
    [release] = releases(ready)
    table = pl.read_parquet(release.folder / "samples.parquet")
    assert table.select("sample", "is_processed").rows() == [("a1", True), ("b1", False)]
    assert table["salmon_version"].n_unique() == 1  # b1's is read from beside its files
    with zipfile.ZipFile(release.folder / ZIP) as archive:
        assert "LAB-B/b1_quant.sf" in archive.namelist()
        assert "LAB-A/a2_quant.sf" not in archive.namelist()
        told = json.loads(archive.read("aggregated_metadata.json"))
        assert told["samples"]["b1"]["refinebio_processor_name"] == "Salmon Quant"
        filtered = json.loads(archive.read("filtered_samples_metadata.json"))
        assert filtered["a2"]["reason"].startswith("Its quant.sf is cut or malformed: quant.sf is")
        assert "1 files are of samples that are not processed" in archive.read("README.md").decode()
    assert "a2 of LAB-A: Its quant.sf is cut" in (
        checks(ready, batch)["all_samples_delivered"].description or ""
    )


def test_whole_folders_can_be_summed_to_genes(ready: Laboratory, tmp_path: Path) -> None:
    assert build(ready).errors == []
    assert build(ready, full_folders=True).errors == []
    _, release = releases(ready)
    with zipfile.ZipFile(release.folder / ZIP) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "out")
    folder = ready.storage.quant_folder("LAB-A", "a1")
    expected = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    unpacked = tmp_path / "out" / "LAB-A" / "a1"
    assert {"quant.sf", "cmd_info.json", "aux_info/meta_info.json"} <= expected.keys()
    assert {
        path.relative_to(unpacked).as_posix(): path.read_bytes()
        for path in unpacked.rglob("*")
        if path.is_file()
    } == expected
    files = find_quant_files(tmp_path / "out" / "LAB-A")
    assert list(files) == ["a1", "a2"]
    genes = pl.DataFrame({"transcript": HUMAN.genes.keys(), "gene": HUMAN.genes.values()})
    counts = gene_level({"a1": files["a1"]}, genes).counts
    [(total,)] = ready.ask("SELECT sum(counts) FROM gene_counts WHERE sample = 'a1'")
    assert counts.sum() == pytest.approx(total, rel=1e-6)
    assert "`<EXPERIMENT>/<SAMPLE>/`" in (tmp_path / "out" / "README.md").read_text()


def test_nothing_is_published_where_nothing_is_whole(ready: Laboratory) -> None:
    for path in ready.storage.processed("quant").glob("*/*/quant.sf"):
        path.write_text("Name\n")
    [error] = build(ready).errors
    assert "none has a whole quant.sf" in error
    assert releases(ready) == []
    assert not list((ready.home / "staging").iterdir())


def test_a_zip_that_lacks_a_sample_is_not_published(
    ready: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what makes the zip loses a file, the check, which reads the zip, says so."""
    from refinebio_assets.assets import rnaseq_compendium_files

    members = rnaseq_compendium_files._members

    def forgetful(*arguments: Any, **options: Any) -> list[tuple[str, Path]]:
        return [each for each in members(*arguments, **options) if "/a2" not in each[0]]

    monkeypatch.setattr(rnaseq_compendium_files, "_members", forgetful)
    batch = build(ready)
    [error] = batch.errors
    assert "a2 of LAB-A" in error
    found = checks(ready, batch)
    assert not found["zip_is_whole"].passed
    assert "a2 of LAB-A (no reason is known)" in (found["all_samples_delivered"].description or "")
    assert releases(ready) == []


def test_the_command_line(ready: Laboratory) -> None:
    run = CliRunner().invoke
    done = run(app, ["compendium", "build", "Homo sapiens", "--rnaseq"])
    assert done.exit_code == 0, done.output
    assert (Path(done.output.strip().splitlines()[-1]) / ZIP).exists()
    assert "rnaseq" in run(app, ["compendium", "list"]).output
    assert run(app, ["compendium", "verify", ORGANISM, "--rnaseq"]).exit_code == 0
