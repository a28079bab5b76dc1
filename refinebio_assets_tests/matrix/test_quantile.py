"""Quantile normalisation against preprocessCore, as kept vectors and live, and its laws."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidReference
from refinebio_assets.matrix.quantile import (
    apply_target,
    determine_target,
    read_target,
    write_target,
)
from refinebio_assets_tests.conftest import shared_data

Reals = NDArray[np.floating[Any]]

USED = [
    "same_length",
    "ties_1dp",
    "unsorted_target",
    "na_in_x",
    "longer_target",
    "longer_target_ties_na",
    "shorter_target",
    "shorter_target_ties",
    "na_in_target",
    "zero_inflated",
    "all_equal",
    "two_rows",
    "one_row_long_target",
    "infinities",
]

R_SCRIPT = """
suppressMessages(library(preprocessCore))
numbers <- function(file, n) readBin(file, "double", n)
input <- file(commandArgs(TRUE)[1], "rb")
output <- file(commandArgs(TRUE)[2], "wb")
while (length(shape <- readBin(input, "integer", 3)) == 3) {
  x <- matrix(numbers(input, shape[1] * shape[2]), shape[1])
  x[is.nan(x)] <- NA
  writeBin(as.vector(normalize.quantiles.use.target(x, numbers(input, shape[3]))), output)
  complete <- x
  complete[is.na(complete)] <- 0
  writeBin(normalize.quantiles.determine.target(complete), output)
}
close(output)
"""


def by_rule(column: Reals, target: Reals) -> Reals:
    """One complete column with a target of its length, in plain words."""
    ranked = np.sort(target)
    new = np.empty(len(column))
    for row, value in enumerate(column):
        rank = 1 + (column < value).sum() + ((column == value).sum() - 1) / 2
        new[row] = (ranked[int(np.floor(rank)) - 1] + ranked[int(np.ceil(rank)) - 1]) / 2
    return new


# --- preprocessCore -------------------------------------------------------------------


@pytest.mark.parametrize("name", USED)
def test_use_target_is_that_of_preprocesscore(name: str) -> None:
    vectors = np.load(shared_data("numerics/quantile_normalization.npz"))
    x, target, y = (vectors[f"use__{name}__{part}"] for part in ("x", "target", "y"))
    np.testing.assert_allclose(apply_target(x, target), y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["same_length", "other_length"])
def test_matrix_of_many_ties_is_that_of_preprocesscore(name: str) -> None:
    folder = shared_data("numerics")
    x = pl.read_csv(folder / "qn_input.tsv.gz", separator="\t").drop("Gene")
    target = np.loadtxt(folder / f"qn_target_{name}.tsv")
    with gzip.open(folder / f"qn_preprocesscore_{name}.tsv.gz") as file:
        y = np.loadtxt(file, skiprows=1, usecols=range(1, 1 + x.width))
    np.testing.assert_allclose(apply_target(x.to_numpy(), target), y, rtol=1e-12)


@pytest.mark.parametrize("name", ["real", "real_ties", "small"])
def test_target_is_that_of_preprocesscore(name: str) -> None:
    vectors = np.load(shared_data("numerics/quantile_normalization.npz"))
    found = determine_target(iter(vectors[f"det__{name}__x"].T))
    np.testing.assert_allclose(found, vectors[f"det__{name}__target"], rtol=1e-12)


def test_target_of_float32_is_summed_in_float64() -> None:
    vectors = np.load(shared_data("numerics/qn_running_target.npz"))
    assert vectors["x"].dtype == np.float32
    np.testing.assert_allclose(determine_target(vectors["x"].T), vectors["target"], rtol=1e-12)


def test_agrees_with_live_preprocesscore(tmp_path: Path) -> None:
    """Ties, missing values and targets of other lengths, also the smallest sizes."""
    if shutil.which("Rscript") is None:
        pytest.skip("no Rscript")
    check = ["Rscript", "-e", "library(preprocessCore)"]
    if subprocess.run(check, capture_output=True, check=False).returncode:
        pytest.skip("R has no package preprocessCore")
    rng = np.random.default_rng(12)
    cases = []
    for _ in range(150):
        genes, samples = int(rng.integers(2, 60)), int(rng.integers(1, 5))
        x = rng.normal(0, 3, (genes, samples)).round(int(rng.integers(0, 4)))
        x[rng.random(x.shape) < rng.choice([0, 0, 0.1, 0.6])] = np.nan
        length = genes if rng.random() < 0.4 else int(rng.integers(1, 90))
        cases.append((x, rng.normal(8, 2, length).round(2)))
    with (tmp_path / "input").open("wb") as file:
        for x, target in cases:
            file.write(np.array([*x.shape, len(target)], np.int32).tobytes())
            file.write(x.tobytes("F"))
            file.write(target.tobytes())
    script = tmp_path / "script.R"
    script.write_text(R_SCRIPT)
    command = ["Rscript", "--vanilla", script, tmp_path / "input", tmp_path / "output"]
    subprocess.run(command, check=True, capture_output=True)
    output, at = np.fromfile(tmp_path / "output"), 0
    for x, target in cases:
        applied = output[at : at + x.size].reshape(x.shape, order="F")
        at += x.size
        np.testing.assert_allclose(apply_target(x, target), applied, rtol=1e-12, atol=1e-12)
        determined = output[at : at + len(x)]
        at += len(x)
        np.testing.assert_allclose(
            determine_target(np.nan_to_num(x).T), determined, rtol=1e-12, atol=1e-12
        )
    assert at == len(output)


# --- examples and laws ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([5, 2, 3, 4], [40, 10, 20, 30]),
        ([1, 1, 2, 3], [15, 15, 30, 40]),
        ([0, 0, 0, 9], [20, 20, 20, 40]),
        ([0.0, -0.0, 1, 2], [15, 15, 30, 40]),
        ([np.nan, 1, -np.inf, np.inf], [np.nan, 25, 10, 40]),
        ([np.nan, np.nan, 3, np.nan], [np.nan, np.nan, 40, np.nan]),
        ([np.nan] * 4, [np.nan] * 4),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_of_ties_has_the_value_at_its_mean_rank(
    column: list[float], expected: list[float], dtype: type[np.floating[Any]]
) -> None:
    found = apply_target(np.array([column], dtype).T, np.array([40.0, 10, 30, 20]))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-15)


def test_longer_target_is_interpolated() -> None:
    found = apply_target(np.array([[1.0, 1, 2, 3]]).T, np.arange(10.0, 80, 10))
    np.testing.assert_allclose(found[:, 0], [20, 20, 50, 70])


def test_missing_of_either_sign_stays_missing() -> None:
    column = np.array([[np.nan, 1.0, -np.nan, 2.0]], np.float64).T
    column[2] = np.copysign(np.nan, -1)
    found = apply_target(column, np.array([1.0, 2, 3, 4]))
    np.testing.assert_array_equal(found[:, 0], [np.nan, 1, np.nan, 4])


matrices = arrays.arrays(
    np.float32,
    st.tuples(st.integers(2, 40), st.integers(1, 40)),
    elements=st.integers(-20, 20).map(lambda number: number / 4),
)


@settings(deadline=None)
@given(matrices, st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
def test_follows_the_rule(x: Reals, seed: int, dtype: type[np.floating[Any]]) -> None:
    target = np.random.default_rng(seed).normal(size=len(x))
    found = apply_target(x.astype(dtype), target)
    expected = np.column_stack([by_rule(column, target) for column in x.T])
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-15)


@settings(deadline=None)
@given(matrices, st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_is_monotone_and_moves_with_its_rows_and_columns(x: Reals, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=length)
    found = apply_target(x, target)
    for before, after in zip(x.T, found.T, strict=True):
        ranked = after[np.argsort(before, kind="stable")]
        assert (np.diff(ranked) >= -1e-12).all()
        assert all(len(set(after[before == value])) == 1 for value in before)
    rows, columns = rng.permutation(x.shape[0]), rng.permutation(x.shape[1])
    np.testing.assert_array_equal(
        apply_target(x[rows][:, columns], target), found[rows][:, columns]
    )


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_twice_is_once_without_ties(genes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=genes)
    once = apply_target(rng.normal(size=(genes, 3)), target)
    np.testing.assert_array_equal(np.sort(once, axis=0), np.sort(np.tile(target, (3, 1)).T, axis=0))
    np.testing.assert_array_equal(apply_target(once, target), once)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_place_in_blocks_and_whole_are_the_same(
    order: Any, dtype: type[np.floating[Any]]
) -> None:
    rng = np.random.default_rng(3)
    x = np.array(rng.gamma(2, 3, (500, 70)).round(1), dtype, order=order)
    x[7, :30] = np.nan
    target = rng.gamma(2, 3, 500)
    given_values = x.copy()
    whole = apply_target(x, target, threads=3)
    np.testing.assert_array_equal(x, given_values)
    assert whole.dtype == np.float64
    blocks = [apply_target(x[:, at : at + 9], target) for at in range(0, 70, 9)]
    np.testing.assert_array_equal(np.hstack(blocks), whole)
    rows = np.empty(x.shape, np.float64, order="C")
    np.testing.assert_array_equal(apply_target(x, target, out=rows), whole)
    assert apply_target(x, target, out=x) is x
    np.testing.assert_array_equal(x, whole.astype(dtype))


def test_real_samples_brought_to_the_mean_of_others() -> None:
    """Whole arrays with many ties, ranked by Polars."""
    table = pl.read_parquet(shared_data("matrix/chowdary.parquet")).drop("feature_id")
    x = table.to_numpy()
    half = x.shape[1] // 2
    target = determine_target(x[:, :half].T)
    found = apply_target(x[:, half:], target)
    for number in range(0, half, 5):
        rank = table.to_series(half + number).rank("average").to_numpy()
        low, high = np.floor(rank).astype(int) - 1, np.ceil(rank).astype(int) - 1
        np.testing.assert_allclose(found[:, number], (target[low] + target[high]) / 2, rtol=1e-15)


@pytest.mark.parametrize(
    "samples",
    [[], [np.zeros(0)], [np.ones(3), np.ones(4)], [np.array([1.0, np.nan])], [np.array([np.inf])]],
)
def test_no_target_of_incomplete_samples(samples: list[Reals]) -> None:
    with pytest.raises(ValueError, match="target"):
        determine_target(samples)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        apply_target(np.ones((2, 2)), np.array([np.nan]))
    with pytest.raises(ValueError, match="two dimensions"):
        apply_target(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="shape"):
        apply_target(np.ones((2, 2)), np.ones(2), out=np.ones((2, 1)))


# --- files ----------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e300, 1e300)))
def test_target_is_read_as_it_was_written(tmp_path: Path, target: Reals) -> None:
    path = tmp_path / "target.tsv"
    write_target(path, target)
    np.testing.assert_array_equal(read_target(path), np.sort(target))


def test_target_of_preprocesscore_is_read() -> None:
    target = read_target(shared_data("numerics/qn_determined_target.tsv"))
    assert (np.diff(target) >= 0).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"1\n2", "cut"),
        (b"1\nx\n", "'x' in line 2"),
        (b"1\n\n2\n", "'' in line 2"),
        (b"value\n1\n", "'value' in line 1"),
        (b"1\tgene\n", "line 1"),
        (b"1\nnan\n", "'nan' in line 2"),
        (b"-inf\n", "'-inf' in line 1"),
        (b"1\n3\n2\n", "ascending order at line 3"),
        (gzip.compress(b"1\n2\n" * 9)[:-9], "cannot be read"),
        (b"\xff\x00\n", "line 1"),
    ],
)
def test_what_is_no_target_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "target.tsv"
    path.write_bytes(content)
    with pytest.raises(InvalidReference, match=message):
        read_target(path)


def test_absent_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidReference, match="cannot be read"):
        read_target(tmp_path / "target.tsv")
