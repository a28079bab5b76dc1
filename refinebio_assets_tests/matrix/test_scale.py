"""Scaling of genes against scikit-learn, as kept vectors and by its formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.matrix.scale import robustly_scaled, scaled_to_unit_range, standardised
from refinebio_assets_tests.conftest import shared_data

Reals = NDArray[np.floating[Any]]
Scaler = Callable[[Reals], Reals]

SCALERS = {"standard": standardised, "minmax": scaled_to_unit_range, "robust": robustly_scaled}
each_scaler = pytest.mark.parametrize("scaler", SCALERS.values(), ids=SCALERS)


def by_formula(name: str, row: Reals) -> Reals:
    """One gene as scikit-learn's documentation says; where the spread is 0, it counts as 1."""
    centre, spread = {
        "standard": lambda: (np.nanmean(row), np.nanstd(row)),
        "minmax": lambda: (np.nanmin(row), np.nanmax(row) - np.nanmin(row)),
        "robust": lambda: (
            np.nanmedian(row),
            np.nanpercentile(row, 75) - np.nanpercentile(row, 25),
        ),
    }[name]()
    if spread < 1e-12:
        spread = 1
    return (row - centre) / spread


@pytest.mark.parametrize("name", SCALERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("f64", 1e-12), ("f32", 2e-6)])
def test_is_that_of_scikit_learn(name: str, dtype: str, tolerance: float) -> None:
    vectors = np.load(shared_data("numerics/scaling.npz"))
    expected = vectors[f"{name}_{dtype}"]
    x = vectors["x_genes_by_samples"].astype(expected.dtype)
    found = SCALERS[name](x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


rows = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.integers(-400, 400).map(lambda n: n / 8) | st.just(float("nan")),
)


@settings(deadline=None)
@given(rows, st.sampled_from(sorted(SCALERS)), st.sampled_from("CF"))
def test_follows_the_formulas(x: Reals, name: str, order: Any) -> None:
    found = SCALERS[name](np.array(x, order=order))
    for row, scaled in zip(x, found, strict=True):
        if np.isnan(row).all():
            assert np.isnan(scaled).all()
        else:
            np.testing.assert_allclose(scaled, by_formula(name, row), rtol=1e-12, atol=1e-12)


@each_scaler
@given(value=st.floats(-1e9, 1e9), samples=st.integers(1, 40))
def test_constant_genes_and_single_samples_are_zero(
    scaler: Scaler, value: float, samples: int
) -> None:
    x = np.full((2, samples), value)
    x[1, samples // 2] = np.nan
    np.testing.assert_array_equal(scaler(x)[0], 0)
    assert set(scaler(x)[1][~np.isnan(x[1])]) <= {0.0}


@each_scaler
def test_infinite_values_stay_and_do_not_count(scaler: Scaler) -> None:
    x = np.array([[1.0, 2.0, 4.0, 8.0, -np.inf, np.nan], [3.0, 3.0, 3.0, 3.0, np.inf, 3.0]])
    found = scaler(x)
    np.testing.assert_allclose(found[:1, :4], scaler(x[:1, :4]))
    np.testing.assert_array_equal(found[0, 4:], [-np.inf, np.nan])
    np.testing.assert_array_equal(found[1], [0, 0, 0, 0, np.inf, 0])


@each_scaler
def test_blocks_of_rows_are_scaled_alike_also_in_place(scaler: Any) -> None:
    table = pl.read_parquet(shared_data("matrix/GSE12418.parquet")).drop("feature_id")
    x = np.tile(table.to_numpy(), (1, 3))  # more than one block
    whole = scaler(x)
    parts = np.vstack([scaler(x[at : at + 5000]) for at in range(0, len(x), 5000)])
    np.testing.assert_array_equal(parts, whole)
    assert scaler(x, out=x) is x
    np.testing.assert_array_equal(x, whole)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="two dimensions"):
        standardised(np.ones(3))
    with pytest.raises(ValueError, match="shape"):
        standardised(np.ones((3, 2)), out=np.ones((2, 3)))
