"""Ranks and groups of SCAN's last step, against its rule in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.errors import ModelNotFitted
from refinebio_assets.matrix.ranking import stable_order
from refinebio_assets.microarray.scaling import scaled_in_groups

Floats = NDArray[np.float64]


@hypothesis_settings(deadline=None)
@given(
    arrays.arrays(
        np.float64,
        st.integers(1, 300),
        elements=st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 7.25, -1.5]),
    )
)
def test_order_is_stable_and_ascending(values: Floats) -> None:
    np.testing.assert_array_equal(stable_order(values), np.argsort(values, kind="stable"))


def scaled_by_the_rule(residuals: Floats, predicted: Floats, size: int) -> Floats:
    n = len(residuals)
    order = sorted(range(n), key=lambda probe: predicted[probe])
    scaled = np.zeros(n)
    for group in range(1, n // size + 1):
        first, last = size * group, min(size * group + size, n)
        members = order[first - 1 : last]
        spread = np.sqrt(sum(residuals[probe] ** 2 for probe in members) / len(members))
        for probe in members:
            scaled[probe] = residuals[probe] / spread
    return scaled


@hypothesis_settings(deadline=None)
@given(
    size=st.integers(1, 12),
    groups=st.integers(1, 6),
    more=st.integers(0, 11),
    seed=st.integers(0, 2**32 - 1),
)
def test_groups_follow_the_rule(size: int, groups: int, more: int, seed: int) -> None:
    """Also where n is a multiple of the size, and with equal predictions."""
    rng = np.random.default_rng(seed)
    n = size * groups + more % size
    residuals, predicted = rng.normal(size=n), rng.integers(0, 40, n) / 4
    np.testing.assert_allclose(
        scaled_in_groups(residuals, predicted, size),
        scaled_by_the_rule(residuals, predicted, size),
        rtol=1e-12,
    )


def test_the_lowest_are_0_and_a_last_group_of_one_is_1() -> None:
    residuals = np.array([-3.0, 5.0, 2.0, -4.0, 1.0, -0.5])
    scaled = scaled_in_groups(residuals, np.arange(6.0), 3)
    assert scaled[:2].tolist() == [0, 0]
    assert scaled[5] == -1


def test_a_group_without_spread_is_refused() -> None:
    residuals = np.ones(9)
    residuals[4:] = 0
    with pytest.raises(ModelNotFitted, match="exactly"):
        scaled_in_groups(residuals, np.arange(9.0), 5)
