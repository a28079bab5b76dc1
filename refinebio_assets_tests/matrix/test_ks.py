"""The Kolmogorov-Smirnov test and the check of upper halves."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.matrix.ks import (
    UpperHalves,
    check_upper_halves,
    pairs_to_compare,
    two_sample_test,
)
from refinebio_assets.matrix.quantile import apply_target, determine_target
from refinebio_assets_tests.conftest import shared_data

Reals = NDArray[np.floating[Any]]

numbers = st.lists(st.integers(-6, 6).map(float) | st.just(np.inf), min_size=1, max_size=12)


@settings(deadline=None)
@given(numbers, numbers)
def test_statistic_is_the_largest_distance(x: list[float], y: list[float]) -> None:
    first, second = np.array(x), np.array(y)
    largest = max(abs((first <= at).mean() - (second <= at).mean()) for at in [*x, *y])
    statistic, p = two_sample_test(first, second)
    assert statistic == pytest.approx(largest, abs=1e-15)
    assert 0 < p <= 1
    assert (p == 1) or statistic > 0
    assert two_sample_test(second, first) == (statistic, p)
    assert two_sample_test(first[::-1], second) == (statistic, p)


@pytest.mark.parametrize("name", ["qn_real", "qn_ties", "raw"])
def test_upper_halves_are_tested_as_with_scipy(name: str) -> None:
    vectors = np.load(shared_data("numerics/ks.npz"))
    x = vectors[f"{name}__x"]
    for first, second, statistic, p in vectors[f"{name}__i_j_stat_p"]:
        pair = x[:, [int(first), int(second)]]
        found = check_upper_halves(pair, ["s1", "s2"])
        assert found.statistic == pytest.approx(statistic, rel=1e-9, abs=1e-15)
        assert found.p_value == pytest.approx(p, rel=1e-9)
        assert (found.warning is not None) == (statistic > 0.001 or p < 0.8)
        if found.warning:
            assert f"{statistic:.6g}" in found.warning
            assert f"{p:.6g}" in found.warning
            assert "s1 and s2" in found.warning


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_samples_without_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="empty or has a missing value"):
        two_sample_test(np.array(values), np.ones(3))


def test_pairs_come_in_lexicographic_order() -> None:
    assert pairs_to_compare(1) == []
    assert pairs_to_compare(5)[:6] == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3)]
    assert len(pairs_to_compare(5)) == 10
    assert pairs_to_compare(5, seed=4) == pairs_to_compare(5)
    assert pairs_to_compare(200) == [(0, other) for other in range(1, 101)]


def test_pairs_of_many_samples_are_drawn_once() -> None:
    pairs = pairs_to_compare(201)
    assert len(pairs) == 100
    assert len({number for pair in pairs for number in pair}) == 200
    assert pairs == pairs_to_compare(201)
    assert pairs != pairs_to_compare(201, seed=4)
    assert max(max(pair) for pair in pairs_to_compare(10_000)) > 9_000


def test_the_last_failing_pair_is_named() -> None:
    rng = np.random.default_rng(2)
    alike = rng.permutation(np.tile(np.arange(400.0), (3, 1)), axis=1)
    other = np.arange(400.0) ** 2
    x = np.column_stack([alike[0], other, alike[1], alike[2]])
    found = check_upper_halves(x, ["a", "b", "c", "d"])
    assert (found.statistic, found.p_value) == (0, 1)  # of c and d
    assert (found.pairs, found.failed) == (6, 3)
    assert found.warning is not None
    assert found.warning.startswith("b and d differ")


def test_one_sample_is_not_tested() -> None:
    assert check_upper_halves(np.ones((5, 1)), ["a"]) == UpperHalves(None, None, None, 0, 0)


def test_a_sample_without_upper_half_fails_its_pairs() -> None:
    x = np.column_stack([np.arange(9.0), np.ones(9), np.full(9, np.nan)])
    found = check_upper_halves(x, ["a", "b", "c"])
    assert (found.statistic, found.p_value, found.failed) == (None, None, 3)
    assert found.warning == "One of b and c has no value above its median."


def test_missing_values_do_not_count() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(301, 2))
    longer = np.vstack([x, [[np.nan, np.nan]]])
    assert check_upper_halves(longer, ["a", "b"]) == check_upper_halves(x, ["a", "b"])


def test_real_arrays_fail_before_and_differ_little_after_normalisation() -> None:
    table = pl.read_parquet(shared_data("matrix/chowdary.parquet")).drop("feature_id")
    x = table.to_numpy()[:, :20]
    before = check_upper_halves(x, table.columns[:20])
    after = check_upper_halves(apply_target(x, determine_target(x.T)), table.columns[:20])
    assert before.pairs == after.pairs == 100
    assert before.failed == 100
    assert after.statistic is not None
    assert before.statistic is not None
    assert after.statistic < 0.1 * before.statistic
    assert after.p_value is not None
    assert after.p_value > 0.8
