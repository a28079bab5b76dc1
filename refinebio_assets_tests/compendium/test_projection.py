"""Samples put into a release: against fits, correlations and ranks found in other ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.compendium.assembly import IMPUTED, MEASURED, ZERO_RESTORED
from refinebio_assets.compendium.layered_h5ad import LayeredH5ad
from refinebio_assets.compendium.projection import (
    Axes,
    Space,
    nearest,
    percentiles,
    placed,
    project,
    set_aside_of,
    spread,
)
from refinebio_assets.compendium.reader import ReleaseMatrix
from refinebio_assets.errors import TooFewGenes
from refinebio_assets.matrix.impute import IterativeSvd, impute
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets_tests.compendium.example_matrix import Example, example

NO = np.array([False])


def space_of(genes: pl.Series, **parts: object) -> Space:
    nothing = {"loadings": None, "target": None, "axes": None}
    aside = np.zeros(len(genes), np.bool_)
    return Space(**{"genes": genes, "set_aside": aside, **nothing, **parts})  # type: ignore[arg-type]


def written(path: Path, given: Example) -> ReleaseMatrix:
    with LayeredH5ad(path, given.genes, given.samples) as h5ad:
        given.write_into(h5ad, [7])
        titles = [f"title of {each}" if each != "GSM1007" else None for each in given.samples]
        described = {"title": titles, "age": [np.nan, *range(1, len(given.samples))]}
        h5ad.describe(pl.DataFrame(described, strict=False))
    return ReleaseMatrix(path)


# --- into the space -------------------------------------------------------------------


def test_placed_is_by_name_and_on_the_scale_of_the_technology() -> None:
    genes = pl.Series([f"G{n}" for n in range(12)])
    space = space_of(genes)
    aside = np.arange(12) == 3
    mine = pl.Series(["other", *reversed(genes.to_list()[1:])])  # without G0
    counts = np.array([5, *range(11, 0, -1)], np.float32)
    counts[-1] = 0  # G1
    row = placed(mine, counts, space_of(genes, set_aside=aside), is_rnaseq=True)
    assert np.isnan(row[[0, 3]]).all()
    assert row[1] == 0
    np.testing.assert_allclose(row[[2, 4, 11]], np.log2([3, 5, 12]), rtol=1e-6)
    small = placed(mine, counts, space, is_rnaseq=False)
    np.testing.assert_array_equal(small[1:], [0, *range(2, 12)])
    large = placed(mine, counts * 100, space, is_rnaseq=False)
    assert np.isnan(large[:2]).all()  # log2(0) is not finite
    np.testing.assert_allclose(large[2:], np.log2(np.arange(200, 1200, 100)), rtol=1e-6)


def test_a_sample_of_other_genes_is_refused_with_both_names() -> None:
    space = space_of(pl.Series([f"ENSG{n}" for n in range(30)]), loadings=np.eye(30)[:, :8])
    with pytest.raises(TooFewGenes, match=r"0 of .* 16 are needed.*'TP53'.*'ENSG0'"):
        placed(pl.Series(["TP53"]), np.ones(1, np.float32), space, is_rnaseq=False)
    names = pl.Series([f"ENSG{n}" for n in range(15)])
    with pytest.raises(TooFewGenes, match="15 of"):
        placed(names, np.ones(15, np.float32), space, is_rnaseq=False)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.05, 0.6))
def test_gaps_are_what_iterations_come_to_rest_at(seed: int, rank: int, share: float) -> None:
    """With the factors held still: fill, project onto them, fill again … does not move it."""
    rng = np.random.default_rng(seed)
    genes = 80
    loadings = np.linalg.qr(rng.normal(size=(genes, rank)))[0]
    row = rng.normal(7, 2, genes).astype(np.float32)
    gaps = rng.permutation(genes) < share * genes
    row[gaps] = np.nan
    space = space_of(pl.Series([str(n) for n in range(genes)]), loadings=loadings)
    found = project(row[None], NO, space)
    filled = found.values[0].astype(np.float64)
    np.testing.assert_array_equal(filled[~gaps], row[~gaps])
    again = loadings @ (loadings.T @ filled)
    np.testing.assert_allclose(again[gaps], filled[gaps], atol=1e-4 * np.abs(filled).max())
    assert (found.origins[0] == np.where(gaps, IMPUTED, MEASURED)).all()


def test_a_sample_of_the_matrix_is_filled_as_the_imputation_filled_it() -> None:
    rng = np.random.default_rng(1)
    whole = rng.gamma(2, 2, 900) + rng.normal(size=(120, 6)) @ rng.normal(size=(6, 900))
    values = (whole + rng.normal(0, 0.3, whole.shape)).astype(np.float32)
    values[np.ix_(rng.random(120) < 0.5, rng.random(900) < 0.3)] = np.nan

    class Table:
        samples, genes = values.shape

        def read_samples(self, first: int, end: int) -> np.ndarray:
            return values[first:end].copy()

    imputed = impute(Table(), IterativeSvd(rank=6))
    assert imputed.fill is not None
    expected = values.copy()
    imputed.put(expected, slice(0, 120))
    genes = pl.Series([str(n) for n in range(900)])
    found = project(values, np.zeros(120, np.bool_), space_of(genes, loadings=imputed.fill.genes))
    gaps = np.isnan(values)
    assert gaps.any()
    off = np.sqrt(np.mean((found.values - expected)[gaps] ** 2))
    assert off < 0.01 * expected[gaps].std()


def test_what_is_done_in_order_and_said_of_every_value() -> None:
    rng = np.random.default_rng(3)
    genes = 60
    rows = rng.normal(6, 2, (3, genes)).astype(np.float32)
    rows[0, :5] = 0
    rows[1, 3:20] = np.nan
    rows[2, 0] = 0  # of an array: not a zero that is restored
    is_rnaseq = np.array([True, True, False])
    loadings = np.linalg.qr(rng.normal(size=(genes, 2)))[0]
    target = np.sort(rng.normal(8, 3, genes))
    weights = np.linalg.qr(rng.normal(size=(20, 2)))[0]
    axes = Axes(np.arange(10, 30), np.full(20, 8.0), weights, np.ones(2), np.zeros((4, 2)))
    names = pl.Series([str(n) for n in range(genes)])
    before = rows.copy()
    found = project(rows, is_rnaseq, space_of(names, loadings=loadings, target=target, axes=axes))
    np.testing.assert_array_equal(rows, before)
    counts = [np.bincount(each, minlength=4).tolist() for each in found.origins]
    assert counts == [[genes - 5, 0, 5, 0], [genes - 17, 17, 0, 0], [genes, 0, 0, 0]]
    np.testing.assert_allclose(np.sort(found.values[1]), target, rtol=1e-5)
    assert found.coordinates is not None
    expected = (found.values[:, 10:30].astype(np.float64) - 8.0) @ weights
    np.testing.assert_allclose(found.coordinates, expected, atol=1e-9)

    # without factors: gaps stay, and the other genes decide
    left = project(rows, is_rnaseq, space_of(names, target=target, axes=axes))
    assert np.bincount(left.origins[1], minlength=4).tolist() == [genes - 17, 0, 0, 17]
    assert np.isnan(left.values[1, 3:20]).all()
    np.testing.assert_allclose(
        left.values, apply_target(rows.T.astype(np.float64), target).T, rtol=1e-6
    )
    assert left.coordinates is not None
    known = slice(20, 30)  # of the axes' genes, the last ten
    mine = left.values[1, known].astype(np.float64) - 8.0
    fitted = np.linalg.lstsq(weights[10:], mine, rcond=None)[0]
    np.testing.assert_allclose(left.coordinates[1], fitted, atol=1e-9)


def test_samples_do_not_depend_on_each_other() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(6, 2, (5, 50)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    space = space_of(
        pl.Series([str(n) for n in range(50)]),
        loadings=np.linalg.qr(rng.normal(size=(50, 3)))[0],
        target=np.sort(rng.normal(size=50)),
    )
    together = project(rows, np.zeros(5, np.bool_), space).values
    alone = [project(row[None], NO, space).values[0] for row in rows]
    np.testing.assert_array_equal(together, alone)


# --- who is near ----------------------------------------------------------------------


def correlation(one: np.ndarray, other: np.ndarray, both: np.ndarray) -> float:
    """By NumPy, over some genes."""
    return float(np.corrcoef(one[both].astype(np.float64), other[both].astype(np.float64))[0, 1])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_nearest_are_those_of_every_pair_compared(
    tmp_path_factory: pytest.TempPathFactory, seed: int, gaps: bool
) -> None:
    given_release = example(150, 70, gaps=gaps, seed=seed)  # more than a chunk of samples
    asked = example(3, 70, gaps=gaps, seed=seed + 1)
    with written(tmp_path_factory.mktemp("release") / "X.h5ad", given_release) as matrix:
        found = nearest(asked.values, asked.origins, matrix, most=6)
    own = {
        each: np.isin(each.origins, (MEASURED, ZERO_RESTORED)) for each in (asked, given_release)
    }
    for row in range(3):
        every = []
        for place in range(150):
            both = own[asked][row] & own[given_release][place]
            if both.sum() >= max(10, 0.25 * own[asked][row].sum()):
                r = correlation(asked.values[row], given_release.values[place], both)
                every.append((-r, place, int(both.sum())))
        best = sorted(every)[:6]
        np.testing.assert_allclose(found.correlations[row], [-each[0] for each in best], atol=1e-9)
        assert found.places[row].tolist() == [each[1] for each in best]
        assert found.genes[row].tolist() == [each[2] for each in best]


def test_itself_is_left_out_where_it_is_said(tmp_path: Path) -> None:
    release = example(20, 60, seed=5)
    with written(tmp_path / "X.h5ad", release) as matrix:
        values, origins = release.values[[4, 9]], release.origins[[4, 9]]
        with_it = nearest(values, origins, matrix, most=1)
        without = nearest(values, origins, matrix, most=1, itself=np.array([4, -1]))
    assert with_it.places[:, 0].tolist() == [4, 9]
    np.testing.assert_allclose(with_it.correlations, 1, atol=1e-12)
    assert without.places[0, 0] != 4
    assert without.places[1, 0] == 9


def test_there_is_no_comparison_of_too_little_or_of_what_does_not_vary(tmp_path: Path) -> None:
    release = example(8, 80, seed=6)
    release.origins[:] = MEASURED
    release.origins[:4, 12:] = IMPUTED  # 12 of 80 genes of their own: less than a quarter
    release.values[4] = 3.0
    with written(tmp_path / "X.h5ad", release) as matrix:
        found = nearest(release.values[5:6], release.origins[5:6], matrix)
    assert sorted(found.places[0].tolist()) == [-1] * 7 + [5, 6, 7]
    assert np.isnan(found.correlations[0, 3:]).all()
    assert (found.genes[0, 3:] == 0).all()


def test_large_values_lose_no_digits(tmp_path: Path) -> None:
    release = example(5, 4_000, seed=7)
    release.origins[:] = MEASURED
    shifted = (release.values / 100 + 50).astype(np.float32)
    moved = Example(release.genes, release.samples, shifted, release.origins)
    with written(tmp_path / "X.h5ad", moved) as matrix:
        found = nearest(shifted[:1], release.origins[:1], matrix, most=5)
    everything = np.ones(4_000, np.bool_)
    expected = [correlation(shifted[0], shifted[place], everything) for place in found.places[0]]
    np.testing.assert_allclose(found.correlations[0], expected, atol=1e-10)


def test_percentiles() -> None:
    of_release = np.array([0.9, 0.8, 0.7, np.nan, 0.6])
    mine = np.array([1.0, 0.75, 0.1, np.nan])
    np.testing.assert_array_equal(percentiles(mine, of_release), [0, 50, 100, np.nan])
    assert np.isnan(percentiles(mine, np.full(3, np.nan))).all()


def test_genes_that_no_rna_seq_sample_has(tmp_path: Path) -> None:
    release = example(30, 40, seed=8)
    release.origins[:] = MEASURED
    release.origins[20:, 5:9] = IMPUTED
    release.origins[25, 6] = ZERO_RESTORED
    is_rnaseq = np.arange(30) >= 20
    with written(tmp_path / "X.h5ad", release) as matrix:
        assert np.flatnonzero(set_aside_of(matrix, is_rnaseq)).tolist() == [5, 7, 8]
        assert not set_aside_of(matrix, np.zeros(30, np.bool_)).any()


def test_what_is_known_of_samples_is_read_in_the_order_asked(tmp_path: Path) -> None:
    release = example(4, 10)
    with written(tmp_path / "X.h5ad", release) as matrix:
        names = [release.samples[each] for each in (3, 1, 0)]
        found = matrix.describe(names)
    assert found["sample"].to_list() == names
    assert found["title"].to_list() == [f"title of {names[0]}", None, f"title of {names[2]}"]
    assert found["age"].to_list() == [3.0, 1.0, None]


@pytest.mark.parametrize(
    ("number", "most", "expected"), [(3, 5, [0, 1, 2]), (101, 3, [0, 50, 100])]
)
def test_spread(number: int, most: int, expected: list[int]) -> None:
    assert spread(number, most).tolist() == expected
