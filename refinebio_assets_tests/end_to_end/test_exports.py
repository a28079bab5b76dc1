"""Exports: made by Dagster of real reads, read by the programs that they are for."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import dagster as dg
import duckdb
import h5py
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from refinebio_assets.assets.exports import CHECKS
from refinebio_assets.cli import app
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets.matrix.quantile import write_target as write_numbers
from refinebio_assets.partitions import register_experiments, register_organisms
from refinebio_assets.resources.compendia import Kind, damaged_files, release_named, releases_of
from refinebio_assets.resources.registry import register_sample_sheet
from refinebio_assets.resources.storage import Storage
from refinebio_assets.running import BatchResult, run_job
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.synthetic import write_pair, write_sheet

ORGANISM = "HOMO_SAPIENS"
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()
GENES = sorted(set(HUMAN.genes.values()))
LAYERS = ("counts", "tpm", "length_scaled_tpm", "effective_length")


@dataclass(frozen=True)
class Exported:
    """A home with all exports, its target, and "asset.check" -> (passed, words)."""

    home: Path
    inputs: Path
    target: Any
    checks: dict[str, tuple[bool, str]]

    @property
    def storage(self) -> Storage:
        return Storage(home=str(self.home))


def row(experiment: str, sample: str, files: str, **values: str) -> dict[str, str]:
    return {
        "experiment": experiment,
        "sample": sample,
        "organism": "Homo sapiens",
        "files": files,
        "title": f"Sample {sample}",
        "specimen_part": "liver" if sample in ("r1", "r2") else "brain",
        "sex": "female",
        **values,
    }


def survey(laboratory: Laboratory, rows: list[dict[str, str]]) -> None:
    sheet = write_sheet(laboratory.inputs / "sheet.tsv", rows)
    register_experiments(laboratory.instance, register_sample_sheet(laboratory.storage, str(sheet)))


@pytest.fixture(scope="module")
def exported(built_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """All exports of two experiments: r2 is in both, and x of LAB-B is another than LAB-A's."""
    folder = tmp_path_factory.mktemp("exported")
    shutil.copytree(built_home / "home", folder / "home")
    (folder / "inputs").mkdir()
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("REFINEBIO_HOME", str(folder / "home"))
        laboratory = Laboratory(folder / "home", folder / "inputs", instance)
        reads = {
            name: write_pair(laboratory.inputs, name, HUMAN, 600, seed=number)
            for number, name in enumerate(("r1", "r2", "r3", "x", "other"))
        }
        rows = [row("LAB-A", name, reads[name]) for name in ("r1", "r2", "x")]
        rows += [row("LAB-B", name, reads[name]) for name in ("r2", "r3")]
        rows += [row("LAB-B", "x", reads["other"])]
        survey(laboratory, rows)
        laboratory.process("LAB-A", "LAB-B")
        laboratory.ask("SELECT 1")
        numbers = write_target(laboratory)
        batch = build(laboratory, formats=("h5ad", "zarr"))
        assert batch.errors == []
        told = checks(laboratory, batch)
    return Exported(folder / "home", folder / "inputs", numbers, told)


@pytest.fixture
def ready(exported: Exported, laboratory: Laboratory) -> Laboratory:
    """A copy of it, to change."""
    for name in ("home", "inputs"):
        shutil.rmtree(getattr(laboratory, name))
        shutil.copytree(getattr(exported, name), getattr(laboratory, name))
    laboratory.ask("SELECT 1")
    return laboratory


def write_target(laboratory: Laboratory) -> Any:
    """A target of the organism, as if arrays had made it."""
    numbers = np.sort(np.random.default_rng(0).lognormal(1, 1, len(GENES)))
    folder = laboratory.storage.qn_targets(ORGANISM) / "1"
    folder.mkdir(parents=True)
    write_numbers(folder / "target.tsv", numbers)
    record = {"organism": ORGANISM, "version": 1, "sha256": "0" * 64, "samples": []}
    (folder / "target.json").write_text(json.dumps(record))
    return numbers


def build(laboratory: Laboratory, *assets: str, formats: tuple[str, ...] = ()) -> BatchResult:
    config = {"ops": {"anndata": {"config": {"formats": list(formats)}}}} if formats else None
    [batch] = run_job(laboratory.instance, "build_exports", [ORGANISM], config, assets or None)
    return batch


def file_of(storage: Storage, kind: Kind, level: str = "gene") -> Path:
    release = release_named(storage, ORGANISM, kind)
    [name] = [each["name"] for each in release.record["files"] if each["level"] == level]
    return release.folder / name


