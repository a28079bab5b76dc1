"""Probabilities of the Kolmogorov-Smirnov statistic against SciPy's and counted paths."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.matrix.kolmogorov import one_sample_p, two_sample_p

# n, distance, scipy.stats.kstwo.sf(distance, n) of SciPy 1.17.1
ONE_SAMPLE = [
    (150, 0.004082, 1.0),
    (150, 0.020412, 0.9999998513164268),
    (150, 0.03266, 0.9956790750951365),
    (150, 0.073485, 0.3745513382650001),
    (150, 0.120025, 0.02432037454540814),
    (150, 0.121658, 0.021567623339598368),
    (150, 0.244949, 2.0691934958527063e-08),
    (150, 0.489898, 1.0166963392663538e-33),
    (900, 0.001667, 1.0),
    (900, 0.008333, 0.9999999412815999),
    (900, 0.013333, 0.9966070440179782),
    (900, 0.03, 0.3851661801951911),
    (900, 0.049, 0.02566615880197276),
    (900, 0.049667, 0.022786552317837678),
    (900, 0.1, 2.748933331703341e-08),
    (900, 0.2, 4.9779530757678e-32),
    (900, 0.833333, 0.0),
    (5000, 0.000707, 1.0),
    (5000, 0.003536, 0.9999999617627621),
    (5000, 0.005657, 0.9969481840029708),
    (5000, 0.012728, 0.38948810681156765),
    (5000, 0.020789, 0.026179877581856137),
    (5000, 0.021072, 0.02325034847389033),
    (5000, 0.042426, 2.943112341532228e-08),
    (5000, 0.084853, 9.083179170006766e-32),
    (5000, 0.353553, 0.0),
    (15000, 0.000408, 1.0),
    (15000, 0.002041, 0.999999967220543),
    (15000, 0.003266, 0.9970529108219355),
    (15000, 0.007348, 0.3909373850897203),
    (15000, 0.012002, 0.02634778221413492),
    (15000, 0.012166, 0.023391308497540394),
    (15000, 0.024495, 2.989810763652097e-08),
    (15000, 0.04899, 1.0026187946092034e-31),
    (15000, 0.204124, 0.0),
    (50000, 0.000224, 1.0),
    (50000, 0.001118, 0.9999999699908927),
    (50000, 0.001789, 0.997113062061979),
    (50000, 0.004025, 0.3916795934040801),
    (50000, 0.006574, 0.026436550368310274),
    (50000, 0.006663, 0.023497157085010614),
    (50000, 0.013416, 3.0202446773963754e-08),
    (50000, 0.026833, 1.044145417950044e-31),
    (50000, 0.111803, 0.0),
]

# distance in steps, m, n, scipy.stats.ks_2samp's p-value in automatic mode
TWO_SAMPLES = [
    (32, 8, 8, 0.2826728826728826),
    (33, 9, 14, 0.7559784138327685),
    (29400, 600, 600, 0.03652927481633328),
    (22960, 600, 590, 0.15405005972526814),
    (50340, 600, 612, 1.942893864838596e-05),
    (53301, 997, 1003, 0.11082909372149866),
    (313741, 5000, 4999, 0.8178252041079701),
    (1725722, 10000, 9973, 0.09885381809138205),
    (3330000, 10000, 10000, 3.0516336648740955e-05),
    (1030103, 10001, 10001, 0.6598935071458845),
    (11070000, 30000, 30000, 0.02119821056905174),
    (3926000, 30000, 28000, 0.9082392516966401),
    (483800, 30000, 200, 0.1423344601551887),
    (7840000, 24000, 8000, 3.951775534799795e-09),
    (22668000, 12000, 12000, 2.4968880652048906e-130),
]


@pytest.mark.parametrize(("n", "distance", "p"), ONE_SAMPLE)
def test_large_samples_are_as_in_scipy(n: int, distance: float, p: float) -> None:
    found = one_sample_p(distance, n)
    assert found == pytest.approx(p, rel=1e-8, abs=3e-6 if n < 1000 and p > 0.02 else 0)


@pytest.mark.parametrize(("steps", "m", "n", "p"), TWO_SAMPLES)
def test_automatic_mode_is_that_of_scipy(steps: int, m: int, n: int, p: float) -> None:
    assert two_sample_p(steps, m, n) == pytest.approx(p, rel=1e-8)
    assert two_sample_p(steps, n, m) == pytest.approx(p, rel=1e-8)


@settings(deadline=None, max_examples=60)
@given(m=st.integers(1, 7), n=st.integers(1, 7))
def test_small_samples_are_counted(m: int, n: int) -> None:
    """Every way in which the ranks can fall, of every distance there can be."""
    distances = []
    for chosen in combinations(range(m + n), m):
        of_first = np.cumsum(np.isin(np.arange(m + n), chosen))
        of_second = np.arange(1, m + n + 1) - of_first
        distances.append(np.abs(of_first * n - of_second * m).max())
    for steps in set(distances):
        share = np.mean(np.array(distances) >= steps)
        assert two_sample_p(int(steps), m, n) == pytest.approx(share, rel=1e-12)


def test_exact_and_large_sample_values_meet() -> None:
    """Where one takes over from the other: 10,000 values on either side."""
    for steps in (90, 120, 170):
        exact = two_sample_p(steps * 10_000, 10_000, 10_000)
        approximate = two_sample_p(steps * 10_001, 10_001, 10_001)
        assert approximate == pytest.approx(exact, rel=0.04)
    assert two_sample_p(0, 30_000, 30_000) == 1
    assert two_sample_p(30_000 * 30_000, 30_000, 30_000) == 0
