"""The catalogue from Python, and receipts: of arrays and reads that were really processed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import refinebio_assets.query as rb
from refinebio_assets.cli import app
from refinebio_assets.errors import InvalidRequest
from refinebio_assets.partitions import register_experiments
from refinebio_assets.resources.registry import register_sample_sheet
from refinebio_assets_tests.end_to_end.conftest import HUMAN, Laboratory
from refinebio_assets_tests.end_to_end.test_microarrays import annotate, of_chip
from refinebio_assets_tests.end_to_end.test_microarrays import chip as chip
from refinebio_assets_tests.synthetic import write_pair, write_sheet
from refinebio_assets_tests.synthetic_arrays import Chip, write_cel

ORGANISM = "HOMO_SAPIENS"


@pytest.fixture
def ready(laboratory: Laboratory, chip: Chip) -> Laboratory:
    """Two arrays and two RNA-seq samples, in the catalogue."""
    annotate(laboratory, of_chip(chip))
    rows = []
    for number, title in enumerate(("Medulloblastoma, group 3", "Normal cerebellum")):
        write_cel(laboratory.inputs / f"a{number}.CEL", chip, seed=number)
        rows.append(_row("LAB-A", f"a{number}", f"a{number}.CEL", "MICROARRAY", title))
    for number in range(2):
        reads = write_pair(laboratory.inputs, f"r{number}", HUMAN, 300, seed=number)
        rows.append(_row("LAB-R", f"r{number}", reads, "RNA-SEQ", "Neurons"))
    sheet = write_sheet(laboratory.inputs / "sheet.tsv", rows)
    register_experiments(laboratory.instance, register_sample_sheet(laboratory.storage, str(sheet)))
    laboratory.process("LAB-A", "LAB-R")
    laboratory.ask("SELECT 1")
    return laboratory


def _row(experiment: str, sample: str, files: str, technology: str, title: str) -> dict[str, str]:
    return {
        "experiment": experiment,
        "sample": sample,
        "organism": "Homo sapiens",
        "technology": technology,
        "files": files,
        "title": title,
    }


def test_the_catalogue_from_python(ready: Laboratory) -> None:
    assert rb.search("medulloblastoma")["sample"].to_list() == ["a0"]
    assert set(rb.search("neuro*", technology="RNA-SEQ")["sample"]) == {"r0", "r1"}
    assert rb.experiments("cerebellum")["experiment"].to_list() == ["LAB-A"]
    assert "technology" in set(rb.facets("")["facet"])
    assert rb.samples(experiment="LAB-R")["status"].to_list() == ["processed"] * 2
    drawn = rb.random(2, organism="Homo sapiens", seed=4)
    assert drawn.equals(rb.random(2, organism=ORGANISM, seed=4))
    assert len(drawn) == 2
    assert rb.sql("SELECT ? AS x", 3)["x"].to_list() == [3]
    with pytest.raises(InvalidRequest):
        rb.sql("SELECT nonsense FROM nowhere")

    counts = rb.expression(experiment="LAB-R", column="counts", progress=False)
    assert counts.columns == ["gene", "r0", "r1"]
    stated = ready.ask("SELECT gene, counts FROM gene_counts WHERE sample = 'r1' ORDER BY gene")
    assert dict(zip(counts["gene"], counts["r1"], strict=True)) == pytest.approx(dict(stated))
    both = rb.expression(sample=["r1", "a0"], progress=False)
    assert both.columns == ["gene", "r1", "a0"]
    assert both["gene"].is_sorted()
    assert both["a0"].null_count() > 0  # genes of the transcriptome that the array has not
    frame = rb.expression(experiment="LAB-A", as_="pandas", progress=False)
    assert frame.shape[1] == 2
    told = rb.expression(experiment=["LAB-A"], as_="anndata", progress=False)
    np.testing.assert_array_equal(told.X, frame.to_numpy().T)
    assert told.obs["title"].to_list() == ["Medulloblastoma, group 3", "Normal cerebellum"]
    gene = counts["gene"][0]
    assert set(rb.gene(gene, organism=ORGANISM)["sample"]) == {"r0", "r1"}

    scaled = rb.normalise(counts, "cpm")
    assert scaled.columns == counts.columns
    assert scaled["r0"].sum() == pytest.approx(1e6)
    array: Any = rb.normalise(counts.drop("gene").to_numpy(), "log_quantile")
    np.testing.assert_allclose(np.sort(array[:, 0]), np.sort(array[:, 1]), atol=0.5)

    for wrong in (
        {"experiment": "LAB-X"},
        {"sample": "nobody"},
        {"experiment": "LAB-R", "column": "x; DROP TABLE samples"},
        {"experiment": "LAB-R", "as_": "csv"},
        {},
    ):
        with pytest.raises(InvalidRequest):
            rb.expression(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="target"):
        rb.normalise(counts, "vst")  # type: ignore[arg-type]


def test_too_much_is_refused_with_its_size(
    ready: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rb, "MOST_CELLS", 100_000)
    with pytest.raises(InvalidRequest, match="120,000 values"):
        rb.expression(experiment="LAB-R")
    assert len(rb.expression(experiment="LAB-R", allow_large=True, progress=False)) > 0


def test_a_receipt_leads_back_to_the_raw_file(ready: Laboratory) -> None:
    [gene] = ready.ask("SELECT gene FROM expression WHERE sample = 'r0' ORDER BY gene LIMIT 1")
    [told] = rb.receipt(gene[0], "r0")
    digests = {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in ready.inputs.glob("r0*.f*q*")
    }
    assert {each.sha256 for each in told.raw_files} == digests
    assert told.value["program"].startswith("salmon ")
    assert told.value["reference_sha256"]
    done = CliRunner().invoke(app, ["receipt", gene[0], "r0", "--verify"])
    assert done.exit_code == 0, done.output
    assert "as recorded" in done.output
    [array] = json.loads(
        CliRunner().invoke(app, ["receipt", "ENSG00000000001", "a0", "--json"]).output
    )
    assert array["method"] == "SCANfast"
    content = (ready.inputs / "a0.CEL").read_bytes()
    assert array["raw_files"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    (ready.inputs / "a0.CEL").write_bytes(content + b"\0")
    changed = CliRunner().invoke(app, ["receipt", "ENSG00000000001", "a0", "--verify"])
    assert changed.exit_code == 1
    assert "a0.CEL: changed" in changed.output
    nothing = CliRunner().invoke(app, ["receipt", "TP53", "a0"])
    assert nothing.exit_code == 1
    assert "no value" in nothing.output
    assert ready.ask("SELECT count(*) FROM receipt('ENSG00000000001', 'a1')") == [(1,)]


def test_a_dataset_from_python(ready: Laboratory) -> None:
    path = rb.dataset({"LAB-R": "ALL"}, quantile_normalize=False)
    assert path.suffix == ".zip"
    assert path == rb.dataset({"LAB-R": ["r0", "r1"]}, quantile_normalize=False)


def test_what_polars_gives_is_what_the_catalogue_has(ready: Laboratory) -> None:
    table = rb.sql("SELECT * FROM samples")
    assert isinstance(table, pl.DataFrame)
    assert len(table) == 4