def catalogued(storage: Storage, experiment: str, sample: str, column: str) -> Any:
    """Gene -> value."""
    with duckdb.connect(storage.catalogue(), read_only=True) as database:
        return dict(
            database.execute(
                f"SELECT gene, {column} FROM gene_counts WHERE experiment = ? AND sample = ?",  # noqa: S608
                [experiment, sample],
            ).fetchall()
        )


def checks(laboratory: Laboratory, batch: BatchResult) -> dict[str, tuple[bool, str]]:
    events = laboratory.instance.all_logs(
        batch.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    )
    found = [each.dagster_event.asset_check_evaluation_data for each in events]  # type: ignore[union-attr]
    return {
        f"{each.asset_key.to_user_string()}.{each.check_name}": (each.passed, str(each.description))
        for each in found
    }


def test_counts_of_genes_have_a_column_for_each_series(exported: Exported) -> None:
    path = file_of(exported.storage, "archs4")
    assert path.name == "HOMO_SAPIENS_gene_v1.h5"
    with h5py.File(path) as file:
        text = {
            name: [each.decode() for each in file[f"meta/samples/{name}"]]
            for name in ("geo_accession", "series_id", "title", "refinebio_specimen_part")
        }
        genes = [each.decode() for each in file["meta/genes/ensembl_gene"]]
        counts = file["data/expression"][:]
        info = {name: value[()].decode() for name, value in file["meta/info"].items()}
        probabilities = file["meta/samples/singlecellprobability"][:]
    columns = list(zip(text["geo_accession"], text["series_id"], strict=True))
    assert columns == [
        ("r1", "LAB-A"),
        ("r2", "LAB-A"),
        ("r2", "LAB-B"),
        ("x", "LAB-A"),
        ("r3", "LAB-B"),
    ]
    assert genes == GENES
    assert text["refinebio_specimen_part"] == ["liver"] * 3 + ["brain"] * 2
    for place, (sample, _) in enumerate(columns):
        experiment = "LAB-B" if sample == "r3" else "LAB-A"
        wanted = catalogued(exported.storage, experiment, sample, "counts")
        np.testing.assert_array_equal(counts[:, place], np.rint([wanted[each] for each in genes]))
    assert counts.sum(axis=0).min() > 300
    assert np.isfinite(probabilities).all()
    assert info["version"] == "1"
    assert "Synthetic 1 (made-up), Salmon" in info["references"]
    # the namesake is told of
    told = pl.read_csv(path.with_name("left_out.tsv"), separator="\t")
    assert told.rows() == [
        (level, "x", "That of LAB-B is another sample of the same name.")
        for level in ("gene", "transcript")
    ]
    found = exported.checks
    assert {name for name, (passed, _) in found.items() if not passed} == {
        "archs4_h5.samples_complete",
        "anndata.samples_complete",
    }
    assert "4 samples compared" in found["archs4_h5.as_the_catalogue"][1]


def test_counts_of_transcripts_are_salmons(exported: Exported) -> None:
    with h5py.File(file_of(exported.storage, "archs4", "transcript")) as file:
        ids = [each.decode() for each in file["meta/transcripts/ensembl_id"]]
        genes = [each.decode() for each in file["meta/transcripts/ensembl_gene"]]
        counts = file["data/expression"][:, 0]
    assert genes == [HUMAN.genes[each] for each in ids]
    quant = exported.home / "processed" / "quant" / "LAB-A" / "r1" / "quant.sf"
    lines = [line.split("\t") for line in quant.read_text().splitlines()[1:]]
    assert ids == [line[0] for line in lines]
    np.testing.assert_array_equal(counts, np.rint([float(line[4]) for line in lines]))


ARCHS4PY = """
import json, sys, warnings
import archs4py, numpy as np
genes, transcripts = sys.argv[1:]
series = archs4py.data.series(genes, "LAB-B", silent=True)
bulk = archs4py.data.rand(genes, 5, remove_sc=True, silent=True)
print(json.dumps({
    "series": {name: series[name].to_dict() for name in series},
    "liver": archs4py.data.meta(genes, "liver", silent=True).columns.to_list(),
    "shape": bulk.shape,
    "titles": archs4py.meta.series(genes, "LAB-A", silent=True)["title"].to_list(),
    "finite": [
        bool(np.isfinite(archs4py.normalize(bulk, method=method)).all(axis=None))
        for method in ("quantile", "log_quantile", "cpm", "tmm")
    ],
    "transcripts": archs4py.data.samples(transcripts, ["r1"], silent=True).index.to_list(),
}))
"""


