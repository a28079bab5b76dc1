"""Imputation against kept results of fancyimpute, its laws, and a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import CannotImpute, ToolMissing
from refinebio_assets.matrix.fancyimpute_svd import impute_by_fancyimpute
from refinebio_assets.matrix.imputation_pass import pass_over
from refinebio_assets.matrix.impute import Imputation, IterativeSvd, Names, Progress, impute
from refinebio_assets.matrix.low_rank import Factors, random_basis
from refinebio_assets.matrix.missing_cells import SamplesInMemory, find_missing
from refinebio_assets_tests.conftest import shared_data

Reals = NDArray[np.floating[Any]]

KEPT = ["block3", "scattered", "block4_plus_scattered", "mixed_tech"]
EXACT = IterativeSvd(turning=3e-10)


def imputed(values: Reals, settings: IterativeSvd = EXACT, **more: Any) -> tuple[Reals, Imputation]:
    found = impute(SamplesInMemory(values), settings, **more)
    whole = values.copy()
    assert found.put(whole, slice(None)) == np.isnan(values).sum()
    return whole, found


def by_platform(samples: int, genes: int, seed: int = 0, platforms: int = 3) -> Reals:
    """Values on the log scale, of low rank and noise; each platform lacks a tenth of the genes."""
    rng = np.random.default_rng(seed)
    values = 7 + rng.normal(size=(samples, 5)) @ rng.normal(size=(5, genes))
    values += rng.normal(0, 0.3, values.shape)
    for platform in range(platforms):
        lacks = rng.choice(genes, genes // 10, replace=False)
        values[platform::platforms, lacks[lacks % platforms == platform]] = np.nan
    return values


@pytest.fixture(params=["within a subspace", "pass by pass"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """However many samples a pattern has, one way of imputing or the other, if it can."""
    least = 0 if request.param == "within a subspace" else sys.maxsize
    monkeypatch.setattr("refinebio_assets.matrix.impute._SAMPLES_OF_PATTERN", least)
    return str(request.param)


# --- fancyimpute ----------------------------------------------------------------------


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize(
    ("dtype", "turning", "largest", "typical"),
    [
        # to what is asked of the singular vectors
        (np.float64, 3e-10, 5e-6, 5e-7),
        # by default: no farther than fancyimpute's two solvers are from each other
        (np.float64, 6e-6, 5e-3, 3e-4),
        (np.float32, 6e-6, 5e-3, 3e-4),
        # in float32, where the original itself differs by up to 1.2e-4 from float64
        (np.float32, 3e-10, 2e-4, 2e-5),
    ],
)
def test_it_follows_fancyimpute(
    name: str, dtype: type[np.floating[Any]], turning: float, largest: float, typical: float
) -> None:
    vectors = np.load(shared_data("numerics/iterative_svd.npz"))
    given, expected = vectors[f"{name}__X"], vectors[f"{name}__Y"]
    values = given.astype(dtype)
    found, imputation = imputed(values, IterativeSvd(turning=turning), block_cells=20_000)
    missing = np.isnan(given)
    difference = (found - expected)[missing]
    assert np.abs(difference).max() < largest
    assert np.sqrt((difference**2).mean()) < typical
    np.testing.assert_array_equal(found[~missing], values[~missing])
    assert imputation.converged
    changes = vectors[f"{name}__ratio"]
    assert len(imputation.changes) == len(changes)
    np.testing.assert_allclose(imputation.changes[1:], changes[1:], rtol=0.02)


@pytest.mark.usefixtures("way")
def test_a_low_rank_and_an_early_end() -> None:
    vectors = np.load(shared_data("numerics/iterative_svd.npz"))
    given = vectors["block3__X"]
    found, imputation = imputed(given, replace(EXACT, rank=3, most_iterations=4))
    filled = np.nan_to_num(given)
    for rank in (1, 2, 3, 3):
        left, sizes, right = np.linalg.svd(filled, full_matrices=False)
        low = (left[:, :rank] * sizes[:rank]) @ right[:rank]
        filled = np.where(np.isnan(given), low, given)
    np.testing.assert_allclose(found, filled, atol=1e-6)
    assert not imputation.converged
    assert imputation.passes >= len(imputation.changes) == 4


def test_the_original_is_run_where_it_is_installed() -> None:
    pytest.importorskip("fancyimpute")
    given = by_platform(40, 200)
    kept = given.copy()
    found = impute_by_fancyimpute(given, 5)
    np.testing.assert_array_equal(given, kept)
    np.testing.assert_allclose(found, imputed(given, replace(EXACT, rank=5))[0], atol=1e-4)


def test_the_original_is_missed_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fancyimpute", None)
    with pytest.raises(ToolMissing, match="fancyimpute") as caught:
        impute_by_fancyimpute(by_platform(20, 30), 5)
    assert "pip install" in caught.value.remedy


# --- one pass -------------------------------------------------------------------------


@given(
    seed=st.integers(0, 1000),
    patterns=st.integers(1, 4),
    rank=st.sampled_from([None, 1, 3]),
    filled=st.booleans(),
    cells=st.sampled_from([1, 100, 10_000]),
)
@settings(max_examples=40, deadline=None)
def test_a_pass_by_pattern_or_by_cell_is_the_plain_product(
    seed: int, patterns: int, rank: int | None, filled: bool, cells: int
) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((patterns, 30)) < 0.3
    masks[0] = False
    values = np.where(masks[rng.integers(patterns, size=40)], np.nan, rng.normal(5, 1, (40, 30)))
    basis = random_basis(30, 8, seed)
    fill = Factors(rng.normal(size=(40, 2)), rng.normal(size=(30, 2))) if filled else None

    missing = np.isnan(values)
    before = fill.samples @ fill.genes.T if fill else np.zeros(values.shape)
    now = x = np.where(missing, before, values)
    if rank is not None:
        now = x @ basis[:, :rank] @ basis[:, :rank].T
        x = np.where(missing, now, values)

    source = SamplesInMemory(values)
    known = find_missing(source, cells)
    assert known.patterns is not None
    for way in (known, replace(known, patterns=None)):
        found = pass_over(source, way, fill, basis, rank, cells)
        np.testing.assert_allclose(found.gram, (x @ basis).T @ (x @ basis), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.back, x.T @ x @ basis, rtol=1e-9, atol=1e-9)
        if rank is not None:
            assert found.fill is not None
            low = found.fill.samples @ found.fill.genes.T
            np.testing.assert_allclose(low, now, atol=1e-9)
            changed = ((now - before)[missing] ** 2).sum()
            assert found.changed == pytest.approx(changed, rel=1e-9, abs=1e-9)
            assert found.before == pytest.approx((before[missing] ** 2).sum(), abs=1e-9)


@pytest.mark.usefixtures("way")
def test_the_size_of_blocks_does_not_matter() -> None:
    given = by_platform(50, 120)
    whole, _ = imputed(given)
    for cells in (1, 700):
        np.testing.assert_allclose(imputed(given, block_cells=cells)[0], whole, atol=1e-8)


def test_missing_values_are_found() -> None:
    values = by_platform(60, 90)
    values[3, 4] = np.inf
    found = find_missing(SamplesInMemory(values), 1000)
    missing = ~np.isfinite(values)
    assert found.total == missing.sum()
    assert found.infinite == 1
    np.testing.assert_array_equal(found.per_gene, missing.sum(axis=0))
    np.testing.assert_array_equal(found.per_sample, missing.sum(axis=1))
    assert found.patterns is not None
    for sample, pattern in enumerate(found.pattern_of):
        np.testing.assert_array_equal(found.patterns[pattern], np.flatnonzero(missing[sample]))
    scattered = np.where(np.random.default_rng(0).random(values.shape) < 0.1, np.nan, values)
    assert find_missing(SamplesInMemory(scattered), 1000).patterns is None


def test_a_part_is_put_as_the_whole() -> None:
    values = by_platform(40, 60)
    values[5, 7] = -np.inf
    for dtype in (np.float32, np.float64):
        given = values.astype(dtype)
        found = impute(SamplesInMemory(given), IterativeSvd(rank=3))
        assert found.fill is not None
        low = found.fill.samples @ found.fill.genes.T
        expected = np.where(np.isfinite(given), given, low)
        part = np.asfortranarray(given[10:20, 5:50])
        gaps = int((~np.isfinite(part)).sum())
        assert found.put(part, slice(10, 20), slice(5, 50)) == gaps > 0
        np.testing.assert_allclose(part, expected[10:20, 5:50], rtol=1e-5)
        assert found.put(part, slice(10, 20), slice(5, 50)) == 0


# --- what cannot be imputed -----------------------------------------------------------


@pytest.mark.usefixtures("way")
def test_nothing_is_missing() -> None:
    values = np.ones((1, 1))
    found, imputation = imputed(values)
    np.testing.assert_array_equal(found, values)
    assert imputation.missing.total == imputation.passes == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_a_gene_or_sample_without_any_value_is_named(axis: int) -> None:
    values = by_platform(20, 30)
    values[(slice(None), 7) if axis else (7, slice(None))] = np.nan
    names = Names([f"ENSG{each}" for each in range(30)], [f"GSM{each}" for each in range(20)])
    with pytest.raises(CannotImpute, match="ENSG7" if axis else "GSM7"):
        imputed(values, names=names)


def test_a_whole_column_of_infinities_is_no_value() -> None:
    values = by_platform(20, 30)
    values[:, 7] = np.inf
    with pytest.raises(CannotImpute, match="gene 7"):
        impute(SamplesInMemory(values))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("shape", [(10, 60), (60, 10), (2, 40)])
def test_a_rank_needs_more_samples_and_genes(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    values[0, 0] = np.nan
    with pytest.raises(CannotImpute, match="Rank 10 needs at least 11"):
        imputed(values)
    assert np.isfinite(imputed(values, IterativeSvd(rank=1))[0]).all()


def test_one_sample_with_a_gap() -> None:
    with pytest.raises(CannotImpute, match="No value at all is known of gene 1"):
        imputed(np.array([[1.0, np.nan, 3.0]]))


def test_no_sample_at_all() -> None:
    with pytest.raises(CannotImpute):
        imputed(np.empty((0, 5)))


@pytest.mark.usefixtures("way")
def test_values_that_are_all_zero_stay_zero() -> None:
    values = np.zeros((20, 30))
    values[1, 2] = np.nan
    found, _ = imputed(values, replace(EXACT, most_iterations=5))
    np.testing.assert_array_equal(found, 0)


@pytest.mark.usefixtures("way")
def test_a_matrix_of_lower_rank_than_asked_is_completed() -> None:
    rng = np.random.default_rng(4)
    whole = 5 + rng.normal(size=(60, 2)) @ rng.normal(size=(2, 80))
    given = np.where(rng.random(whole.shape) < 0.05, np.nan, whole)
    settings = replace(EXACT, rank=3, threshold=1e-12)
    np.testing.assert_allclose(imputed(given, settings)[0], whole, atol=1e-3)


# --- going on -------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from refinebio_assets.matrix.impute import impute
from refinebio_assets.matrix.missing_cells import SamplesInMemory

def told(progress):
    if progress.passes == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
source = SamplesInMemory(np.load(folder / "values.npy"))
impute(source, checkpoint=folder / "state", on_pass=told)
"""


