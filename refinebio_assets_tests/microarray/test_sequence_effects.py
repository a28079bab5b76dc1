"""The regression on sequence, against one with the design matrix written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import InvalidProbeAnnotation, ModelNotFitted
from refinebio_assets.microarray.sequence_effects import (
    SequenceRegression,
    pack_sequences,
    regression_on_every,
)

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]


def design_of(sequence: Codes, t_counted_from: int | None = None) -> Floats:
    """The 3L + 5 columns of SCAN."""
    indicators = [sequence == base for base in range(3)]
    counts = [of_base.sum(axis=1) for of_base in indicators]
    ts = (t_counted_from or sequence.shape[1]) - sum(counts)
    columns = [ts, *np.hstack(indicators).T, *(number**2 for number in (*counts, ts))]
    return np.column_stack(columns).astype(np.float64)


def regression(sequence: Codes, t_counted_from: int | None = None) -> SequenceRegression:
    return regression_on_every(1, sequence, pack_sequences(sequence, t_counted_from))


@settings(max_examples=30, deadline=None)
@given(
    length=st.integers(1, 60),
    more_ts=st.sampled_from([None, 0, 10]),
    seed=st.integers(0, 2**32 - 1),
)
def test_predictions_are_those_of_the_design(length: int, more_ts: int | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sequence = rng.integers(0, 4, (200, length), dtype=np.uint8)
    t_counted_from = None if more_ts is None else length + more_ts
    coefficients = rng.normal(size=3 * length + 5)
    design = design_of(sequence, t_counted_from)
    packed = pack_sequences(sequence, t_counted_from)
    assert design.shape == (len(packed), packed.columns)
    wanted = design @ coefficients
    np.testing.assert_allclose(packed.predict(coefficients), wanted, rtol=1e-12, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(
    length=st.sampled_from([5, 8, 25, 50]),
    more_ts=st.sampled_from([0, 10]),
    step=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_coefficients_are_those_of_the_design(
    length: int, more_ts: int, step: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sequence = rng.integers(0, 4, (1500 * step, length), dtype=np.uint8)
    y, weights = rng.normal(8, 2, 1500), rng.random(1500)
    fitted = regression_on_every(step, sequence, pack_sequences(sequence, length + more_ts))
    root = np.sqrt(weights)
    design = design_of(sequence[::step], length + more_ts) * root[:, None]
    wanted = np.linalg.lstsq(design, y * root)[0]
    np.testing.assert_allclose(fitted.least_squares(y, weights), wanted, atol=1e-8)


def test_probes_of_weight_0_have_no_influence() -> None:
    rng = np.random.default_rng(3)
    sequence = rng.integers(0, 4, (900, 10), dtype=np.uint8)
    y = rng.normal(size=900)
    weights = np.repeat([1.0, 0.0], [600, 300])
    np.testing.assert_allclose(
        regression(sequence).least_squares(y, weights),
        regression(sequence[:600]).least_squares(y[:600], weights[:600]),
        atol=1e-10,
    )


@pytest.mark.parametrize("code", [3, 4, 255])
def test_an_unknown_base_counts_as_t(code: int) -> None:
    rng = np.random.default_rng(4)
    sequence = rng.integers(0, 4, (300, 25), dtype=np.uint8)
    unknown = np.where(sequence == 3, np.uint8(code), sequence)
    coefficients = rng.normal(size=80)
    np.testing.assert_array_equal(
        pack_sequences(unknown, None).predict(coefficients),
        pack_sequences(sequence, None).predict(coefficients),
    )
    y, weights = rng.normal(size=300), rng.random(300)
    np.testing.assert_array_equal(
        regression(unknown).least_squares(y, weights),
        regression(sequence).least_squares(y, weights),
    )


def test_a_design_without_full_rank_is_refused() -> None:
    rng = np.random.default_rng(5)
    sequence = rng.integers(0, 4, (2000, 25), dtype=np.uint8)
    y, weights = rng.normal(size=2000), rng.random(2000)
    no_a_at_3 = sequence.copy()
    no_a_at_3[no_a_at_3[:, 2] == 0, 2] = 3
    two_alike = sequence.copy()
    two_alike[:, 7] = two_alike[:, 6]
    for singular in (no_a_at_3, two_alike, sequence[:79]):
        n = len(singular)
        with pytest.raises(ModelNotFitted, match="singular"):
            regression(singular).least_squares(y[:n], weights[:n])
    with pytest.raises(ModelNotFitted, match="singular"):
        regression(sequence).least_squares(y, np.zeros(2000))


def test_weights_that_are_not_numbers_are_refused() -> None:
    rng = np.random.default_rng(6)
    sequence = rng.integers(0, 4, (2000, 25), dtype=np.uint8)
    weights = rng.random(2000)
    weights[17] = np.nan
    with pytest.raises(ModelNotFitted):
        regression(sequence).least_squares(rng.normal(size=2000), weights)


def test_probes_too_long_for_the_table_are_refused() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(InvalidProbeAnnotation, match="400 bases"):
        pack_sequences(rng.integers(0, 4, (10, 400), dtype=np.uint8), None)
