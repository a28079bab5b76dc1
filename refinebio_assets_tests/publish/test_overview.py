"""Histograms, variances and principal components of matrices, against NumPy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.publish import overview
from refinebio_assets.publish.disk_matrix import DiskMatrix
from refinebio_assets.publish.overview import (
    Components,
    Spread,
    bins_for,
    heights,
    principal_components,
)

matrices = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 50)),
    elements=st.integers(-80, 80).map(lambda n: n / 8)
    | st.sampled_from([float("nan"), float("inf"), float("-inf")]),
)


@settings(deadline=None)
@given(matrices)
def test_histograms_are_numpys(values: NDArray[np.float32]) -> None:
    edges = np.linspace(-8, 8, 33)  # exact in binary
    found = heights(values, edges)
    for row, mine in zip(values, found, strict=True):
        finite = row[np.isfinite(row)]
        expected = np.histogram(finite, edges)[0] / max(1, len(finite))
        np.testing.assert_allclose(mine, expected, rtol=1e-6)


def test_bins_hold_all_but_the_ends() -> None:
    values = np.arange(100_001.0)
    np.random.default_rng(1).shuffle(values)
    edges = bins_for([np.append(values[:500], [np.nan, np.inf, -np.inf]), values[500:]])
    np.testing.assert_allclose(edges[[0, -1]], [100, 99_900])
    np.testing.assert_allclose(np.diff(edges), np.diff(edges)[0])
    assert np.all(np.diff(bins_for([np.full(3, 7.0)])) > 0)
    assert np.all(np.diff(bins_for([np.array([np.nan])])) > 0)


@settings(deadline=None)
@given(matrices, st.integers(1, 6))
def test_variances_do_not_depend_on_blocks(values: NDArray[np.float32], step: int) -> None:
    spread = Spread(values.shape[1])
    for start in range(0, len(values), step):
        spread.add(values[start : start + step])
    finite = np.isfinite(values).all(axis=0)
    found = spread.variances()
    np.testing.assert_allclose(
        found[finite], values[:, finite].astype(float).var(axis=0), rtol=1e-9, atol=1e-12
    )
    assert np.isnan(found[~finite]).all()


def components_of(values: NDArray[np.float32], folder: Path, most: int = 500) -> Components | None:
    shape = (values.shape[0], values.shape[1])
    spread = Spread(shape[1])
    spread.add(values)
    with DiskMatrix(folder, shape, 1000) as matrix:
        matrix.write_samples(0, values)
        return principal_components(matrix, spread.variances(), most)


@pytest.mark.parametrize("most", [25, 70])  # fewer than samples, and more
def test_components_are_those_of_the_most_variable_finite_genes(most: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(40, 90)).astype(np.float32)
    values[:20, :30] += 5
    usable = np.delete(np.arange(90), [7, 8])
    chosen = usable[np.argsort(-values[:, usable].var(axis=0))[:most]]
    centred = (values - values.mean(axis=0))[:, np.sort(chosen)].astype(float)
    values[3, 7], values[4, 8] = np.nan, np.inf
    u, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    found = components_of(values, tmp_path, most)
    assert found is not None
    assert len(found.genes) == most
    again = (values[:, found.genes] - found.means) @ found.axes
    np.testing.assert_allclose(again, found.coordinates, atol=1e-6)
    expected = u[:, :2] * lengths[:2]
    signs = np.sign((found.coordinates * expected).sum(axis=0))
    np.testing.assert_allclose(found.coordinates, expected * signs, atol=1e-4)
    np.testing.assert_allclose(found.shares, (lengths**2 / (lengths**2).sum())[:2], rtol=1e-5)
    assert (found.coordinates[:20, 0].max() < found.coordinates[20:, 0].min()) or (
        found.coordinates[:20, 0].min() > found.coordinates[20:, 0].max()
    )


def test_components_do_not_depend_on_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(7).normal(size=(50, 40)).astype(np.float32)
    whole = components_of(values, tmp_path)
    monkeypatch.setattr(overview, "_CELLS_AT_A_TIME", 4 * overview.MOST_GENES)
    parts = components_of(values, tmp_path)
    assert whole is not None
    assert parts is not None
    np.testing.assert_allclose(parts.coordinates, whole.coordinates, rtol=1e-9)


def test_what_does_not_vary_has_no_components(tmp_path: Path) -> None:
    assert components_of(np.ones((1, 9), np.float32), tmp_path) is None
    assert components_of(np.ones((4, 9), np.float32), tmp_path) is None
    assert components_of(np.full((4, 9), np.nan, np.float32), tmp_path) is None
    two = components_of(np.arange(18, dtype=np.float32).reshape(2, 9), tmp_path)
    assert two is not None
    np.testing.assert_allclose(two.shares, [1, 0], atol=1e-12)
    np.testing.assert_allclose(two.coordinates[:, 1], 0, atol=1e-6)
