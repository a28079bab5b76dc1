"""Datasets: asked for on the command line or by a file, made by Dagster, made again."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from refinebio_assets.cli import app
from refinebio_assets.dataset_requests import dataset_requests
from refinebio_assets.definitions import defs
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets.matrix.reader import read_block
from refinebio_assets.partitions import RANGE_START, register_experiments
from refinebio_assets.resources.datasets import record_of
from refinebio_assets.resources.qn_targets import newest_target
from refinebio_assets.resources.registry import register_sample_sheet
from refinebio_assets.running import run_job
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.end_to_end.test_microarrays import annotate, of_chip
from refinebio_assets_tests.end_to_end.test_microarrays import chip as chip
from refinebio_assets_tests.end_to_end.test_qn_target import make
from refinebio_assets_tests.synthetic import write_pair, write_sheet
from refinebio_assets_tests.synthetic_arrays import Chip, write_cel

ORGANISM = "HOMO_SAPIENS"
ARRAYS = {"LAB-A": ["a1", "a2", "a3"], "LAB-B": ["b1", "b2"]}


@pytest.fixture
def ready(laboratory: Laboratory, chip: Chip) -> Laboratory:
    """Two array experiments, one of RNA-seq, a broken array, a target and the catalogue."""
    annotate(laboratory, of_chip(chip))
    rows = []
    for experiment, samples in ARRAYS.items():
        for number, sample in enumerate(samples):
            write_cel(laboratory.inputs / f"{sample}.CEL", chip, seed=sum(sample.encode()))
            rows.append(_row(experiment, sample, f"{sample}.CEL", "MICROARRAY", str(number)))
    (laboratory.inputs / "bad.CEL").write_text("nothing")
    rows.append(_row("LAB-B", "bad", "bad.CEL", "MICROARRAY", "9"))
    reads = write_pair(laboratory.inputs, "r1", HUMAN, 400, seed=1)
    rows.append(_row("LAB-R", "r1", reads, "RNA-SEQ", "0"))
    sheet = write_sheet(laboratory.inputs / "sheet.tsv", rows)
    register_experiments(laboratory.instance, register_sample_sheet(laboratory.storage, str(sheet)))
    laboratory.process("LAB-A", "LAB-B", "LAB-R")
    laboratory.ask("SELECT 1")
    assert make(laboratory, 5) == []
    return laboratory


def _row(experiment: str, sample: str, files: str, technology: str, batch: str) -> dict[str, str]:
    return {
        "experiment": experiment,
        "sample": sample,
        "organism": "Homo sapiens",
        "technology": technology,
        "files": files,
        "title": f"Sample {sample}, µ",
        "sex": "female",
        "batch": batch,
    }


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dataset", *arguments])


def create(*arguments: str) -> zipfile.ZipFile:
    done = run("create", *arguments)
    assert done.exit_code == 0, done.output
    return zipfile.ZipFile(done.output.strip().splitlines()[-1])


def table(archive: zipfile.ZipFile, name: str) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(archive.read(name)), separator="\t", infer_schema_length=None)


def normalised(laboratory: Laboratory, experiment: str) -> tuple[list[str], np.ndarray]:
    path = laboratory.storage.expression_file(ORGANISM, "MICROARRAY", experiment)
    block = read_block(path, ARRAYS[experiment])
    target = newest_target(laboratory.storage, ORGANISM).numbers()
    return block.genes.to_list(), apply_target(block.values, target)


def test_by_experiment(ready: Laboratory) -> None:
    archive = create("--experiment", "LAB-A", "--experiment", "LAB-B", "--format", "parquet")
    assert archive.testzip() is None
    for experiment, samples in ARRAYS.items():
        matrix = table(archive, f"{experiment}/{experiment}.tsv")
        assert matrix.columns == ["Gene", *samples]
        metadata = table(archive, f"{experiment}/metadata_{experiment}.tsv")
        assert metadata["refinebio_accession_code"].to_list() == samples
        assert set(metadata["refinebio_sex"]) == {"female"}
        genes, values = normalised(ready, experiment)
        assert sorted(matrix["Gene"].to_list()) == sorted(genes)
        ordered = matrix.sort("Gene").drop("Gene").to_numpy()
        np.testing.assert_allclose(ordered, values[np.argsort(genes)], rtol=1e-5)
        wide = pl.read_parquet(io.BytesIO(archive.read(f"{experiment}/{experiment}.parquet")))
        assert wide.columns == matrix.columns
    told = json.loads(archive.read("aggregated_metadata.json"))
    assert (told["num_experiments"], told["num_samples"]) == (2, 5)
    manifest = json.loads(archive.read("manifest.json"))
    for entry in manifest["files"]:
        content = archive.read(entry["name"])
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert {"README.md", "LICENSE.TXT"} <= set(archive.namelist())
    [row] = ready.ask("SELECT status, num_samples, num_filtered FROM datasets")
    assert row == ("made", 5, 0)


def test_the_same_request_is_the_same_file(ready: Laboratory) -> None:
    first = create("--experiment", "LAB-A", "--scale-by", "STANDARD")
    path = Path(first.filename or "")
    before = path.read_bytes()
    assert "made before" in run("create", "--experiment", "LAB-A", "--scale-by", "STANDARD").output
    (path.parent / "dataset.json").unlink()
    path.unlink()
    create("--experiment", "LAB-A", "--scale-by", "STANDARD")
    assert path.read_bytes() == before
    assert run("replay", path.stem).output.splitlines()[-1] == "identical"
    other = create("--experiment", "LAB-A", "--scale-by", "MINMAX")
    assert Path(other.filename or "").stem != path.stem


def test_replay_says_what_changed(ready: Laboratory, chip: Chip) -> None:
    name = Path(create("--experiment", "LAB-A").filename or "").stem
    write_cel(ready.inputs / "a2.CEL", chip, seed=999)
    ready.process("LAB-A")
    ready.ask("SELECT 1")
    done = run("replay", name)
    assert done.exit_code == 1
    assert "sample a2: changed" in done.output
    assert "sample a1" not in done.output
    assert make(ready, 5) == []
    assert f"target of {ORGANISM}: changed" in run("replay", name).output


def test_a_partial_dataset_lists_what_is_missing(ready: Laboratory) -> None:
    archive = create("--sample", "LAB-B:b1", "--sample", "LAB-B:bad", "--sample", "LAB-B:b2")
    assert table(archive, "LAB-B/LAB-B.tsv").columns == ["Gene", "b1", "b2"]
    filtered = json.loads(archive.read("filtered_samples_metadata.json"))
    assert list(filtered) == ["bad"]
    assert "bad.CEL" in filtered["bad"]["reason"]
    assert "bad" in archive.read("README.md").decode()


def test_nothing_to_deliver_is_a_failure(ready: Laboratory) -> None:
    done = run("create", "--sample", "LAB-B:bad")
    assert done.exit_code == 1
    unknown = run("create", "--sample", "LAB-B:nobody")
    assert "not known" in unknown.output
    assert run("create", "--experiment", "LAB-X").exit_code == 1


def test_by_species_leaves_out_who_shares_no_gene(ready: Laboratory) -> None:
    """The reads' genes are not those of the chip: the larger side is delivered."""
    arguments = [word for name in (*ARRAYS, "LAB-R") for word in ("--experiment", name)]
    archive = create(*arguments, "--aggregate-by", "SPECIES")
    matrix = table(archive, f"{ORGANISM}/{ORGANISM}.tsv")
    assert matrix.columns == ["Gene", "a1", "a2", "a3", "b1", "b2"]
    filtered = json.loads(archive.read("filtered_samples_metadata.json"))
    assert set(filtered) == {"r1"}
    forecast = run("forecast", *arguments, "--aggregate-by", "SPECIES")
    assert forecast.exit_code == 0
    assert "hgu133a" in forecast.output


