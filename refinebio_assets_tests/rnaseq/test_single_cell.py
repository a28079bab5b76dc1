"""Profiles of single cells: the numbers, real bulk that is never taken for cells, and cells.

The cells here are simulated otherwise than those on which the model was fitted: their
molecules are drawn from real bulk, and each is copied a geometric number of times.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from refinebio_assets.rnaseq import single_cell
from refinebio_assets.rnaseq.single_cell import (
    FEWEST_COUNTS,
    LEAST_OF_PROFILE,
    MOST_OF_PROFILE,
    Profile,
    features,
    model,
    profile_log_odds,
    profile_of,
    single_cell_probability,
)
from refinebio_assets.rnaseq.tximport import find_quant_files, gene_level, read_gene_map
from refinebio_assets_tests.conftest import shared_data

Values = NDArray[np.float64]


@cache
def yeast() -> Values:
    """Nine real bulk runs × genes; the 50 largest genes have 77 to 90 % of their counts."""
    folder = shared_data("salmon/yeast")
    found = gene_level(find_quant_files(folder), read_gene_map(folder / "tx2gene.tsv"))
    return np.ascontiguousarray(found.counts.T)


def cell_of(counts: Values, fragments: float, rng: np.random.Generator) -> Values:
    """A cell of 100,000 molecules, of which a tenth is caught and amplified."""
    shares = counts / counts.sum()
    caught = rng.multinomial(10_000, shares).astype(np.int64)
    caught[rng.random(len(caught)) < 0.3] = 0
    copies = np.array([rng.geometric(0.02, number).sum() for number in caught], dtype=float)
    return rng.poisson(fragments * copies / copies.sum()).astype(float)


# --- numbers ------------------------------------------------------------------------------


def test_the_profile_of_known_counts() -> None:
    counts = np.concatenate([np.arange(1, 201), np.zeros(50)]).astype(float)
    np.random.default_rng(0).shuffle(counts)
    assert profile_of(counts) == Profile(
        num_genes=250,
        num_genes_detected=200,
        library_size=20_100,
        top_50_share=sum(range(151, 201)) / 20_100,
        top_100_share=sum(range(101, 201)) / 20_100,
    )
    assert profile_of(counts).zero_share == pytest.approx(0.2)


def test_the_profile_of_nothing() -> None:
    for genes in (0, 1, 10):
        empty = profile_of(np.zeros(genes))
        assert (empty.library_size, empty.top_50_share, empty.zero_share) == (0, 0, 1)
        assert single_cell_probability(0.0, empty) == single_cell_probability(0.0)


@given(
    arrays(np.float64, st.integers(0, 300), elements=st.floats(0, 1e9)),
    st.floats(-8, 8),
)
def test_every_profile_has_a_probability(counts: Values, said: float) -> None:
    profile = profile_of(counts)
    assert 0 <= profile.zero_share <= 1
    assert 0 <= profile.top_50_share <= profile.top_100_share <= 1
    assert 0 < single_cell_probability(said, profile) < 1
    assert all(np.isfinite(list(features(profile).values())))


@given(
    st.integers(2_000, 200_000),
    st.floats(0, 1),
    st.floats(FEWEST_COUNTS, 1e12),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_what_a_profile_says_is_bounded(
    genes: int, detected: float, size: float, top: float, more: float
) -> None:
    profile = Profile(genes, int(genes * detected), size, top, top + more * (1 - top))
    assert LEAST_OF_PROFILE <= profile_log_odds(profile) <= MOST_OF_PROFILE


def test_the_committed_model_says_what_it_was_fitted_on() -> None:
    content = json.loads(Path(single_cell.__file__).with_name(single_cell.MODEL_FILE).read_text())
    assert content["fitted_on"].startswith("simulated")
    assert list(content["coefficients"]) == list(features(Profile(1, 1, 1.0, 1.0, 1.0)))
    assert content["ranges"].keys() == content["coefficients"].keys()
    assert model().intercept == content["intercept"]
    assert content["held out"]["accuracy"] > 0.95


# --- real bulk, cells, and both ------------------------------------------------------------


@pytest.mark.parametrize("fragments", [None, 1e6, 2e5, 5e4, 1e4, 1e3, 50])
def test_real_bulk_is_never_taken_for_cells_however_shallow(fragments: float | None) -> None:
    rng = np.random.default_rng(1)
    for counts in yeast():
        read = counts if fragments is None else rng.poisson(fragments * counts / counts.sum())
        assert single_cell_probability(0.0, profile_of(read.astype(float))) < 0.2


@pytest.mark.parametrize("fragments", [5e4, 2e5, 1e6, 4e6])
def test_a_cell_is_told_by_its_profile_alone(fragments: float) -> None:
    rng = np.random.default_rng(2)
    chances = [
        single_cell_probability(0.0, profile_of(cell_of(counts, fragments, rng)))
        for counts in yeast()
    ]
    assert np.mean(np.array(chances) > 0.5) >= 8 / 9


def test_a_published_cell_is_told() -> None:
    """GSM3491327: 978,175 counts in 3,627 genes, a microglial cell of a mouse."""
    for genes in (22_000, 55_000):
        assert single_cell_probability(0.0, Profile(genes, 3_627, 978_175, 0.45, 0.55)) > 0.8


def test_of_a_small_reference_a_profile_says_nothing() -> None:
    assert profile_log_odds(Profile(1_999, 20, 1e6, 0.9, 1.0)) == 0
    assert profile_log_odds(Profile(2_000, 20, 1e6, 0.9, 1.0)) != 0


@pytest.mark.parametrize("said", [-8.0, -5.0, 5.0, 6.0, 8.0])
def test_clear_words_win_over_any_profile(said: float) -> None:
    """Of 5 and more; droplets of one run together look like bulk."""
    for profile in (
        None,
        Profile(60_000, 25_000, 2e7, 0.2, 0.3),
        Profile(60_000, 900, 1e5, 0.9, 1),
    ):
        assert (single_cell_probability(said, profile) > 0.5) == (said > 0)


def test_words_and_profile_add_up() -> None:
    profile = Profile(60_000, 3_600, 1e6, 0.45, 0.55)
    chances = [single_cell_probability(said, profile) for said in (-3, -1, 0, 1, 3)]
    assert chances == sorted(chances)
    assert chances[2] > single_cell_probability(0.0)