def in_a_process_of_its_own(script: str, *arguments: str, cwd: Path | None = None) -> Any:
    """archs4py forks, which a process with threads may not survive; the last line, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_archs4py_reads_them_as_they_are(exported: Exported) -> None:
    pytest.importorskip("archs4py", reason="archs4py is not installed")
    files = [str(file_of(exported.storage, "archs4", level)) for level in ("gene", "transcript")]
    found = in_a_process_of_its_own(ARCHS4PY, *files)
    assert list(found["series"]) == ["r2", "r3"]
    wanted = catalogued(exported.storage, "LAB-B", "r3", "counts")
    assert found["series"]["r3"] == {gene: round(count) for gene, count in wanted.items()}
    assert found["liver"] == ["r1", "r2", "r2"]
    assert found["shape"] == [len(GENES), 5]
    assert found["titles"] == ["Sample r1", "Sample r2", "Sample x"]
    assert found["finite"] == [True] * 4
    assert found["transcripts"] == list(HUMAN.sequences)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_anndata_has_the_layers_of_the_catalogue(exported: Exported, form: str) -> None:
    kind: Kind = "zarr" if form == "zarr" else "anndata"
    path = file_of(exported.storage, kind)
    assert path.name == f"HOMO_SAPIENS_v1.{form}"
    read = anndata.read_zarr if form == "zarr" else anndata.read_h5ad
    found = read(path)
    assert list(found.obs_names) == ["r1", "r2", "x", "r3"]
    assert list(found.var_names) == GENES
    assert found.obs.loc["r2", "experiments"] == "LAB-A; LAB-B"
    assert found.obs.loc["r3", ["specimen_part", "experiment", "technology"]].to_list() == [
        "brain",
        "LAB-B",
        "RNA-SEQ",
    ]
    assert found.obs["percent_mapped"].between(50, 100).all()
    for layer in LAYERS:
        for sample, experiment in (("r1", "LAB-A"), ("r3", "LAB-B")):
            wanted = catalogued(exported.storage, experiment, sample, layer)
            values = np.asarray(found[sample].layers[layer]).ravel()
            np.testing.assert_array_equal(values, [wanted[each] for each in GENES])
    np.testing.assert_array_equal(found.X, found.layers["counts"])
    logged = np.log2(found.layers["length_scaled_tpm"].astype(float) + 1)
    np.testing.assert_allclose(
        found.layers["normalised"], apply_target(logged.T, exported.target).T, rtol=1e-5
    )
    assert found.uns["target"].startswith("version 1, ")


@pytest.mark.slow
def test_releases_stay_and_change_only_with_their_input(ready: Laboratory) -> None:
    again = build(ready, formats=("h5ad", "zarr"))
    assert again.errors == []
    assert set(checks(ready, again)) == {
        f"{a}.{c}" for a in ("archs4_h5", "anndata") for c in CHECKS
    }
    for kind in ("archs4", "anndata", "zarr"):
        assert [each.version for each in releases_of(ready.storage, kind, ORGANISM)] == [1]  # type: ignore[arg-type]
    shutil.rmtree(ready.storage.qn_targets(ORGANISM))
    assert build(ready).errors == []
    assert len(releases_of(ready.storage, "archs4", ORGANISM)) == 1
    first, second = releases_of(ready.storage, "anndata", ORGANISM)
    assert (first.record["target_version"], second.record["target_version"]) == (1, None)
    assert set(anndata.read_h5ad(file_of(ready.storage, "anndata")).layers) == set(LAYERS)
    reads = write_pair(ready.inputs, "r9", HUMAN, 600, seed=9)
    survey(ready, [row("LAB-C", "r9", reads)])
    ready.process("LAB-C")
    ready.ask("SELECT 1")
    assert build(ready).errors == []
    assert [each.version for each in releases_of(ready.storage, "archs4", ORGANISM)] == [1, 2]
    assert damaged_files(first) == []
    rows = ready.ask(
        "SELECT kind, level, version, is_current, num_samples, num_columns, num_left_out "
        "FROM exports ORDER BY ALL"
    )
    assert rows == [
        ("anndata", "gene", 1, False, 4, 4, 1),
        ("anndata", "gene", 2, False, 4, 4, 1),
        ("anndata", "gene", 3, True, 5, 5, 1),
        ("archs4", "gene", 1, False, 4, 5, 1),
        ("archs4", "gene", 2, True, 5, 6, 1),
        ("archs4", "transcript", 1, False, 4, 5, 1),
        ("archs4", "transcript", 2, True, 5, 6, 1),
        ("zarr", "gene", 1, True, 4, 4, 1),
    ]
    [(name, digest, size)] = ready.ask(
        "SELECT file, sha256, num_bytes FROM exports WHERE kind = 'archs4' AND level = 'gene' "
        "AND is_current"
    )
    content = (ready.home / name).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, size)


def test_a_damaged_file_costs_its_samples_and_is_told(ready: Laboratory) -> None:
    shutil.rmtree(ready.home / "exports")
    quant = ready.home / "processed" / "quant" / "LAB-A" / "r1" / "quant.sf"
    quant.write_bytes(quant.read_bytes()[:-40])
    batch = build(ready, "archs4_h5")
    assert batch.errors == []
    passed, words = checks(ready, batch)["archs4_h5.samples_complete"]
    assert not passed
    assert "r1 (" in words
    rows = ready.ask("SELECT level, num_samples, num_left_out FROM exports ORDER BY ALL")
    assert rows == [("gene", 4, 1), ("transcript", 3, 2)]


def test_values_unlike_the_catalogue_are_not_published(
    ready: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a fault of the program would make them."""
    from refinebio_assets.publish import archs4

    shutil.rmtree(ready.home / "exports")
    honest = archs4.whole_counts
    monkeypatch.setattr(archs4, "whole_counts", lambda *given: honest(*given) + np.uint32(1))
    batch = build(ready, "archs4_h5")
    [error] = batch.errors
    assert "Nothing is published" in error
    assert "r1 (40 values)" in error
    assert releases_of(ready.storage, "archs4", ORGANISM) == []
    assert not list((ready.storage.root / "staging").glob("*/*"))
    assert not checks(ready, batch)["archs4_h5.as_the_catalogue"][0]


