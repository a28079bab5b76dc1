"""Counts on archs4py's four scales: its own results, kept and live, and where it has none."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidCounts
from refinebio_assets.matrix.count_scaling import (
    METHODS,
    Method,
    cpm,
    log_quantile,
    quantile,
    scale_counts,
    tmm,
)
from refinebio_assets_tests.conftest import shared_data

Counts = NDArray[np.uint32]

# What float32 can tell apart; archs4py's tmm is computed in it.
EPSILON = float(np.finfo(np.float32).eps)
TOLERANCE = {"quantile": EPSILON, "log_quantile": EPSILON, "cpm": EPSILON, "tmm": 1e-6}

matrices = arrays.arrays(
    np.uint32,
    st.tuples(st.integers(1, 60), st.integers(1, 40)),
    elements=st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1)),
)


@pytest.mark.parametrize("method", METHODS)
def test_is_that_of_archs4py(method: Method) -> None:
    vectors = np.load(shared_data("numerics/archs4_normalize.npz"))
    found = scale_counts(vectors["counts"], method, dtype=np.float64)
    np.testing.assert_allclose(found, vectors[method], rtol=TOLERANCE[method])
    kept = scale_counts(vectors["counts"].astype(np.float32), method)
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept, vectors[method], rtol=TOLERANCE[method])


@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_live_archs4py(method: Method) -> None:
    """Also with many ties and few genes, wherever archs4py has an answer."""
    archs4py = pytest.importorskip("archs4py", reason="archs4py is not installed")
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(7)
    answers = 0
    for _ in range(60):
        shape = rng.integers(1, 80), rng.integers(1, 30)
        counts = rng.poisson(rng.gamma(0.4, rng.choice([2, 50, 5000]), shape)).astype(np.uint32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the means of nothing
            theirs = archs4py.normalize(pd.DataFrame(counts), method=method).to_numpy()
        known = np.isfinite(theirs)
        ours = scale_counts(counts, method, dtype=np.float64)
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours[known], theirs[known], rtol=TOLERANCE[method])
        answers += int(known.sum())
    assert answers > 5000


def by_rule(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles in plain words: equal values have the mean of the target over their ranks."""
    target = np.sort(values, axis=0).mean(axis=1)
    new = np.empty(values.shape)
    for column, old in zip(new.T, values.T, strict=True):
        for gene, value in enumerate(old):
            below = int((old < value).sum())
            column[gene] = target[below : below + int((old == value).sum())].mean()
    return new


@settings(deadline=None, max_examples=80)
@given(counts=matrices)
def test_quantiles_follow_their_rule(counts: Counts) -> None:
    np.testing.assert_allclose(quantile(counts), by_rule(counts.astype(float)), rtol=1e-12)
    logarithms = np.log2(1 + counts.astype(float))
    np.testing.assert_allclose(log_quantile(counts), by_rule(logarithms), rtol=1e-12)


@settings(deadline=None, max_examples=50)
@given(counts=matrices, method=st.sampled_from(METHODS))
def test_neither_threads_nor_layout_nor_type_matter(counts: Counts, method: Method) -> None:
    found = scale_counts(counts, method, dtype=np.float64)
    assert found.shape == counts.shape
    for other, threads in ((np.asfortranarray(counts), 1), (counts.astype(np.float64), 3)):
        again = scale_counts(other, method, dtype=np.float64, threads=threads)
        np.testing.assert_array_equal(again, found)


@settings(deadline=None, max_examples=50)
@given(counts=matrices)
def test_cpm_adds_up_to_a_million(counts: Counts) -> None:
    empty = counts.sum(axis=0, dtype=np.uint64) == 0
    np.testing.assert_allclose(cpm(counts).sum(axis=0), np.where(empty, 0, 1e6))


def test_answers_where_archs4py_has_none() -> None:
    """Samples without a count, too few to trim, and the largest count."""
    counts = np.array([[0, 3], [0, 0], [0, 2**32 - 1]], np.uint32)
    assert not cpm(counts)[:, 0].any()
    assert not tmm(counts)[:, 0].any()
    np.testing.assert_allclose(tmm(counts)[:, 1], [2 / 17, 0, 32 / 17], rtol=1e-12)
    np.testing.assert_allclose(log_quantile(counts)[:, 1], [1, 0, 16], rtol=1e-12)


def test_tmm_trims_both_ends_of_the_positive() -> None:
    counts = np.array([[0], [0], [1], [3], [7], [2**20 - 1]])
    np.testing.assert_allclose(tmm(counts, trimmed=0.25)[:, 0] * 2.5, [0, 0, 1, 2, 3, 20])


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
@pytest.mark.parametrize("method", METHODS)
def test_refuses_what_is_no_count(bad: float, method: Method) -> None:
    counts = np.ones((30, 20))
    counts[4, 17] = bad
    with pytest.raises(InvalidCounts, match=f"Sample 18 has the count {bad} of gene 5"):
        scale_counts(counts, method)


def test_refuses_other_methods_and_shapes() -> None:
    unknown: Any = "rpkm"
    with pytest.raises(ValueError, match="cpm, tmm, not by 'rpkm'"):
        scale_counts(np.ones((2, 2)), unknown)
    with pytest.raises(ValueError, match="two dimensions, not 1"):
        quantile(np.ones(3))
    with pytest.raises(ValueError, match="Less than half"):
        tmm(np.ones((2, 2)), trimmed=0.5)
