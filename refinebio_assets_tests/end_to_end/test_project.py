"""`refinebio project`: samples of one's own among those of a release, with the real tools."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from refinebio_assets.cli import app
from refinebio_assets.compendium.assembly import ORIGINS
from refinebio_assets.compendium.reader import open_release_matrix
from refinebio_assets.matrix.quantile import write_target
from refinebio_assets.resources.annotations import RECORD, newest_annotation
from refinebio_assets.resources.compendia import Release, release_named
from refinebio_assets.resources.qn_targets import newest_target
from refinebio_assets.resources.references import newest_index
from refinebio_assets_tests.end_to_end.conftest import HUMAN, MOUSE, Laboratory
from refinebio_assets_tests.end_to_end.test_compendia import (
    ORGANISM,
    READS,
    build,
    chips,
    ready,
)
from refinebio_assets_tests.synthetic import make_pairs, write_fastq
from refinebio_assets_tests.synthetic_arrays import Chip, write_cel

__all__ = ["chips", "ready"]


def project(laboratory: Laboratory, *arguments: object, compendium: str = ORGANISM) -> Result:
    said = ["project", "--compendium", compendium, "-o", str(laboratory.inputs / "out")]
    return CliRunner().invoke(app, [*said, *map(str, arguments)])


def told(result: Result) -> str:
    return " ".join(result.output.split())


def results(laboratory: Laboratory) -> dict[str, dict[str, Any]]:
    table = pl.read_csv(laboratory.inputs / "out" / "projection.tsv", separator="\t")
    return {row["sample"]: row for row in table.to_dicts()}


def row_of(release: Release, sample: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, origins and principal components of a sample of a release."""
    with open_release_matrix(release.folder) as matrix:
        values, origins = matrix.read_samples([sample])
        place = list(matrix.samples).index(sample)
    with np.load(release.folder / "components.npz") as kept:
        return values[0], origins[0], kept["coordinates"][place]


def files_below(folder: Path) -> dict[str, int]:
    return {str(each): each.stat().st_mtime_ns for each in folder.rglob("*") if each.is_file()}


def test_samples_of_the_release_find_themselves(ready: Laboratory, chips: dict[str, Chip]) -> None:
    assert build(ready).errors == []
    release = release_named(ready.storage, ORGANISM)
    mine = ready.inputs / "mine"
    (mine / "deeper").mkdir(parents=True)
    for name in ("a0", "b1"):  # b1's platform lacks genes
        raw = (ready.inputs / f"{name}.CEL").read_bytes()
        (mine / f"{name}.cel.gz").write_bytes(gzip.compress(raw))
    for path in ready.inputs.glob("r?_?.fastq.gz"):  # the experiment, for length scaling
        shutil.copy(path, mine / "deeper")
    write_cel(mine / "new.CEL", chips["hgu133a"], seed=77)
    counts = pl.read_parquet(ready.storage.expression_file(ORGANISM, "RNA-SEQ", "LAB-R"))
    of_r3 = counts.filter(sample="r3").select(pl.col("gene") + ".4", again="value")
    of_r3.with_columns(flat=pl.lit(7.5)).write_parquet(mine / "counts.parquet")
    before = files_below(ready.home)

    result = project(ready, mine, "--matrix-values", "counts", compendium=f"{ORGANISM}@1")
    assert result.exit_code == 0, result.output
    assert files_below(ready.home) == before
    assert [each.name for each in ready.inputs.glob(".*")] == []
    rows = results(ready)
    assert set(rows) == {"a0", "b1", *READS, "new", "again", "flat"}
    assert {row["status"] for row in rows.values()} == {"placed"}
    out = ready.inputs / "out"
    values = pl.read_parquet(out / "values.parquet")
    origins = pl.read_parquet(out / "origins.parquet")
    near = pl.read_csv(out / "nearest.tsv", separator="\t")

    # The same file gives the same numbers; Salmon's threads race, and so reads only nearly.
    with np.load(release.folder / "components.npz") as kept:
        spread = np.ptp(kept["coordinates"], axis=0)
    itself = {"a0": "a0", "b1": "b1", "again": "r3", **dict(zip(READS, READS, strict=True))}
    for name, of in itself.items():
        expected, what, point = row_of(release, of)
        row, tolerance = rows[name], 0.05 if name in READS else 1e-4
        assert row["nearest"] == of
        assert row["correlation"] > 1 - tolerance
        assert np.abs(np.array([row["pc1"], row["pc2"]]) - point).max() < tolerance * spread.max()
        if name not in READS:
            assert row["distance_percentile"] == 0
            assert origins[name].to_list() == [ORIGINS[each] for each in what]
            np.testing.assert_allclose(values[name], expected, atol=1e-4)
    assert rows["b1"]["percent_imputed"] == pytest.approx(20, abs=1)
    assert rows["a0"]["made_with"] == "hgu133a, release 1"
    [first] = near.filter((pl.col("sample") == "r2") & (pl.col("rank") == 1)).to_dicts()
    assert (first["experiment"], first["title"], first["sex"]) == ("LAB-R", "Sample r2", "female")
    assert near.filter(sample="new").height == 10
    assert near.filter(sample="new")["correlation"].is_sorted(descending=True)
    assert rows["flat"]["correlation"] is None  # it does not vary
    picture = (out / "pca.svg").read_text()
    assert ">new</text>" in picture
    assert "RNA-SEQ (4)" in picture
    readme = (out / "README.md").read_text()
    assert "9 samples could be placed, 0 could not. Made by refinebio_assets" in readme
    assert "| new | hgu133a, release 1 | 100.0 % |" in readme


