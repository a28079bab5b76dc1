"""How probably a run is of single cells: its expression profile, and the words beside it.

A library of one cell has few kinds of molecules, however deeply it is sequenced: few genes
are detected for its number of fragments. `benchmarks/single_cell_model.py` fits a logistic
regression on profiles that it simulates, and writes `single_cell_model.json`; no labelled
set of real ones is at hand. A run that holds thousands of cells together, as those of
droplet methods do, looks like bulk: only words tell it. Therefore a profile like bulk's is
weak evidence, and clear words win. Not here: the words (`refinebio_assets.metadata.single_cell`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MODEL_FILE = "single_cell_model.json"
TOP = (50, 100)

# Judged, not measured. Log-odds of a run of which nothing is known: 18 %.
PRIOR = -1.5
# The bounds of what a profile may say; words say up to 8 either way.
LEAST_OF_PROFILE, MOST_OF_PROFILE = -2.0, 3.0
# Below these, bulk and single cells look alike.
FEWEST_COUNTS = 30_000.0
FEWEST_GENES = 2_000


@dataclass(frozen=True)
class Profile:
    """What a sample's counts look like.

    Attributes
    ----------
    num_genes, num_genes_detected
        Genes of the reference, and those of them with a count above 0.
    library_size
        Sum of the counts.
    top_50_share, top_100_share
        Share of the counts that the 50 or 100 largest genes have; 0 without counts.
    """

    num_genes: int
    num_genes_detected: int
    library_size: float
    top_50_share: float
    top_100_share: float

    @property
    def zero_share(self) -> float:
        """Share of the reference's genes without a count, 1 of an empty reference."""
        return 1 - self.num_genes_detected / self.num_genes if self.num_genes else 1.0


@dataclass(frozen=True)
class Model:
    """A logistic regression: log-odds = intercept + Σ coefficient × feature.

    `ranges` are the smallest and largest values of training; others are brought to them.
    """

    intercept: float
    coefficients: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]

    def log_odds(self, profile: Profile) -> float:
        """Log-odds of a single cell where cells and bulk are equally frequent."""
        values = features(profile)
        return self.intercept + sum(
            coefficient * min(max(values[name], self.ranges[name][0]), self.ranges[name][1])
            for name, coefficient in self.coefficients.items()
        )


def profile_of(counts: NDArray[np.float64]) -> Profile:
    """The profile of one sample.

    Parameters
    ----------
    counts
        Fragments of each gene of the reference, unscaled; not negative, finite.
    """
    total = float(counts.sum())
    largest = np.sort(np.partition(counts, -min(max(TOP), len(counts)))[-max(TOP) :])[::-1]
    top_50, top_100 = (float(largest[:n].sum()) / total if total else 0.0 for n in TOP)
    return Profile(
        num_genes=len(counts),
        num_genes_detected=int(np.count_nonzero(counts > 0)),
        library_size=total,
        top_50_share=min(top_50, 1.0),
        top_100_share=min(top_100, 1.0),
    )


def features(profile: Profile) -> dict[str, float]:
    """What the model looks at, of a profile with counts."""
    return {
        "log10_library_size": math.log10(max(profile.library_size, 1.0)),
        "logit_detected_share": _logit(1 - profile.zero_share),
        "log10_genes_detected": math.log10(max(profile.num_genes_detected, 1)),
        "logit_top_50_share": _logit(profile.top_50_share),
        "logit_top_100_share": _logit(profile.top_100_share),
    }


def profile_log_odds(profile: Profile) -> float:
    """What a profile says of single cells, as log-odds from -2 to 3.

    0 where it says nothing: with fewer than 30,000 counts, or of a reference with fewer than
    2,000 genes.
    """
    if profile.library_size < FEWEST_COUNTS or profile.num_genes < FEWEST_GENES:
        return 0.0
    return min(max(model().log_odds(profile), LEAST_OF_PROFILE), MOST_OF_PROFILE)


def single_cell_probability(text_log_odds: float, profile: Profile | None = None) -> float:
    """How probably a run is of single cells, from 0 to 1.

    Parameters
    ----------
    text_log_odds
        What its records say (`TextEvidence.log_odds`); 0 where they are silent.
    profile
        None before it is quantified.
    """
    said_by_profile = profile_log_odds(profile) if profile else 0.0
    return 1 / (1 + math.exp(-(PRIOR + text_log_odds + said_by_profile)))


@cache
def model() -> Model:
    """The fitted model that comes with the package."""
    content = json.loads(Path(__file__).with_name(MODEL_FILE).read_text())
    return Model(
        intercept=content["intercept"],
        coefficients=content["coefficients"],
        ranges={name: (low, high) for name, (low, high) in content["ranges"].items()},
    )


def _logit(share: float) -> float:
    share = min(max(share, 1e-4), 1 - 1e-4)
    return math.log(share / (1 - share))
