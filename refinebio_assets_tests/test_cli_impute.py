"""`refinebio impute`: text and Parquet, what stays as it is, and errors in words."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from refinebio_assets.cli import app
from refinebio_assets.matrix.user_tables import read_matrix
from refinebio_assets_tests.conftest import shared_data


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["impute", *map(str, arguments)])


def assert_refused(result: Result, words: str, folder: Path) -> None:
    """It failed in words, and left nothing."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert words in " ".join(result.output.split())
    assert not [*folder.glob("out*"), *folder.glob(".out*")]


@pytest.fixture
def table() -> pl.DataFrame:
    rng = np.random.default_rng(3)
    values = 7 + rng.normal(size=(60, 3)) @ rng.normal(size=(3, 25))
    values[:9, ::2] = np.nan
    values[50, 1] = np.nan
    samples = {f"GSM{number}": each for number, each in enumerate(values.T)}
    genes = [f"ENSG{number}" for number in range(60)]
    return pl.DataFrame({"Gene": genes, **samples}, nan_to_null=True)


def assert_same_where_known(found: pl.DataFrame, given: pl.DataFrame) -> None:
    assert found.columns == given.columns
    assert not sum(found.null_count().row(0))
    for new, old in zip(found.get_columns(), given.get_columns(), strict=True):
        known = old.is_not_null() & (old.is_finite() if old.dtype.is_float() else True)
        assert new.filter(known).to_list() == old.filter(known).to_list()


def test_the_kept_matrix_as_fancyimpute_imputed_it(tmp_path: Path) -> None:
    given = shared_data("numerics/impute_input.tsv.gz")
    expected = read_matrix(shared_data("numerics/impute_fancyimpute_rank10.tsv.gz"))
    out = tmp_path / "out.tsv.gz"
    result = run(given, "-o", out)
    assert result.exit_code == 0
    assert "1,500 × 220, 58,598 values imputed (17.8%)" in result.output
    assert "iteration 12, rank 10" in result.output
    assert gzip.decompress(out.read_bytes()).startswith(b"Gene\tS0000\t")
    assert [each.name for each in tmp_path.iterdir()] == ["out.tsv.gz"]
    found, before = read_matrix(out), read_matrix(given)
    assert_same_where_known(found, before)
    missing = before[:, 1:].to_numpy()
    missing = np.isnan(missing)
    difference = (found[:, 1:].to_numpy() - expected[:, 1:].to_numpy())[missing]
    assert np.abs(difference).max() < 6.3e-5  # as near as fancyimpute is to itself
    assert np.sqrt((difference**2).mean()) < 1.9e-6


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_parquet_keeps_its_types(
    tmp_path: Path, table: pl.DataFrame, dtype: type[pl.DataType]
) -> None:
    given = table.with_columns(pl.col(pl.Float64).cast(dtype))
    given.write_parquet(tmp_path / "in.parquet")
    result = run(tmp_path / "in.parquet", "-o", tmp_path / "out.parquet", "--rank", 3)
    assert result.exit_code == 0
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.schema == given.schema
    assert_same_where_known(found, given)
    table.write_csv(tmp_path / "in.tsv", separator="\t", null_value="NA")
    assert run(tmp_path / "in.tsv", "-o", tmp_path / "out.tsv", "--rank", 3).exit_code == 0
    text = read_matrix(tmp_path / "out.tsv")
    np.testing.assert_allclose(found[:, 1:].to_numpy(), text[:, 1:].to_numpy(), atol=1e-4)


def test_whole_numbers_and_infinite_values(tmp_path: Path, table: pl.DataFrame) -> None:
    given = table.with_columns(
        pl.col("GSM1").fill_null(0).cast(pl.Int32),
        pl.col("GSM2").round().cast(pl.Int64),
        pl.when(pl.col("Gene") == "ENSG20").then(np.inf).otherwise("GSM3").alias("GSM3"),
    )
    given.write_parquet(tmp_path / "in.parquet")
    result = run(tmp_path / "in.parquet", "-o", tmp_path / "out.parquet", "--rank", 3)
    assert result.exit_code == 0
    assert "1 infinite values were taken as missing" in result.output
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.schema == {**given.schema, "GSM2": pl.Float64()}
    assert_same_where_known(found, given)
    assert found["GSM3"].is_finite().all()


def test_nothing_is_missing(tmp_path: Path, table: pl.DataFrame) -> None:
    table.fill_null(1).write_csv(tmp_path / "in.tsv", separator="\t")
    result = run(tmp_path / "in.tsv", "-o", tmp_path / "out.tsv")
    assert result.exit_code == 0
    assert "nothing is missing" in result.output
    assert read_matrix(tmp_path / "out.tsv").equals(read_matrix(tmp_path / "in.tsv"))