def test_what_is_broken_is_listed_and_sinks_nothing_else(
    ready: Laboratory, chips: dict[str, Chip]
) -> None:
    assert build(ready).errors == []
    inputs, mine = ready.inputs, ready.inputs / "mine"
    mine.mkdir()
    shutil.copy(inputs / "a2.CEL", mine / "good.CEL")
    (mine / "cut.CEL").write_bytes((inputs / "a3.CEL").read_bytes()[:20_000])
    write_cel(mine / "unknown.CEL", chips["hgu133a"], seed=1, chip_type="No_such_chip")
    whole = (inputs / "r1_1.fastq.gz").read_bytes()
    (mine / "short.fastq.gz").write_bytes(whole[: len(whole) // 2])
    write_fastq(mine / "mouse.fq", make_pairs(MOUSE, 2_000, length=76)[0])
    genes = sorted(set(HUMAN.genes.values()))
    level = np.linspace(2, 9, len(genes))
    table = pl.DataFrame({"id": genes, "good": level, "log": level, "empty": None, "neg": -level})
    table.write_csv(mine / "m.tsv", separator="\t")
    pl.DataFrame({"id": ["TP53", "MYC"], "symbols": [1.0, 2.0]}).write_parquet(mine / "s.parquet")
    (mine / "words.txt").write_text("no matrix\n")
    (mine / "scan.jpg").write_bytes(b"")
    (mine / ".hidden.CEL").write_bytes(b"")
    result = project(ready, mine, mine / "gone.CEL", "--threads", 1)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    rows = results(ready)
    failed = {name: row["reason_code"] for name, row in rows.items() if row["status"] == "failed"}
    assert failed == {
        "cut": "truncated_cel",
        "unknown": "missing_probe_annotation",
        "short": "truncated_fastq",
        "mouse": "reads_do_not_match_reference",
        "good": "invalid_request",  # the second of that name, but see below
        "empty": "too_few_genes",
        "symbols": "too_few_genes",
        "words.txt": "invalid_expression_table",
        "scan.jpg": "unsupported_raw_file",
        "gone.CEL": "raw_file_missing",
    }
    table = pl.read_csv(ready.inputs / "out" / "projection.tsv", separator="\t")
    placed = table.filter(status="placed")
    assert sorted(placed["sample"]) == ["good", "log", "neg"]
    assert placed.filter(sample="good")["nearest"].to_list() == ["a2"]
    assert "truncated_cel" in told(result)
    assert "3 placed, 10 not" in told(result)
    assert "reads_do_not_match_reference" in (ready.inputs / "out" / "README.md").read_text()

    again = project(ready, mine)  # what is there is not written over
    assert again.exit_code == 1
    assert "there already" in told(again)
    shutil.rmtree(ready.inputs / "out")
    nothing = project(ready, mine / "words.txt")
    assert nothing.exit_code == 1
    assert sorted(each.name for each in (ready.inputs / "out").iterdir()) == [
        "README.md",
        "projection.tsv",
    ]
    shutil.rmtree(ready.inputs / "out")
    assert "unknown_compendium" in told(project(ready, mine, compendium=f"{ORGANISM}@9"))
    assert not (ready.inputs / "out").exists()


def test_another_reference_is_refused_or_said(ready: Laboratory) -> None:
    assert build(ready, engine="none").errors == []
    out, inputs = ready.inputs / "out", ready.inputs
    _replace_digest(newest_annotation(ready.storage, "hgu133a").folder / RECORD)
    _replace_digest(newest_index(ready.storage, ORGANISM, "long").folder / "index.json")
    given = (inputs / "a0.CEL", inputs / "b1.CEL", *sorted(inputs.glob("r1_?.fastq.gz")))

    assert project(ready, *given).exit_code == 1
    rows = results(ready)
    assert {name: row["reason_code"] for name, row in rows.items()} == {
        "a0": "reference_not_of_release",
        "b1": None,
        "r1": "reference_not_of_release",
    }
    assert "not here any more" in rows["a0"]["reason"]
    assert "--any-reference" in rows["r1"]["reason"]
    # A release without factors: gaps stay, and the others decide.
    assert rows["b1"]["percent_imputed"] == 0
    assert rows["b1"]["percent_missing"] == pytest.approx(20, abs=1)
    assert rows["b1"]["nearest"] == "b1"
    release = release_named(ready.storage, ORGANISM)
    expected, what, _ = row_of(release, "b1")
    values = pl.read_parquet(out / "values.parquet")["b1"].to_numpy()
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert (np.isnan(values) == (what == ORIGINS.index("missing"))).all()
    assert "keeps no factors" in (out / "README.md").read_text()

    shutil.rmtree(out)
    assert project(ready, *given, "--any-reference").exit_code == 0
    rows = results(ready)
    assert "was taken" in rows["a0"]["remarks"]
    assert "was taken" in rows["r1"]["remarks"]
    assert rows["a0"]["nearest"] == "a0"

    shutil.rmtree(out)
    target = newest_target(ready.storage, ORGANISM)
    numbers = target.numbers()
    numbers[-1] += 1
    write_target(target.path, numbers)
    refused = project(ready, *given, "--any-reference")
    assert refused.exit_code == 0
    assert "The target that HOMO_SAPIENS@1 was made with (version 1) is not here" in told(refused)
    shutil.rmtree(out)
    refused = project(ready, *given)
    assert refused.exit_code == 1
    assert "reference_not_of_release" in told(refused)
    assert not out.exists()


def _replace_digest(path: Path) -> None:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "sha256": "0" * 64}))
