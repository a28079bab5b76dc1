"""Bins, and how a fit ends. The numbers of whole fits are compared in test_scan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import ModelNotFitted
from refinebio_assets.microarray.mixture import (
    Fit,
    background_probability,
    equal_bins,
    fit_mixture,
)
from refinebio_assets.microarray.r_random import normals
from refinebio_assets.microarray.sequence_effects import pack_sequences, regression_on_every

Floats = NDArray[np.float64]


def bins_by_the_rule(values: Floats) -> list[int]:
    ascending = sorted(values)
    boundaries = [ascending[len(values) * k // 25 - 1] for k in range(1, 26)]
    return [sum(value > boundary for boundary in boundaries) for value in values]


@hypothesis_settings(deadline=None)
@given(n=st.integers(25, 300), seed=st.integers(0, 2**32 - 1), decimals=st.integers(2, 8))
def test_bins_follow_the_rule(n: int, seed: int, decimals: int) -> None:
    values = np.random.default_rng(seed).normal(size=n).round(decimals)
    wanted = bins_by_the_rule(values)
    if len(set(wanted)) == 25:
        assert equal_bins(values, False).tolist() == wanted


@pytest.mark.parametrize("one_tie_seed", [False, True])
def test_ties_that_empty_a_bin_are_broken_with_the_noise_of_seed_1(one_tie_seed: bool) -> None:
    values = np.round(np.random.default_rng(1).normal(size=500))
    assert len(set(bins_by_the_rule(values))) < 25
    wanted = bins_by_the_rule(values + normals(1, 500) * 1e-7)
    assert equal_bins(values, one_tie_seed).tolist() == wanted


def test_equal_values_can_be_binned_unless_the_noise_is_rounded_away() -> None:
    assert sorted(equal_bins(np.full(25, 8.0), False)) == list(range(25))
    with pytest.raises(ModelNotFitted, match="too many are equal"):
        equal_bins(np.full(25, 2.0**40), False)
    with pytest.raises(ModelNotFitted, match="24 values"):
        equal_bins(np.arange(24.0), False)


def test_an_impossible_probe_is_refused() -> None:
    variances = np.ones(25)
    bins = np.zeros(3, dtype=np.intp)
    shares = np.array([0.5, 0.5])
    far = np.array([0.0, 37.0, 39.0])
    with pytest.raises(ModelNotFitted, match="1 of 3 probes"):
        background_probability(far, far, bins, shares, variances, variances)
    possible = background_probability(far, np.zeros(3), bins, shares, variances, variances)
    assert possible.tolist()[::2] == [0.5, 0.0]
    with pytest.raises(ModelNotFitted, match="no variance"):
        background_probability(far, far, bins, shares, variances * 0, variances)


def fit_of(y: Floats, sequence: NDArray[np.uint8], convergence: float) -> Fit:
    regression = regression_on_every(1, sequence, pack_sequences(sequence, None))
    return fit_mixture(y, regression, convergence=convergence, one_tie_seed=False)


def simulated(seed: int = 0, n: int = 1200) -> tuple[Floats, NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    sequence = rng.integers(0, 4, (n, 10), dtype=np.uint8)
    background = 6 + 0.2 * np.isin(sequence, (1, 2)).sum(axis=1) + rng.normal(0, 0.3, n)
    return np.where(rng.random(n) < 0.3, background + 4 * rng.random(n), background), sequence


def test_a_fit_finds_what_was_simulated() -> None:
    rng = np.random.default_rng(0)
    sequence = rng.integers(0, 4, (6000, 10), dtype=np.uint8)
    background = 6 + 0.2 * np.isin(sequence, (1, 2)).sum(axis=1)
    is_signal = rng.random(6000) < 0.3
    y = np.where(is_signal, rng.normal(11, 1, 6000), rng.normal(background, 0.3))
    fit = fit_of(y, sequence, 0.01)
    assert fit.p[1] == pytest.approx(is_signal.mean(), abs=0.01)
    found = pack_sequences(sequence, None)
    assert np.abs(found.predict(fit.b1) - background).mean() < 0.05
    assert np.abs(found.predict(fit.b2) - 11).mean() < 0.2


def test_a_fit_that_does_not_converge_is_kept_and_marked() -> None:
    y, sequence = simulated()
    endless, short = fit_of(y, sequence, -1.0), fit_of(y, sequence, 0.5)
    assert (endless.iterations, endless.converged, len(endless.trace)) == (100, False, 100)
    assert short.converged
    assert short.iterations < 100
    assert short.trace[-1] <= 0.5 < min(short.trace[:-1])
    assert short.trace == endless.trace[: short.iterations]


def test_a_constant_array_is_refused() -> None:
    _, sequence = simulated()
    with pytest.raises(ModelNotFitted):
        fit_of(np.full(len(sequence), 8.0), sequence, 0.5)
