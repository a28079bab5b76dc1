"""Normalized compendia: made by Dagster of real arrays and reads, in releases that stay."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import anndata
import duckdb
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from refinebio_assets.cli import app
from refinebio_assets.compendium.reader import open_release_matrix
from refinebio_assets.partitions import register_experiments
from refinebio_assets.resources.compendia import damaged_files, release_named, releases_of
from refinebio_assets.resources.registry import register_sample_sheet
from refinebio_assets.running import BatchResult, run_job
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.end_to_end.test_microarrays import annotate
from refinebio_assets_tests.end_to_end.test_qn_target import make as make_target
from refinebio_assets_tests.synthetic import write_pair, write_sheet
from refinebio_assets_tests.synthetic_arrays import Chip, make_chip, write_cel

ORGANISM = "HOMO_SAPIENS"
CHIPS = {"hgu133a": ("HG-U133A", 40), "hgu95av2": ("HG_U95Av2", 28)}  # genes that they measure
ARRAYS = {"LAB-A": ("hgu133a", 6), "LAB-B": ("hgu95av2", 4)}
READS = ("r1", "r2", "r3", "r4")


@pytest.fixture(scope="session")
def chips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chip]:
    """Two chips, of which one knows all genes of the transcriptome, and one some of them."""
    found = {}
    human = sorted(set(HUMAN.genes.values()))
    for number, (platform, (chip_type, measured)) in enumerate(CHIPS.items()):
        chip = make_chip(tmp_path_factory.mktemp(platform), chip_type, seed=number)
        names = dict(zip(chip.genes, human[:measured], strict=False))
        mapped = pl.read_csv(chip.gene_map, separator="\t").filter(pl.col("gene").is_in(names))
        renamed = mapped.with_columns(pl.col("gene").replace_strict(names))
        path = chip.gene_map.with_name("renamed_genes.tsv")
        renamed.write_csv(path, separator="\t")
        found[platform] = dataclasses.replace(chip, gene_map=path, genes=human[:measured])
    return found


@pytest.fixture
def ready(laboratory: Laboratory, chips: dict[str, Chip]) -> Laboratory:
    """Arrays of two platforms, reads, a target and the catalogue."""
    annotate(
        laboratory,
        {
            name: {"probes": str(each.probe_tab), "genes": str(each.gene_map)}
            for name, each in chips.items()
        },
    )
    rows = []
    for experiment, (platform, count) in ARRAYS.items():
        for number in range(count):
            sample = f"{experiment[-1].lower()}{number}"
            write_cel(laboratory.inputs / f"{sample}.CEL", chips[platform], seed=number)
            rows.append(_row(experiment, sample, f"{sample}.CEL", "MICROARRAY"))
    for number, sample in enumerate(READS):
        reads = write_pair(laboratory.inputs, sample, HUMAN, 600, seed=number)
        rows.append(_row("LAB-R", sample, reads, "RNA-SEQ"))
    survey(laboratory, rows)
    laboratory.process("LAB-A", "LAB-B", "LAB-R")
    laboratory.ask("SELECT 1")
    assert make_target(laboratory, 5) == []
    return laboratory


def survey(laboratory: Laboratory, rows: list[dict[str, str]]) -> None:
    sheet = write_sheet(laboratory.inputs / "sheet.tsv", rows)
    register_experiments(laboratory.instance, register_sample_sheet(laboratory.storage, str(sheet)))


def _row(experiment: str, sample: str, files: str, technology: str) -> dict[str, str]:
    return {
        "experiment": experiment,
        "sample": sample,
        "organism": "Homo sapiens",
        "technology": technology,
        "files": files,
        "title": f"Sample {sample}",
        "sex": "female",
    }


def build(laboratory: Laboratory, **config: Any) -> BatchResult:
    settings = {
        "ops": {"normalized_compendium": {"config": {"rank": 2, "least_mapped": 0, **config}}}
    }
    [batch] = run_job(laboratory.instance, "build_normalized_compendia", [ORGANISM], settings)
    return batch


def test_a_release_has_all_technologies_and_says_what_is_measured(ready: Laboratory) -> None:
    assert build(ready).errors == []
    release = release_named(ready.storage, ORGANISM)
    with open_release_matrix(release.folder) as matrix:
        samples, genes = list(matrix.samples), list(matrix.genes)
        values, origins = matrix.read_samples(samples)
    assert samples == [*(f"a{n}" for n in range(6)), *(f"b{n}" for n in range(4)), *READS]
    assert np.isfinite(values).all()
    # hgu95av2 lacks the last genes: they are imputed there, and measured elsewhere
    lacking = [number for number, gene in enumerate(genes) if gene not in _measured("hgu95av2")]
    assert lacking
    assert (origins[6:10][:, lacking] == 1).all()
    assert (origins[:6] == 0).all()
    # every sample has the target's distribution
    target = np.sort(ready.ask("SELECT 1") and _target(ready))
    for sample in values:
        assert np.sort(sample)[-1] == pytest.approx(target[-1], abs=1e-5)
    told = anndata.read_h5ad(release.folder / f"{ORGANISM}.h5ad")
    np.testing.assert_array_equal(told.X, values)
    assert list(told.obs["technology"][:2]) == ["MICROARRAY"] * 2
    assert told.obsm["X_pca"].shape == (14, 2)
    with zipfile.ZipFile(release.folder / f"{ORGANISM}.zip") as archive:
        assert archive.testzip() is None
        text = archive.read(f"{ORGANISM}/{ORGANISM}.tsv")
        shown = pl.read_csv(io.BytesIO(text), separator="\t")
        assert shown.columns == ["Gene", *samples]
        np.testing.assert_allclose(shown.drop("Gene").to_numpy().T, values, rtol=1e-6)
        aggregated = json.loads(archive.read("aggregated_metadata.json"))
        assert aggregated["compendium_version"] == 1
        assert aggregated["num_samples"] == 14
        assert "comparability/README.md" in archive.namelist()
    rows = ready.ask(
        "SELECT count(*), count(*) FILTER (origin = 'imputed'), count(DISTINCT sample) "
        "FROM compendium_expression WHERE organism = ? AND version = 1",
        ORGANISM,
    )
    assert rows == [(values.size, int((origins == 1).sum()), 14)]
    [row] = ready.ask("SELECT kind, num_samples, num_genes, is_current, engine FROM compendia")
    assert row == ("normalized", 14, len(genes), True, "svd")


def _measured(platform: str) -> set[str]:
    return set(sorted(set(HUMAN.genes.values()))[: CHIPS[platform][1]])


def _target(laboratory: Laboratory) -> Any:
    from refinebio_assets.resources.qn_targets import newest_target

    return newest_target(laboratory.storage, ORGANISM).numbers()


def test_releases_stay_and_the_next_starts_from_the_last(
    ready: Laboratory, chips: dict[str, Chip]
) -> None:
    assert build(ready).errors == []
    assert build(ready).errors == []
    assert [each.version for each in releases_of(ready.storage, "normalized", ORGANISM)] == [1]
    write_cel(ready.inputs / "c0.CEL", chips["hgu95av2"], seed=50)
    survey(ready, [_row("LAB-C", "c0", "c0.CEL", "MICROARRAY")])
    ready.process("LAB-C")
    ready.ask("SELECT 1")
    assert build(ready).errors == []
    first, second = releases_of(ready.storage, "normalized", ORGANISM)
    assert (first.record["num_samples"], second.record["num_samples"]) == (14, 15)
    assert second.record["started_from"] == 1
    assert damaged_files(first) == []
    rows = ready.ask(
        "SELECT version, count(DISTINCT sample) FROM compendium_expression GROUP BY 1 ORDER BY 1"
    )
    assert rows == [(1, 14), (2, 15)]


def test_without_imputation_gaps_stay(ready: Laboratory) -> None:
    assert build(ready, engine="none").errors == []
    [(missing, nothing)] = ready.ask(
        "SELECT count(*) FILTER (origin = 'missing'), "
        "count(*) FILTER (origin = 'missing' AND value IS NOT NULL) FROM compendium_expression"
    )
    assert missing > 0
    assert nothing == 0


def test_what_cannot_be_made_is_told_and_leaves_nothing(ready: Laboratory) -> None:
    [error] = build(ready, rank=30).errors
    assert "cannot_impute" in error or "Rank 30 needs" in error
    assert releases_of(ready.storage, "normalized", ORGANISM) == []
    [error] = build(ready, gene_presence=2.0).errors
    assert "gene_presence" in error
    assert not list((ready.storage.root / "staging").glob("*/*"))


def test_the_command_line_builds_lists_and_verifies(ready: Laboratory) -> None:
    run = CliRunner().invoke
    done = run(app, ["compendium", "build", "Homo sapiens", "--set", "rank=2"])
    assert done.exit_code == 0, done.output
    folder = Path(done.output.strip().splitlines()[-1])
    assert (folder / "manifest.json").exists()
    assert f"{ORGANISM}@1" in run(app, ["compendium", "list"]).output
    assert run(app, ["compendium", "verify", ORGANISM]).exit_code == 0
    with (folder / "genes.parquet").open("r+b") as file:
        file.seek(20)
        file.write(b"\0\1\2")
    damaged = run(app, ["compendium", "verify", f"{ORGANISM}@1"])
    assert damaged.exit_code == 1
    assert "genes.parquet" in damaged.output
    assert run(app, ["compendium", "verify", f"{ORGANISM}@7"]).exit_code == 1


def test_the_catalogue_opens_while_no_release_is_there(ready: Laboratory) -> None:
    with duckdb.connect(ready.storage.catalogue(), read_only=True) as database:
        assert database.execute("SELECT count(*) FROM compendium_expression").fetchall() == [(0,)]
