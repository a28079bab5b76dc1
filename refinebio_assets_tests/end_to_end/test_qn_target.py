"""Targets: made of an organism's arrays, versioned, and used on a user's own matrix."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from refinebio_assets.cli import app
from refinebio_assets.matrix.quantile import read_target
from refinebio_assets.matrix.reader import read_block
from refinebio_assets.partitions import register_organisms
from refinebio_assets.resources.qn_targets import newest_target, targets_of
from refinebio_assets.running import run_job
from refinebio_assets_tests.end_to_end.conftest import Laboratory
from refinebio_assets_tests.end_to_end.test_microarrays import annotate, of_chip, sheet
from refinebio_assets_tests.end_to_end.test_microarrays import chip as chip
from refinebio_assets_tests.synthetic_arrays import Chip, write_cel

HUMAN = "HOMO_SAPIENS"


def process(laboratory: Laboratory, chip: Chip, numbers: range) -> None:
    annotate(laboratory, of_chip(chip))
    files = {}
    for number in numbers:
        name = f"a{number:02}.CEL"
        write_cel(laboratory.inputs / name, chip, seed=number)
        files[name.removesuffix(".CEL")] = name
    laboratory.survey(sheet(laboratory, files))
    laboratory.process("LAB-ARRAYS")
    laboratory.ask("SELECT 1")  # builds the catalogue, which makes the organism known


def make(laboratory: Laboratory, minimum: int) -> list[str]:
    settings: dict[str, Any] = {"ops": {"qn_target": {"config": {"minimum_samples": minimum}}}}
    [batch] = run_job(laboratory.instance, "build_qn_targets", [HUMAN], settings)
    return batch.errors


def test_a_target_is_the_mean_of_sorted_arrays(laboratory: Laboratory, chip: Chip) -> None:
    process(laboratory, chip, range(5))
    [error] = make(laboratory, 6)
    assert "needs 6 samples" in error
    assert make(laboratory, 5) == []
    path = laboratory.storage.expression_file(HUMAN, "MICROARRAY", "LAB-ARRAYS")
    block = read_block(path, [f"a{number:02}" for number in range(5)])
    expected = np.sort(block.values.astype(np.float64), axis=0).mean(axis=1)
    found = newest_target(laboratory.storage, HUMAN)
    np.testing.assert_allclose(found.numbers(), expected, rtol=1e-12)
    # the same again is the same version; more samples are a new one, and the old one stays
    assert make(laboratory, 5) == []
    assert [each.version for each in targets_of(laboratory.storage, HUMAN)] == [1]
    process(laboratory, chip, range(8))
    assert make(laboratory, 5) == []
    rows = laboratory.ask(
        "SELECT version, is_current, platform, num_samples, num_genes, len(samples), "
        "ks_p_value IS NOT NULL FROM qn_targets ORDER BY version"
    )
    genes = len(chip.genes)
    assert rows == [
        (1, False, "hgu133a", 5, genes, 5, False),
        (2, True, "hgu133a", 8, genes, 8, True),
    ]
    [file] = laboratory.ask("SELECT file FROM qn_targets WHERE is_current")
    np.testing.assert_array_equal(
        read_target(laboratory.home / file[0]), newest_target(laboratory.storage, HUMAN).numbers()
    )


def test_without_arrays_there_is_no_target(laboratory: Laboratory) -> None:
    register_organisms(laboratory.instance, [HUMAN])
    [error] = make(laboratory, 1)
    assert "no_catalogue" in error or "no catalogue" in error
    laboratory.ask("SELECT 1")
    [error] = make(laboratory, 1)
    assert "there are none" in error


# --- a user's own matrix ----------------------------------------------------------------


def write_table(path: Path, values: np.ndarray, missing: tuple[int, int] | None = None) -> Path:
    columns = {f"s{number}": values[:, number] for number in range(values.shape[1])}
    table = pl.DataFrame({"gene": [f"g{row}" for row in range(len(values))], **columns})
    if missing is not None:
        row, column = missing
        name = f"s{column}"
        table = table.with_columns(
            pl.when(pl.int_range(pl.len()) == row).then(None).otherwise(pl.col(name)).alias(name)
        )
    table.write_csv(path, separator="\t", null_value="NA")
    return path


def test_normalise_and_qn_target_equal_preprocesscore(tmp_path: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    random = np.random.default_rng(5)
    matrix = write_table(tmp_path / "matrix.tsv", random.normal(size=(500, 6)).round(1))
    other = write_table(tmp_path / "other.tsv", random.gamma(2, 3, (300, 4)).round(2), (7, 1))
    runner = CliRunner()
    target, out = tmp_path / "target.tsv", tmp_path / "out.tsv"
    made = runner.invoke(app, ["qn-target", str(matrix), "-o", str(target)])
    assert made.exit_code == 0, made.output
    done = runner.invoke(app, ["normalise", str(other), "--target", str(target), "-o", str(out)])
    assert done.exit_code == 0, done.output
    script = """
    library(preprocessCore)
    a <- commandArgs(TRUE)
    m <- as.matrix(read.delim(a[1], row.names = 1))
    o <- as.matrix(read.delim(a[2], row.names = 1))
    t <- normalize.quantiles.determine.target(m)
    n <- normalize.quantiles.use.target(o, t)
    write.table(format(t, digits = 17), a[3], row.names = FALSE, col.names = FALSE, quote = FALSE)
    write.table(format(n, digits = 17), a[4], row.names = FALSE, col.names = FALSE, quote = FALSE)
    """
    theirs = [tmp_path / "t.txt", tmp_path / "n.txt"]
    subprocess.run(
        ["Rscript", "--vanilla", "-e", script, *map(str, [matrix, other, *theirs])],
        check=True,
        capture_output=True,
    )
    np.testing.assert_allclose(read_target(target), np.loadtxt(theirs[0]), rtol=1e-12)
    ours = pl.read_csv(out, separator="\t").drop("gene").to_numpy().astype(np.float64)
    expected = np.genfromtxt(theirs[1], missing_values="NA")
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    assert np.isnan(ours[7, 1])


@pytest.mark.parametrize(
    "content", ["", "gene\n", "gene\ta\n", "gene\ta\nx\tone\n", "gene\ta\n\t1\n", "a\tb\tc\n1\t2\n"]
)
def test_what_is_no_matrix_is_told(tmp_path: Path, content: str) -> None:
    matrix, target = tmp_path / "matrix.tsv", tmp_path / "target.tsv"
    matrix.write_text(content)
    target.write_text("1.0\n2.0\n")
    arguments = ["normalise", str(matrix), "--target", str(target), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "invalid_expression_table" in done.output
    assert not (tmp_path / "out").exists()
