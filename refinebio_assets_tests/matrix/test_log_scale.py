"""The log2 rules at their edges, and on real values of either scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from refinebio_assets.matrix.log_scale import log2_if_raw, log2_of_counts
from refinebio_assets_tests.conftest import shared_data

Reals = NDArray[np.floating[Any]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, -1.0, 128.0, np.nan], [-np.inf, np.nan, 7.0, np.nan]),
        ([0.0, -1.0, 100.0, np.nan], [0.0, -1.0, 100.0, np.nan]),
        ([-500.0, 5.0], [-500.0, 5.0]),
        ([np.inf, 4.0], [np.inf, 2.0]),
        ([np.nan, np.nan], [np.nan, np.nan]),
        ([], []),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_raw_values_are_logged(
    values: list[float], expected: list[float], dtype: type[np.floating[Any]]
) -> None:
    found = log2_if_raw(np.array(values, dtype))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.array(expected, dtype))


def test_counts_are_logged_from_one() -> None:
    found = log2_of_counts(np.array([[0.0, 1.0], [np.nan, 1023.0]], np.float32))
    np.testing.assert_array_equal(found, np.array([[0, 1], [np.nan, 10]], np.float32))


def test_real_intensities_are_logged_and_real_log_ratios_are_not() -> None:
    raw = pl.read_parquet(shared_data("matrix/chowdary.parquet"))["chowdary_1"].to_numpy()
    np.testing.assert_array_equal(log2_if_raw(raw), np.log2(raw))
    logged = pl.read_parquet(shared_data("matrix/GSE12418.parquet"))["GSM311938"].to_numpy()
    assert log2_if_raw(logged) is logged