def test_without_readable_files_there_is_nothing(ready: Laboratory) -> None:
    shutil.rmtree(ready.home / "exports")
    for experiment in ("LAB-A", "LAB-B"):
        ready.storage.expression_file(ORGANISM, "RNA-SEQ", experiment).write_bytes(b"PAR1")
    [error] = build(ready, "anndata").errors
    assert "No gene is in all RNA-seq samples of HOMO_SAPIENS" in error


def test_what_cannot_be_made_is_told(ready: Laboratory) -> None:
    register_organisms(ready.instance, ["MUS_MUSCULUS"])
    [batch] = run_job(ready.instance, "build_exports", ["MUS_MUSCULUS"], None, ["archs4_h5"])
    [error] = batch.errors
    assert "MUS_MUSCULUS has no processed RNA-seq sample" in error
    [error] = build(ready, "anndata", formats=("loom",)).errors
    assert "h5ad, zarr" in error


@pytest.mark.slow
def test_the_documented_commands_work(ready: Laboratory) -> None:
    """On what is exported already: nothing is new, and all of it is whole."""
    lines = re.findall(r"^refinebio ([^#\n]+)", DOCUMENTED, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line))
        assert done.exit_code == 0, done.output
        if "--verify" not in line:
            assert Path(done.output.strip().splitlines()[-1]).exists()
    assert len(releases_of(ready.storage, "archs4", ORGANISM)) == 1
    [query] = re.findall(r"```sql\n(.*?)```", DOCUMENTED, re.DOTALL)
    assert len(ready.ask(query)) == 4


def test_damage_is_found(ready: Laboratory) -> None:
    with file_of(ready.storage, "archs4").open("r+b") as file:
        file.seek(3000)
        file.write(b"\0\1\2")
    damaged = CliRunner().invoke(app, ["export", f"{ORGANISM}@1", "--verify"])
    assert damaged.exit_code == 1
    assert "HOMO_SAPIENS_gene_v1.h5" in damaged.output
    absent = CliRunner().invoke(app, ["export", f"{ORGANISM}@7", "--verify"])
    assert absent.exit_code == 1
    assert "HOMO_SAPIENS@1" in absent.output


@pytest.mark.parametrize(
    ("blocks", "told", "expected"),
    [
        ((0, 1), "counts.columns.to_list()", ["r1", "r2"]),
        ((2,), "[*tpm.columns[:1], *gene.shape]", [GENES[0], 4, 1]),
        ((3,), "sorted(data.layers)", sorted([*LAYERS, "normalised"])),
    ],
)
def test_the_documented_python_runs(
    blocks: tuple[int, ...], told: str, expected: Any, exported: Exported, tmp_path: Path
) -> None:
    found = re.findall(r"```python\n(.*?)```", DOCUMENTED, re.DOTALL)
    assert len(found) == 4
    script = "\n".join(found[number] for number in blocks)
    if "archs4py" in script:
        pytest.importorskip("archs4py", reason="archs4py is not installed")
    (tmp_path / "refinebio_home").symlink_to(exported.home)
    script += f"\nimport json\nprint()\nprint(json.dumps({told}))"
    assert in_a_process_of_its_own(script, cwd=tmp_path) == expected
