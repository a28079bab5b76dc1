"""Iterations within a subspace: those of the whole matrix, as far as it holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.matrix.imputation_subspace import Subspace
from refinebio_assets.matrix.impute import IterativeSvd, impute
from refinebio_assets.matrix.low_rank import Factors, independent_of, random_basis
from refinebio_assets.matrix.missing_cells import SamplesInMemory, find_missing

Floats = NDArray[np.float64]


def with_gaps(samples: int, genes: int, patterns: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    values = 6 + rng.normal(size=(samples, 4)) @ rng.normal(size=(4, genes))
    values += rng.normal(0, 0.5, values.shape)
    lacks = rng.random((patterns, genes)) < 0.2
    lacks[0] = False
    return np.where(lacks[np.arange(samples) % patterns], np.nan, values)


def plain(values: Floats, fills: list[int], fill: Floats | None = None) -> list[Floats]:
    """The filled matrix after each iteration, by singular value decompositions."""
    missing = np.isnan(values)
    filled = np.where(missing, 0 if fill is None else fill, values)
    found = []
    for rank in fills:
        left, sizes, right = np.linalg.svd(filled, full_matrices=False)
        filled = np.where(missing, (left[:, :rank] * sizes[:rank]) @ right[:rank], values)
        found.append(filled)
    return found


def subspace(
    values: Floats, *bases: Floats, most: int = 60, start: Factors | None = None
) -> Subspace:
    source = SamplesInMemory(values)
    made = Subspace(source, find_missing(source, 500), most, start)
    for basis in bases:
        made.widen(basis, 500)
    return made


@given(seed=st.integers(0, 1000), patterns=st.integers(1, 4), first=st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_a_subspace_of_all_genes_follows_the_iterations(
    seed: int, patterns: int, first: int
) -> None:
    values = with_gaps(40, 31, patterns, seed)
    basis = random_basis(31, 31, seed)
    space = subspace(values, basis[:, :first], basis[:, first:])
    found = space.follow(3, 0.0, 6)
    ranks = [1, 2, 3, 3, 3, 3]
    assert [each.right.shape[1] for each in found.iterates] == ranks
    before = np.where(np.isnan(values), 0, values)
    for now, filled, change in zip(
        found.iterates, plain(values, ranks), found.changes, strict=True
    ):
        fill = space.fill(now)
        gaps = np.isnan(values)
        got = np.where(gaps, fill.samples @ fill.genes.T, values)
        np.testing.assert_allclose(got, filled, atol=1e-8)
        old, new = before[gaps], filled[gaps]
        expected = ((new - old) ** 2).sum() / (old**2).sum() if old.any() else np.inf
        assert change == pytest.approx(expected, rel=1e-6, abs=1e-12)
        before = filled
    turned, directions = space.leaving(found, 5)
    assert turned < 1e-10
    assert directions.shape == (31, 0) or turned < 1e-10


@given(seed=st.integers(0, 1000), patterns=st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_a_given_fill_is_gone_on_from(seed: int, patterns: int) -> None:
    values = with_gaps(40, 31, patterns, seed)
    rng = np.random.default_rng(seed)
    start = Factors(rng.normal(2, 1, (40, 2)), rng.normal(size=(31, 2)))
    inside = independent_of(np.zeros((31, 0)), start.genes)
    rest = independent_of(inside, np.eye(31))[:, : 31 - inside.shape[1]]
    space = subspace(values, inside, rest, start=start)
    found = space.follow(3, 0.0, 4)
    filled = plain(values, [3] * 4, start.samples @ start.genes.T)
    for now, expected in zip(found.iterates, filled, strict=True):
        fill = space.fill(now)
        got = np.where(np.isnan(values), fill.samples @ fill.genes.T, values)
        np.testing.assert_allclose(got, expected, atol=1e-7)
    assert np.isfinite(found.changes).all()


@given(seed=st.integers(0, 1000), width=st.integers(4, 12))
@settings(max_examples=20, deadline=None)
def test_how_far_it_would_leave_is_that_of_the_matrix(seed: int, width: int) -> None:
    values = with_gaps(40, 31, 3, seed)
    basis = random_basis(31, width, seed)
    space = subspace(values, basis)
    found = space.follow(2, 0.0, 1)
    filled = np.nan_to_num(values)  # what the first iteration is the approximation of
    right = basis @ found.iterates[0].right
    seen = filled.T @ (filled @ right)
    outside = seen - basis @ (basis.T @ seen)
    outside /= np.linalg.norm(filled @ right, axis=0)
    turned, directions = space.leaving(found, 3)
    norm = np.linalg.norm(filled @ basis)
    assert turned == pytest.approx(np.linalg.norm(outside) / norm, rel=1e-6)
    both = np.concatenate([basis, directions], axis=1)
    np.testing.assert_allclose(both.T @ both, np.eye(both.shape[1]), atol=1e-10)
    beyond = outside - directions @ (directions.T @ outside)
    assert np.linalg.norm(beyond) < 1e-8 * np.linalg.norm(outside)


def test_a_narrower_subspace_holds_the_same_iterations() -> None:
    values = with_gaps(50, 45, 3, 1)
    space = subspace(values, random_basis(45, 40, 0))
    before = space.follow(3, 1e-3, 20)
    filled = space.fill(before.iterates[-1])
    moved = np.concatenate([each.right for each in before.iterates], axis=1)
    assert np.linalg.matrix_rank(moved) < 40
    space.narrow(before, np.linalg.matrix_rank(moved) + 2)
    assert space.width < 40
    after = space.follow(3, 1e-3, 20)
    assert len(after.iterates) == len(before.iterates)
    again = space.fill(after.iterates[-1])
    np.testing.assert_allclose(
        again.samples @ again.genes.T, filled.samples @ filled.genes.T, atol=1e-6
    )
    wider = independent_of(space.basis, np.random.default_rng(3).normal(size=(45, 5)))
    space.widen(wider, 500)
    np.testing.assert_allclose(space.basis.T @ space.basis, np.eye(space.width), atol=1e-10)


def test_little_room_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    values = with_gaps(400, 300, 3, 2)
    source = SamplesInMemory(values)
    exact: Any = IterativeSvd(rank=4, turning=1e-6)
    whole = impute(source, exact)
    monkeypatch.setattr("refinebio_assets.matrix.impute._SUBSPACE_BYTES", 3 * 300 * 8 * 40)
    narrow = impute(source, exact)
    monkeypatch.setattr("refinebio_assets.matrix.impute._SUBSPACE_BYTES", 0)
    none = impute(source, exact)
    filled = []
    for found in (whole, narrow, none):
        filled.append(values.copy())
        found.put(filled[-1], slice(None))
    np.testing.assert_allclose(filled[1], filled[0], atol=2e-3)
    np.testing.assert_allclose(filled[2], filled[0], atol=2e-3)
    assert len(whole.changes) == len(narrow.changes) == len(none.changes)
