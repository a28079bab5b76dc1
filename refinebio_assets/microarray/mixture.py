"""The mixture of two regressions by which SCAN tells background from signal.

Log intensities y of probes with sequences x come from background, normal about x b1, or from
signal, normal about x b2. The variances s1 and s2 differ between bins of probes, equally
filled, along the predicted background. Expectation and maximisation take turns in SCAN's
own order, which is not quite EM's: see the comments. Source: Piccolo et al., Genomics 100:337
(2012), and SCAN.UPC 2.20.0. Not here: what is made of the fit (`scan`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refinebio_assets.errors import ModelNotFitted
from refinebio_assets.microarray.r_random import normals
from refinebio_assets.microarray.sequence_effects import Floats, SequenceRegression

BINS = 25
NOISE = 1e-7  # standard deviation of what breaks ties

_MOST_ITERATIONS = 100
_MOST_TIE_BREAKS = 10  # one is enough unless the values are so large that it is rounded away
_LEAST_WEIGHT = 0.01  # of a probe in a variance

Bins = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Fit:
    """The mixture as fitted.

    Attributes
    ----------
    iterations
        At least one.
    converged
        False where the last of the allowed iterations still changed too much. SCAN.UPC uses
        such a fit and says nothing.
    trace
        The largest relative change of a parameter in every iteration.
    p
        (2,): share of background and of signal.
    b1, b2
        (3L + 5,): coefficients of background and of signal.
    s1, s2
        (25,): variances, lowest predicted background first.
    """

    iterations: int
    converged: bool
    trace: tuple[float, ...]
    p: Floats
    b1: Floats
    s1: Floats
    b2: Floats
    s2: Floats


def fit_mixture(
    y: Floats, regression: SequenceRegression, *, convergence: float, one_tie_seed: bool
) -> Fit:
    """Fit the mixture.

    Parameters
    ----------
    y
        (m,) log2 intensities of the probes of `regression`, in canonical order; m >= 25.
    convergence
        The largest relative change of a parameter with which the iterations end.
    one_tie_seed
        See `equal_bins`.

    Raises
    ------
    ModelNotFitted
        Where SCAN.UPC ends with an error too: a singular regression, a probe impossible in
        both components, a parameter that is and stays 0.
    """
    background = (y <= np.sort(y)[len(y) // 2 - 2]).astype(np.float64)
    p = _shares(background)
    b1 = regression.least_squares(y, background)
    b2 = regression.least_squares(y, 1 - background)
    m1, m2 = regression.predict(b1), regression.predict(b2)
    bins = equal_bins(y, one_tie_seed)  # of the data; of the predictions in the iterations
    s1 = _variances(y - m1, background, bins)
    s2 = _variances(y - m2, background, bins)  # weighted as for s1: so does SCAN.UPC

    trace: list[float] = []
    while not trace or (trace[-1] > convergence and len(trace) < _MOST_ITERATIONS):
        before = np.concatenate([p, b1, s1, b2, s2])
        background = background_probability(y - m1, y - m2, bins, p, s1, s2)
        p = _shares(background)
        b1 = regression.least_squares(y, background / s1[bins])
        m1 = regression.predict(b1)
        bins = equal_bins(m1, one_tie_seed)
        # The new bins with the variances of the old ones: so does SCAN.UPC.
        b2 = regression.least_squares(y, (1 - background) / s2[bins])
        m2 = regression.predict(b2)
        s1 = _variances(y - m1, background, bins)
        s2 = _variances(y - m2, 1 - background, bins)
        trace.append(_largest_change(before, np.concatenate([p, b1, s1, b2, s2])))
    return Fit(
        iterations=len(trace),
        converged=trace[-1] <= convergence,
        trace=tuple(trace),
        p=p,
        b1=b1,
        s1=s1,
        b2=b2,
        s2=s2,
    )


def background_probability(
    from_background: Floats, from_signal: Floats, bins: Bins, p: Floats, s1: Floats, s2: Floats
) -> Floats:
    """The probability of every probe to be background, from its two residuals and its bin.

    Raises
    ------
    ModelNotFitted
        A probe so far from both components that its density is 0 in each (about 38 standard
        deviations).
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        of_background = p[0] * _density(from_background, s1[bins])
        of_signal = p[1] * _density(from_signal, s2[bins])
        probability: Floats = of_background / (of_background + of_signal)
    impossible = np.count_nonzero(np.isnan(probability))
    if impossible:
        raise ModelNotFitted(
            f"{impossible} of {len(probability)} probes fit neither background nor signal: "
            "they are too far from both, or a component has no variance."
        )
    return probability


def equal_bins(values: Floats, one_tie_seed: bool) -> Bins:
    """Which of 25 equally filled bins every value is in, 0 for the lowest values.

    A value at a boundary is in the bin below it. Where ties leave a bin empty, a little noise
    is added, again and again if need be: from R's seeds 1, 2, … or, with `one_tie_seed`,
    always from seed 1.

    Raises
    ------
    ModelNotFitted
        Noise does not help.
    """
    last_of_bin = len(values) * np.arange(1, BINS + 1) // BINS - 1
    for noisy in _with_growing_noise(values, one_tie_seed):
        boundaries = np.partition(noisy, last_of_bin)[last_of_bin]
        bins: Bins = np.searchsorted(boundaries, noisy)
        if np.bincount(bins, minlength=BINS).all():
            return bins
    raise ModelNotFitted(
        f"{len(values)} values cannot be put into {BINS} bins: too many are equal."
    )


def _with_growing_noise(values: Floats, one_tie_seed: bool) -> Iterator[Floats]:
    yield values
    for seed in itertools.islice(itertools.count(1), _MOST_TIE_BREAKS):
        values = values + normals(1 if one_tie_seed else seed, len(values)) * NOISE
        yield values


def _shares(background: Floats) -> Floats:
    share = background.mean()
    return np.array([share, 1 - share])


def _density(residuals: Floats, variances: Floats) -> Floats:
    """Of the normal distribution about 0."""
    density: Floats = np.exp(residuals**2 / (-2 * variances)) / np.sqrt(2 * np.pi * variances)
    return density


def _variances(residuals: Floats, probability: Floats, bins: Bins) -> Floats:
    """The weighted mean square of the residuals in every bin."""
    weights = probability + _LEAST_WEIGHT
    squares = np.bincount(bins, weights * residuals**2, minlength=BINS)
    return squares / np.bincount(bins, weights, minlength=BINS)


def _largest_change(before: Floats, after: Floats) -> float:
    """Relative to `before`, sign included: what was negative does not count (as in SCAN.UPC)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        change = float(np.max(np.abs(after - before) / before))
    if np.isnan(change):
        raise ModelNotFitted("A parameter of the mixture is exactly 0 and stays so.")
    return change