def test_what_is_refused(tmp_path: Path, table: pl.DataFrame) -> None:
    given, out = tmp_path / "in.tsv", tmp_path / "out.tsv"
    empty = pl.lit(None, pl.Float64)
    for some, arguments, words in [
        (table.with_columns(empty.alias("GSM4")), [], "sample GSM4"),
        (table.with_columns(pl.when(pl.col("Gene") != "ENSG9").then(pl.col(pl.Float64))),
         [], "gene ENSG9"),
        (table, ["--rank", 25], "Rank 25 needs at least 26"),
        (table[:, :2], [], "gene ENSG0"),
        (table.with_columns(GSM5=pl.lit("high")), [], "invalid_expression_table"),
        (table[:0], [], "invalid_expression_table"),
    ]:  # fmt: skip
        for engine in ("svd", "fancyimpute"):
            some.write_csv(given, separator="\t")
            result = run(given, "-o", out, "--engine", engine, *arguments)
            assert_refused(result, words, tmp_path)


def test_files_that_are_refused(tmp_path: Path, table: pl.DataFrame) -> None:
    parquet, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    assert_refused(run(tmp_path / "none.tsv", "-o", tmp_path / "out.tsv"), "missing", tmp_path)
    table.write_parquet(parquet)
    assert_refused(run(parquet, "-o", tmp_path / "out.tsv"), "is Parquet", tmp_path)
    assert_refused(run(parquet, "-o", tmp_path / "no" / "out.parquet"), "folder", tmp_path)
    content = parquet.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-8], b"PAR1"):
        parquet.write_bytes(damaged)
        assert_refused(run(parquet, "-o", out), "invalid_expression_table", tmp_path)
    table.with_columns(GSM5=pl.lit("high")).write_parquet(parquet)
    assert_refused(run(parquet, "-o", out), "not numbers: GSM5", tmp_path)
    table.with_columns(Gene=pl.lit(None, pl.String)).write_parquet(parquet)
    assert_refused(run(parquet, "-o", out), "without identifier", tmp_path)
    (tmp_path / "in.tsv").write_text("Gene\ta\n")
    assert_refused(run(tmp_path / "in.tsv", "-o", out), "is text", tmp_path)


def test_fancyimpute_is_missed_in_words(
    tmp_path: Path, table: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fancyimpute", None)
    table.write_csv(tmp_path / "in.tsv", separator="\t")
    result = run(tmp_path / "in.tsv", "-o", tmp_path / "out.tsv", "--engine", "fancyimpute")
    assert_refused(result, "pip install", tmp_path)


def test_an_unknown_engine() -> None:
    assert run("in.tsv", "-o", "out.tsv", "--engine", "knn").exit_code == 2


def test_fancyimpute_where_it_is_installed(tmp_path: Path, table: pl.DataFrame) -> None:
    pytest.importorskip("fancyimpute")
    table.write_csv(tmp_path / "in.tsv", separator="\t")
    for engine in ("svd", "fancyimpute"):
        arguments = ["--engine", engine, "--rank", 4]
        assert run(tmp_path / "in.tsv", "-o", tmp_path / engine, *arguments).exit_code == 0
    ours, theirs = (read_matrix(tmp_path / each) for each in ("svd", "fancyimpute"))
    assert_same_where_known(theirs, table)
    np.testing.assert_allclose(ours[:, 1:].to_numpy(), theirs[:, 1:].to_numpy(), atol=5e-3)


def test_killed_and_called_again_it_goes_on(tmp_path: Path) -> None:
    given = shared_data("numerics/impute_input.tsv.gz")
    command = [sys.executable, "-c", "from refinebio_assets.cli import app; app()"]
    command += ["impute", str(given), "-o", str(tmp_path / "out.tsv")]
    started = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith("pass 5"):
            started.send_signal(signal.SIGKILL)
            break
    started.stderr.close()
    assert started.wait() == -signal.SIGKILL
    assert not (tmp_path / "out.tsv").exists()
    result = run(given, "-o", tmp_path / "out.tsv")
    assert result.exit_code == 0
    assert "pass 4:" not in result.output
    assert "pass 6:" in result.output
    assert run(given, "-o", tmp_path / "other.tsv").exit_code == 0
    ours, others = (read_matrix(tmp_path / each)[:, 1:].to_numpy() for each in
                    ("out.tsv", "other.tsv"))  # fmt: skip
    np.testing.assert_allclose(ours, others, rtol=1e-9)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other.tsv", "out.tsv"]