@pytest.mark.parametrize(("gaps", "killed_after"), [("patterns", 2), ("scattered", 9)])
def test_a_killed_process_is_gone_on_from(gaps: str, killed_after: int, tmp_path: Path) -> None:
    values = by_platform(400, 200)
    if gaps == "scattered":
        values[np.random.default_rng(1).random(values.shape) < 0.02] = np.nan
    np.save(tmp_path / "values.npy", values)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(killed_after)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert [each.name for each in tmp_path.glob("state*")] == ["state"]
    seen: list[Progress] = []
    whole, expected = imputed(values, IterativeSvd())
    assert expected.passes > killed_after + 1
    found, imputation = imputed(
        values, IterativeSvd(), checkpoint=tmp_path / "state", on_pass=seen.append
    )
    assert [each.passes for each in seen] == list(range(killed_after, expected.passes + 1))
    np.testing.assert_allclose(found, whole, rtol=1e-9)
    np.testing.assert_allclose(imputation.changes, expected.changes, rtol=1e-6)
    seen.clear()  # a state that is at its end: no pass is made again
    imputed(values, IterativeSvd(), checkpoint=tmp_path / "state", on_pass=seen.append)
    assert [each.passes for each in seen] == [imputation.passes]


def test_a_state_of_something_else_is_not_gone_on_from(tmp_path: Path) -> None:
    state = tmp_path / "state"
    values = by_platform(30, 50)
    imputed(values, checkpoint=state)
    others = values.copy()
    others[0, np.flatnonzero(np.isfinite(values[0]))[0]] += 1
    for content, some, way in [
        (None, others, EXACT),
        (None, values, replace(EXACT, rank=4)),
        (b"", values, EXACT),
        (state.read_bytes()[:400], values, EXACT),
        (b"no archive", values, EXACT),
    ]:
        imputed(values, checkpoint=state)
        if content is not None:
            state.write_bytes(content)
        seen: list[Progress] = []
        imputed(some, way, checkpoint=state, on_pass=seen.append)
        assert seen[0].passes == 1


def test_the_passes_left_are_foretold(way: str) -> None:
    seen: list[Progress] = []
    settings = EXACT if way == "within a subspace" else IterativeSvd()
    _, imputation = imputed(by_platform(80, 600), settings, on_pass=seen.append)
    assert not seen[-1].passes_left
    *_, last = [each for each in seen if each.passes_left]
    assert last.passes_left is not None
    assert abs(last.passes + last.passes_left - imputation.passes) <= 2
