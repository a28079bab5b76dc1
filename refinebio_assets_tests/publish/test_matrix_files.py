"""A matrix as TSV and AnnData: every value reads back, every time the bytes are the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.publish.disk_matrix import DiskMatrix
from refinebio_assets.publish.matrix_files import write_h5ad, write_parquet, write_tsv

GENES = pl.Series(["a", 'quo"ted', "ENSG1", "ö", "tab\tbed"])
SAMPLES = ["s1", "s2", "s3"]

matrices = arrays.arrays(np.float32, (3, 5), elements=st.floats(width=32))


def on_disk(folder: Path, values: NDArray[np.float32]) -> DiskMatrix:
    matrix = DiskMatrix(folder, (values.shape[0], values.shape[1]), 7)
    matrix.write_samples(0, values)
    return matrix


@pytest.fixture
def matrix(tmp_path: Path) -> Iterator[DiskMatrix]:
    values = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)
    with on_disk(tmp_path, values) as made:
        yield made


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=matrices)
def test_every_float32_reads_back_from_tsv(values: NDArray[np.float32], tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    done: list[int] = []
    with on_disk(tmp_path, values) as made:
        write_tsv(path, made, GENES, SAMPLES, done.append)
    assert path.read_bytes().startswith(b"Gene\ts1\ts2\ts3\na\t")
    found = pd.read_csv(path, sep="\t", index_col="Gene", float_precision="round_trip")
    assert found.index.to_list() == GENES.to_list()
    assert found.columns.to_list() == SAMPLES
    np.testing.assert_array_equal(found.to_numpy(np.float32).T, values)
    assert done == [2, 4, 5]


def test_decimals_are_short_and_missing_values_empty(tmp_path: Path) -> None:
    values = np.array([[0.1, 1 / 3, np.nan, -np.inf, np.inf]] * 3, np.float32)
    with on_disk(tmp_path, values) as made:
        write_tsv(tmp_path / "m.tsv", made, pl.Series(list("abcde")), SAMPLES, lambda done: None)
    second = [line.split("\t")[1] for line in (tmp_path / "m.tsv").read_text().splitlines()]
    assert second == ["s1", "0.1", "0.33333334", "", "-inf", "inf"]


def test_anndata_keeps_what_is_known_of_samples(matrix: DiskMatrix, tmp_path: Path) -> None:
    described = pl.DataFrame(
        {
            "sex": ["f", None, "m"],
            "none": pl.Series([None] * 3, dtype=pl.String),
            "nothing": [None] * 3,
            "age": [1.5, None, 3],
            "count": [1, None, 3],
            "whole": [1, 2, 3],
            "paired": [True, None, False],
            "processed": [True, True, False],
            "words": [["a", "b"], [], None],
            "characteristic/age": ["1", "2", "3"],
            "characteristic|age": ["4", "5", "6"],
            "_index": ["x", "y", "z"],
        }
    )
    done: list[int] = []
    write_h5ad(tmp_path / "m.h5ad", matrix, GENES, SAMPLES, described, done.append)
    found = ad.read_h5ad(tmp_path / "m.h5ad")
    assert done == [3]
    np.testing.assert_array_equal(found.X, matrix.read_samples(0, 3))
    assert found.obs_names.to_list() == SAMPLES
    assert found.var_names.to_list() == GENES.to_list()
    assert list(found.obs) == [
        *described.columns[:9],
        "characteristic|age",
        "characteristic|age_",
        "_index_",
    ]
    rows = [
        [None if pd.isna(value) else value for value in row]
        for row in found.obs.astype(object).to_numpy()
    ]
    assert rows == [
        ["f", None, None, 1.5, 1, 1, True, True, "a; b", "1", "4", "x"],
        [None, None, None, None, None, 2, None, True, "", "2", "5", "y"],
        ["m", None, None, 3, 3, 3, False, False, None, "3", "6", "z"],
    ]
    assert found.obs["processed"].dtype == bool
    assert not found.uns


def test_anndata_needs_no_description_and_can_be_opened_backed(
    matrix: DiskMatrix, tmp_path: Path
) -> None:
    write_h5ad(tmp_path / "m.h5ad", matrix, GENES, SAMPLES, None, lambda done: None)
    found = ad.read_h5ad(tmp_path / "m.h5ad", backed="r")
    np.testing.assert_array_equal(found[1:2].to_memory().X, matrix.read_samples(1, 2))
    found.file.close()


def test_bytes_do_not_depend_on_the_time(matrix: DiskMatrix, tmp_path: Path) -> None:
    described = pl.DataFrame({"sex": ["f", None, "m"], "age": [1.0, 2, 3]})
    contents = []
    for name in ("one", "two"):
        tsv, parquet, h5ad = (tmp_path / f"{name}.{each}" for each in ("tsv", "parquet", "h5ad"))
        write_tsv(tsv, matrix, GENES, SAMPLES, lambda done: None)
        write_parquet(parquet, matrix, GENES, SAMPLES, lambda done: None)
        write_h5ad(h5ad, matrix, GENES, SAMPLES, described, lambda done: None)
        contents.append([path.read_bytes() for path in (tsv, parquet, h5ad)])
        time.sleep(1.1)  # HDF5 counts in seconds
    assert contents[0] == contents[1]
