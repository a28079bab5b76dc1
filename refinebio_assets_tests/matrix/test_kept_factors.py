"""Imputations that start from an earlier one: the same result, in fewer passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refinebio_assets.errors import DamagedFactors
from refinebio_assets.matrix.impute import Imputation, IterativeSvd, Progress, impute
from refinebio_assets.matrix.kept_factors import KeptFactors, read_factors, save_factors
from refinebio_assets.matrix.low_rank import Factors, random_basis
from refinebio_assets.matrix.missing_cells import SamplesInMemory
from refinebio_assets.matrix.warm_start import Start

Reals = NDArray[np.floating[Any]]

# Both end at a threshold, each at 1.5e-2 from the same fixed point here, a fresh one on one
# side of it and a started one often on another. Measured: 2.4e-3 with nothing new, 8e-3 with
# 3 % new samples, 1.8e-2 with 30 %.
APART = 2e-2
GENES = [f"ENSG{each:05}" for each in range(300)]
SAMPLES = [f"GSM{each}" for each in range(600)]


def expression(scattered: bool = False) -> Reals:
    rng = np.random.default_rng(5)
    scale = 3 * np.arange(1, 61) ** -0.8
    low = (rng.normal(size=(600, 60)) * scale) @ rng.normal(size=(60, 300))
    values = rng.gamma(4, 2, 300) + low
    values += rng.normal(0, 0.3, values.shape)
    lacks = rng.random((4, 300)) < 0.15
    lacks[0] &= ~lacks[1:].all(axis=0)
    values[lacks[rng.integers(4, size=600)]] = np.nan
    if scattered:
        values[rng.random(values.shape) < 0.03] = np.nan
    return values.astype(np.float32)


def filled(values: Reals, found: Imputation) -> Reals:
    whole = values.copy()
    found.put(whole, slice(None))
    return whole


def apart(values: Reals, one: Imputation, other: Imputation) -> float:
    """Root mean square of the difference of imputed values, over that of the values."""
    missing = np.isnan(values)
    mine, theirs = (filled(values, each)[missing].astype(np.float64) for each in (one, other))
    return float(np.sqrt(((mine - theirs) ** 2).sum() / (theirs**2).sum()))


def kept(values: Reals, samples: Any, genes: Any, path: Path) -> KeptFactors:
    """The factors of an imputation of a part of the matrix, from their file."""
    found = impute(SamplesInMemory(values[np.ix_(samples, genes)]))
    assert found.fill is not None
    assert found.basis is not None
    names = [GENES[each] for each in genes], [SAMPLES[each] for each in samples]
    save_factors(path, found.fill, found.basis, *names)
    return read_factors(path)


@pytest.mark.parametrize("scattered", [False, True])
def test_where_nothing_is_new_one_to_three_passes_are_enough(
    scattered: bool, tmp_path: Path
) -> None:
    values = expression(scattered)
    earlier = kept(values, np.arange(600), np.arange(300), tmp_path / "factors.npz")
    found = impute(SamplesInMemory(values), start=earlier.aligned(GENES, SAMPLES))
    assert 1 <= found.passes <= 3
    assert found.converged
    assert apart(values, found, impute(SamplesInMemory(values))) < 5e-3


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize(("samples", "genes"), [(20, 0), (180, 0), (0, 20), (60, 20)])
def test_what_is_new_comes_out_as_from_the_beginning(
    samples: int, genes: int, scattered: bool, tmp_path: Path
) -> None:
    values = expression(scattered)
    rng = np.random.default_rng(1)
    new_samples, new_genes = rng.permutation(600)[:samples], rng.permutation(300)[:genes]
    there = np.setdiff1d(np.arange(600), new_samples), np.setdiff1d(np.arange(300), new_genes)
    earlier = kept(values, rng.permutation(there[0]), rng.permutation(there[1]), tmp_path / "f")
    fresh = impute(SamplesInMemory(values))
    found = impute(SamplesInMemory(values), start=earlier.aligned(GENES, SAMPLES))
    assert found.converged
    assert found.passes < fresh.passes
    assert apart(values, found, fresh) < APART
    if samples:
        both = (only(each, new_samples) for each in (found, fresh))
        assert apart(values[new_samples], *both) < APART


@pytest.mark.parametrize("scattered", [False, True])
def test_the_fixed_point_is_the_same(scattered: bool, tmp_path: Path) -> None:
    values = expression(scattered)
    rng = np.random.default_rng(1)
    there = np.sort(rng.permutation(600)[60:]), np.sort(rng.permutation(300)[20:])
    earlier = kept(values, *there, tmp_path / "factors.npz")
    source = SamplesInMemory(values.astype(np.float64))
    settings = IterativeSvd(threshold=1e-10, turning=1e-7)
    fresh = impute(source, settings)
    found = impute(source, settings, start=earlier.aligned(GENES, SAMPLES))
    assert found.converged
    assert len(found.changes) < len(fresh.changes)
    assert apart(values.astype(np.float64), found, fresh) < 3e-4


def only(found: Imputation, samples: Any) -> Imputation:
    assert found.fill is not None
    return replace(found, fill=Factors(found.fill.samples[samples], found.fill.genes))


def test_of_low_rank_new_samples_and_genes_are_exact_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    whole = 5 + rng.normal(size=(600, 3)) @ rng.normal(size=(3, 300))
    values = whole.copy()
    values[::2, ::5] = np.nan
    values[1::3, 3::7] = np.nan
    settings = IterativeSvd(rank=4, threshold=1e-12)
    part = SamplesInMemory(values[:400, :250])
    found = impute(part, settings)
    assert found.fill is not None
    assert found.basis is not None
    save_factors(tmp_path / "f", found.fill, found.basis, GENES[:250], SAMPLES[:400])
    start = read_factors(tmp_path / "f").aligned(GENES, SAMPLES)
    again = impute(SamplesInMemory(values), replace(settings, most_iterations=1), start=start)
    np.testing.assert_allclose(filled(values, again), whole, atol=0.05)


@pytest.mark.parametrize("scattered", [False, True])
def test_a_stopped_one_is_gone_on_from_with_the_same_start_only(
    scattered: bool, tmp_path: Path
) -> None:
    values = expression(scattered)
    earlier = kept(values, np.arange(400), np.arange(300), tmp_path / "factors.npz")
    start, state = earlier.aligned(GENES, SAMPLES), tmp_path / "state"
    source = SamplesInMemory(values)

    def stop(progress: Progress) -> None:
        if progress.passes == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        impute(source, start=start, checkpoint=state, on_pass=stop)
    kept_state = state.read_bytes()
    seen: list[Progress] = []
    found = impute(source, start=start, checkpoint=state, on_pass=seen.append)
    assert seen[0].passes == 2
    assert apart(values, found, impute(source, start=start)) < 1e-4
    for other in (None, replace(start, basis=start.basis[:, :-1])):
        state.write_bytes(kept_state)
        seen.clear()
        impute(source, start=other, checkpoint=state, on_pass=seen.append)
        assert seen[0].passes == 1


def test_nothing_in_common_is_no_start(tmp_path: Path) -> None:
    values = expression()[:60, :100]
    earlier = kept(values, np.arange(60), np.arange(100), tmp_path / "factors.npz")
    source = SamplesInMemory(values)
    start = earlier.aligned([f"x{each}" for each in range(100)], SAMPLES[:60])
    assert apart(values, impute(source, start=start), impute(source)) < 1e-12


def test_a_start_of_another_rank(tmp_path: Path) -> None:
    values = expression()
    earlier = kept(values, np.arange(600), np.arange(300), tmp_path / "factors.npz")
    settings = IterativeSvd(rank=6)
    source = SamplesInMemory(values)
    found = impute(source, settings, start=earlier.aligned(GENES, SAMPLES))
    assert found.fill is not None
    assert found.fill.genes.shape == (300, 6)
    assert apart(values, found, impute(source, settings)) < 2 * APART


# --- kept and aligned -----------------------------------------------------------------


@given(seed=st.integers(0, 1000), genes=st.integers(0, 12), samples=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_fill_is_the_same_where_it_was_known(seed: int, genes: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    fill = Factors(rng.normal(size=(9, 3)), random_basis(12, 3, seed))
    earlier = KeptFactors(
        np.array(GENES[:12]), np.array(SAMPLES[:9]), fill, random_basis(12, 5, seed)
    )
    wanted = rng.permutation(GENES[12 - genes : 20]), rng.permutation(SAMPLES[9 - samples : 15])
    found = earlier.aligned(list(wanted[0]), list(wanted[1]))
    rank = found.fill.genes.shape[1]
    assert rank == min(3, genes)
    np.testing.assert_allclose(found.fill.genes.T @ found.fill.genes, np.eye(rank), atol=1e-9)
    width = found.basis.shape[1]
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(width), atol=1e-9)
    old = fill.samples @ fill.genes.T
    for row, sample in enumerate(wanted[1]):
        if sample not in SAMPLES[:9]:
            assert np.isnan(found.fill.samples[row]).all()
            continue
        for column, gene in enumerate(wanted[0]):
            expected = old[SAMPLES.index(sample), GENES.index(gene)] if gene in GENES[:12] else 0
            value = found.fill.samples[row] @ found.fill.genes[column]
            assert value == pytest.approx(expected, abs=1e-9)


def test_factors_are_kept_as_they_are(tmp_path: Path) -> None:
    fill = Factors(np.ones((2, 1), np.float32), np.ones((3, 1), np.float32))
    path = tmp_path / "factors.npz"
    save_factors(path, fill, np.eye(3, dtype=np.float32), ["a", "µ", "c"], ["x", "y"])
    found = read_factors(path)
    assert found.genes.tolist() == ["a", "µ", "c"]
    assert found.samples.tolist() == ["x", "y"]
    assert found.basis.dtype == found.fill.samples.dtype == np.float32
    np.testing.assert_array_equal(found.basis, np.eye(3))
    assert isinstance(found.aligned(["c"], ["x"]), Start)
    for names in ((["a", "a", "c"], ["x", "y"]), (["a", "b", "c"], ["x"])):
        with pytest.raises(ValueError, match="are needed"):
            save_factors(path, fill, np.eye(3), *names)


def test_damaged_factors_are_told(tmp_path: Path) -> None:
    path = tmp_path / "factors.npz"
    with pytest.raises(DamagedFactors, match=r"factors\.npz"):
        read_factors(path)
    fill = Factors(np.ones((2, 1)), np.ones((3, 1)))
    save_factors(path, fill, np.eye(3), ["a", "b", "c"], ["x", "y"])
    whole = path.read_bytes()
    for damaged in (b"", whole[:300], b"PK" + whole[2:200], b"\x93NUMPY"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFactors):
            read_factors(path)
    parts = {
        "form": np.array(1), "genes": np.array(["a"]), "samples": np.array(["x"]),
        "fill_genes": np.ones((1, 1)), "fill_samples": np.ones((1, 1)), "basis": np.ones((1, 1)),
    }  # fmt: skip
    np.savez(path, **parts)
    read_factors(path)
    for change in (
        {"form": np.array(2)},
        {"fill_genes": np.ones((2, 1))},
        {"basis": np.full((1, 1), np.nan)},
        {"basis": np.ones(1)},
        {"genes": np.array(["a", "b"])},
        {"genes": np.array([{}])},
    ):
        np.savez(path, **{**parts, **change})
        with pytest.raises(DamagedFactors):
            read_factors(path)
