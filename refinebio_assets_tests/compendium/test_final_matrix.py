"""The joined matrix made final: filled, normalised, and every value told for what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from refinebio_assets.compendium import final_matrix
from refinebio_assets.compendium.assembly import (
    IMPUTED,
    MEASURED,
    MISSING,
    ZERO_RESTORED,
    JoinedMatrix,
)
from refinebio_assets.compendium.final_matrix import finish
from refinebio_assets.matrix.quantile import apply_target
from refinebio_assets.publish.disk_matrix import DiskMatrix

SAMPLES, GENES = 7, 60


class Fives:
    """Fills every gap with 5."""

    def put(self, values: np.ndarray, samples: slice, genes: slice = slice(None)) -> int:
        gaps = ~np.isfinite(values)
        values[gaps] = 5
        return int(gaps.sum())


def joined(folder: Path, values: np.ndarray) -> JoinedMatrix:
    matrix = DiskMatrix(folder, (SAMPLES, GENES), 100)
    matrix.write_samples(0, values)
    missing = ~np.isfinite(values)
    return JoinedMatrix(
        matrix=matrix,
        genes=pl.Series([f"g{number:02}" for number in range(GENES)]),
        samples=[f"s{number}" for number in range(SAMPLES)],
        is_rnaseq=np.arange(SAMPLES) >= 4,
        left_out=[],
        genes_seen=GENES,
        genes_considered=GENES,
        genes_with_low_counts=0,
        dropped_genes={},
        missing_per_gene=missing.mean(axis=0),
        missing_per_sample=missing.mean(axis=1),
        zeros_restored=int((values[4:] == 0).sum()),
    )


@pytest.fixture
def values() -> np.ndarray:
    random = np.random.default_rng(1)
    made = random.normal(8, 2, (SAMPLES, GENES)).astype(np.float32)
    made[:2, :10] = np.nan
    made[5, :7] = 0
    made[1, 20] = 0  # of an array: measured
    return made


@pytest.mark.parametrize("cells", [GENES, 3 * GENES, 10_000])
def test_values_are_filled_and_brought_to_the_target(
    cells: int, values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(final_matrix, "CELLS_AT_A_TIME", cells)
    target = np.sort(np.random.default_rng(2).normal(0, 1, 50))
    told: list[tuple[np.ndarray, np.ndarray]] = []

    def write(some: np.ndarray, origins: np.ndarray) -> None:
        told.append((some.copy(), origins.copy()))

    with joined(tmp_path, values) as given:
        seen = finish(given, Fives(), target, [write])
        final = given.matrix.read_samples(0, SAMPLES)
    filled = np.where(np.isfinite(values), values, 5)
    expected = apply_target(filled.T, target).T
    np.testing.assert_allclose(final, expected, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([some for some, _ in told]), final)
    origins = np.concatenate([each for _, each in told])
    assert (origins[:2, :10] == IMPUTED).all()
    assert (origins[5, :7] == ZERO_RESTORED).all()
    assert origins[1, 20] == MEASURED
    assert seen.imputed_of_sample.tolist() == [10, 10, 0, 0, 0, 0, 0]
    assert seen.zeros_of_sample.tolist() == [0, 0, 0, 0, 0, 7, 0]
    assert seen.imputed_of_gene.tolist() == [2] * 10 + [0] * 50
    assert (seen.not_finite, seen.unlike_target, seen.compared) == (0, [], SAMPLES)
    np.testing.assert_allclose(seen.variances, final.astype(float).var(axis=0), rtol=1e-5)


def test_gaps_that_stay_are_missing(values: np.ndarray, tmp_path: Path) -> None:
    origins: list[np.ndarray] = []
    with joined(tmp_path, values) as given:
        seen = finish(given, None, None, [lambda _, each: origins.append(each.copy())])
        final = given.matrix.read_samples(0, SAMPLES)
    np.testing.assert_array_equal(final, values)
    assert (np.concatenate(origins)[:2, :10] == MISSING).all()
    assert (seen.not_finite, seen.after, seen.smallest_p) == (20, None, None)


def test_a_sample_that_is_not_normalised_is_noticed(
    values: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply_but_one(given: np.ndarray, target: np.ndarray, *, out: np.ndarray) -> None:
        apply_target(given, target, out=out)
        out[:, 3] += 0.01

    monkeypatch.setattr(final_matrix, "apply_target", apply_but_one)
    with joined(tmp_path, values) as given:
        seen = finish(given, Fives(), np.arange(60.0), [])
    assert seen.unlike_target == ["s3"]
