"""The radix sort of float32 values, against NumPy's stable sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from refinebio_assets.matrix.ranking import MISSING, ranked, values_of

Values = NDArray[np.float32]

HALF, LOWER = np.uint64(32), np.uint64(0xFFFFFFFF)

any_values = arrays.arrays(
    np.float32,
    st.integers(0, 300),
    elements=st.floats(width=32) | st.sampled_from([0.0, -0.0, 7.25, -1.5, np.inf, -np.inf]),
)


@settings(deadline=None)
@given(any_values)
def test_order_is_stable_and_values_come_back(values: Values) -> None:
    packed = ranked(values)
    np.testing.assert_array_equal(packed & LOWER, np.argsort(values, kind="stable"))
    known = np.sort(values[~np.isnan(values)])
    np.testing.assert_array_equal(values_of(packed[: len(known)]), known)
    keys = packed >> HALF
    alike = keys[: len(known)]
    np.testing.assert_array_equal(alike[1:] == alike[:-1], known[1:] == known[:-1])
    assert (keys[len(known) :] == MISSING).all()
    assert (keys[: len(known)] < MISSING).all()


def test_missing_of_negative_sign_comes_last() -> None:
    values = np.array([np.nan, 1, 2], np.float32)
    values[0] = np.copysign(values[0], -1)
    assert (ranked(values) & LOWER).tolist() == [1, 2, 0]