def test_a_sample_of_two_experiments(ready: Laboratory, chip: Chip) -> None:
    """By experiment it is in both matrices; by species once."""
    rows = [
        _row(experiment, sample, f"{sample}.CEL", "MICROARRAY", "0")
        for experiment, samples in (("LAB-C", ["a1", "b1"]), ("LAB-D", ["b1", "b2"]))
        for sample in samples
    ]
    sheet = write_sheet(ready.inputs / "shared.tsv", rows)
    register_experiments(ready.instance, register_sample_sheet(ready.storage, str(sheet)))
    ready.process("LAB-C", "LAB-D")
    ready.ask("SELECT 1")
    both = ("--experiment", "LAB-C", "--experiment", "LAB-D")
    archive = create(*both)
    first, second = (table(archive, f"{name}/{name}.tsv") for name in ("LAB-C", "LAB-D"))
    assert (first.columns[1:], second.columns[1:]) == (["a1", "b1"], ["b1", "b2"])
    assert first["b1"].equals(second["b1"])
    assert json.loads(archive.read("aggregated_metadata.json"))["num_samples"] == 3
    together = create(*both, "--aggregate-by", "SPECIES")
    assert table(together, f"{ORGANISM}/{ORGANISM}.tsv").columns == ["Gene", "a1", "b1", "b2"]


def test_quant_files_alone(ready: Laboratory) -> None:
    archive = create("--experiment", "LAB-R", "--quant-sf-only")
    folder = ready.storage.quant_folder("LAB-R", "r1")
    assert archive.read("LAB-R/r1_quant.sf") == (folder / "quant.sf").read_bytes()
    assert not any(
        name.endswith("LAB-R.tsv") and "metadata" not in name for name in archive.namelist()
    )


def test_without_a_target(ready: Laboratory) -> None:
    for path in ready.storage.qn_targets(ORGANISM).glob("*/target.json"):
        path.unlink()
    assert "missing_qn_target" in run("create", "--experiment", "LAB-A").output
    create("--experiment", "LAB-A", "--no-quantile-normalize")


def test_recipes_that_are_dropped_are_made_by_the_sensor(ready: Laboratory) -> None:
    folder = ready.home / "dataset_requests"
    folder.mkdir()
    (folder / "good.yaml").write_text("samples: {LAB-A: ALL}\nscale_by: ROBUST\n")
    (folder / "bad.json").write_text('{"samples": {"LAB-A": ["nobody"]}}')
    (folder / "worse.yaml").write_text("samples: [\n")
    queued = run("create", "--experiment", "LAB-B", "--queue").output.strip().splitlines()[-1]
    context = dg.build_sensor_context(
        instance=ready.instance, definitions=defs, resources=defs.resources
    )
    requests = dataset_requests.evaluate_tick(context).run_requests
    assert len(requests) == 2
    assert queued in {request.tags[RANGE_START] for request in requests}
    assert {path.suffix for path in folder.iterdir()} == {".accepted", ".rejected", ".txt"}
    assert "not known" in (folder / "bad.json.rejected.txt").read_text()
    for request in requests:
        [batch] = run_job(ready.instance, "make_datasets", [request.tags[RANGE_START]])
        assert batch.errors == []
        record = record_of(ready.storage, request.tags[RANGE_START])
        assert record is not None
        assert record["status"] == "made"
    again = dataset_requests.evaluate_tick(context)
    assert again.run_requests == []
    assert again.skip_message == "No dataset waits to be made."
